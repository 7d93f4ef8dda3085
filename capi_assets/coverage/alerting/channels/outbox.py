"""Alerts that a channel did not accept are kept and sent again at a later tick, since each alert is
sent only once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from capi_assets.coverage.alerting.channels.message import Channel, Failure, Message
from capi_assets.coverage.alerting.channels.send import SEND_TIMEOUT, send_each

RETRY_INTERVAL = timedelta(minutes=5)
"""A channel that is down must not take 30 seconds of every tick."""
MAX_AGE = timedelta(hours=12)
"""Older alerts are no news; the check open_gaps still lists their gaps."""
MAX_WAITING_MESSAGES = 20
"""Messages kept per channel, the newest; a cursor is no archive."""


@dataclass(frozen=True, slots=True)
class UnsentMessages:
    """The messages that wait for a channel, each with the time of its alert; `tried` is when they
    were last sent."""

    tried: datetime
    messages: tuple[tuple[datetime, Message], ...]


def deliver(
    channels: Sequence[Channel],
    messages: Sequence[Message],
    unsent: Mapping[str, UnsentMessages],
    now: datetime,
    timeout: float = SEND_TIMEOUT,
) -> tuple[list[Failure], dict[str, UnsentMessages]]:
    """Sends new messages, and those that wait, to every channel. The coverage sensor calls it.

    Returns what failed, and what waits now by the name of the channel: pass it as `unsent` next
    time. A channel that failed is not tried for `RETRY_INTERVAL` unless there are new messages.
    """
    letters: list[tuple[Channel, Sequence[Message]]] = []
    waiting: dict[str, UnsentMessages] = {}
    for channel in channels:
        before = unsent.get(channel.name, UnsentMessages(now, ()))
        kept = [(at, message) for at, message in before.messages if now - at < MAX_AGE]
        queue = (*kept, *((now, message) for message in messages))
        is_due = bool(messages) or now - before.tried >= RETRY_INTERVAL
        if is_due:
            letters.append((channel, [message for _, message in queue]))
        waiting[channel.name] = UnsentMessages(now if is_due else before.tried, queue)
    failures = send_each(letters, timeout)
    failed = {failure.channel: failure for failure in failures}
    for channel, _ in letters:
        queue = waiting[channel.name].messages
        failure = failed.get(channel.name)
        left = 0 if failure is None else len(queue) if failure.left is None else failure.left
        queue = queue[len(queue) - left :][-MAX_WAITING_MESSAGES:]
        waiting[channel.name] = UnsentMessages(now, queue)
    return failures, {name: left for name, left in waiting.items() if left.messages}
