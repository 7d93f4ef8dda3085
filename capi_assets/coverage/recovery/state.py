"""What automatic recovery remembers between two looks, as text for a sensor's cursor.

What it means is decided in recovery.py.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import orjson

from capi_assets.delivery.causes import Cause


@dataclass(frozen=True, slots=True)
class LaunchRecord:
    """What was launched for an hour: how often without effect, when last, and what it met then."""

    launches_without_progress: int
    at: datetime
    cause: Cause
    orders: int | None
    stopped: bool = False


@dataclass(frozen=True, slots=True)
class PreflightRecord:
    """A dataset whose canary does not pass: how often in a row, and when to ask again."""

    failed: int
    again_at: datetime


@dataclass(frozen=True, slots=True)
class RecoveryState:
    """What must be remembered between two looks."""

    hours: Mapping[datetime, LaunchRecord] = field(default_factory=dict)
    probes: Mapping[str, PreflightRecord] = field(default_factory=dict)

    def to_json(self) -> str:
        """Compact text for a sensor's cursor, some 50 bytes an hour under recovery."""
        return orjson.dumps({"v": 1, "hours": _packed(self), "probes": _probes(self)}).decode()

    @classmethod
    def from_json(cls, text: str | None) -> RecoveryState:
        """The state of `to_json`; the empty state of nothing, or of what cannot be read: at worst
        hours are launched once more, which sends nothing twice."""
        try:
            return _unpacked(orjson.loads(text or "{}"))
        except (ValueError, KeyError, TypeError, AttributeError):
            return cls()


def _packed(state: RecoveryState) -> list[list[Any]]:
    return [
        [
            _seconds(hour),
            t.launches_without_progress,
            _seconds(t.at),
            str(t.cause),
            t.orders,
            t.stopped,
        ]
        for hour, t in sorted(state.hours.items())
    ]


def _probes(state: RecoveryState) -> dict[str, list[int]]:
    return {name: [p.failed, _seconds(p.again_at)] for name, p in sorted(state.probes.items())}


def _unpacked(saved: Mapping[str, Any]) -> RecoveryState:
    return RecoveryState(
        {
            _moment(hour): LaunchRecord(
                launches_without_progress, _moment(at), Cause(cause), orders, stopped
            )
            for hour, launches_without_progress, at, cause, orders, stopped in saved["hours"]
        },
        {
            name: PreflightRecord(failed, _moment(again))
            for name, (failed, again) in saved["probes"].items()
        },
    )


def _seconds(moment: datetime) -> int:
    return int(moment.timestamp())


def _moment(seconds: int) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)
