"""What the coverage sensor remembers from one tick to the next: one record in its cursor."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from functools import cache
from typing import Literal, NamedTuple

from pydantic import TypeAdapter, ValidationError

from capi_assets.coverage.alerting.alert_state import AlertState
from capi_assets.coverage.alerting.channels.outbox import UnsentMessages
from capi_assets.coverage.recovery.state import RecoveryState


class HourMark(NamedTuple):
    """How an hour was flagged; a different mark is noted again on the hour's page."""

    cause: str
    severity: str
    missing: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class SensorState:
    """The memory of the coverage sensor.

    Attributes:
        version: of this record; increases when a field is removed or changes its meaning.
        alerts: the gaps that were reported and are open.
        recovery: launches and preflights of automatic recovery.
        flagged: the flagged hours.
        reevaluated: hours that were evaluated again, each with the time at which the results
            changed for which that was done.
        listed_after: storage id of the materialization that the list of open gaps was last
            written for.
        unsent: alerts that a channel did not accept, per channel.
    """

    version: Literal[2] = 2
    alerts: AlertState = field(default_factory=AlertState)
    recovery: RecoveryState = field(default_factory=RecoveryState)
    flagged: Mapping[datetime, HourMark] = field(default_factory=dict)
    reevaluated: Mapping[datetime, datetime] = field(default_factory=dict)
    listed_after: int | None = None
    unsent: Mapping[str, UnsentMessages] = field(default_factory=dict)

    def to_json(self) -> str:
        """The text for a cursor: about 500 bytes per open gap and 150 per hour under recovery."""
        return _adapter().dump_json(self).decode()

    @classmethod
    def from_json(cls, text: str | None) -> SensorState:
        """The record of `to_json`; the empty record if `text` is None, cannot be read, or is of
        another version. Open gaps are then reported once more: an exception would end all alerts.
        """
        try:
            return _adapter().validate_json(text or "{}")
        except ValidationError:
            return cls()


@cache
def _adapter() -> TypeAdapter[SensorState]:
    return TypeAdapter(SensorState)
