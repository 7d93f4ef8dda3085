"""How late the files of each table usually land: learnt, so that an hour is judged once they are
there and not before.

An export every three hours lands up to three hours late, every day; orders that it has not brought
yet are not missing. `policies.coverage_policy` learns the delays for the sensor, the checks and the
commands, `flags.flag_hours` waits that long.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from capi_assets.contracts.attribution_health import AttributionHealth
from capi_assets.contracts.base import arrow_schema
from capi_assets.coverage.formatting import format_duration, join_names
from capi_assets.hours import HOUR, floor_hour, hours_between
from capi_assets.ingest.landing_folder import LandingFolder
from capi_assets.ingest.late_files import LandedFile, landed_files
from capi_assets.ingest.sources import Source
from capi_assets.lake import Lake, LakeError

LEARNT_FROM = timedelta(days=14)
"""Two weeks: weekends and the week's nightly jobs are among them, and a new habit soon is."""

MAX_DELAY = timedelta(hours=26)
"""A daily export, and two hours for it to run. What landed later is an import of old hours or a
correction, and teaches nothing; a feed that is later than that is worth an alert every time."""

MIN_DAYS, MIN_HOURS_OF_DAY = 3, 12
"""Days needed, and hours needed for a day to count: fewer say nothing of a habit."""

OUTLIER_DAYS = 2
"""The latest days that are left out: an outage of a feed usually touches two, and is no habit."""

LEAST_DELAY = timedelta(minutes=15)
"""Shorter delays are within `CoveragePolicy.grace`."""

ARRIVED_SHARE = 0.8
"""Of the bytes of an hour: it counts as landed then, since fewer missing orders are not flagged
(`anomalies.detect.MIN_LOSS_SHARE`), and a small correction later does not move it."""


@dataclass(frozen=True, slots=True)
class LandingDelays:
    """How long after the end of their hour visits and orders usually land; zero if at once."""

    visits: timedelta = timedelta(0)
    orders: timedelta = timedelta(0)

    @property
    def longest(self) -> timedelta:
        """Until both are there, to be compared with each other."""
        return max(self.visits, self.orders)

    @property
    def text(self) -> str:
        """`orders usually land up to 2 h 10 min after their hour`; empty if at once."""
        tables = (("visits", self.visits), ("orders", self.orders))
        late = [f"{name} usually land up to {format_duration(d)}" for name, d in tables if d]
        return f"{join_names(late)} after their hour" if late else ""


AT_ONCE = LandingDelays()
"""Where nothing was learnt."""


def landing_delays(lake: Lake, visits: Source, orders: Source, now: datetime) -> LandingDelays:
    """What the last two weeks show. Never raises: what cannot be read teaches nothing.

    The modification times of landed files survive any materialization. Orders that reached Meta
    were there before, whatever was landed again later: `attribution_health` has their freshness,
    also where a SQL model supplies them. Visits of a SQL model show nothing, and are not waited
    for.
    """
    key = (str(lake.root), _name(visits), _name(orders), floor_hour(now))
    if key not in _LAST_LEARNT:
        hours = hours_between(now - LEARNT_FROM, now)
        landed, delivered = _landed(orders, hours), _delivered(lake, hours)
        if not isinstance(orders, LandingFolder):
            landed = delivered
        sooner = {hour: min(late, delivered.get(hour, late)) for hour, late in landed.items()}
        _LAST_LEARNT.clear()
        _LAST_LEARNT[key] = LandingDelays(_usual(_landed(visits, hours)), _usual(sooner))
    return _LAST_LEARNT[key]


# A listing of two weeks takes seconds on object storage, and the sensor runs every minute.
_LAST_LEARNT: dict[tuple[str, str, str, datetime], LandingDelays] = {}


def _name(source: Source) -> str:
    return f"{source.root}/{source.table}" if isinstance(source, LandingFolder) else "sql"


def _landed(source: Source, hours: Sequence[datetime]) -> dict[datetime, timedelta]:
    if not isinstance(source, LandingFolder):
        return {}
    try:
        return arrival_delays(landed_files(source, hours))
    except OSError:
        return {}


def arrival_delays(files: Iterable[LandedFile]) -> dict[datetime, timedelta]:
    """How long after the end of each hour most of its bytes landed."""
    by_hour: dict[datetime, list[LandedFile]] = defaultdict(list)
    for file in files:
        by_hour[file.hour].append(file)
    delays = {}
    for hour, landed in by_hour.items():
        enough, arrived = ARRIVED_SHARE * sum(file.size for file in landed), 0
        for file in sorted(landed, key=lambda file: file.changed_at):
            arrived += file.size
            if arrived >= enough:
                delays[hour] = max(file.changed_at - hour - HOUR, timedelta(0))
                break
    return delays


def _delivered(lake: Lake, hours: Sequence[datetime]) -> dict[datetime, timedelta]:
    """How long after the end of each hour nearly all of its delivered orders were at Meta."""
    columns = ["hour", "freshness_p95_minutes"]
    try:
        rows = lake.read("attribution_health", hours, arrow_schema(AttributionHealth), columns)
    except LakeError:
        return {}
    delays: dict[datetime, timedelta] = {}
    for row in rows.to_pylist():
        if row["freshness_p95_minutes"] is not None:
            hour = row["hour"].astimezone(UTC)
            delay = max(timedelta(minutes=row["freshness_p95_minutes"]) - HOUR, timedelta(0))
            delays[hour] = max(delay, delays.get(hour, delay))
    return delays


def _usual(delays: Mapping[datetime, timedelta]) -> timedelta:
    """The latest hour of an ordinary day, with the latest days left out."""
    days: dict[object, list[timedelta]] = defaultdict(list)
    for hour, delay in delays.items():
        if delay <= MAX_DELAY:
            days[hour.date()].append(delay)
    latest = sorted(max(day) for day in days.values() if len(day) >= MIN_HOURS_OF_DAY)
    if len(latest) < MIN_DAYS:
        return timedelta(0)
    usual = latest[-1 - OUTLIER_DAYS]
    return usual if usual >= LEAST_DELAY else timedelta(0)
