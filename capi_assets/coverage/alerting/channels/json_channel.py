"""Alerts for programs: one JSON document each, see alert_message.py."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial

from capi_assets.coverage.alerting.channels.http import post_json
from capi_assets.coverage.alerting.channels.message import Failure, Message
from capi_assets.coverage.alerting.channels.retry import RetryPolicy


@dataclass(slots=True)
class JsonChannel:
    """One POST per alert, in their order, until one fails after all attempts.

    A receiver that does not answer one will not answer the next, and a sensor has a minute.
    """

    url: str = field(repr=False)
    name: str = "json"
    attempts: int = 3
    timeout: tuple[float, float] = (3.05, 5.0)
    longest_pause: float = 5.0
    sleep: Callable[[float], None] = field(default=time.sleep, repr=False)

    def send(self, messages: Sequence[Message]) -> Failure | None:
        patience = RetryPolicy(self.attempts, self.longest_pause, self.sleep)
        for number, message in enumerate(messages):
            body = message.as_document()
            reason = patience.run_with_retry(partial(post_json, self.url, body, self.timeout))
            if reason:
                left = len(messages) - number
                part = f"{left} of {len(messages)} alerts not delivered: " if number else ""
                return Failure(self.name, f"{part}{reason}", left)
        return None
