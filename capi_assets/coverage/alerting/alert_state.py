"""What alerts remember between two ticks of the sensor: the gaps that were reported and are open.

alerts.py decides what is reported; coverage/sensor_state.py stores it.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from datetime import datetime

from capi_assets.delivery.causes import Cause


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenGap:
    """A gap that was reported and is not over. Once it is over, this is all that is known of it.

    Attributes:
        headline: what happened, as a clause in lower case without a full stop.
        severity: the worst that was reported.
        first_hour, last_hour: all hours that it ever covered.
        reported_orders, reported_hours: the size in the last alert: orders, and hours whose orders
            are not counted.
        orders, money: the most that was ever missing.
        deadline: until when the last of its orders can be delivered.
        expiry_reported, visits_reported: whether the near deadline, or the near deletion of
            visits, was reported.
        fewer_visits: the most hours that could not be matched with all their visits.
        gone_since: since when its cause no longer flags its hours, while others do.
        recovery_launched: whether automatic recovery launched runs for it.
    """

    id: str
    cause: Cause
    headline: str
    severity: str
    first_hour: datetime
    last_hour: datetime
    reported_orders: int
    reported_hours: int
    orders: int
    money: Mapping[str, float]
    deadline: datetime | None
    expiry_reported: bool
    visits_reported: bool
    fewer_visits: int
    gone_since: datetime | None = None
    recovery_launched: bool = False


@dataclass(frozen=True, slots=True)
class AlertState:
    """All gaps that were reported and are not over; the oldest first."""

    open_gaps: tuple[OpenGap, ...] = ()

    def launched(self, gap_ids: Collection[str]) -> AlertState:
        """The state after automatic recovery launched runs for these gaps."""
        return AlertState(
            tuple(
                replace(gap, recovery_launched=True) if gap.id in gap_ids else gap
                for gap in self.open_gaps
            )
        )
