"""Faults switched over HTTP while the sandbox runs: how each looks, and when it strikes."""

from __future__ import annotations

import re
import socket
import time
from datetime import timedelta
from typing import Any

import orjson
import pytest
import requests

from capi_assets.sandbox.faults import KINDS
from capi_assets.sandbox.run import SandboxServer
from tests.helpers.sandbox_samples import (
    DATASET,
    NOW,
    NOW_S,
    TOKEN,
    codes,
    control,
    counted,
    error,
    get,
    inspect,
    post,
    purchase,
)


def switch_on(server: SandboxServer, kind: str, **settings: Any) -> None:
    control(server, "PUT", "/faults", {"kind": kind, **settings})


@pytest.mark.parametrize(
    ("kind", "expected", "transient"),
    [
        ("expired_token", (401, 190, 463), False),
        ("invalid_token", (401, 190, None), False),
        ("permission_lost", (403, 200, None), False),
        ("unknown_dataset", (400, 100, 33), False),
        ("throttled", (400, 4, None), True),
        ("server_error", (503, 2, None), True),
        ("app_secret_required", (400, 100, None), False),
        ("permission_missing", (400, 100, None), False),
        ("unknown_path", (400, 2500, None), False),
        ("not_linked", (400, 100, 2804131), False),
        ("future_event_time", (400, 100, 2804004), False),
        ("error", (400, 100, None), False),
    ],
)
def test_a_refusing_fault_books_nothing_and_ends_when_switched_off(
    server: SandboxServer, kind: str, expected: tuple[int, int, int | None], transient: bool
) -> None:
    switch_on(server, kind)
    answer = post(server, purchase())
    assert codes(answer) == expected
    assert error(answer).get("is_transient", False) is transient
    assert answer.headers["facebook-api-version"] == "v26.0"
    assert counted(server) == (0, 0, 0)
    [noted] = control(server, "GET", "/requests")["requests"]
    assert (noted["status"], noted["code"], noted["fault"], noted["sent"]) == (
        *expected[:2],
        kind,
        1,
    )
    control(server, "DELETE", "/faults")
    assert post(server, purchase()).status_code == 200


def test_a_refusal_can_be_made_to_say_anything(server: SandboxServer) -> None:
    said = {"message": "No", "type": "GraphMethodException", "code": 80004, "is_transient": True}
    switch_on(server, "error", http_status=409, subcode=2446079, title="Non", **said)
    answer = post(server, purchase())
    assert answer.status_code == 409
    told = {**said, "error_subcode": 2446079, "error_user_title": "Non"}
    assert error(answer).items() >= told.items()


def test_a_title_can_end_in_half_an_emoji(server: SandboxServer) -> None:
    switch_on(server, "broken_title")
    answer = post(server, purchase())
    assert b"\\ud83d" in answer.content
    assert error(answer)["error_user_title"].endswith("\ud83d")


def test_an_unknown_error_follows_an_accepted_request(server: SandboxServer) -> None:
    switch_on(server, "unknown_error")
    assert codes(post(server, purchase())) == (500, 1, 99)
    assert counted(server) == (1, 0, 0)


def test_stats_can_come_in_pages_one_of_them_empty(server: SandboxServer) -> None:
    hours = [NOW_S - 3600 * back - 1800 for back in range(5)]
    post(server, *(purchase(back, event_time=at) for back, at in enumerate(hours)))
    [*whole] = get(server, f"/v26.0/{DATASET}/stats").json()["data"]
    switch_on(server, "insights_in_pages")
    pages, address = [], f"{server.url}/v26.0/{DATASET}/stats?aggregation=event"
    while address:
        body = get(server, address.removeprefix(server.url)).json()
        pages.append(body["data"])
        address = body.get("paging", {}).get("next")
    assert [len(page) for page in pages] == [2, 0, 3]
    assert [item for page in pages for item in page] == whole


def test_counts_can_be_denied_while_events_are_accepted(server: SandboxServer) -> None:
    switch_on(server, "insights_denied")
    refused = get(server, f"/v26.0/{DATASET}/stats")
    assert (codes(refused), error(refused)["message"]) == (
        (400, 100, None),
        "(#100) Permission Denied",
    )
    assert post(server, purchase()).status_code == 200


def test_throttling_says_when_to_come_back_if_it_is_told_to(server: SandboxServer) -> None:
    switch_on(server, "throttled", retry_after=17, regain_minutes=9, http_status=429)
    answer = post(server, purchase())
    assert answer.status_code == 429
    assert answer.headers["Retry-After"] == "17"
    case = orjson.loads(answer.headers["X-Business-Use-Case-Usage"])[DATASET][0]
    assert case["estimated_time_to_regain_access"] == 9
    switch_on(server, "throttled", usage_headers=False)
    bare = post(server, purchase())
    assert not {"Retry-After", "X-App-Usage"} & set(bare.headers)


