"""Retries within bounds, for every channel over the network."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Attempt:
    """How one attempt ended: without a reason it was accepted. `pause` is what was asked for."""

    reason: str = ""
    again: bool = False
    pause: float | None = None


@dataclass(kw_only=True)
class Retries:
    """`attempts` in all, with doubling pauses of at most `longest_pause` seconds between them."""

    attempts: int = 3
    longest_pause: float = 5.0
    sleep: Callable[[float], None] = field(default=time.sleep, repr=False)

    def run_with_retry(self, attempt: Callable[[], Attempt]) -> str:
        """Empty once an attempt was accepted; else the last reason and how often it was tried."""
        for tried in range(1, self.attempts + 1):
            ended = attempt()
            if not ended.reason:
                return ""
            if not ended.again or tried == self.attempts:
                return f"{ended.reason}, tried {'once' if tried == 1 else f'{tried} times'}"
            own = 0.5 * 2 ** (tried - 1)
            self.sleep(min(self.longest_pause, own if ended.pause is None else ended.pause))
        return "no attempt allowed"
