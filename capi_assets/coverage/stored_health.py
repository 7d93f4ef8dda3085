"""Looking at the lake with the eyes of coverage: what the checks and the sensor both see."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import pyarrow as pa

from capi_assets.contracts.attribution_health import AttributionHealth
from capi_assets.contracts.base import arrow_schema
from capi_assets.coverage.anomalies.hour_signals import HISTORY
from capi_assets.coverage.flags import CoveragePolicy, flag_hours
from capi_assets.coverage.gaps import Gap, gaps
from capi_assets.hours import HOUR, floor_hour, hour_range, hours_between
from capi_assets.lake import Lake, LakeError
from capi_assets.meta.limits import WINDOW

# What happened before cannot be saved any more, save for physical stores, and would be noise.
WATCH_WINDOW = WINDOW + timedelta(days=1)
# Visits are judged by their neighbours, rows at fault by the day that ends with their hour.
NEIGHBOURS = timedelta(hours=24)
# What is usual for an hour is learned from so many weeks (coverage/anomalies/count_models.py).
TRAINING_WINDOW = timedelta(weeks=5)


# What a verdict is made from. `orders` is not read: what became of them is in matched_events.
_JUDGED_FROM = ("visits", "quarantined_orders", "matched_events", "delivery_results")


@dataclass(frozen=True)
class CoverageSnapshot:
    """What a look at the watched hours found; `health` is `attribution_health` as it was judged."""

    watched_from: datetime
    flags: pa.Table
    gaps: list[Gap]
    health: pa.Table


def flags_of(
    lake: Lake, hours: Sequence[datetime], policy: CoveragePolicy, now: datetime
) -> tuple[pa.Table, pa.Table]:
    """The health and the flags of `hours`, judged with their neighbours."""
    start, end = hour_range(hours)
    around = hours_between(start - NEIGHBOURS, end + NEIGHBOURS)
    health = lake.read("attribution_health", around, arrow_schema(AttributionHealth))
    return health, flag_hours(health, policy, now, history=_history(lake, around[0]))


def find_gaps(lake: Lake, policy: CoveragePolicy, now: datetime) -> CoverageSnapshot:
    """All gaps among the watched hours.

    An hour is expected from the first one on that was ever materialized: before that there was
    nothing to watch.
    """
    known = lake.hours("attribution_health")
    start = floor_hour(now - WATCH_WINDOW)
    expected = hours_between(max(start, known[0]), floor_hour(now) + HOUR) if known else []
    looked_at = hours_between(start - NEIGHBOURS, floor_hour(now) + HOUR)
    health = _verdicts(lake, looked_at)
    flags = flag_hours(
        health, policy, now, expected_hours=expected, history=_history(lake, looked_at[0])
    )
    recent = [gap for gap in gaps(flags) if gap.last_hour >= start]
    return CoverageSnapshot(start, flags, recent, health)


def older_than_results(
    lake: Lake, judged_at: Callable[[list[datetime]], Mapping[datetime, datetime]], now: datetime
) -> dict[datetime, datetime]:
    """Watched hours whose verdict was made before what it is made from last changed, each with the
    time of that change; as when `delivery_results` was materialized alone.

    `judged_at` tells when hours were last judged. It is asked only about hours whose stored
    verdict is older than its sources, which it also is where judging again changed nothing.
    """
    days = hours_between(floor_hour(now - WATCH_WINDOW), floor_hour(now) + HOUR)
    verdicts = lake.changed_at("attribution_health", days)
    newest: dict[datetime, datetime] = {}
    for table in _JUDGED_FROM:
        for hour, changed in lake.changed_at(table, days).items():
            if hour in verdicts and changed > verdicts[hour]:
                newest[hour] = max(changed, newest.get(hour, changed))
    judged = judged_at(sorted(newest)) if newest else {}
    return {
        hour: changed
        for hour, changed in sorted(newest.items())
        if hour not in judged or judged[hour] < changed
    }


# The sensor looks every minute, and a thousand small files take a second: what was read is kept
# until the hour turns. Old hours hardly change, and no verdict hangs on a single one of them.
_LAST_READ: dict[tuple[str, datetime], pa.Table] = {}


def _history(lake: Lake, before: datetime) -> pa.Table:
    """The hours to learn from: five weeks that end at `before`, only the columns that it takes."""
    key = (str(lake.root), before)
    rows = _LAST_READ.get(key)
    if rows is None:
        rows = _verdicts(lake, hours_between(before - TRAINING_WINDOW, before), HISTORY)
        _LAST_READ.clear()
        _LAST_READ[key] = rows
    return rows


def _verdicts(
    lake: Lake, hours: Sequence[datetime], columns: Sequence[str] | None = None
) -> pa.Table:
    """The stored verdicts. An hour whose file is damaged has none, and is flagged for it: it must
    not end the watch over all others. A store that does not answer does."""
    schema = arrow_schema(AttributionHealth)
    try:
        return lake.read("attribution_health", hours, schema, columns)
    except LakeError as error:
        if not _is_damage(error):
            raise
    parts = [lake.read("attribution_health", [], schema, columns)]
    for hour in hours:
        try:
            parts.append(lake.read("attribution_health", [hour], schema, columns))
        except LakeError as error:
            if not _is_damage(error):
                raise
    return pa.concat_tables(parts)


def _is_damage(error: LakeError) -> bool:
    return isinstance(error.__cause__, pa.ArrowInvalid)
