"""How long the stored visits still lend an hour's orders their original match keys.

An order finds its visit within the lookback; visits are deleted by night, once they are older than
CAPI_RETENTION_DAYS (defs/automation/visit_retention.py). Until when Meta takes an event is in
`meta.limits`.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta
from typing import Literal

from capi_assets.hours import HOUR, floor_hour

PURGE_TIME = time(3, 30, tzinfo=UTC)
"""When old visits are deleted, every night."""

Left = Literal["all", "some", "none"]


@dataclass(frozen=True, slots=True)
class VisitRetention:
    """How far back an order looks for its visit, and how long visits are kept."""

    lookback: timedelta
    retention: timedelta

    def complete_until(self, hour: datetime) -> datetime:
        """When the first of the visits goes that orders of `hour` may have come from."""
        return self._deleted_at(floor_hour(hour - self.lookback))

    def deleted_at(self, hour: datetime) -> datetime:
        """When the last of them goes: the visits of `hour` itself."""
        return self._deleted_at(hour)

    def left(self, hour: datetime, now: datetime) -> Left:
        """How many of the visits that orders of `hour` may have come from are still stored."""
        if now < self.complete_until(hour):
            return "all"
        return "some" if now < self.deleted_at(hour) else "none"

    def next_loss(self, hour: datetime, now: datetime) -> datetime | None:
        """The next moment at which some of them go: first the oldest, then those of the hour
        itself; None once all are gone."""
        moments = (self.complete_until(hour), self.deleted_at(hour))
        return next((moment for moment in moments if moment > now), None)

    def _deleted_at(self, hour: datetime) -> datetime:
        """The first night after which an hour of visits is stored no more."""
        due = hour.astimezone(UTC) + HOUR + self.retention
        night = datetime.combine(due.date(), PURGE_TIME)
        return night if night >= due else night + timedelta(days=1)
