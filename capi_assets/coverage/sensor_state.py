"""What the coverage sensor remembers from one tick to the next: one record in its cursor."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from functools import cache
from typing import Any, Literal, NamedTuple

from pydantic import TypeAdapter
from pydantic_core import from_json

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
        alerts: the incidents that were reported, and are open or ended lately.
        recovery: launches and preflights of automatic recovery.
        flagged: the flagged hours.
        reevaluated: hours that were evaluated again, each with the time at which the results
            changed for which that was done.
        listed_after: storage id of the materialization that the list of open gaps was last
            written for.
        unsent: alerts that a channel did not accept, per channel.
        turn: the word of the last turn of the watch over the lake (defs/automation/watch.py).
    """

    version: Literal[3] = 3
    alerts: AlertState = field(default_factory=AlertState)
    recovery: RecoveryState = field(default_factory=RecoveryState)
    flagged: Mapping[datetime, HourMark] = field(default_factory=dict)
    reevaluated: Mapping[datetime, datetime] = field(default_factory=dict)
    listed_after: int | None = None
    unsent: Mapping[str, UnsentMessages] = field(default_factory=dict)
    turn: str | None = None

    def to_json(self) -> str:
        """The text for a cursor: about 900 bytes per incident and 150 per hour under recovery."""
        return _adapter().dump_json(self).decode()

    @classmethod
    def from_json(cls, text: str | None) -> SensorState:
        """The record of `to_json`, also of version 2, whose open gaps become incidents. The empty
        record if `text` is None, cannot be read, or is of another version: incidents are then
        reported once more, since an exception would end all alerts.
        """
        try:
            record = from_json(text or "{}")
            if record.get("version") == _GAPS:
                record = _with_incidents(record)
            return _adapter().validate_python(record)
        except (ValueError, AttributeError, KeyError, TypeError):
            return cls()


_GAPS = 2
"""The version that remembered open gaps, each with one cause, in `alerts.open_gaps`."""


def _with_incidents(record: Mapping[str, Any]) -> dict[str, Any]:
    """A record of version 2 in today's form; a gap's next evaluation joins it with its like."""
    incidents = [{**gap, "causes": [gap]} for gap in record["alerts"]["open_gaps"]]
    return {**record, "version": 3, "alerts": {"incidents": incidents}}


@cache
def _adapter() -> TypeAdapter[SensorState]:
    return TypeAdapter(SensorState)
