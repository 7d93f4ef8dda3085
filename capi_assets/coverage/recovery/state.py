"""What automatic recovery remembers between two looks, as text for a sensor's cursor.

What it means is decided in decisions.py.
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
    """A dataset whose preflight does not pass: how often in a row, and when to ask again."""

    failed: int
    again_at: datetime


@dataclass(frozen=True, slots=True)
class RecoveryState:
    """What must be remembered between two looks.

    Attributes:
        blocked: datasets that Meta has blocked: since when that is known (UTC), None once a person
            has changed something.
    """

    hours: Mapping[datetime, LaunchRecord] = field(default_factory=dict)
    probes: Mapping[str, PreflightRecord] = field(default_factory=dict)
    blocked: Mapping[str, datetime | None] = field(default_factory=dict)

    @property
    def left_alone(self) -> frozenset[str]:
        """Datasets that are neither asked nor sent to unless a person does it."""
        return frozenset(name for name, since in self.blocked.items() if since is not None)

    def to_json(self) -> str:
        """Compact text for a sensor's cursor, some 50 bytes an hour under recovery."""
        blocked = {name: since and _seconds(since) for name, since in sorted(self.blocked.items())}
        saved = {"v": 1, "hours": _packed(self), "probes": _probes(self), "blocked": blocked}
        return orjson.dumps(saved).decode()

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
        {
            name: None if since is None else _moment(since)
            for name, since in saved.get("blocked", {}).items()
        },
    )


def _seconds(moment: datetime) -> int:
    return int(moment.timestamp())


def _moment(seconds: int) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)
