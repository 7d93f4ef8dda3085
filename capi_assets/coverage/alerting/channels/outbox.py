"""Sends to all channels at the same time, independently, within the time that a sensor has.

Alerts that a channel did not accept are kept and sent again at a later tick.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from capi_assets.coverage.alerting.channels.message import Channel, Failure, Message

SEND_TIMEOUT = 30.0
"""Seconds. Dagster ends a sensor after 60, and the coverage sensor has other duties."""
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
    failures = _send_each(letters, timeout)
    failed = {failure.channel: failure for failure in failures}
    for channel, _ in letters:
        queue = waiting[channel.name].messages
        failure = failed.get(channel.name)
        left = 0 if failure is None else len(queue) if failure.left is None else failure.left
        queue = queue[len(queue) - left :][-MAX_WAITING_MESSAGES:]
        waiting[channel.name] = UnsentMessages(now, queue)
    return failures, {name: left for name, left in waiting.items() if left.messages}


def send_all(
    channels: Sequence[Channel], messages: Sequence[Message], longest: float = SEND_TIMEOUT
) -> list[Failure]:
    """The same messages to every channel; returns what failed."""
    return _send_each([(channel, messages) for channel in channels], longest)


def _send_each(
    letters: Sequence[tuple[Channel, Sequence[Message]]], longest: float = SEND_TIMEOUT
) -> list[Failure]:
    """Returns what failed, in the order of the channels; never raises.

    A channel that takes longer than `longest` seconds is left running and reported as failed.
    """
    letters = [(channel, messages) for channel, messages in letters if messages]
    failures: dict[int, Failure | None] = {}

    def send(number: int, channel: Channel, messages: Sequence[Message]) -> None:
        try:
            failures[number] = channel.send(messages)
        except Exception as error:  # its text may hold an address
            failures[number] = Failure(channel.name, type(error).__name__)

    threads = [
        threading.Thread(target=send, args=(number, *letter), daemon=True)
        for number, letter in enumerate(letters)
    ]
    end = time.monotonic() + longest
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(max(0.0, end - time.monotonic()))
    slow = f"not through after {longest:.0f} s"
    found = [
        failures[number] if number in failures else Failure(channel.name, slow)
        for number, (channel, _) in enumerate(letters)
    ]
    return [failure for failure in found if failure]
