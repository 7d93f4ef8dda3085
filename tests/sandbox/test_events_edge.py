"""POST /events over real HTTP: the answers, the body forms, whole-request refusal, versions."""

from __future__ import annotations

import hashlib
import hmac
import json
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import Any

import orjson
import pytest
import requests
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from capi_assets.sandbox.inbox import Inbox
from capi_assets.sandbox.rules.validate import validate_event
from capi_assets.sandbox.run import SandboxServer
from tests.helpers.sandbox_samples import (
    DATASET,
    DAY,
    NOW,
    NOW_S,
    PERSON,
    TOKEN,
    codes,
    control,
    counted,
    error,
    post,
    purchase,
    sha,
)


def test_an_accepted_request_is_answered_as_meta_does(server: SandboxServer) -> None:
    answer = post(server, purchase(1), purchase(2))
    assert answer.status_code == 200
    told = answer.json()
    assert told == {"events_received": 2, "messages": [], "fbtrace_id": told["fbtrace_id"]}
    assert len(told["fbtrace_id"]) > 10
    assert answer.headers["facebook-api-version"] == "v26.0"
    assert answer.headers["x-fb-trace-id"] == told["fbtrace_id"]
    assert "X-App-Usage" not in answer.headers
    assert counted(server) == (2, 0, 0)


def test_a_refusal_has_every_field_of_metas_error_body(server: SandboxServer) -> None:
    answer = post(server, purchase(event_time=NOW_S - 8 * DAY))
    assert answer.status_code == 400
    assert set(error(answer)) == {
        "message", "type", "code", "error_subcode", "is_transient", "error_user_title",
        "error_user_msg", "fbtrace_id",
    }  # fmt: skip
    told = error(answer)
    assert (told["message"], told["type"]) == ("Invalid parameter", "OAuthException")
    assert told["is_transient"] is False
    assert codes(answer) == (400, 100, 2804003)


@pytest.mark.parametrize(
    ("subcode", "bad"),
    [
        *(
            (2804001, purchase(user_data={**PERSON, "fbc": f"fb.1.1763550000000.{click_id}"}))
            for click_id in ("IwAR0abc%2Fdef%2BGHI", "{{fbclid}}", "-", "IwAR0 abc", "")
        ),
        (2804003, purchase(event_time=NOW_S - 8 * DAY)),
        (2804004, purchase(event_time=NOW_S * 1000)),
        (2804008, purchase(custom_data={"value": 1, "currency": "EUR", "contents": [{}]})),
        (2804009, purchase(custom_data={"currency": "EUR"})),
        (2804010, purchase(custom_data={"value": 1})),
        (2804011, purchase(custom_data={"value": 1, "currency": "MRU"})),
        (2804016, purchase(user_data={"em": "user@example.com"})),
        (2804019, purchase(custom_data={"value": "x", "currency": "EUR"})),
        (2804023, purchase(event_name="Lead", custom_data={"value": 1})),
        (2804036, purchase(user_data={"lead_id": 1})),
        (
            2804043,
            purchase(
                action_source="app", app_data={"advertiser_tracking_enabled": 0, "extinfo": []}
            ),
        ),
        (2804050, purchase(user_data={"country": [sha("de")]})),
        (2804066, purchase(event_name="Lead", action_source="business_messaging")),
        (None, purchase(unknown_key=1)),
        (None, purchase(action_source="offline")),
    ],
)
def test_one_bad_event_refuses_the_whole_request_and_nothing_is_received(
    server: SandboxServer, subcode: int | None, bad: dict[str, Any]
) -> None:
    good = [purchase(number) for number in range(5)]
    assert codes(post(server, *good, bad)) == (400, 100, subcode)
    assert counted(server) == (0, 0, 0)
    assert control(server, "GET", "/received")["hours"] == []
    assert control(server, "GET", "/events")["events"] == []
    # The refused events were never seen: sent again alone they are no duplicates.
    assert post(server, *good).json()["events_received"] == 5
    assert counted(server) == (5, 0, 0)


def test_a_thousand_events_pass_and_one_more_does_not(server: SandboxServer) -> None:
    most = [purchase(number) for number in range(1001)]
    assert codes(post(server, *most)) == (400, 100, None)
    assert counted(server) == (0, 0, 0)
    assert post(server, *most[:1000]).json()["events_received"] == 1000


