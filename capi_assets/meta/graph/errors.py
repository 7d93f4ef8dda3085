"""What an answer of Meta's means for the events in the request: kind, cause, remedy.

Decided by HTTP status, code and subcode alone, because Meta translates and rewrites its texts
(Graph API page "Handle errors", Marketing API page "Error codes"). How long to wait and what to
send again is the sender's business.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

from capi_assets.meta.graph.error_subcodes import (
    EXPIRED_SUBCODE,
    NO_ACCESS_SUBCODE,
    SUBCODES,
    Subcode,
    is_payload_subcode,
    subcode_name,
)

__all__ = [
    "SUBCODES",
    "Body",
    "ErrorKind",
    "MetaError",
    "Subcode",
    "classify",
    "error_suffix",
    "parse_error",
    "remedy",
    "remedy_without_rerun",
    "subcode_name",
]


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
    """What to make of an answer that does not confirm delivery. The value is the cause word."""

    TRANSIENT = "meta_down"
    THROTTLED = "throttled"
    TOKEN = "token"
    PERMISSION = "permission"
    PAYLOAD = "payload"
    EXPIRED = "expired"
    UNKNOWN_OUTCOME = "unknown_outcome"
    UNRECOGNISED = "unrecognised"

    @property
    def cause(self) -> str:
        """The word for this cause in results, gaps and alerts."""
        return self.value

    @property
    def remedy(self) -> str:
        """What a person should do, one or two sentences."""
        return _REMEDIES[self]

    @property
    def retries(self) -> bool:
        """Whether the same bytes may simply be sent again, with backoff."""
        return self in (
            ErrorKind.TRANSIENT,
            ErrorKind.THROTTLED,
            ErrorKind.UNKNOWN_OUTCOME,
            ErrorKind.UNRECOGNISED,
        )

    @property
    def stops(self) -> bool:
        """Whether nothing more for this dataset can succeed until a person acts."""
        return self in (ErrorKind.TOKEN, ErrorKind.PERMISSION)

    @property
    def bisects(self) -> bool:
        """Whether one or more events of the request are guilty and all others innocent."""
        return self in (ErrorKind.PAYLOAD, ErrorKind.EXPIRED)

    @property
    def maybe_accepted(self) -> bool:
        """Whether Meta may have taken the events all the same (the 48 hour rule applies)."""
        return self is ErrorKind.UNKNOWN_OUTCOME


TOKEN_SETTINGS = (
    "CAPI_ACCESS_TOKEN (or the file CAPI_ACCESS_TOKEN_FILE names, or the dataset's variable in"
    " CAPI_DATASETS)"
)
"""Where an access token is set, for remedies."""

_AGAIN = " Then materialize the hour again."

_REMEDIES = {
    ErrorKind.TRANSIENT: "Wait: the events stay pending and go with the next materialization. "
    "If it lasts, look at metastatus.com and at any proxy in between.",
    ErrorKind.THROTTLED: "Wait until the limit lifts; calling on prolongs the block. "
    "If it recurs, send fewer and larger requests.",
    ErrorKind.TOKEN: "Create a new access token in Events Manager and set"
    f" {TOKEN_SETTINGS}.{_AGAIN}",
    ErrorKind.PERMISSION: "Give the token's system user access to the dataset in Business Settings"
    f" and check CAPI_DATASET_ID.{_AGAIN}",
    ErrorKind.PAYLOAD: "Correct the order at its source and materialize the hour again; "
    "the other events of the request are not affected.",
    ErrorKind.EXPIRED: "Too late: Meta takes no event this old. "
    "Shorten the time from order to delivery.",
    ErrorKind.UNKNOWN_OUTCOME: "The events may have been accepted. The same bytes are sent again"
    " within 48 hours, when Meta removes the duplicate; later, compare with Events Manager and"
    " decide.",
    ErrorKind.UNRECOGNISED: "Nothing was accepted, and the code is not one we know. Look it up in "
    "Meta's error reference; the events stay pending.",
}

_SPECIAL_REMEDIES: dict[tuple[int, int | None], str] = {
    (104, None): "The appsecret_proof is wrong: CAPI_APP_SECRET must be the secret of the app "
    "that issued the token.",
    (190, 463): "The token has expired: create one without expiry in Events Manager (system user) "
    f"and set {TOKEN_SETTINGS}.{_AGAIN}",
    (368, None): "Meta has blocked this app or account for policy or abuse. A person must look at "
    "Account Quality; do not retry by hand.",
    (613, None): "Meta suspects abuse: find what else calls with this token, then wait.",
    (100, 2804050): "Send more match keys with these orders: email, phone, external_id, fbc, fbp "
    "or the client's IP address.",
    (100, 2804016): "A contact field reached Meta unhashed: check the column it comes from.",
}

_TOKEN_CODES = frozenset({102, 104, 190})
_PERMISSION_CODES = frozenset({3, 10, 368, *range(200, 300)})
_THROTTLE_CODES = frozenset({4, 17, 32, 341, 613, *range(80000, 80010), 80014})
_TRANSIENT_CODES = frozenset({1, 2, 5000, 21009})
_PAYLOAD_CODES = frozenset({100, 2500})


def classify(
    http_status: int | None,
    code: int | None = None,
    subcode: int | None = None,
    is_transient: bool = False,
    body: Body = Body.ERROR,
) -> ErrorKind:
    """The kind of an answer that does not confirm delivery.

    `http_status` None means no answer came after bytes were sent. A connection that was never
    made is the caller's to call TRANSIENT. A 2xx given here had the wrong body or count.
    """
    if code is None:
        return _by_status(http_status, body)
    if code in _THROTTLE_CODES or http_status == 429:
        return ErrorKind.THROTTLED
    if is_transient:
        return _unless_server_fault(http_status, ErrorKind.TRANSIENT)
    if code in _TOKEN_CODES:
        return ErrorKind.TOKEN
    if code in _PERMISSION_CODES or (code, subcode) == (100, NO_ACCESS_SUBCODE):
        return ErrorKind.PERMISSION
    if (code, subcode) == (100, EXPIRED_SUBCODE):
        return ErrorKind.EXPIRED
    if code in _PAYLOAD_CODES or is_payload_subcode(subcode) or (code, subcode) == (1, 99):
        return ErrorKind.PAYLOAD
    if code in _TRANSIENT_CODES or code < 0 or http_status in (408, 425):
        return _unless_server_fault(http_status, ErrorKind.TRANSIENT)
    return _unless_server_fault(http_status, ErrorKind.UNRECOGNISED)


def _by_status(status: int | None, body: Body) -> ErrorKind:
    if status is None or not 400 <= status < 500:
        return ErrorKind.UNKNOWN_OUTCOME
    if status == 429:
        return ErrorKind.THROTTLED
    if status == 413:
        return ErrorKind.PAYLOAD  # too large: halving the request is the cure
    if status in (408, 425) or not body.readable:
        return ErrorKind.TRANSIENT  # a 4xx page in HTML is a gateway's refusal: nothing was taken
    return {401: ErrorKind.TOKEN, 403: ErrorKind.PERMISSION, 404: ErrorKind.PERMISSION}.get(
        status, ErrorKind.UNRECOGNISED
    )


def _unless_server_fault(status: int | None, otherwise: ErrorKind) -> ErrorKind:
    """A fault of the server's may come after it took the events; a refusal may not."""
    return ErrorKind.UNKNOWN_OUTCOME if status is None or status >= 500 else otherwise


