"""Alerts to a Slack-compatible webhook."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from capi_assets.coverage.alerting.channels.http import post_json
from capi_assets.coverage.alerting.channels.message import Failure, Message, spelled_out
from capi_assets.coverage.alerting.channels.retry import RetryPolicy


@dataclass(slots=True)
class WebhookChannel:
    """One POST of `{"text": …}` per tick; temporary faults are retried, see `RetryPolicy`."""

    url: str = field(repr=False)
    name: str = "webhook"
    attempts: int = 3
    timeout: tuple[float, float] = (3.05, 5.0)
    longest_pause: float = 5.0
    sleep: Callable[[float], None] = field(default=time.sleep, repr=False)

    def send(self, messages: Sequence[Message]) -> Failure | None:
        if not messages:
            return None
        body = {"text": webhook_text(messages)}
        patience = RetryPolicy(self.attempts, self.longest_pause, self.sleep)
        reason = patience.run_with_retry(lambda: post_json(self.url, body, self.timeout))
        return Failure(self.name, reason) if reason else None


def webhook_text(messages: Sequence[Message]) -> str:
    """The messages as one Slack text: paragraphs, its three control characters escaped."""
    text = "\n\n".join(spelled_out(messages))
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
