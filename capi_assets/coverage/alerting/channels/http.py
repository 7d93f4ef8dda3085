"""One POST of JSON to a secret address: no redirects, and the address in no log."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import orjson
import requests

from capi_assets.coverage.alerting.channels.retry import Attempt


def post_json(url: str, body: Mapping[str, Any], timeout: tuple[float, float]) -> Attempt:
    """Posts `body`; never raises.

    Connection failures, 408, 425, 429 and 5xx may be tried again, after `Retry-After` where it is
    given in seconds.
    """
    try:
        with (
            _address_kept_out_of_logs(),
            requests.post(
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
