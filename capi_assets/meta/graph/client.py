"""One POST to `/{dataset}/events`: ready event bytes in, what came back out, nothing raised.

The token travels in the Authorization header only; no payload, token or text of an answer is
logged or kept. What an answer means is errors.py's, whether to try again the sender's business.
"""

from __future__ import annotations

import json
import re
import ssl
import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from enum import Enum
from typing import Any
from urllib.parse import quote

import requests
import urllib3

from capi_assets.meta.graph import error_reasons as reasons
from capi_assets.meta.graph.deadline import within
from capi_assets.meta.graph.errors import (
    Body,
    ErrorKind,
    MetaError,
    Problem,
    classify,
    parse_error,
)
from capi_assets.meta.graph.session import bearer, proof, signed_session
from capi_assets.meta.graph.versions import stated_version
from capi_assets.web_addresses import graph_url_problem

CONNECT_TIMEOUT = 5.0
READ_TIMEOUT = 30.0
DEADLINE = 45.0
"""Seconds. Meta's 1.5 s (page "Support") is advice for single events; 1,000 take longer, and
giving up early makes an unknown outcome of what was accepted."""

_ANSWER_LIMIT = 1024 * 1024  # bytes; Meta's answers have a few hundred
_TOKEN = re.compile(r"[!#-&(-_a-~]+")  # what is printed, without blanks and quotes
_NO_ERROR = MetaError(Body.EMPTY)
_KEPT_HEADERS = (
    "Retry-After",
    "X-App-Usage",
    "X-Business-Use-Case-Usage",
    "X-Ad-Account-Usage",
)


@dataclass(frozen=True)
class DatasetAccess:
    """How to reach one dataset (Pixel). Secrets stay out of `repr`.

    `renew` reads the token anew, where it comes from a file or command: it is called when Meta
    refuses the token, and may raise LookupError.
    `partner_agent` names a platform to Dataset Quality; the token may go to `hosts_allowed` besides
    graph.facebook.com and loopback; `app_secret` is needed only if the app
    demands `appsecret_proof` (Graph API page "Secure requests").

    Raises:
        ValueError: something cannot be sent; the message names the field, never its value.
    """

    dataset_id: str
    token: str = field(repr=False)
    app_secret: str | None = field(default=None, repr=False)
    graph_url: str = "https://graph.facebook.com"
    version: str = "v26.0"
    test_event_code: str | None = None
    partner_agent: str | None = None
    hosts_allowed: tuple[str, ...] = ()
    renew: Callable[[], str] | None = field(default=None, repr=False, compare=False)

    def __post_init__(self) -> None:
        if not self.dataset_id:
            raise ValueError("dataset_id is empty")
        if not is_token(self.token):
            raise ValueError(
                f"The access token of dataset {self.dataset_id} is empty or holds characters no "
                "token has, such as a space, a quote from a .env file or a line break"
            )
        if problem := graph_url_problem(self.graph_url, self.hosts_allowed):
            raise ValueError(f"graph_url (CAPI_GRAPH_URL): {problem}")
        agent = self.partner_agent
        if agent is not None and not (len(agent) < 23 and len(re.findall("[A-Za-z]", agent)) > 1):
            # Page "End-to-end implementation".
            raise ValueError("partner_agent needs two letters and at most 22 characters")
        if not re.fullmatch(r"v\d+\.\d+", self.version):
            raise ValueError("version must look like v26.0")

    @property
    def url(self) -> str:
        """The address events are posted to."""
        return (
            f"{self.graph_url.rstrip('/')}/{self.version}/{quote(self.dataset_id, safe='')}/events"
        )


