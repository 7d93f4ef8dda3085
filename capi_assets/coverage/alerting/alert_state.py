"""What alerts remember between two looks: the gaps that were told and are not over.

When something is told is decided in alerts.py.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import orjson

from capi_assets.delivery.causes import Cause


@dataclass(frozen=True, slots=True)
class OpenGap:
    """A gap that was told and is not over: what must be remembered of it between two looks."""

    id: str
    cause: Cause
    severity: str  # the worst told
    first_hour: datetime
    last_hour: datetime  # the hours it ever covered
    told_orders: int
    told_hours: int
    orders: int  # the most ever missing
    money: dict[str, float]
    deadline: datetime | None  # when nothing of it can be saved any more, as last seen
    expiring_told: bool = False
    visits_told: bool = False
    fewer_visits: int = 0
    gone_since: datetime | None = None


@dataclass(frozen=True, slots=True)
class AlertState:
    """All gaps that were told and are not over; the oldest first."""

    standing: tuple[OpenGap, ...] = ()

    def to_json(self) -> str:
        """Compact text for a sensor's cursor, some 250 bytes a gap."""
        return orjson.dumps({"v": 1, "standing": [_pack(s) for s in self.standing]}).decode()

    @classmethod
    def from_json(cls, text: str | None) -> AlertState:
        """The state of `to_json`. Nothing, or what cannot be read, is the empty state: alerts
        are then told once more, where an exception would silence them for ever."""
        try:
            return cls(tuple(_unpack(item) for item in orjson.loads(text or "{}")["standing"]))
        except (ValueError, KeyError, TypeError, AttributeError):
            return cls()


_TIMES = ("first_hour", "last_hour", "deadline", "gone_since")


def _pack(standing: OpenGap) -> dict[str, Any]:
    fields = {name: getattr(standing, name) for name in OpenGap.__slots__}
    for name in _TIMES:
        fields[name] = fields[name] and int(fields[name].timestamp())
    return {name: value for name, value in fields.items() if value is not None}


def _unpack(fields: dict[str, Any]) -> OpenGap:
    times = {name: datetime.fromtimestamp(fields[name], UTC) for name in _TIMES if fields.get(name)}
    return OpenGap(**{**fields, "deadline": None, **times, "cause": Cause(fields["cause"])})
