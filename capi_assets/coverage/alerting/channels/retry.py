"""Trying again within bounds: what every channel over the network does alike."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Attempt:
    """How one attempt ended: without a reason it was accepted. `pause` is what was asked for."""

    reason: str = ""
    again: bool = False
    pause: float | None = None


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """`attempts` in all, with doubling pauses of at most `longest_pause` seconds between them."""

    attempts: int
    longest_pause: float
    sleep: Callable[[float], None]

    def run_with_retry(self, attempt: Callable[[], Attempt]) -> str:
        """Empty once an attempt was accepted; else the last reason and how often it was tried."""
        tried = 0
        while tried < self.attempts:
            ended = attempt()
            tried += 1
            if not ended.reason:
                return ""
            if not ended.again or tried == self.attempts:
                return f"{ended.reason}, {_times(tried)}"
            own = 0.5 * 2 ** (tried - 1)
            self.sleep(min(self.longest_pause, own if ended.pause is None else ended.pause))
        return "no attempt allowed"


def _times(attempts: int) -> str:
    return "tried once" if attempts == 1 else f"tried {attempts} times"
