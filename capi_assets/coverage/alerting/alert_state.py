"""What alerts remember between two ticks of the sensor: the incidents that were reported.

alerts.py decides what is reported; coverage/sensor_state.py stores it.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from datetime import datetime

from capi_assets.coverage.incidents import CauseInTurn
from capi_assets.delivery.causes import Cause


@dataclass(frozen=True, slots=True, kw_only=True)
class ReportedIncident:
    """An incident that was reported. Once its gaps are gone, this is all that is known of it.

    Attributes:
        causes: every cause that it ever had, in turn, with all hours that it ever flagged.
        cause, headline: the main cause that was reported last: what happened, as a clause in lower
            case without a full stop.
        severity: the worst that was reported.
        reported_orders, reported_hours: the size in the last alert: orders, and hours whose orders
            are not counted.
        orders, money: the most that was ever missing.
        deadline: until when the last of its orders can be delivered.
        expiry_reported, visits_reported: whether the near deadline, or the near deletion of
            visits, was reported.
        fewer_visits: the most hours that could not be matched with all their visits.
        other_cause, other_since: a main cause that is not reported yet, and since when it is.
        recovery_launched, recovery_stopped: whether automatic recovery launched runs for it, or
            stopped, and that was reported.
        hours_at_once: the most hours that were flagged at one time.
        reopened: how often it was flagged again after its end.
        ended_at: when its end was reported; it is remembered for some time, so that the same hours
            are not reported anew.
    """

    id: str
    causes: tuple[CauseInTurn, ...]
    cause: Cause
    headline: str
    severity: str
    reported_orders: int
    reported_hours: int
    orders: int
    money: Mapping[str, float]
    deadline: datetime | None
    expiry_reported: bool
    visits_reported: bool
    fewer_visits: int
    other_cause: Cause | None = None
    other_since: datetime | None = None
    recovery_launched: bool = False
    recovery_stopped: bool = False
    hours_at_once: int = 0
    reopened: int = 0
    ended_at: datetime | None = None

    @property
    def first_hour(self) -> datetime:
        """The first of its flagged hours."""
        return min(turn.first_hour for turn in self.causes)

    @property
    def last_hour(self) -> datetime:
        """The last of its flagged hours."""
        return max(turn.last_hour for turn in self.causes)


@dataclass(frozen=True, slots=True)
class AlertState:
    """The incidents that were reported and are open or ended lately; the oldest first."""

    incidents: tuple[ReportedIncident, ...] = ()

    @property
    def open(self) -> tuple[ReportedIncident, ...]:
        """Those whose end was not reported."""
        return tuple(known for known in self.incidents if known.ended_at is None)

    def recovering(self, launched: Collection[str], stopped: Collection[str] = ()) -> AlertState:
        """The state after automatic recovery launched runs for incidents, or stopped (by id)."""
        return AlertState(
            tuple(
                replace(
                    known,
                    recovery_launched=known.recovery_launched or known.id in launched,
                    recovery_stopped=known.recovery_stopped or known.id in stopped,
                )
                for known in self.incidents
            )
        )
