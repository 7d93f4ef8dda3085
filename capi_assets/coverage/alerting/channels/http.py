"""Alerts as JSON over HTTP: to a Slack-compatible webhook for people, as documents for programs.

The address is a secret: it is in no log, and no redirect is followed.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import orjson
import requests

from capi_assets.coverage.alerting.channels.message import Failure, Message, spelled_out
from capi_assets.coverage.alerting.channels.retry import Attempt, Retries
from capi_assets.web_addresses import open_session


@dataclass
class _HttpChannel(Retries):
    url: str = field(repr=False)
    name: str
    timeout: tuple[float, float] = (3.05, 5.0)

    def post(self, body: Mapping[str, Any]) -> str:
        """Empty once the body was accepted, else why it was not."""
        return self.run_with_retry(lambda: _post_json(self.url, body, self.timeout))


@dataclass
class WebhookChannel(_HttpChannel):
    """One POST of `{"text": …}` to a Slack-compatible webhook per tick."""

    name: str = "webhook"

    def send(self, messages: Sequence[Message]) -> Failure | None:
        reason = self.post({"text": webhook_text(messages)}) if messages else ""
        return Failure(self.name, reason) if reason else None


def webhook_text(messages: Sequence[Message]) -> str:
    """The messages as one Slack text: paragraphs, its three control characters escaped."""
    text = "\n\n".join(spelled_out(messages))
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


@dataclass
class JsonChannel(_HttpChannel):
    """One POST per alert, in their order, until one fails after all attempts.

    A receiver that does not answer one will not answer the next, and a sensor has a minute.
    """

    name: str = "json"

    def send(self, messages: Sequence[Message]) -> Failure | None:
        for number, message in enumerate(messages):
            if reason := self.post(message.as_document()):
                left = len(messages) - number
                part = f"{left} of {len(messages)} alerts not delivered: " if number else ""
                return Failure(self.name, f"{part}{reason}", left)
        return None


def _post_json(url: str, body: Mapping[str, Any], timeout: tuple[float, float]) -> Attempt:
    """Posts `body`; never raises.

    Connection failures, 408, 425, 429 and 5xx may be tried again, after `Retry-After` where it is
    given in seconds.
    """
    try:
        with (
            _address_kept_out_of_logs(),
            open_session(url) as session,
            session.post(
                url,
                data=orjson.dumps(dict(body)),
                headers={"Content-Type": "application/json"},
                timeout=timeout,
                allow_redirects=False,
                stream=True,  # the body is of no interest, and may be endless
            ) as answer,
        ):
            status = answer.status_code
            asked = answer.headers.get("Retry-After", "")
    except (requests.ConnectionError, requests.Timeout) as error:
        return Attempt(type(error).__name__, again=True)
    except (requests.RequestException, OSError, ValueError) as error:
        # The text of these exceptions holds the address.
        return Attempt(type(error).__name__)
    if 200 <= status < 300:
        return Attempt()
    again = status in (408, 425, 429) or status >= 500
    return Attempt(f"HTTP {status}", again, float(asked) if asked.isdigit() else None)


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
