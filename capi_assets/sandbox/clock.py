"""The sandbox's clock: the real one, or one that a test or a demo sets."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from threading import Lock


def utc_now() -> datetime:
    """The current time, aware, in UTC."""
    return datetime.now(UTC)


class SandboxClock:
    """Follows `source` until it is set to a time, where it stops (or runs on, if ticking)."""

    def __init__(self, source: Callable[[], datetime] = utc_now) -> None:
        self._source = source
        self._lock = Lock()
        self._at: datetime | None = None
        self._offset: timedelta | None = None

    def now(self) -> datetime:
        """The sandbox's time, aware, in UTC."""
        with self._lock:
            if self._at is not None:
                return self._at
            offset = self._offset
        moment = self._source().astimezone(UTC)
        return moment if offset is None else moment + offset

    def set(self, at: datetime | None, *, ticking: bool = False) -> None:
        """Stops at `at` (aware), or with `ticking` runs on from it; None follows the source."""
        with self._lock:
            self._at = self._offset = None
            if at is None:
                return
            if ticking:
                self._offset = at.astimezone(UTC) - self._source().astimezone(UTC)
            else:
                self._at = at.astimezone(UTC)

    @property
    def simulated(self) -> bool:
        """Whether the clock was set and no longer shows its source's time."""
        with self._lock:
            return self._at is not None or self._offset is not None


def parse_utc(text: str) -> datetime:
    """An ISO 8601 text with a zone as an aware UTC datetime.

    Raises:
        ValueError: the text is no time, or has no zone.
    """
    at = datetime.fromisoformat(text)
    if at.tzinfo is None:
        raise ValueError(f"{text} has no time zone; write for example {text}Z")
    return at.astimezone(UTC)
