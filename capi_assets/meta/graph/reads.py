"""Reads from the Graph API: a JSON object, or the reason why there is none; never raises.

Reading is never worth an event: whoever reads goes on without the answer. The token travels in the
Authorization header only, and addresses that Meta hands back for further pages, which may carry
it, are taken apart and never called as they are.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from types import TracebackType
from typing import Any, Self
from urllib.parse import parse_qsl, urlsplit

import requests

from capi_assets.meta.graph import error_reasons as reasons
from capi_assets.meta.graph.client import DatasetAccess
from capi_assets.meta.graph.deadline import within
from capi_assets.meta.graph.errors import ErrorKind, Problem, classify, parse_error
from capi_assets.meta.graph.session import proof, signed_session

CONNECT_TIMEOUT = 5.0
READ_TIMEOUT = 30.0
DEADLINE = 60.0
"""Seconds that one page may take."""

ANSWER_LIMIT = 8 * 1024 * 1024
"""Bytes of a page; a week of hourly counts of 100 event names has about one million."""

MOST_PAGES = 50
_SECRET_PARAMETERS = frozenset({"access_token", "appsecret_proof"})


class ReadError(Enum):
    """Why there is no answer to compare with."""

    MAY_NOT = "may_not_read"  # until a person acts
    NOT_NOW = "not_now"  # the next try may succeed
    UNCLEAR = "not_understood"


@dataclass(frozen=True, slots=True)
class FailedRead:
    """A read without an answer. Meta's own texts are not kept."""

    problem: Problem
    http_status: int | None = None
    code: int | None = None
    subcode: int | None = None

    @property
    def obstacle(self) -> ReadError:
        """Whether asking again, or a person, can help."""
        return _OBSTACLES.get(self.problem.kind, ReadError.UNCLEAR)


_OBSTACLES = {
    ErrorKind.TOKEN: ReadError.MAY_NOT,
    ErrorKind.PERMISSION: ReadError.MAY_NOT,
    ErrorKind.THROTTLED: ReadError.NOT_NOW,
    ErrorKind.TRANSIENT: ReadError.NOT_NOW,
    ErrorKind.UNKNOWN_OUTCOME: ReadError.NOT_NOW,
}

_UNRECOGNISED = Problem(ErrorKind.UNRECOGNISED, reasons.UNRECOGNISED)
_NO_ANSWER = Problem(ErrorKind.TRANSIENT, reasons.NO_ANSWER)

NOT_UNDERSTOOD = FailedRead(_UNRECOGNISED)
"""An answer whose form is not the documented one."""


class GraphReader:
    """Reads about one dataset with its own token; one thread at a time."""

    def __init__(
        self,
        access: DatasetAccess,
        *,
        connect_timeout: float = CONNECT_TIMEOUT,
        read_timeout: float = READ_TIMEOUT,
        deadline: float = DEADLINE,
    ) -> None:
        self.access = access
        self._timeout = (connect_timeout, read_timeout)
        self._deadline = deadline
        self._base = f"{access.graph_url.rstrip('/')}/{access.version}"
        self._session = signed_session(access.graph_url, access.token)

    def __repr__(self) -> str:
        return f"GraphReader({self.access!r})"

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._session.close()

    def _request(self, url: str, asked: Mapping[str, str], **options: Any) -> requests.Response:
        """A GET; with an app secret a form with `method=get`, to keep the proof out of the URL."""
        proven = proof(self.access.token, self.access.app_secret)
        if not proven:
            return self._session.get(url, params=asked, **options)
        return self._session.post(url, data={**asked, **proven, "method": "get"}, **options)

    def get(self, path: str, asked: Mapping[str, str]) -> dict[str, Any] | FailedRead:
        """The JSON object at `path`, which begins with a slash; `asked` are its parameters."""
        try:
            with (
                within(self._deadline),
                self._request(
                    self._base + path,
                    asked,
                    timeout=self._timeout,
                    allow_redirects=False,  # a redirect would carry the token elsewhere
                    stream=True,
                ) as response,
            ):
                content = _content(response)
        except Exception:  # whatever it was, there is no answer, and that is all that matters
            return FailedRead(_NO_ANSWER)
        return _understood(response.status_code, content)

    def pages(self, path: str, asked: Mapping[str, str]) -> list[Any] | FailedRead:
        """The items of all pages' `data`; all of them, or why not."""
        items: list[Any] = []
        wanted = dict(asked)
        for _ in range(MOST_PAGES):
            page = self.get(path, wanted)
            if isinstance(page, FailedRead):
                return page
            data = page.get("data")
            if not isinstance(data, list):
                return NOT_UNDERSTOOD
            items += data
            further = _next_page(page)
            if further is None:  # a page may be empty and still have a next one
                return items
            if further == wanted:
                break
            wanted = further
        return NOT_UNDERSTOOD


def _content(response: requests.Response) -> bytes | None:
    """The body, or None where it is longer than any honest answer."""
    pieces: list[bytes] = []
    left = ANSWER_LIMIT
    while piece := response.raw.read1(left + 1, decode_content=True):
        left -= len(piece)
        if left < 0:
            return None
        pieces.append(piece)
    return b"".join(pieces)


def _understood(status: int, content: bytes | None) -> dict[str, Any] | FailedRead:
    if content is None:
        return FailedRead(_UNRECOGNISED, status)
    error = parse_error(content)
    if 200 <= status < 300 and error.code is None:
        try:
            document = json.loads(content)
        except (ValueError, RecursionError):
            return FailedRead(_NO_ANSWER, status)
        return document if isinstance(document, dict) else NOT_UNDERSTOOD
    return FailedRead(classify(status, error), status, error.code, error.subcode)


def _next_page(page: Mapping[str, Any]) -> dict[str, str] | None:
    """What to ask for the next page: the parameters of `paging.next`, without its secrets."""
    paging = page.get("paging")
    address = paging.get("next") if isinstance(paging, dict) else None
    if not isinstance(address, str):
        return None
    try:
        asked = dict(parse_qsl(urlsplit(address).query))
    except ValueError:
        return None
    return {name: value for name, value in asked.items() if name not in _SECRET_PARAMETERS}
