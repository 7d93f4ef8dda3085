"""What an incident's alerts tell: the sensor's evaluation, hour by hour, from before the outage
until its hours are no longer watched.

What Meta did not take is delivered an hour after the outage, and hours that were not materialized
are; orders that never arrived and those that need other input stay as they are.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

import pyarrow as pa
import pyarrow.compute as pc

from benchmarks.simulated_shops import DAY, HOUR, START, Books
from capi_assets.coverage.alerting.alert_state import AlertState
from capi_assets.coverage.alerting.alerts import decide
from capi_assets.coverage.flags import HISTORY, flag_hours
from capi_assets.coverage.gaps import Gap, gaps
from capi_assets.coverage.policy import CoveragePolicy
from capi_assets.coverage.stored_health import NEIGHBOURS, TRAINING_WINDOW, WATCH_WINDOW
from capi_assets.hours import hours_between

# Ends of an incident, of which one is enough; any other alert after the first brings a change of
# money, cause or deadline.
_ENDS = ("opened", "reopened", "recovered", "closed", "expired")


@dataclass(frozen=True)
class Told:
    """Alerts of one incident: `without_news` are openings and ends, of which two are enough."""

    kind: str
    hours: int
    kinds: dict[str, int]
    open_at_end: bool

    @property
    def messages(self) -> int:
        return sum(self.kinds.values())

    @property
    def openings(self) -> int:
        return self.kinds.get("opened", 0)

    @property
    def without_news(self) -> int:
        return sum(self.kinds.get(end, 0) for end in _ENDS)


def ticks(struck: slice) -> Iterator[int]:
    """Hourly until half a day after the outage, then rarely until its hours are watched no more."""
    soon = struck.stop + DAY // 2
    yield from range(struck.start + 1, soon)
    yield from range(soon, struck.stop + 9 * DAY, 12)


def told_of(name: str, books: Books, struck: slice, hours: Iterable[int]) -> Told:
    """The alerts of an outage if the sensor evaluates half past these hours (`ticks`). The shop
    needs nine days after the outage for all of them."""
    absent, books.absent = books.absent, set()
    whole = books.health()
    missing = pa.array([START + hour * HOUR for hour in sorted(absent)], whole["hour"].type)
    during = whole.filter(pc.invert(pc.is_in(whole["hour"], missing)))
    mended = _delivered_now(whole)
    kinds: Counter[str] = Counter()
    state = AlertState()
    for tick in hours:
        now = START + tick * HOUR + timedelta(minutes=30)
        health = mended if tick > struck.stop else during
        alerts, state = decide(
            state, watched_gaps(health, now), now, watched_from=_watched_from(now)
        )
        kinds.update(alert.kind for alert in alerts)
    return Told(name, struck.stop - struck.start, dict(kinds), bool(state.open))


def _watched_from(now: datetime) -> datetime:
    start = now - WATCH_WINDOW
    return start.replace(minute=0)


def watched_gaps(health: pa.Table, now: datetime) -> list[Gap]:
    """What `stored_health.find_gaps` finds in this table at this time."""
    start, last = _watched_from(now), now.replace(minute=0) - HOUR
    looked_at, learnt = start - NEIGHBOURS, start - NEIGHBOURS - TRAINING_WINDOW
    hour = health["hour"]
    flags = flag_hours(
        health.filter(pc.and_(pc.greater_equal(hour, looked_at), pc.less_equal(hour, last))),
        CoveragePolicy(),
        now,
        expected_hours=hours_between(max(start, START), last + HOUR),
        history=health.filter(
            pc.and_(pc.greater_equal(hour, learnt), pc.less(hour, looked_at))
        ).select(HISTORY),
    )
    return [gap for gap in gaps(flags) if gap.last_hour >= start]


def _delivered_now(health: pa.Table) -> pa.Table:
    """The table once everything pending or unknown is delivered."""
    columns: Mapping[str, pa.ChunkedArray] = {name: health[name] for name in health.column_names}
    changed = dict(columns)
    for prefix in ("", "value_"):
        waiting = pc.add(columns[f"{prefix}pending"], columns[f"{prefix}unknown"])
        changed[f"{prefix}delivered"] = pc.add(columns[f"{prefix}delivered"], waiting)
        for stage in ("pending", "unknown"):
            changed[f"{prefix}{stage}"] = pc.multiply(columns[f"{prefix}{stage}"], 0)
    whole = pc.equal(changed["delivered"], changed["eligible"])
    was_waiting = pc.greater(pc.add(columns["pending"], columns["unknown"]), 0)
    for name, usual in (("main_reason", "missing_value"), ("main_reason_kind", "payload")):
        reason = pc.if_else(was_waiting, usual, columns[name])
        changed[name] = pc.if_else(whole, pa.scalar(None, pa.string()), reason)
    return pa.table(
        [changed[field.name].cast(field.type) for field in health.schema], schema=health.schema
    )
