"""Responses in the format of Meta's Graph API: error bodies, trace ids, usage headers.

Formats from the Graph API's pages on error handling and rate limiting, and from live responses.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Mapping
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
    title: str | None = None
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
        if self.title is not None:
            error["error_user_title"] = self.title
        return error


@validated(frozen=True, config=STRICT)
class Usage:
    """The usage that Meta reports in its headers: per cent used, minutes until access returns."""

    call_count: int = 0
    total_time: int = 0
    total_cputime: int = 0
    estimated_time_to_regain_access: int = 0

    def headers(self, business: str) -> dict[str, str]:
        usage = asdict(self)
        case = {"type": "ads_management", **usage, "ads_api_access_tier": "standard_access"}
        del usage["estimated_time_to_regain_access"]
        return {
            "X-App-Usage": orjson.dumps(usage).decode(),
            "X-Business-Use-Case-Usage": orjson.dumps({business: [case]}).decode(),
        }


def new_trace_id() -> str:
    return "A" + secrets.token_urlsafe(16)


def graph_response(body: dict[str, Any], headers: Mapping[str, str], status: int = 200) -> Response:
    """A JSON response with the headers of every Graph response."""
    return Response(orjson.dumps(body), status, headers, JSON)


def error_response(error: GraphError, trace: str, headers: Mapping[str, str]) -> Response:
    """An error response; token errors have OAuth's header, as Meta's have."""
    headers = {**headers, **error.headers}
    if error.code in (102, 104, 190):
        text = error.message.replace('"', "'")
        headers["WWW-Authenticate"] = f'OAuth "Facebook Platform" "invalid_token" "{text}"'
    # Not orjson: it refuses the half of an emoji that a title may end with.
    body = json.dumps({"error": {**error.error(), "fbtrace_id": trace}})
    return Response(body, error.status, headers, JSON)
