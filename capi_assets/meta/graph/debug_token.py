"""What Meta tells of our own token: whether it is valid, until when, for what (`/debug_token`).

Meta's page (Graph API reference, "Debug-Token") has `input_token` in the query of a GET. A token in
a URL ends up in proxies' logs, so the same read is sent as a form: a POST with `method=get`, which
is how Meta's own JavaScript and PHP SDKs send their reads. Only an app's token, or one of the app's
own people, is answered; for others, such as a token made in Events Manager, the answer is "not
told" with the reason, and preflight.py is the way to know.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

from capi_assets.meta.graph import error_reasons as reasons
from capi_assets.meta.graph.client import CONNECT_TIMEOUT, DatasetAccess
from capi_assets.meta.graph.deadline import within
from capi_assets.meta.graph.errors import Body, ErrorKind, MetaError, classify, parse_error
from capi_assets.meta.graph.session import proof, signed_session
from capi_assets.meta.graph.versions import stated_version

READ_TIMEOUT = 15.0
DEADLINE = 20.0
_ANSWER_LIMIT = 256 * 1024
_SCOPE = re.compile(r"[a-z0-9_:.]{1,60}")
_NO_ANSWER = "Meta did not answer"


@dataclass(frozen=True, slots=True)
class TokenFacts:
    """What is known of a token; nothing in it can be used to send.

    Attributes:
        is_valid: None where Meta did not tell; `why_unknown` then says why.
        expires_at: when it ends (UTC); None for never, or if not told.
        never_expires: Meta said that it has no end.
        data_access_expires_at: when the app may read the person's data no more. Meta does not say
            that sending ends then too.
        scopes: its permissions, such as `ads_management`.
        reason: of a token that is not valid, as in `error_reasons`.
        code, subcode: Meta's, likewise.
    """

    is_valid: bool | None
    expires_at: datetime | None = None
    never_expires: bool = False
    data_access_expires_at: datetime | None = None
    scopes: tuple[str, ...] = ()
    reason: str | None = None
    code: int | None = None
    subcode: int | None = None
    trace_id: str | None = None
    api_version: str | None = None
    why_unknown: str | None = None


def debug_token(access: DatasetAccess) -> TokenFacts:
    """Asks Meta about the token of `access`, with that token. One request. Never raises."""
    form = {"method": "get", "input_token": access.token, **proof(access.token, access.app_secret)}
    try:
        status, version, content = _post(access, form)
    except Exception as error:  # whatever it was: the token is not known better than before
        return TokenFacts(None, why_unknown=f"{_NO_ANSWER} ({type(error).__name__})")
    return _facts(status, version, content)


def _post(access: DatasetAccess, form: dict[str, str]) -> tuple[int, str | None, bytes]:
    with (
        signed_session(access.graph_url, access.token) as session,
        within(DEADLINE),
        session.post(
            f"{access.graph_url.rstrip('/')}/{access.version}/debug_token",
            data=form,
            timeout=(CONNECT_TIMEOUT, READ_TIMEOUT),
            allow_redirects=False,  # a redirect would carry the token elsewhere
            stream=True,
        ) as answer,
    ):
        content = answer.raw.read(_ANSWER_LIMIT, decode_content=True)
    return answer.status_code, answer.headers.get("facebook-api-version"), content


def _facts(status: int, version: str | None, content: bytes) -> TokenFacts:
    version = stated_version(version)
    told = _data(content)
    if told is not None and 200 <= status < 300 and isinstance(told.get("is_valid"), bool):
        wrong = told.get("error")
        wrong = wrong if isinstance(wrong, dict) else {}
        code, subcode = _whole(wrong.get("code")), _whole(wrong.get("subcode"))
        kind, reason = classify(401, MetaError(Body.JSON, code, subcode))
        reason = reason if kind is ErrorKind.TOKEN else reasons.TOKEN_INVALID
        ends = told.get("expires_at")
        return TokenFacts(
            told["is_valid"],
            expires_at=_moment(ends),
            never_expires=type(ends) is int and ends == 0 and told["is_valid"],
            data_access_expires_at=_moment(told.get("data_access_expires_at")),
            scopes=_scopes(told.get("scopes")),
            reason=None if told["is_valid"] else reason,
            code=code,
            subcode=subcode,
            api_version=version,
        )
    error = parse_error(content)
    untold = TokenFacts(None, trace_id=error.fbtrace_id, api_version=version)
    if error.code is None:
        return replace(untold, why_unknown=f"{_NO_ANSWER} as expected (HTTP {status})")
    kind, reason = classify(status, error)
    if kind is ErrorKind.TOKEN:  # the token that asked is the token asked about
        return replace(
            untold, is_valid=False, reason=reason, code=error.code, subcode=error.subcode
        )
    if kind in (ErrorKind.PAYLOAD, ErrorKind.PERMISSION):
        why = (
            "Meta does not let this token ask about itself, as it does not for tokens made in"
            f" Events Manager (error {error.code})"
        )
        return replace(untold, why_unknown=why)
    return replace(untold, why_unknown=f"{_NO_ANSWER} (error {error.code})")


def _data(content: bytes) -> dict[str, Any] | None:
    try:
        document = json.loads(content)
    except (ValueError, RecursionError):
        return None
    data = document.get("data") if isinstance(document, dict) else None
    return data if isinstance(data, dict) else None


def _moment(seconds: object) -> datetime | None:
    """Unix seconds as a time; None for 0, which means never, and for what is no time."""
    if type(seconds) is not int or not 0 < seconds < 10**11:
        return None
    return datetime.fromtimestamp(seconds, UTC)


def _scopes(value: object) -> tuple[str, ...]:
    found = value if isinstance(value, list) else []
    return tuple(sorted(s for s in found if isinstance(s, str) and _SCOPE.fullmatch(s)))[:50]


def _whole(value: object) -> int | None:
    return value if type(value) is int and abs(value) < 2**31 else None
