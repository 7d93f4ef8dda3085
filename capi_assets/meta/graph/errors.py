"""What an answer of Meta's means for the events in the request.

Decided by HTTP status, code, subcode, type and blamed fields, because Meta translates and rewrites
its texts (Graph API page "Handle errors", Marketing API page "Error codes"). How long to wait and
what to send again is the sender's business; what to tell people is `delivery.causes`'.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, NamedTuple

from capi_assets.meta.graph import error_reasons as reasons
from capi_assets.meta.graph.error_subcodes import (
    EXPIRED_SUBCODE,
    FUTURE_SUBCODE,
    NO_ACCESS_SUBCODE,
    NOT_LINKED_SUBCODES,
    WRONG_LEVEL_SUBCODE,
    is_payload_subcode,
    subcode_name,
)
from capi_assets.printable import printable


class Body(Enum):
    """What the answer's body turned out to be."""

    ERROR = "error"  # JSON with an `error` object
    JSON = "json"  # any other JSON
    TRUNCATED = "truncated"  # began as JSON, does not parse
    HTML = "html"
    TEXT = "text"
    EMPTY = "empty"

    @property
    def readable(self) -> bool:
        """Whether it is whole JSON, hence written by the API and not by something before it."""
        return self in (Body.ERROR, Body.JSON)


class ErrorKind(Enum):
    """How to go on after an answer that does not confirm delivery."""

    TRANSIENT = "meta_down"  # the same bytes later
    THROTTLED = "throttled"  # the same bytes, once the limit lifts
    TOKEN = "token"  # nothing succeeds until a person acts
    PERMISSION = "permission"  # likewise; the set-up in general
    PAYLOAD = "payload"  # one or more events are never accepted as they are, the others are
    EXPIRED = "expired"  # likewise, because of their age
    NOT_YET = "not_yet"  # one or more events are not accepted now, but may be later
    UNKNOWN_OUTCOME = "unknown_outcome"  # the same bytes, within the 48 hours of deduplication
    UNRECOGNISED = "unrecognised"

    @property
    def stops(self) -> bool:
        """Whether nothing more for this dataset can succeed until a person acts."""
        return self in (ErrorKind.TOKEN, ErrorKind.PERMISSION)


class Problem(NamedTuple):
    """What an answer means: how to go on, and the word of `error_reasons` or of a subcode.

    The cause, what people read and what they should do follow from the word, in
    `delivery.causes` and nowhere else.
    """

    kind: ErrorKind
    reason: str


_DOWN = Problem(ErrorKind.TRANSIENT, reasons.META_DOWN)
_MAYBE = Problem(ErrorKind.UNKNOWN_OUTCOME, reasons.META_DOWN)
_LIMIT = Problem(ErrorKind.THROTTLED, reasons.THROTTLED)
_TOKEN = Problem(ErrorKind.TOKEN, reasons.TOKEN_INVALID)
_SECRET = Problem(ErrorKind.TOKEN, reasons.APP_SECRET_WRONG)
_RIGHT = Problem(ErrorKind.PERMISSION, reasons.PERMISSION_LOST)
_ADDRESS = Problem(ErrorKind.PERMISSION, reasons.WRONG_ADDRESS)
_UNRECOGNISED = Problem(ErrorKind.UNRECOGNISED, reasons.UNRECOGNISED)

_THROTTLE_CODES = frozenset({4, 17, 32, 341, 613, *range(80000, 80010), 80014})
_TRANSIENT_CODES = frozenset({1, 2, 5000, 21009})

_SETUP: dict[tuple[int, int | None], Problem] = {
    (102, None): _TOKEN,
    (104, None): _SECRET,
    (190, None): _TOKEN,
    (190, 463): Problem(ErrorKind.TOKEN, reasons.TOKEN_EXPIRED),
    **dict.fromkeys(((code, None) for code in (3, 10, *range(200, 300))), _RIGHT),
    (100, NO_ACCESS_SUBCODE): _RIGHT,
    (368, None): Problem(ErrorKind.PERMISSION, reasons.APP_BLOCKED),
    (2500, None): _ADDRESS,
}
"""Codes about token, right and address: by code and subcode, else by code alone."""