@pytest.mark.parametrize(
    ("kind", "status", "content"),
    [
        ("html", 502, "<h1>"),
        ("request_too_large", 413, "<h1>"),
        ("unavailable_text", 200, "Service Unavailable"),
    ],
)
def test_what_is_not_json_is_not_json(
    server: SandboxServer, kind: str, status: int, content: str
) -> None:
    switch_on(server, kind)
    answer = post(server, purchase())
    assert answer.status_code == status
    assert content in answer.text
    assert counted(server) == (0, 0, 0)


def test_a_redirect_leads_to_a_login_page(server: SandboxServer) -> None:
    switch_on(server, "redirect")
    answer = post(server, purchase())
    assert (answer.status_code, answer.headers["Location"]) == (302, "/login/")
    assert "<h1>" in requests.get(server.url + "/login/", timeout=5).text


def test_a_truncated_answer_follows_an_accepted_request(server: SandboxServer) -> None:
    switch_on(server, "truncated_json")
    answer = post(server, purchase())
    assert answer.status_code == 200
    with pytest.raises(requests.JSONDecodeError):
        answer.json()
    assert counted(server) == (1, 0, 0)


def test_too_few_are_confirmed_although_all_were_accepted(server: SandboxServer) -> None:
    switch_on(server, "too_few_received", missing=2)
    assert post(server, *map(purchase, range(5))).json()["events_received"] == 3
    assert counted(server) == (5, 0, 0)


