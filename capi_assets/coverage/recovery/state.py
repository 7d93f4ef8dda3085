"""What automatic recovery remembers between two ticks of the sensor.

decisions.py uses it; coverage/sensor_state.py stores it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from capi_assets.delivery.causes import Cause


@dataclass(frozen=True, slots=True)
class LaunchRecord:
    """The last launch of an hour: its time, the cause and missing orders then, and how many
    launches in a row changed nothing."""

    launches_without_progress: int
    at: datetime
    cause: Cause
    orders: int | None
    stopped: bool = False


@dataclass(frozen=True, slots=True)
class PreflightRecord:
    """A dataset whose preflight fails: how often in a row, and when to try again."""

    failed: int
    again_at: datetime


@dataclass(frozen=True, slots=True)
class RecoveryState:
    """What must be remembered between two ticks.

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