def classify(http_status: int | None, error: MetaError) -> Problem:
    """What an answer that does not confirm delivery means for the events in the request.

    `http_status` None means that no answer came after bytes were sent. A 2xx given here had the
    wrong body. A connection that was never made is `client.Answer.problem`'s to say.
    """
    code, subcode = error.code, error.subcode
    if http_status is not None and 300 <= http_status < 400:  # Meta does not redirect
        return Problem(ErrorKind.TRANSIENT, reasons.REDIRECTED)
    if code is None:
        return _by_status(http_status, error.body)
    if code == 613 and subcode is None:
        return Problem(ErrorKind.THROTTLED, reasons.ABUSE_SUSPECTED)
    if code in _THROTTLE_CODES or http_status == 429:
        return _LIMIT
    if error.is_transient:
        return _unless_server_fault(http_status, _DOWN)
    if code == 100 and error.names_proof:
        return _SECRET
    about_setup = _SETUP.get((code, subcode)) or _SETUP.get((code, None))
    if about_setup:
        return about_setup
    if is_payload_subcode(subcode):
        return _by_subcode(subcode)
    if (code, subcode) == (1, WRONG_LEVEL_SUBCODE):  # on a write, a 500 may follow the booking
        return _unless_server_fault(http_status, _ADDRESS)
    if code == 100:
        if error.blames_events:
            return Problem(ErrorKind.PAYLOAD, "refused_100")
        return Problem(ErrorKind.PERMISSION, reasons.SETUP_REFUSED)
    if code in _TRANSIENT_CODES or code < 0 or http_status in (408, 425):
        return _unless_server_fault(http_status, _DOWN)
    return _unless_server_fault(http_status, _UNRECOGNISED)


def _by_status(status: int | None, body: Body) -> Problem:
    if status is None or not 400 <= status < 500:
        return _MAYBE
    if status == 429:
        return _LIMIT
    if status == 413:  # halving the request is the cure
        return Problem(ErrorKind.PAYLOAD, reasons.REQUEST_TOO_LARGE)
    if status in (408, 425) or not body.readable:
        return _DOWN  # a 4xx page in HTML is a gateway's refusal: nothing was taken
    return {401: _TOKEN, 403: _RIGHT, 404: _RIGHT}.get(status, _UNRECOGNISED)


def _by_subcode(subcode: int | None) -> Problem:
    reason = subcode_name(subcode) or ""
    if subcode == EXPIRED_SUBCODE:
        return Problem(ErrorKind.EXPIRED, reason)
    not_yet = subcode == FUTURE_SUBCODE or subcode in NOT_LINKED_SUBCODES
    return Problem(ErrorKind.NOT_YET if not_yet else ErrorKind.PAYLOAD, reason)


def _unless_server_fault(status: int | None, otherwise: Problem) -> Problem:
    """A fault of the server's may come after it took the events; a refusal may not."""
    return _MAYBE if status is None or status >= 500 else otherwise


def error_suffix(code: int | None, subcode: int | None, http_status: int | None) -> str:
    """What Meta answered, to stand behind a clause: ` (error 100/33)`, ` (HTTP 503)` or nothing."""
    if code is not None:
        return f" (error {code}/{subcode})" if subcode is not None else f" (error {code})"
    return f" (HTTP {http_status})" if http_status is not None else ""


@dataclass(frozen=True, slots=True)
class MetaError:
    """The parts of an error body that carry no payload. Texts stay out, save Meta's own title,
    which is in the token owner's language and out of `repr`."""

    body: Body
    code: int | None = None
    subcode: int | None = None
    is_transient: bool = False
    type: str | None = None
    fbtrace_id: str | None = None
    blame_fields: tuple[str, ...] = ()
    event_index: int | None = None
    names_data: bool = False
    names_proof: bool = False
    title: str | None = field(default=None, repr=False)

    @property
    def blames_events(self) -> bool:
        """Whether it is about what events hold, not about the call: code 100 is used for both."""
        about_events = self.blame_fields or self.names_data or self.event_index is not None
        return bool(about_events) and self.type != "GraphMethodException"


