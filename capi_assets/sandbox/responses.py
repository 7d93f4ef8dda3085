"""Responses in the format of Meta's Graph API: error bodies, trace ids, usage headers.

Formats from the Graph API's pages on error handling and rate limiting, and from live responses.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass, field
from typing import Any

import orjson
from starlette.responses import Response

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


@dataclass(frozen=True)
class Usage:
    """The usage that Meta reports in its headers: per cent used, minutes until access returns."""

    call_count: int = 0
    total_time: int = 0
    total_cputime: int = 0
    estimated_time_to_regain_access: int = 0

    def headers(self, business: str) -> dict[str, str]:
        """`X-App-Usage` and `X-Business-Use-Case-Usage` for this usage."""
        percentages = {
            "call_count": self.call_count,
            "total_time": self.total_time,
            "total_cputime": self.total_cputime,
        }
        case = {
            "type": "ads_management",
            **percentages,
            "estimated_time_to_regain_access": self.estimated_time_to_regain_access,
            "ads_api_access_tier": "standard_access",
        }
        return {
            "X-App-Usage": orjson.dumps(percentages).decode(),
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
    def of_error(cls, error: dict[str, Any], trace: str, status: int = 400) -> GraphResponse:
        """An error response; token errors have OAuth's header, as Meta's have."""
        headers = {}
        if error.get("code") in (102, 104, 190):
            text = str(error["message"]).replace('"', "'")
            headers["WWW-Authenticate"] = f'OAuth "Facebook Platform" "invalid_token" "{text}"'
        return cls(status, {"error": {**error, "fbtrace_id": trace}}, headers)

    def content(self) -> bytes:
        """The body's bytes."""
        return orjson.dumps(self.body)

    def to_http(self, headers: dict[str, str]) -> Response:
        """The HTTP response, with the headers of every Graph response."""
        return Response(
            self.content(),
            self.status,
            headers={**headers, **self.headers},
            media_type=JSON,
        )