def raw_call(server: SandboxServer) -> bytes:
    """All bytes that come back on the wire until the server closes the connection."""
    body = orjson.dumps({"data": [purchase()]})
    head = (
        f"POST /v26.0/{DATASET}/events HTTP/1.1\r\nHost: localhost\r\n"
        f"Authorization: Bearer {TOKEN}\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    host, port = server.url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=5) as line:
        line.sendall(head.encode() + body)
        received = b""
        while chunk := line.recv(65536):
            received += chunk
    return received


def test_hanging_up_after_accepting_sends_no_byte(server: SandboxServer) -> None:
    switch_on(server, "hang_up_after_accepting")
    assert raw_call(server) == b""
    assert counted(server) == (1, 0, 0)
    with pytest.raises(requests.ConnectionError):
        post(server, purchase())
    control(server, "DELETE", "/faults")
    # Tried again, it is a duplicate: that is what the sender could not know.
    assert post(server, purchase()).status_code == 200
    assert counted(server) == (1, 2, 0)
    assert [r["status"] for r in control(server, "GET", "/requests")["requests"]] == [200, 0, 0]


def test_hanging_up_before_reading_books_nothing(server: SandboxServer) -> None:
    switch_on(server, "hang_up_before_reading")
    with pytest.raises(requests.ConnectionError):
        post(server, *map(purchase, range(1000)))
    assert counted(server) == (0, 0, 0)


def test_an_answer_can_break_off_in_the_middle(server: SandboxServer) -> None:
    switch_on(server, "cut_off_answer")
    head, _, body = raw_call(server).partition(b"\r\n\r\n")
    assert b"200" in head
    length = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
    assert 0 < len(body) < length
    assert counted(server) == (1, 0, 0)


def test_a_read_timeout_is_an_accepted_request_without_an_answer(server: SandboxServer) -> None:
    switch_on(server, "read_timeout")
    with pytest.raises(requests.ReadTimeout):
        post(server, purchase(), timeout=0.3)
    assert counted(server) == (1, 0, 0)
    last = control(server, "GET", "/requests")["requests"][0]
    assert (last["status"], last["fault"]) == (0, "read_timeout")


def test_silence_ends_when_the_server_stops() -> None:
    server = SandboxServer(clock=lambda: NOW).start()
    server.set_fault("read_timeout")
    host, port = server.url.removeprefix("http://").split(":")
    line = socket.create_connection((host, int(port)), timeout=5)
    line.sendall(b"POST /v26.0/1/events HTTP/1.1\r\nHost: localhost\r\nContent-Length: 2\r\n\r\n{}")
    time.sleep(0.2)
    started = time.monotonic()
    server.stop()
    assert time.monotonic() - started < 3
    assert line.recv(100) == b""
    line.close()


def test_a_slow_answer_comes_late_but_honest(server: SandboxServer) -> None:
    switch_on(server, "slow", latency_ms=300)
    started = time.monotonic()
    assert post(server, purchase()).json()["events_received"] == 1
    assert time.monotonic() - started >= 0.3


def test_slowness_holds_up_nobody_else(server: SandboxServer) -> None:
    switch_on(server, "slow", latency_ms=1500, event_id="Purchase:slow")
    with pytest.raises(requests.ReadTimeout):
        post(server, purchase("slow"), timeout=0.1)
    started = time.monotonic()
    assert post(server, purchase("quick")).status_code == 200
    assert time.monotonic() - started < 1


def test_a_dripping_answer_takes_its_time_byte_by_byte(server: SandboxServer) -> None:
    switch_on(server, "slow_drip", latency_ms=5)
    started = time.monotonic()
    answer = post(server, purchase(), timeout=1)
    assert answer.json()["events_received"] == 1
    assert time.monotonic() - started > 0.005 * len(answer.content) * 0.9


def test_a_server_error_may_hide_an_accepted_request(server: SandboxServer) -> None:
    switch_on(server, "server_error", accepts=True, count=1)
    assert post(server, purchase()).status_code == 503
    assert post(server, purchase()).status_code == 200
    assert counted(server) == (1, 1, 0)


def test_a_hang_up_can_refuse_to_book(server: SandboxServer) -> None:
    switch_on(server, "hang_up_after_accepting", accepts=False)
    with pytest.raises(requests.ConnectionError):
        post(server, purchase())
    assert counted(server) == (0, 0, 0)


def test_count_ends_a_fault(server: SandboxServer) -> None:
    switch_on(server, "server_error", count=2)
    assert [post(server, purchase()).status_code for _ in range(4)] == [503, 503, 200, 200]


def test_share_and_seed_strike_the_same_calls_again(server: SandboxServer) -> None:
    def struck() -> list[int]:
        switch_on(server, "server_error", share=0.4, seed=11)
        return [post(server, purchase()).status_code for _ in range(30)]

    first = struck()
    assert struck() == first
    assert 3 < first.count(503) < 27


def test_a_fault_keeps_to_its_dataset_and_its_event(server: SandboxServer) -> None:
    switch_on(server, "server_error", dataset="elsewhere")
    assert post(server, purchase()).status_code == 200
    switch_on(server, "error", event_id="Purchase:7", subcode=2804019)
    assert post(server, purchase(6), purchase(8)).status_code == 200
    assert codes(post(server, purchase(6), purchase(7))) == (400, 100, 2804019)


def test_a_fault_keeps_to_its_hours_on_the_sandbox_clock(server: SandboxServer) -> None:
    switch_on(
        server, "expired_token", after="2026-11-20T13:00:00Z", until="2026-11-20T15:00:00+00:00"
    )
    answered = []
    for hours in (0, 1, 2, 3):
        server.set_clock(NOW + timedelta(hours=hours))
        answered.append(post(server, purchase()).status_code)
    assert answered == [200, 401, 401, 200]


@pytest.mark.parametrize(
    "kind",
    ["expired_token", "invalid_token", "permission_lost", "permission_missing", "unknown_path"],
)
def test_lost_access_strikes_reads_too(server: SandboxServer, kind: str) -> None:
    switch_on(server, kind)
    refused = codes(post(server, purchase()))
    assert codes(get(server, f"/v26.0/{DATASET}/stats")) == refused
    assert codes(get(server, f"/v26.0/{DATASET}")) == refused


def test_an_app_that_asks_for_its_secret_tells_nothing_of_a_token(server: SandboxServer) -> None:
    switch_on(server, "app_secret_required")
    assert codes(inspect(server, TOKEN)) == (400, 100, None)
    assert error(inspect(server, TOKEN))["type"] == "GraphMethodException"


def test_an_expired_token_shows_in_debug_token(server: SandboxServer) -> None:
    switch_on(server, "expired_token")
    told = inspect(server, TOKEN).json()["data"]
    assert (told["is_valid"], told["error"]["subcode"]) == (False, 463)


def test_an_unwell_meta_leaves_reads_alone(server: SandboxServer) -> None:
    switch_on(server, "server_error")
    assert get(server, f"/v26.0/{DATASET}").status_code == 200


def test_a_list_replaces_all_faults_and_one_kind_can_go(server: SandboxServer) -> None:
    switch_on(server, "html")
    told = control(server, "PUT", "/faults", [{"kind": "slow"}, {"kind": "throttled"}])
    assert [fault["kind"] for fault in told["faults"]] == ["slow", "throttled"]
    assert control(server, "DELETE", "/faults?kind=slow") == {"removed": 1}
    assert [f["kind"] for f in control(server, "GET", "/faults")["faults"]] == ["throttled"]


@pytest.mark.parametrize(
    "wrong",
    [
        {},
        {"kind": "no_such"},
        {"kind": "html", "colour": "red"},
        {"kind": "html", "share": 2},
        {"kind": "html", "after": "2026-11-20T13:00:00"},
        {"kind": "html", "struck": 3},
        {"kind": "html", "share": "half"},
        {"kind": "html", "count": "2"},
        {"kind": "html", "until": 17},
        {"kind": "error", "http_status": 99},
        "html",
    ],
)
def test_a_fault_that_cannot_be_read_is_refused_with_the_reason(
    server: SandboxServer, wrong: dict[str, Any]
) -> None:
    answer = requests.put(server.url + "/_sandbox/faults", json=wrong, timeout=5)
    assert answer.status_code == 400
    assert answer.json()["problem"]
    assert control(server, "GET", "/faults")["faults"] == []


def test_every_kind_but_the_free_one_has_a_button(server: SandboxServer) -> None:
    page = requests.get(server.url, timeout=5).text
    assert set(re.findall('id="fault-([a-z_]+)"', page)) == set(KINDS) - {"error"}