class RequestOutcome(Enum):
    """How far a request came."""

    NOT_SENT = "not_sent"  # no connection: Meta cannot have seen it
    NO_ANSWER = "no_answer"  # bytes went out, no status came back
    ANSWERED = "answered"


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back for one request; texts that might repeat the payload are not kept.

    `fault` is the name of the exception that ended the exchange. `usage` holds the headers about
    limits, as sent. `messages` counts Meta's own remarks on an accepted request.
    """

    arrival: RequestOutcome
    http_status: int | None = None
    events_received: int | None = None
    error: MetaError = _NO_ERROR
    api_version: str | None = None
    version_warning: bool = False
    messages: int = 0
    usage: Mapping[str, str] = field(default_factory=dict)
    fault: str | None = None

    def problem(self, sent: int) -> Problem | None:
        """What stands in the way of `sent` events; None if the answer confirms them all."""
        status = self.http_status
        if self.arrival is RequestOutcome.NOT_SENT:
            return Problem(ErrorKind.TRANSIENT, reasons.NO_CONNECTION)
        if self.arrival is RequestOutcome.NO_ANSWER or status is None:
            return Problem(ErrorKind.UNKNOWN_OUTCOME, reasons.NO_ANSWER)
        if 200 <= status < 300 and self.error.code is None:
            if self.events_received == sent:
                return None
            if self.error.body.readable:
                return Problem(ErrorKind.UNKNOWN_OUTCOME, reasons.UNEXPECTED_ANSWER)
        return classify(status, self.error)


class MetaClient:
    """Posts requests for one dataset; may be used from several threads at once."""

    def __init__(
        self,
        access: DatasetAccess,
        *,
        connections: int = 8,
        connect_timeout: float = CONNECT_TIMEOUT,
        read_timeout: float = READ_TIMEOUT,
        deadline: float = DEADLINE,
    ) -> None:
        self.access = access
        self._timeout = (connect_timeout, read_timeout)
        self._deadline = deadline
        self._tail = _tail(access)
        self._token = access.token
        self._renewing = threading.Lock()
        self._session = signed_session(access.graph_url, access.token, connections)
        self._session.headers["Content-Type"] = "application/json"

    def __repr__(self) -> str:
        return f"MetaClient({self.access!r})"

    def close(self) -> None:
        """Closes the connections."""
        self._session.close()

    def body(self, events: Sequence[bytes]) -> bytes:
        """The request's bytes without appsecret_proof: the events' own, and the fields beside
        `data`."""
        return b"".join((b'{"data":[', b",".join(events), b"]", self._tail, b"}"))

    def post(self, body: bytes) -> Answer:
        """Sends a body made by `body` and reads the answer, within the deadline. Never raises.

        If Meta refuses the token and there is a newer one, sends it once more: Meta took nothing.
        """
        token = self._token
        answer = self._send(body, token)
        if _is_of_token(answer) and (newer := self._renewed(token)):
            return self._send(body, newer)
        return answer

    def _renewed(self, refused: str) -> str | None:
        """The token that has taken the place of `refused`, if there is one."""
        with self._renewing:
            if self._token == refused and self.access.renew is not None:
                with suppress(LookupError):
                    newer = self.access.renew()
                    self._token = newer if is_token(newer) else refused
            return None if self._token == refused else self._token

    def _send(self, body: bytes, token: str) -> Answer:
        for name, value in proof(token, self.access.app_secret).items():
            body = body[:-1] + f',"{name}":"{value}"}}'.encode()
        try:
            with (
                within(self._deadline),
                self._session.post(
                    self.access.url,
                    data=body,
                    auth=bearer(token),
                    timeout=self._timeout,
                    allow_redirects=False,  # a redirect would carry events and token elsewhere
                    stream=True,
                ) as response,
            ):
                content, fault = _content(response.raw)
        except Exception as error:  # whatever it was, it is an outcome to be booked
            return Answer(_arrival(error), fault=type(error).__name__)
        return _answer(response, content, fault)


def is_token(text: str) -> bool:
    """Whether `text` can be sent as a token."""
    return _TOKEN.fullmatch(text) is not None


def _is_of_token(answer: Answer) -> bool:
    status = answer.http_status
    return answer.error.code is not None and classify(status, answer.error).kind is ErrorKind.TOKEN


def _tail(access: DatasetAccess) -> bytes:
    """The fields beside `data`, as JSON to follow it."""
    fields: dict[str, str] = {}
    if access.test_event_code:
        fields["test_event_code"] = access.test_event_code
    if access.partner_agent:
        fields["partner_agent"] = access.partner_agent
    return b"".join(b"," + json.dumps({k: v}).encode()[1:-1] for k, v in fields.items())


def _content(raw: urllib3.BaseHTTPResponse) -> tuple[bytes, str | None]:
    """The body as far as it came, and the fault that cut it short."""
    pieces: list[bytes] = []
    left = _ANSWER_LIMIT
    try:
        while left > 0 and (piece := raw.read1(left, decode_content=True)):
            pieces.append(piece)
            left -= len(piece)
    except (urllib3.exceptions.HTTPError, OSError) as error:
        return b"".join(pieces), type(error).__name__
    return b"".join(pieces), None


def _answer(response: requests.Response, content: bytes, fault: str | None) -> Answer:
    headers = response.headers
    document = _json_object(content)
    received = document.get("events_received")
    remarks = document.get("messages")
    version = headers.get("facebook-api-version")
    return Answer(
        RequestOutcome.ANSWERED,
        http_status=response.status_code,
        events_received=received if type(received) is int else None,
        error=parse_error(content),
        api_version=stated_version(version),
        version_warning="X-Ad-Api-Version-Warning" in headers,
        messages=len(remarks) if isinstance(remarks, list) else 0,
        usage={name: headers[name] for name in _KEPT_HEADERS if name in headers},
        fault=fault,
    )


def _json_object(content: bytes) -> dict[str, Any]:
    try:
        document = json.loads(content)
    except (ValueError, RecursionError):
        return {}
    return document if isinstance(document, dict) else {}


def _arrival(error: Exception) -> RequestOutcome:
    """Whether the bytes may have reached Meta; when it cannot be told, they may have."""
    if isinstance(error, requests.ConnectTimeout | requests.exceptions.ProxyError):
        return RequestOutcome.NOT_SENT
    causes = tuple(_causes(error))
    never = (
        urllib3.exceptions.NewConnectionError,
        urllib3.exceptions.ConnectTimeoutError,
        ssl.SSLCertVerificationError,
    )
    return (
        RequestOutcome.NOT_SENT
        if any(isinstance(c, never) for c in causes)
        else RequestOutcome.NO_ANSWER
    )


def _causes(error: BaseException) -> list[BaseException]:
    """The exception and those it wraps, however the libraries wrapped them."""
    found: list[BaseException] = []
    queue: list[object] = [error]
    while queue:
        cause = queue.pop()
        if isinstance(cause, BaseException) and cause not in found:
            found.append(cause)
            queue += [*cause.args, cause.__cause__, cause.__context__]
            queue.append(getattr(cause, "reason", None))
    return found