@pytest.mark.parametrize(
    "body",
    [b"", b"{", b"[]", b"null", b'{"data": {}}', b'{"data": []}', b'{"data": 1}', b'{"data": "x"}',
     b'{"no_data": []}', b'\xff\xfe{"data": []}', b"\x1f\x8b\x08\x00gzip"],
)  # fmt: skip
def test_a_body_without_a_list_of_events_is_refused(server: SandboxServer, body: bytes) -> None:
    for kind in ("application/json", "application/x-www-form-urlencoded", "text/plain"):
        answer = requests.post(
            f"{server.url}/v26.0/{DATASET}/events",
            data=body,
            headers={"Authorization": f"Bearer {TOKEN}", "Content-Type": kind},
            timeout=5,
        )
        assert codes(answer) == (400, 100, None)
    assert counted(server) == (0, 0, 0)


TWO = [purchase(1), purchase(2)]
TEXTS = [json.dumps(event) for event in TWO]


@pytest.mark.parametrize(
    "sent",
    [
        {"json": {"data": TWO}},
        {"json": {"data": TEXTS}},
        {"json": {"data": json.dumps(TWO)}},
        {"data": {"data": json.dumps(TWO)}},
        {"data": {"data": json.dumps(TEXTS)}},
        {"data": [("data", text) for text in TEXTS]},
        {"data": [("data[]", text) for text in TEXTS]},
        {"data": {f"data[{position}]": text for position, text in enumerate(TEXTS)}},
        {"files": {"data": (None, json.dumps(TWO))}},
        {"files": [("data", (None, text)) for text in TEXTS]},
    ],
    ids=[
        "json", "json of texts", "json text", "form", "form of texts", "repeated field",
        "bracketed field", "numbered field", "multipart", "repeated part",
    ],
)  # fmt: skip
def test_every_body_form_in_use_delivers_the_same_events(
    server: SandboxServer, sent: dict[str, Any]
) -> None:
    url = f"{server.url}/v26.0/{DATASET}/events?access_token={TOKEN}"
    assert requests.post(url, timeout=5, **sent).json()["events_received"] == 2
    rows = control(server, "GET", "/events?payloads=1")["events"]
    assert [row["event"] for row in reversed(rows)] == TWO


def test_an_element_that_is_no_json_is_refused_with_its_place(server: SandboxServer) -> None:
    answer = post(server, json.dumps(purchase()), "{broken")
    assert "$['data'][1]" in error(answer)["error_user_msg"]


@pytest.mark.parametrize("where", ["header", "query", "form", "multipart", "document"])
def test_the_token_is_found_wherever_clients_put_it(server: SandboxServer, where: str) -> None:
    url = f"{server.url}/v26.0/{DATASET}/events"
    data = json.dumps([purchase()])
    sent: dict[str, Any] = {
        "header": {"data": {"data": data}, "headers": {"Authorization": f"Bearer {TOKEN}"}},
        "query": {"data": {"data": data}, "params": {"access_token": TOKEN}},
        "form": {"data": {"data": data, "access_token": TOKEN}},
        "multipart": {"files": {"data": (None, data), "access_token": (None, TOKEN)}},
        "document": {"json": {"data": [purchase()], "access_token": TOKEN}},
    }[where]
    assert requests.post(url, timeout=5, **sent).status_code == 200


def test_the_page_and_the_controls_never_show_a_token(server: SandboxServer) -> None:
    post(server, purchase())
    for path in ("/", "/_sandbox", "/_sandbox/tokens", "/_sandbox/requests", "/_sandbox/events"):
        assert TOKEN not in requests.get(server.url + path, timeout=5).text


def test_an_app_with_a_secret_asks_for_its_proof() -> None:
    with SandboxServer(clock=lambda: NOW, tokens=[TOKEN], app_secret="quiet") as server:
        proof = hmac.new(b"quiet", TOKEN.encode(), hashlib.sha256).hexdigest()
        missing = post(server, purchase())
        wrong = post(server, purchase(), appsecret_proof="0" * 64)
        for answer, words in ((missing, "require an appsecret_proof"), (wrong, "Invalid")):
            assert codes(answer) == (400, 100, None)
            assert error(answer)["type"] == "GraphMethodException"
            assert words in error(answer)["message"]
        assert post(server, purchase(), appsecret_proof=proof).status_code == 200


def test_a_missing_dataset_and_one_out_of_reach_look_the_same(server: SandboxServer) -> None:
    control(server, "PUT", "/tokens", {"token": "narrow", "datasets": ["777"], "expires_at": None})
    assert codes(post(server, purchase(), dataset="999")) == (400, 100, 33)
    assert codes(post(server, purchase(), token="narrow")) == (400, 100, 33)
    assert error(post(server, purchase(), dataset="999"))["type"] == "GraphMethodException"


