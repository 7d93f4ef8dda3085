"""Flags and gaps of the stored `attribution_health`, and doubled orders before they are sent, for
the checks, the sensor and the CLI."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from threading import Lock

import pyarrow as pa
import pyarrow.compute as pc

from capi_assets.contracts.attribution_health import AttributionHealth
from capi_assets.contracts.base import UTC_MICROSECONDS, arrow_schema
from capi_assets.contracts.delivery_results import DeliveryResults
from capi_assets.contracts.matched_events import MatchedEvents
from capi_assets.coverage.anomalies.anomaly import Anomaly
from capi_assets.coverage.anomalies.stream_hours import STREAM_HISTORY
from capi_assets.coverage.anomalies.unusual_hours import UnusualHours, unusual_hours
from capi_assets.coverage.anomalies.unusual_shares import unusual_orders
from capi_assets.coverage.flags import (
    HISTORY,
    flag_hours,
    flags_beside,
    last_settled,
    moments_of_change,
)
from capi_assets.coverage.gaps import Gap, gaps
from capi_assets.coverage.last_look import Kept
from capi_assets.coverage.outcomes import EVENT_COLUMNS, QUARANTINED_ORDERS, RESULT_COLUMNS
from capi_assets.coverage.policy import CoveragePolicy
from capi_assets.coverage.waterfall import waterfall
from capi_assets.delivery.causes import Cause
from capi_assets.hours import HOUR, floor_hour, hour_range, hours_between
from capi_assets.lake import Lake, LakeError
from capi_assets.meta.limits import WINDOW

# Older hours cannot be recovered, except orders of physical stores; they would only be noise.
WATCH_WINDOW = WINDOW + timedelta(days=1)
# Missing visits are found by the hours around, faulty rows by the day that ends with the hour.
NEIGHBOURS = timedelta(hours=24)
# Enough to learn what is usual for an hour of the week (anomalies/count_models.py).
TRAINING_WINDOW = timedelta(weeks=5)

_VISITS = pa.schema(
    [("hour", UTC_MICROSECONDS), ("visits", pa.int64()), ("with_click_id", pa.int64())]
)

# The inputs of a verdict; `orders` is none of them, matched_events has all orders.
_VERDICT_INPUTS = ("visits", "quarantined_orders", "matched_events", "delivery_results")


@dataclass(frozen=True)
class CoverageSnapshot:
    """The flags and gaps of the watched hours, and the `attribution_health` they are made from."""

    watched_from: datetime
    flags: pa.Table
    gaps: list[Gap]
    health: pa.Table


def flags_of(
    lake: Lake, hours: Sequence[datetime], policy: CoveragePolicy, now: datetime
) -> tuple[pa.Table, pa.Table]:
    """`attribution_health` and the flags of `hours`, evaluated with the hours around them."""
    start, end = hour_range(hours)
    around = hours_between(start - NEIGHBOURS, end + NEIGHBOURS)
    health = lake.read("attribution_health", around, arrow_schema(AttributionHealth))
    return health, flag_hours(health, policy, now, history=_history(lake, around[0]))


def find_gaps(lake: Lake, policy: CoveragePolicy, now: datetime) -> CoverageSnapshot:
    """All gaps of the watched hours: the last eight days until now.

    The coverage sensor, the check `open_gaps` and `capi-assets gaps` call it. Hours are expected
    from the first that was ever materialized. Where no stored hour changed since the last call of
    this process, and no deadline has passed, the result is that of the last call.

    Raises:
        LakeError: the store does not answer. A damaged file raises nothing: its hour is flagged.

    Example:
        `find_gaps(Lake("data/lake"), CoveragePolicy(), now).gaps`
    """
    first = lake.first_hour("attribution_health")
    start = floor_hour(now - WATCH_WINDOW)
    expected = hours_between(max(start, first), floor_hour(now) + HOUR) if first else []
    looked_at = hours_between(start - NEIGHBOURS, floor_hour(now) + HOUR)
    settled = last_settled(policy, now)
    # A look that Dagster no longer waits for goes on, and the next one uses what it found.
    with _LOCK:
        files = lake.versions("attribution_health", looked_at)
        health = _WATCHED.of(lake, files)
        learned = (
            *(lake.address, looked_at[0], settled, policy.threshold),
            [(hour, version) for hour, version in files.items() if hour <= settled],
        )
        unusual = _UNUSUAL.of(
            learned,
            lambda: unusual_hours(
                [_history(lake, looked_at[0]), health], settled, policy.threshold
            ),
        )
        inputs = learned, files, expected, policy
        moments = _MOMENTS.of(inputs, lambda: moments_of_change(health, policy, expected))

        def snapshot() -> CoverageSnapshot:
            flags = flags_beside(unusual, health, policy, now, expected)
            recent = [gap for gap in gaps(flags) if gap.last_hour >= start]
            return CoverageSnapshot(start, flags, recent, health)

        return _SNAPSHOT.of((inputs, start, bisect_right(moments, now)), snapshot)


_LOCK = Lock()
_HISTORY = Kept[pa.Table]()
_UNUSUAL = Kept[UnusualHours]()
_MOMENTS = Kept[list[datetime]]()
_SNAPSHOT = Kept[CoverageSnapshot]()


def doubled_orders(lake: Lake, hours: Sequence[datetime]) -> dict[datetime, Anomaly]:
    """The hours of `matched_events` in which far more orders than usual are like an earlier one,
    before or after delivery. Only their share counts: visits may still be on their way.

    Raises:
        LakeError: a stored table cannot be read.
    """
    events = lake.read("matched_events", hours, arrow_schema(MatchedEvents), EVENT_COLUMNS)
    if not events.num_rows:
        return {}
    results = lake.read("delivery_results", hours, arrow_schema(DeliveryResults), RESULT_COLUMNS)
    no_visits = _VISITS.empty_table()
    health = waterfall(hours, events, results, QUARANTINED_ORDERS.empty_table(), no_visits)
    if not pc.sum(health["lookalikes"]).as_py():
        return {}
    start, _ = hour_range(hours)
    history = _verdicts(lake, hours_between(start - TRAINING_WINDOW, start), STREAM_HISTORY)
    unusual = unusual_orders([history, health], max(hours), threshold=1.0)
    return {
        hour: anomaly
        for hour, anomalies in unusual.items()
        for anomaly in anomalies
        if hour in hours and anomaly.cause is Cause.ORDERS_DOUBLED
    }


def older_than_results(
    lake: Lake, evaluated_at: Callable[[list[datetime]], Mapping[datetime, datetime]], now: datetime
) -> dict[datetime, datetime]:
    """Watched hours whose inputs changed after their verdict, each with the time of the change.

    This happens if `delivery_results` is materialized alone. `evaluated_at` returns when hours were
    last evaluated. It is called only for hours whose stored verdict is older than its inputs,
    which is also true if evaluating again changed nothing.
    """
    days = hours_between(floor_hour(now - WATCH_WINDOW), floor_hour(now) + HOUR)
    verdicts = lake.changed_at("attribution_health", days)
    newest: dict[datetime, datetime] = {}
    for table in _VERDICT_INPUTS:
        for hour, changed in lake.changed_at(table, days).items():
            if hour in verdicts and changed > verdicts[hour]:
                newest[hour] = max(changed, newest.get(hour, changed))
    evaluated = evaluated_at(sorted(newest)) if newest else {}
    return {
        hour: changed
        for hour, changed in sorted(newest.items())
        if hour not in evaluated or evaluated[hour] < changed
    }


def _history(lake: Lake, before: datetime) -> pa.Table:
    """The hours to learn from: five weeks that end at `before`, only the columns `HISTORY`.

    Kept until the next hour: a thousand small files take a second to read. Old hours hardly change,
    and no verdict depends on a single one.
    """

    def read() -> pa.Table:
        files = lake.versions("attribution_health", hours_between(before - TRAINING_WINDOW, before))
        return _LEARNED.of(lake, files)

    return _HISTORY.of((lake.address, before), read)


class _Rows:
    """The verdicts that were read last: what has not changed since is not read again."""

    def __init__(self, columns: Sequence[str] | None = None) -> None:
        self._columns = columns
        self._lake = ""
        self._files: Mapping[datetime, object] = {}
        self._rows: pa.Table | None = None

    def of(self, lake: Lake, files: Mapping[datetime, object]) -> pa.Table:
        """The rows of `files` (see `Lake.versions`) in time order."""
        rows = self._rows if self._lake == lake.address else None
        known = self._files if rows is not None else {}
        same = [hour for hour, version in files.items() if known.get(hour) == version]
        if rows is None or not len(same) == len(files) == len(known):
            self._rows = None  # what cannot be read is not known either
            changed = _verdicts(lake, sorted(files.keys() - set(same)), self._columns)
            if rows is not None and same:
                is_same = pc.is_in(rows["hour"], pa.array(same, rows.schema.field("hour").type))
                changed = pa.concat_tables([rows.filter(is_same), changed]).sort_by("hour")
            rows = changed
        self._lake, self._files, self._rows = lake.address, dict(files), rows
        return rows


_WATCHED, _LEARNED = _Rows(), _Rows(HISTORY)


def _verdicts(
    lake: Lake, hours: Sequence[datetime], columns: Sequence[str] | None = None
) -> pa.Table:
    """The stored verdicts. A damaged file counts as missing, so that its hour alone is flagged; a
    store that does not answer raises."""
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
