"""Sends to all channels at the same time, independently, within the time that a sensor has."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence

from capi_assets.coverage.alerting.channels.message import Channel, Failure, Message

SEND_TIMEOUT = 30.0
"""Seconds. Dagster ends a sensor after 60, and the coverage sensor has other duties."""


def send_all(
    channels: Sequence[Channel], messages: Sequence[Message], longest: float = SEND_TIMEOUT
) -> list[Failure]:
    """The same messages to every channel; see `send_each`."""
    return send_each([(channel, messages) for channel in channels], longest)


def send_each(
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
