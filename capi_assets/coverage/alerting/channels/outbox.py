"""Alerts that a channel could not take are kept and sent again at a later look: each is told once,
so that what is lost would be lost for good."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from capi_assets.coverage.alerting.channels.message import Channel, Failure, Message
from capi_assets.coverage.alerting.channels.send import SEND_TIMEOUT, send_each

RETRY_INTERVAL = timedelta(minutes=5)
MAX_AGE = timedelta(hours=12)
MAX_WAITING_MESSAGES = 20
"""Messages kept per channel, the newest; a cursor is no archive."""


def deliver(
    channels: Sequence[Channel],
    messages: Sequence[Message],
    unsent: Mapping[str, Any],
    now: datetime,
    longest: float = SEND_TIMEOUT,
) -> tuple[list[Failure], dict[str, Any]]:
    """Sends what is new, and what was left before, to every channel.

    `unsent` is what the former call returned beside the failures, by the channel's name, as JSON
    can hold it. A channel that failed is left in peace for `RETRY_INTERVAL` unless there is news.
    """
    letters: list[tuple[Channel, Sequence[Message]]] = []
    waiting: dict[str, list[tuple[Message, datetime]]] = {}
    tried: dict[str, datetime] = {}
    for channel in channels:
        kept, tried[channel.name] = _unpacked(unsent.get(channel.name), now)
        waiting[channel.name] = [*kept, *((message, now) for message in messages)]
        if messages or now - tried[channel.name] >= RETRY_INTERVAL:
            letters.append((channel, [message for message, _ in waiting[channel.name]]))
    failures = send_each(letters, longest)
    failed = {failure.channel: failure for failure in failures}
    for channel, _ in letters:
        tried[channel.name] = now
        failure = failed.get(channel.name)
        of_it = waiting[channel.name]
        left = 0 if failure is None else len(of_it) if failure.left is None else failure.left
        waiting[channel.name] = of_it[len(of_it) - left :]
    return failures, {
        name: {
            "tried": int(tried[name].timestamp()),
            "messages": _packed(left[-MAX_WAITING_MESSAGES:]),
        }
        for name, left in waiting.items()
        if left
    }


def _packed(messages: Iterable[tuple[Message, datetime]]) -> list[list[Any]]:
    return [
        [int(at.timestamp()), m.text, m.severity, m.good, m.subject, dict(m.document)]
        for m, at in messages
    ]


def _unpacked(saved: Any, now: datetime) -> tuple[list[tuple[Message, datetime]], datetime]:
    try:
        found = [
            (Message(*fields), datetime.fromtimestamp(at, UTC)) for at, *fields in saved["messages"]
        ]
        tried = datetime.fromtimestamp(saved["tried"], UTC)
    except (TypeError, KeyError, ValueError):
        return [], now
    return [(message, at) for message, at in found if now - at < MAX_AGE], tried
