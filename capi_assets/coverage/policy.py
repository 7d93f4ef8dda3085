"""When an hour is flagged, and how badly."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from capi_assets.coverage.formatting import format_utc
from capi_assets.coverage.landing_delays import AT_ONCE, LandingDelays
from capi_assets.coverage.visit_retention import VisitRetention
from capi_assets.delivery.causes import Cause, EndedBy
from capi_assets.hours import HOUR

WARN, ERROR = "warn", "error"


@dataclass(frozen=True, slots=True)
class CoveragePolicy:
    """When an hour is flagged.

    Attributes:
        threshold: an hour is flagged if its share of delivered orders is lower.
        settle: an hour is evaluated this long after its end; earlier only for causes that waiting
            cannot fix (`Cause.certain`).
        grace: additional time for hours that were never materialized or have unusually few orders
            or visits, because runs take time.
        delays: how late visits and orders usually land. Anomalies, which compare the two, wait for
            both, and causes that late visits may explain for the visits.
        min_missing: missing orders that flag an hour when the cause is on our side or Meta's.
        min_missing_data: the same when single rows are at fault (refused, quarantined, weak match
            keys), of which a few are normal. A smaller hour is evaluated together with the 23
            hours before it. Fewer flag it where most orders are lost, over up to a week.
        error_within: ERROR instead of WARN when the first event expires, or visits needed for
            matching are deleted, within this time.
        visits: how long visits are stored; None if they are never deleted.
    """

    threshold: float = 0.95
    settle: timedelta = timedelta(minutes=5)
    grace: timedelta = timedelta(minutes=20)
    min_missing: int = 1
    min_missing_data: int = 3
    error_within: timedelta = timedelta(hours=24)
    visits: VisitRetention | None = None
    delays: LandingDelays = AT_ONCE

    def wait(self, cause: Cause | None = None) -> timedelta:
        """How long after its end an hour is evaluated for a cause; without one, for anomalies."""
        if cause is None or cause.ended_by is EndedBy.DATA:
            return self.settle + self.grace + self.delays.longest
        return self.settle

    @property
    def waits(self) -> tuple[timedelta, ...]:
        """All times after the end of an hour at which something about it begins to be judged."""
        return (
            self.settle,
            self.settle + self.grace,
            self.settle + self.delays.visits,
            self.wait(),
        )

    def visits_deleted(self, hour: datetime) -> tuple[datetime, ...]:
        """When visits are deleted that orders of `hour` may have come from."""
        visits = self.visits
        return (visits.complete_until(hour), visits.deleted_at(hour)) if visits else ()

    def delays_text(self, hour: datetime, now: datetime) -> str:
        """From when on an hour is judged whose files usually land later; empty once it is."""
        due = hour + HOUR + self.wait()
        if now >= due or not self.delays.text:
            return ""
        return f"{self.delays.text}: missing ones are judged from {format_utc(due)} on."

    def visits_are_due(self, hour: datetime, now: datetime) -> bool:
        """Whether the visits of an hour have usually landed by now."""
        return now >= hour + HOUR + self.settle + self.delays.visits

    def expires_soon(
        self, hour: datetime, deadline: datetime | None, visits: datetime | None, now: datetime
    ) -> bool:
        """Whether Meta's deadline or the deletion of visits is near.

        Visits that are always deleted within `error_within` do not count: they would make every
        hour an error.
        """
        if deadline is not None and deadline - now <= self.error_within:
            return True
        if visits is None or visits - now > self.error_within:
            return False
        return visits - (hour + HOUR) > self.error_within