@pytest.mark.parametrize(
    ("asked", "answered"),
    [("v26.0", "v26.0"), ("v21.0", "v21.0"), ("v20.0", "v21.0"), ("v13.0", "v21.0")],
)
def test_an_expired_version_is_answered_by_the_oldest_usable(
    server: SandboxServer, asked: str, answered: str
) -> None:
    answer = post(server, purchase(), version=asked)
    assert answer.status_code == 200
    assert answer.headers["facebook-api-version"] == answered


def test_versions_expire_by_the_sandbox_clock(server: SandboxServer) -> None:
    server.set_clock(datetime(2027, 6, 1, tzinfo=UTC))
    fresh = purchase(event_time=int(datetime(2027, 6, 1, tzinfo=UTC).timestamp()))
    assert post(server, fresh, version="v21.0").headers["facebook-api-version"] == "v23.0"


@pytest.mark.parametrize(
    "path", ["/v99.0/1/events", "/v26/1/events", "/v26.0/1/events/x", "/v26.0"]
)
def test_an_unknown_path_is_refused_as_the_graph_does(server: SandboxServer, path: str) -> None:
    answer = requests.post(server.url + path, json={"data": [purchase()]}, timeout=5)
    assert answer.status_code >= 400
    assert error(answer)["code"] == 2500


def test_a_call_without_a_version_gets_the_newest(server: SandboxServer) -> None:
    answer = requests.post(
        f"{server.url}/{DATASET}/events",
        json={"data": [purchase()], "access_token": TOKEN},
        timeout=5,
    )
    assert answer.status_code == 200
    assert answer.headers["facebook-api-version"] == "v26.0"


def test_usage_headers_appear_while_load_is_reported(server: SandboxServer) -> None:
    control(server, "PUT", "/usage", {"call_count": 93, "estimated_time_to_regain_access": 7})
    answer = post(server, purchase())
    assert orjson.loads(answer.headers["X-App-Usage"])["call_count"] == 93
    case = orjson.loads(answer.headers["X-Business-Use-Case-Usage"])[DATASET][0]
    assert case["estimated_time_to_regain_access"] == 7
    control(server, "DELETE", "/usage")
    assert "X-App-Usage" not in post(server, purchase()).headers


def test_a_test_event_code_is_noted_and_the_event_counts(server: SandboxServer) -> None:
    post(server, purchase(), test_event_code="TEST123")
    assert control(server, "GET", "/requests")["requests"][0]["test_event_code"] == "TEST123"
    assert counted(server) == (1, 0, 0)


def test_requests_sent_at_once_are_each_counted_once(server: SandboxServer) -> None:
    batches = [[purchase(f"{b}-{n}") for n in range(200)] for b in range(12)]
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda batch: post(server, *batch), [*batches, *batches]))
    assert {answer.status_code for answer in answers} == {200}
    assert counted(server) == (2400, 2400, 0)


def test_full_requests_are_taken_quickly(server: SandboxServer) -> None:
    bodies = [
        orjson.dumps({"data": [purchase(f"{batch}-{n}") for n in range(1000)]})
        for batch in range(5)
    ]
    with requests.Session() as session:
        session.headers.update(
            {"Authorization": f"Bearer {TOKEN}", "Content-Type": "application/json"}
        )
        started = time.process_time()
        for body in bodies:
            url = f"{server.url}/v26.0/{DATASET}/events"
            assert session.post(url, data=body, timeout=10).status_code == 200
        spent = time.process_time() - started
    # 0.2 s where it was written (client included); the bound only catches a change of order.
    assert spent < 2.0
    assert counted(server) == (5000, 0, 0)


ODD = st.none() | st.booleans() | st.integers(-(2**63), 2**63) | st.text(max_size=6) | st.floats()


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(
    st.sampled_from(["event_id", "event_time", "event_name", "opt_out", "action_source"]),
    ODD,
    st.sampled_from(["value", "currency", "order_id", "item_number", "content_ids"]),
    ODD | st.lists(ODD, max_size=2),
    st.sampled_from(["website", "physical_store"]),
)
def test_whatever_the_judge_lets_pass_can_be_booked(
    field: str, odd: Any, detail: str, odder: Any, source: str
) -> None:
    event = purchase(action_source=source)
    event |= {
        field: odd,
        "custom_data": {"value": 1, "currency": "EUR", detail: odder},
        "user_data": PERSON,
    }
    if validate_event(event, NOW) is None:
        inbox = Inbox()
        assert inbox.receive(DATASET, [event], NOW).accepted == 1
        inbox.close()
