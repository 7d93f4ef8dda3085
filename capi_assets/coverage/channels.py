"""Where alerts go: the log, and a Slack-compatible webhook.

A channel never raises and never shows its address, which is a secret: it returns a `Failure` for
the caller to log. What an alert says comes from words.py.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Protocol

import requests


@dataclass(frozen=True, slots=True)
class Message:
    """One alert in words; `severity` is `warn` or `error`, `good` news is logged as information."""

    text: str
    severity: str = "warn"
    good: bool = False


@dataclass(frozen=True, slots=True)
class Failure:
    """Why a channel did not deliver, without its address."""

    channel: str
    reason: str


class Channel(Protocol):
    """A place for alerts."""

    def send(self, messages: Sequence[Message]) -> Failure | None:
        """Delivers all messages of one look together; returns what went wrong, never raises."""


class LogChannel:
    """Alerts as log lines: errors as ERROR, warnings as WARNING, good news as INFO."""

    def __init__(self, logger: logging.Logger) -> None:
        self._logger = logger

    def send(self, messages: Sequence[Message]) -> Failure | None:
        for message in messages:
            level = logging.ERROR if message.severity == "error" else logging.WARNING
            self._logger.log(logging.INFO if message.good else level, "%s", message.text)
        return None


AT_MOST = 10
"""Alerts spelled out in one post; a flood is counted instead."""


@dataclass(slots=True)
class WebhookChannel:
    """One post of `{"text": …}` per look to a Slack-compatible address.

    Connection failures, 408, 425, 429 and 5xx are tried again, `attempts` times in all, after
    `Retry-After` or a doubling pause of at most `longest_pause` seconds; a sensor has a minute.
    Redirects are not followed.
    """

    url: str = field(repr=False)
    attempts: int = 3
    timeout: tuple[float, float] = (3.05, 5.0)
    longest_pause: float = 5.0
    sleep: Callable[[float], None] = field(default=time.sleep, repr=False)

    def send(self, messages: Sequence[Message]) -> Failure | None:
        if not messages:
            return None
        reason = ""
        for attempt in range(1, self.attempts + 1):
            reason, again, pause = self._post(webhook_text(messages))
            if not reason:
                return None
            if not again or attempt == self.attempts:
                return Failure("webhook", f"{reason}, {_times(attempt)}")
            self.sleep(
                min(self.longest_pause, 0.5 * 2 ** (attempt - 1) if pause is None else pause)
            )
        return Failure("webhook", "no attempt allowed")

    def _post(self, text: str) -> tuple[str, bool, float | None]:
        """Empty reason if accepted; else the reason, whether to try again, and the pause asked."""
        try:
            with (
                _address_kept_out_of_logs(),
                requests.post(
                    self.url,
                    json={"text": text},
                    timeout=self.timeout,
                    allow_redirects=False,
                    stream=True,  # the body is of no interest, and may be endless
                ) as answer,
            ):
                status = answer.status_code
                asked = answer.headers.get("Retry-After", "")
        except (requests.ConnectionError, requests.Timeout) as error:
            return type(error).__name__, True, None
        except (requests.RequestException, OSError, ValueError) as error:
            # The text of these exceptions holds the address.
            return type(error).__name__, False, None
        if 200 <= status < 300:
            return "", False, None
        again = status in (408, 425, 429) or status >= 500
        return f"HTTP {status}", again, float(asked) if asked.isdigit() else None


def webhook_text(messages: Sequence[Message]) -> str:
    """The messages as one Slack text: paragraphs, its three control characters escaped."""
    told = [m.text for m in messages[:AT_MOST]]
    if len(messages) > AT_MOST:
        told.append(f"And {len(messages) - AT_MOST} more: see coverage_watch in Dagster.")
    text = "\n\n".join(told)
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def send_all(channels: Sequence[Channel], messages: Sequence[Message]) -> list[Failure]:
    """Sends to every channel, whatever happens to the others."""
    return [failure for channel in channels if (failure := channel.send(messages))]


def _times(attempts: int) -> str:
    return "tried once" if attempts == 1 else f"tried {attempts} times"


class _OwnThread(logging.Filter):
    """Drops what one thread logs: the HTTP library writes the path, hence the secret, at DEBUG."""

    def __init__(self, thread: int) -> None:
        super().__init__()
        self._thread = thread

    def filter(self, record: logging.LogRecord) -> bool:
        return record.thread != self._thread


@contextmanager
def _address_kept_out_of_logs() -> Iterator[None]:
    logger = logging.getLogger("urllib3.connectionpool")
    quiet = _OwnThread(threading.get_ident())
    logger.addFilter(quiet)
    try:
        yield
    finally:
        logger.removeFilter(quiet)
