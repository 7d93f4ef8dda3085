"""Responses in the format of Meta's Graph API: error bodies, trace ids, usage headers.

Formats from the Graph API's pages on error handling and rate limiting, and from live responses.
"""

from __future__ import annotations

import secrets
from dataclasses import asdict, dataclass, field
from typing import Any

import orjson
from pydantic.dataclasses import dataclass as validated
from starlette.responses import Response

from capi_assets.sandbox.settings import STRICT

JSON = "application/json; charset=UTF-8"


@dataclass
class GraphError(Exception):
    """An error response of Meta's; raised anywhere, turned into a response by the endpoint."""

    message: str
    code: int
    status: int = 400
    type: str = "OAuthException"
    subcode: int | None = None
    is_transient: bool = False
    headers: dict[str, str] = field(default_factory=dict)

    def __str__(self) -> str:
        return f"{self.code}/{self.subcode}: {self.message}"

    def error(self) -> dict[str, Any]:
        """Meta's error object, without `fbtrace_id`."""
        error: dict[str, Any] = {"message": self.message, "type": self.type, "code": self.code}
        if self.subcode is not None:
            error["error_subcode"] = self.subcode
        if self.is_transient:
            error["is_transient"] = True
        return error


@validated(frozen=True, config=STRICT)
class Usage:
    """The usage that Meta reports in its headers: per cent used, minutes until access returns."""

    call_count: int = 0
    total_time: int = 0
    total_cputime: int = 0
    estimated_time_to_regain_access: int = 0

    def headers(self, business: str) -> dict[str, str]:
        """`X-App-Usage` and `X-Business-Use-Case-Usage` for this usage."""
        usage = asdict(self)
        case = {"type": "ads_management", **usage, "ads_api_access_tier": "standard_access"}
        del usage["estimated_time_to_regain_access"]
        return {
            "X-App-Usage": orjson.dumps(usage).decode(),
            "X-Business-Use-Case-Usage": orjson.dumps({business: [case]}).decode(),
        }


def new_trace_id() -> str:
    """A trace id that looks like Meta's `fbtrace_id`."""
    return "A" + secrets.token_urlsafe(16)


@dataclass
class GraphResponse:
    """A response before any fault changes it: status, JSON body, extra headers."""

    status: int
    body: dict[str, Any]
    headers: dict[str, str] = field(default_factory=dict)

    @classmethod
    def of_error(cls, error: GraphError, trace: str) -> GraphResponse:
        """An error response; token errors have OAuth's header, as Meta's have."""
        headers = dict(error.headers)
        if error.code in (102, 104, 190):
            text = error.message.replace('"', "'")
            headers["WWW-Authenticate"] = f'OAuth "Facebook Platform" "invalid_token" "{text}"'
        return cls(error.status, {"error": {**error.error(), "fbtrace_id": trace}}, headers)

    def content(self) -> bytes:
        """The body's bytes."""
        return orjson.dumps(self.body)

    def to_http(self, headers: dict[str, str]) -> Response:
        """The HTTP response, with the headers of every Graph response."""
        return Response(self.content(), self.status, {**headers, **self.headers}, JSON)
