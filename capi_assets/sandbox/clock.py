"""The sandbox's clock: the real one, or one that a test or a demo sets."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime


def utc_now() -> datetime:
    return datetime.now(UTC)


class SandboxClock:
    """Follows `source` until it is set to a time, where it stops (or runs on, if ticking)."""

    def __init__(self, source: Callable[[], datetime] = utc_now) -> None:
        self._source = source
        self._simulation: Callable[[], datetime] | None = None

    def now(self) -> datetime:
        return (self._simulation or self._source)().astimezone(UTC)

    def set(self, at: datetime | None, *, ticking: bool = False) -> None:
        """Stops at `at` (aware), or with `ticking` runs on from it; None follows the source."""
        if at is None:
            self._simulation = None
        elif ticking:
            offset = at - self._source()
            self._simulation = lambda: self._source() + offset
        else:
            self._simulation = lambda: at

    @property
    def simulated(self) -> bool:
        """Whether the clock was set and no longer shows its source's time."""
        return self._simulation is not None


def parse_utc(text: str) -> datetime:
    """An ISO 8601 text with a zone as an aware UTC datetime.

    Raises:
        ValueError: the text is no time, or has no zone.
    """
    at = datetime.fromisoformat(text)
    if at.tzinfo is None:
        raise ValueError(f"{text} has no time zone; write for example {text}Z")
    return at.astimezone(UTC)
