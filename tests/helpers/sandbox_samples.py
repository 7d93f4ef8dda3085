"""Events and calls that the sandbox's tests share."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime
from typing import Any

import orjson
import requests

from capi_assets.sandbox.run import SandboxServer

NOW = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)
NOW_S = int(NOW.timestamp())
DAY = 86_400
DATASET = "123456789012345"
TOKEN = "EAAB-sandbox-token-of-the-tests"


def sha(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


PERSON = {
    "em": [sha("user@example.com")],
    "external_id": [sha("customer-1")],
    "client_ip_address": "203.0.113.7",
    "client_user_agent": "Mozilla/5.0",
    "fbc": "fb.1.1763550000000.IwAR2F4",
}


def purchase(number: int | str = 1, **changed: Any) -> dict[str, Any]:
    """A good Purchase of the last hour; a changed field of None is left out."""
    event = {
        "event_name": "Purchase",
        "event_time": NOW_S - 1800,
        "event_id": f"Purchase:{number}",
        "action_source": "website",
        "event_source_url": "https://shop.example/thanks",
        "user_data": dict(PERSON),
        "custom_data": {"value": 19.9, "currency": "EUR", "order_id": str(number)},
        **changed,
    }
    return {key: value for key, value in event.items() if value is not None}


def post(
    server: SandboxServer,
    *events: Any,
    dataset: str = DATASET,
    token: str = TOKEN,
    version: str = "v26.0",
    timeout: float = 10,
    **fields: Any,
) -> requests.Response:
    """Send events as a JSON document, the token in the header."""
    return requests.post(
        f"{server.url}/{version}/{dataset}/events",
        data=orjson.dumps({"data": list(events), **fields}),
        headers={"Authorization": f"Bearer {token}", "Content-Type": "application/json"},
        timeout=timeout,
        allow_redirects=False,
    )


def get(server: SandboxServer, path: str, token: str | None = TOKEN, **asked: Any) -> Any:
    headers = {} if token is None else {"Authorization": f"Bearer {token}"}
    return requests.get(server.url + path, params=asked, headers=headers, timeout=10)


def inspect(
    server: SandboxServer, inspected: str, token: str | None = TOKEN, path: str = "/debug_token"
) -> requests.Response:
    """Ask /debug_token about a token as our client does: no token in the URL."""
    headers = {} if token is None else {"Authorization": f"Bearer {token}"}
    form = {"method": "get", "input_token": inspected}
    return requests.post(server.url + path, data=form, headers=headers, timeout=10)


def control(server: SandboxServer, method: str, path: str, body: Any = None) -> Any:
    """Call one of the /_sandbox routes; its JSON."""
    answer = requests.request(method, f"{server.url}/_sandbox{path}", json=body, timeout=10)
    answer.raise_for_status()
    return answer.json()


def counted(server: SandboxServer) -> tuple[int, int, int]:
    """How many events the sandbox accepted, removed as duplicates, and counted twice."""
    events = control(server, "GET", "/received")["totals"]["events"]
    return events["accepted"], events["duplicates"], events["doubled"]


def error(answer: requests.Response) -> dict[str, Any]:
    found: dict[str, Any] = answer.json()["error"]
    return found


def codes(answer: requests.Response) -> tuple[int, int, int | None]:
    """HTTP status, code and subcode of a refusal."""
    return answer.status_code, error(answer)["code"], error(answer).get("error_subcode")