def remedy(kind: ErrorKind, code: int | None = None, subcode: int | None = None) -> str:
    """What a person should do; more precise than `kind.remedy` where the code is telling."""
    if code is None:
        return kind.remedy
    exact = _SPECIAL_REMEDIES.get((code, subcode))
    return exact or _SPECIAL_REMEDIES.get((code, None)) or kind.remedy


def remedy_without_rerun(
    kind: ErrorKind, code: int | None = None, subcode: int | None = None
) -> str:
    """The remedy without the hour to materialize, where no hour is spoken of."""
    return remedy(kind, code, subcode).removesuffix(_AGAIN)


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
    title: str | None = field(default=None, repr=False)

    def kind(self, http_status: int | None) -> ErrorKind:
        """The kind of this answer, given the status it came with."""
        return classify(http_status, self.code, self.subcode, self.is_transient, self.body)


def parse_error(body: bytes | str) -> MetaError:
    """Reads an error body of any shape; never raises.

    `blame_fields` are the field paths of `error_data` (an object, or JSON text of one), only
    where they look like paths. `event_index` is the position in `data` that a path, the message
    or `error_data.event_index` names; Meta gives it rarely, so treat it as a hint.
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
    return MetaError(
        body=Body.ERROR,
        code=_number(error.get("code")),
        subcode=_number(error.get("error_subcode")),
        is_transient=error.get("is_transient") in (True, 1, "true"),
        type=_word(error.get("type")),
        fbtrace_id=_trace_id(error) or _trace_id(document),
        blame_fields=blamed,
        event_index=_event_index(data, blamed, error.get("message")),
        title=_title(error.get("error_user_title")),
    )


_NOT_JSON = object()
_WORD = re.compile(r"[A-Za-z0-9_.-]{1,100}")
_PATH = re.compile(r"[A-Za-z0-9_$.\[\]'\"]{1,120}")
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


def _title(value: object) -> str | None:
    return value[:200] if isinstance(value, str) else None


def _paths(specs: object) -> tuple[str, ...]:
    """`blame_field_specs` is a list of paths, or of lists of paths; at most 20 are kept."""
    found: list[str] = []
    for spec in specs if isinstance(specs, list) else []:
        parts = spec if isinstance(spec, list) else [spec]
        found += [part for part in parts if isinstance(part, str) and _PATH.fullmatch(part)]
    return tuple(found[:20])


def _event_index(data: object, blamed: tuple[str, ...], message: object) -> int | None:
    named = _number(data.get("event_index")) if isinstance(data, dict) else None
    if named is not None and named >= 0:
        return named
    for text in (*blamed, message):
        found = _INDEX.search(text) if isinstance(text, str) else None
        if found:
            return int(found.group(1))
    return None
