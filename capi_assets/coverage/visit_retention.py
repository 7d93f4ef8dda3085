"""How long the stored visits can supply match keys to an hour's orders.

An order is matched with visits within the lookback. Visits older than CAPI_RETENTION_DAYS are
deleted every night (delivery/retention.py). `meta.limits` has Meta's own deadlines.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta
from typing import Literal

from capi_assets.hours import HOUR, floor_hour

PURGE_TIME = time(3, 30, tzinfo=UTC)
"""When old visits are deleted, every night."""

Remaining = Literal["all", "some", "none"]


@dataclass(frozen=True, slots=True)
class VisitRetention:
    """How far back an order looks for its visit, and how long visits are kept."""

    lookback: timedelta
    retention: timedelta

    def complete_until(self, hour: datetime) -> datetime:
        """When the first visits that orders of `hour` may have come from are deleted."""
        return self._deleted_at(floor_hour(hour - self.lookback))

    def deleted_at(self, hour: datetime) -> datetime:
        """When the last of them are deleted: the visits of `hour` itself."""
        return self._deleted_at(hour)

    def remaining(self, hour: datetime, now: datetime) -> Remaining:
        """How many of the visits that orders of `hour` may have come from are still stored."""
        if now < self.complete_until(hour):
            return "all"
        return "some" if now < self.deleted_at(hour) else "none"

    def next_loss(self, hour: datetime, now: datetime) -> datetime | None:
        """When some of them are deleted next: first the oldest, then those of the hour itself;
        None if all are deleted."""
        moments = (self.complete_until(hour), self.deleted_at(hour))
        return next((moment for moment in moments if moment > now), None)

    def _deleted_at(self, hour: datetime) -> datetime:
        """The first night that deletes an hour of visits."""
        due = hour.astimezone(UTC) + HOUR + self.retention
        night = datetime.combine(due.date(), PURGE_TIME)
        return night if night >= due else night + timedelta(days=1)