def parse_error(body: bytes | str) -> MetaError:
    """Reads an error body of any shape; never raises.

    `blame_fields` are the field paths of `error_data` (an object, or JSON text of one), only
    where they look like paths. `event_index` is the position in `data` that a path, the message
    or `error_data.event_index` names; Meta gives it rarely, so treat it as a hint. `names_data`
    and `names_proof` say that the message names a path in `data`, or `appsecret_proof`: names of
    parameters, which Meta does not translate.
    """
    text = body.decode("utf-8", errors="replace") if isinstance(body, bytes) else body
    text = text.lstrip("\ufeff \t\r\n")
    document = _load(text)
    if document is _NOT_JSON:
        return MetaError(_unreadable(text))
    error = document.get("error") if isinstance(document, dict) else None
    if not isinstance(error, dict):
        return MetaError(Body.JSON, fbtrace_id=_trace_id(document))
    data = error.get("error_data")
    data = _load(data) if isinstance(data, str) else data
    blamed = _paths(data.get("blame_field_specs")) if isinstance(data, dict) else ()
    message = error.get("message")
    message = message if isinstance(message, str) else ""
    return MetaError(
        body=Body.ERROR,
        code=_number(error.get("code")),
        subcode=_number(error.get("error_subcode")),
        is_transient=error.get("is_transient") in (True, 1, "true"),
        type=_word(error.get("type")),
        fbtrace_id=_trace_id(error) or _trace_id(document),
        blame_fields=blamed,
        event_index=_event_index(data, blamed, message),
        names_data=bool(_DATA_PATH.search(message)),
        names_proof="appsecret_proof" in message,
        title=_title(error.get("error_user_title")),
    )


_NOT_JSON = object()
_WORD = re.compile(r"[A-Za-z0-9_.-]{1,100}")
_PATH = re.compile(r"[A-Za-z0-9_$.\[\]'\"]{1,120}")
_DATA_PATH = re.compile(r"\$\[?['\".]?data\b|\bdata['\"]?\]?\[")
_INDEX = re.compile(r"\bdata['\"]?\]?\[['\"]?(\d{1,4})['\"]?\]")


def _load(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return _NOT_JSON


def _unreadable(text: str) -> Body:
    if not text:
        return Body.EMPTY
    if text[0] in "{[":
        return Body.TRUNCATED
    return Body.HTML if text[0] == "<" else Body.TEXT


def _number(value: object) -> int | None:
    if isinstance(value, str) and re.fullmatch(r"-?[0-9]{1,9}", value):
        return int(value)
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) < 2**31:
        return value
    return None


def _word(value: object) -> str | None:
    return value if isinstance(value, str) and _WORD.fullmatch(value) else None


def _trace_id(document: object) -> str | None:
    return _word(document.get("fbtrace_id")) if isinstance(document, dict) else None


# A gateway may repeat what it was sent: a token has far more than 30 letters without a blank.
_NO_TITLE = re.compile(r"[!-~]{31,}|[!-~]*@[!-~]*|\+?[0-9][0-9 ().-]{7,}[0-9]")


def _title(value: object) -> str | None:
    return printable(_NO_TITLE.sub("…", value[:2_000])[:200]) if isinstance(value, str) else None


def _paths(specs: object) -> tuple[str, ...]:
    """`blame_field_specs` is a list of paths, or of lists of paths; at most 20 are kept."""
    found: list[str] = []
    for spec in specs if isinstance(specs, list) else []:
        parts = spec if isinstance(spec, list) else [spec]
        found += [part for part in parts if isinstance(part, str) and _PATH.fullmatch(part)]
    return tuple(found[:20])


def _event_index(data: object, blamed: tuple[str, ...], message: str) -> int | None:
    named = _number(data.get("event_index")) if isinstance(data, dict) else None
    if named is not None and named >= 0:
        return named
    for text in (*blamed, message):
        if found := _INDEX.search(text):
            return int(found.group(1))
    return None
