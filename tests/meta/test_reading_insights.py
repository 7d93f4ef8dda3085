"""Meta's own counts, read over HTTP: shapes, refusals, pages, and no secret anywhere."""

from __future__ import annotations

import json
import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pyarrow as pa
import pytest
import requests
from hypothesis import given, settings
from hypothesis import strategies as st

from capi_assets.meta.graph.client import DatasetAccess
from capi_assets.meta.graph.errors import ErrorKind
from capi_assets.meta.graph.insights import (
    QUALITY,
    SERVER_COUNTS,
    InsightsResult,
    dataset_quality,
    server_stats,
)
from capi_assets.meta.graph.reads import ANSWER_LIMIT, GraphReader, ReadError
from capi_assets.meta.graph.session import proof
from capi_assets.sandbox.run import SandboxServer

DATASET, TOKEN, SECRET = "1234567890123456", "EAAtokenThatNobodyMaySee", "app-secret-nobody-sees"
NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)
START, END = NOW - timedelta(hours=24), NOW + timedelta(hours=1)
SHA = "b" * 64


@pytest.fixture(scope="module")
def shared() -> Iterator[SandboxServer]:
    with SandboxServer(
        clock=lambda: NOW, tokens=[TOKEN], datasets={DATASET: "Shop"}, app_secret=SECRET
    ) as running:
        yield running


@pytest.fixture
def meta(shared: SandboxServer) -> SandboxServer:
    """A sandbox that wants a proof of the app secret, with nothing received and no faults."""
    shared.clear_faults()
    shared.inbox.clear()
    shared.renew_token(TOKEN)
    return shared


def access(url: str, token: str = TOKEN, secret: str | None = SECRET) -> DatasetAccess:
    return DatasetAccess(DATASET, token, app_secret=secret, graph_url=url)


def stats(url: str, **given: Any) -> InsightsResult:
    with GraphReader(access(url, **given)) as reader:
        return server_stats(reader, START, END)


def quality(url: str) -> InsightsResult:
    with GraphReader(access(url)) as reader:
        return dataset_quality(reader)


def event(number: int, hours_ago: float, name: str = "Purchase", **person: Any) -> dict[str, Any]:
    return {
        "event_name": name,
        "event_time": int(NOW.timestamp() - hours_ago * 3600),
        "event_id": str(number),
        "action_source": "website",
        "event_source_url": "https://shop.example/",
        "user_data": {"em": [SHA], "client_user_agent": "M", **person},
        "custom_data": {"value": 1, "currency": "EUR"},
    }


def send(meta: SandboxServer, *events: dict[str, Any]) -> None:
    meta.inbox.receive(DATASET, list(events), NOW)


@contextmanager
def answering(answer: Callable[[str], tuple[int, dict[str, str], bytes]]) -> Iterator[Any]:
    """A server that answers with `answer(path)`; yields its address and what it was sent."""
    seen: list[tuple[str, dict[str, str]]] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self, form: str = "") -> None:
            seen.append((self.path, dict(self.headers)))
            status, headers, body = answer(self.path + form)
            self.send_response(status)
            for name, value in {"Content-Length": str(len(body)), **headers}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

        def do_POST(self) -> None:
            self.do_GET(self.rfile.read(int(self.headers["Content-Length"])).decode())

        def log_message(self, *args: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", seen
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def document(body: Any, status: int = 200) -> tuple[int, dict[str, str], bytes]:
    return status, {"Content-Type": "application/json"}, json.dumps(body).encode()


def bucket(hour: str, *counts: tuple[str, Any]) -> dict[str, Any]:
    return {
        "aggregation": "event",
        "start_time": hour,
        "data": [{"value": name, "count": count} for name, count in counts],
    }


def test_server_events_are_read_by_hour_and_name(meta: SandboxServer) -> None:
    send(meta, event(1, 0.5), event(2, 0.6), event(3, 3.5), event(4, 0.5, "Lead"))
    send(meta, event(5, 30))  # before the start
    told = stats(meta.url)
    assert told.unread is None
    assert told.table.schema == SERVER_COUNTS
    assert told.table.to_pylist() == [
        {"hour": NOW - timedelta(hours=4), "event_name": "Purchase", "events": 1},
        {"hour": NOW - timedelta(hours=1), "event_name": "Lead", "events": 1},
        {"hour": NOW - timedelta(hours=1), "event_name": "Purchase", "events": 2},
    ]


def test_no_events_are_no_rows_and_no_trouble(meta: SandboxServer) -> None:
    told = stats(meta.url)
    assert (told.table.num_rows, told.unread) == (0, None)


def test_quality_is_read_with_our_names_of_the_keys(meta: SandboxServer) -> None:
    bare = event(3, 0.5)
    del bare["user_data"]["em"]
    send(meta, event(1, 0.5, external_id=[SHA]), event(2, 0.6), event(4, 0.7), bare)
    told = quality(meta.url)
    assert told.table.schema == QUALITY
    rows = {(r["measure"], r["key"]): r["value"] for r in told.table.to_pylist()}
    assert rows["match_key", "em"] == 75
    assert rows["match_key", "client_user_agent"] == 100
    assert rows["match_key", "external_id"] == 25
    assert rows["dedup_key_server", "event_id"] == 100
    assert rows["dedup_key_browser", "event_id"] == 0
    assert 0 < rows["score", None] <= 10
    [frequency] = [r for r in told.table.to_pylist() if r["measure"] == "upload_frequency"]
    assert frequency["words"] == "hourly"


def test_coverage_of_the_pixel_comes_with_metas_goal() -> None:
    web = {
        "event_name": "Purchase",
        "event_match_quality": {
            "composite_score": 7.4,
            "match_key_feedback": [{"identifier": "new_key", "coverage": {"percentage": 12}}],
        },
        "event_coverage": {"percentage": 64, "goal_percentage": 75},
        "dedupe_key_feedback": [
            {
                "dedupe_key": "event_id",
                "overall_browser_coverage_from_dedupe_key": {"percentage": 61.5},
            }
        ],
    }
    with answering(lambda path: document({"web": [web]})) as (url, _):
        told = quality(url)
    rows = {(r["measure"], r["key"]): (r["value"], r["goal"]) for r in told.table.to_pylist()}
    assert rows == {
        ("score", None): (7.4, None),
        ("match_key", "new_key"): (12, None),
        ("event_coverage", None): (64, 75),
        ("dedup_key_overall", "event_id"): (61.5, None),
    }


@pytest.mark.parametrize(
    ("fault", "obstacle", "kind", "code"),
    [
        ("insights_refused", ReadError.MAY_NOT, ErrorKind.PERMISSION, 200),
        ("permission_lost", ReadError.MAY_NOT, ErrorKind.PERMISSION, 200),
        ("unknown_dataset", ReadError.MAY_NOT, ErrorKind.PERMISSION, 100),
        ("permission_missing", ReadError.MAY_NOT, ErrorKind.PERMISSION, 100),
        ("insights_denied", ReadError.MAY_NOT, ErrorKind.PERMISSION, 100),
        ("expired_token", ReadError.MAY_NOT, ErrorKind.TOKEN, 190),
        ("insights_throttled", ReadError.NOT_NOW, ErrorKind.THROTTLED, 80004),
    ],
)
def test_what_may_not_be_read_is_told_by_its_kind(
    meta: SandboxServer, fault: str, obstacle: ReadError, kind: ErrorKind, code: int
) -> None:
    send(meta, event(1, 0.5))
    meta.set_fault(fault)
    for told in (stats(meta.url), quality(meta.url)):
        assert told.table.num_rows == 0
        assert told.unread is not None
        assert (told.unread.obstacle, told.unread.problem.kind) == (obstacle, kind)
        assert told.unread.code == code
    meta.clear_faults()
    assert stats(meta.url).table.num_rows == 1


def test_the_faults_of_insights_let_events_and_the_node_through(meta: SandboxServer) -> None:
    meta.set_fault("insights_refused")
    meta.set_fault("insights_throttled")
    assert meta.state.faults.draw("events", DATASET, NOW) is None
    assert meta.state.faults.draw("reads", DATASET, NOW) is None
    assert meta.state.faults.draw("insights", DATASET, NOW) is not None


def test_the_app_secret_is_proven(meta: SandboxServer) -> None:
    told = stats(meta.url, secret=None)
    assert told.unread is not None
    assert told.unread.problem == (ErrorKind.TOKEN, "app_secret_wrong")


def test_nobody_listening_is_not_now() -> None:
    with answering(lambda path: document({"data": []})) as (url, _):
        pass
    told = stats(url)
    assert told.unread is not None
    assert told.unread.obstacle is ReadError.NOT_NOW
    assert told.unread.problem.reason == "no_answer"


@pytest.mark.parametrize(
    ("answer", "obstacle"),
    [
        ((503, {}, b"<html>sorry</html>"), ReadError.NOT_NOW),
        ((200, {}, b"<html>log in</html>"), ReadError.NOT_NOW),
        ((200, {}, b'{"data": [{"start'), ReadError.NOT_NOW),
        ((302, {"Location": "http://127.0.0.1:1/elsewhere"}, b""), ReadError.NOT_NOW),
        ((200, {"Content-Length": "100"}, b'{"data": []}'), ReadError.NOT_NOW),
        (document([1, 2]), ReadError.UNCLEAR),
        (document({"data": "none"}), ReadError.UNCLEAR),
        (document({"data": [bucket("2026-11-20T11:00:00", ("Purchase", 1))]}), ReadError.UNCLEAR),
        (document({"data": [bucket("soon", ("Purchase", 1))]}), ReadError.UNCLEAR),
        (
            document({"data": [bucket("2026-11-20T11:00:00+0000", ("Purchase", -1))]}),
            ReadError.UNCLEAR,
        ),
        (document({"data": [{"start_time": "2026-11-20T11:00:00+0000"}]}), ReadError.UNCLEAR),
        (document({"error": {"code": 100, "message": "Denied"}}, 400), ReadError.MAY_NOT),
        ((200, {}, b"[" * 100_000), ReadError.NOT_NOW),
    ],
)
def test_an_odd_answer_is_no_answer_and_never_raises(
    answer: tuple[int, dict[str, str], bytes], obstacle: ReadError
) -> None:
    with answering(lambda path: answer) as (url, seen):
        told = stats(url)
    assert told.table.num_rows == 0
    assert told.unread is not None
    assert told.unread.obstacle is obstacle
    assert len(seen) == 1


def test_an_answer_without_end_is_not_read_to_its_end() -> None:
    huge = b'{"data": [' + b" " * ANSWER_LIMIT + b"]}"
    with answering(lambda path: (200, {}, huge)) as (url, _):
        told = stats(url)
    assert told.unread is not None
    assert told.unread.obstacle is ReadError.UNCLEAR


def test_all_pages_are_read_from_our_address_alone() -> None:
    def answer(path: str) -> tuple[int, dict[str, str], bytes]:
        if "after=two" in path:
            asked_for = bucket("2026-11-20T10:00:00+0000", ("Purchase", "4"))
            not_asked_for = bucket("2026-11-20T13:00:00+0000", ("Purchase", 9))
            return document({"data": [asked_for, not_asked_for]})
        further = f"http://127.0.0.1:1/v26.0/{DATASET}/stats?after=two&access_token=stolen"
        counts = bucket("2026-11-20T11:30:00-0030", ("Purchase", 3), ("Lead", 1))
        return document({"data": [counts], "paging": {"next": further}})

    with answering(answer) as (url, seen):
        told = stats(url, secret=None)
    counts = {(r["hour"].hour, r["event_name"]): r["events"] for r in told.table.to_pylist()}
    assert counts == {(10, "Purchase"): 4, (12, "Purchase"): 3, (12, "Lead"): 1}
    assert [("after=two" in path) for path, _ in seen] == [False, True]
    assert not any("access_token" in path for path, _ in seen)


def test_pages_that_never_end_are_given_up() -> None:
    def answer(path: str) -> tuple[int, dict[str, str], bytes]:
        counts = bucket("2026-11-20T11:00:00+0000", ("Purchase", 3))
        return document({"data": [counts], "paging": {"next": "https://x.example/?after=same"}})

    with answering(answer) as (url, seen):
        told = stats(url)
    assert told.unread is not None
    assert len(seen) <= 3


def test_half_an_answer_is_none() -> None:
    def answer(path: str) -> tuple[int, dict[str, str], bytes]:
        if "after" in path:
            return document({"error": {"code": 80004}}, 400)
        counts = bucket("2026-11-20T11:00:00+0000", ("Purchase", 3))
        return document({"data": [counts], "paging": {"next": "https://x.example/?after=b"}})

    with answering(answer) as (url, _):
        told = stats(url)
    assert told.table.num_rows == 0
    assert told.unread is not None
    assert told.unread.obstacle is ReadError.NOT_NOW


def test_the_token_travels_in_the_header_and_shows_nowhere_else(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch, tmp_path: Any
) -> None:
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login someone password else\n")
    monkeypatch.setenv("NETRC", str(netrc))
    caplog.set_level(logging.DEBUG)
    with answering(lambda path: document({"error": {"code": 190}}, 401)) as (url, seen):
        reader = GraphReader(access(url))
        with reader:
            told = (server_stats(reader, START, END), dataset_quality(reader))
        shown = f"{reader!r} {reader.access!r} {told} {[t.unread for t in told]}"
    assert [headers["Authorization"] for _, headers in seen] == [f"Bearer {TOKEN}"] * 2
    for secret in (TOKEN, SECRET, proof(TOKEN, SECRET)["appsecret_proof"]):
        assert secret not in shown
        assert secret not in caplog.text
        assert not any(secret in path for path, _ in seen)


def test_a_redirect_is_not_followed() -> None:
    with answering(lambda path: document({"data": []})) as (other, followed):
        head = {"Location": f"{other}/login"}
        with answering(lambda path: (307, head, b"")) as (url, _):
            told = stats(url)
    assert told.unread is not None
    assert followed == []


_NAMES = (
    *("data", "web", "start_time", "value", "count", "event_name", "coverage", "percentage"),
    *("event_match_quality", "match_key_feedback", "dedupe_key_feedback"),
)
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(_NAMES),
            inner,
            max_size=4,
        )
    ),
    max_leaves=12,
)


class _Canned(GraphReader):
    """A reader whose answers are given."""

    def __init__(self, answer: Any) -> None:
        super().__init__(access("http://127.0.0.1:1"))
        self._answer = answer

    def get(self, path: str, asked: Any) -> Any:
        return self._answer


@settings(max_examples=150, deadline=None)
@given(st.dictionaries(st.sampled_from(["data", "web", "paging"]), json_values))
def test_no_answer_whatsoever_raises(answer: dict[str, Any]) -> None:
    with _Canned(answer) as reader:
        assert isinstance(server_stats(reader, START, END).table, pa.Table)
        assert dataset_quality(reader).table.schema == QUALITY


def test_the_sandbox_can_count_as_meta_might(meta: SandboxServer) -> None:
    send(meta, event(1, 5.5), event(2, 5.5))
    send(meta, event(1, 5.5))

    def counting(**way: Any) -> list[tuple[int, int]]:
        answer = requests.put(f"{meta.url}/_sandbox/counting", json=way, timeout=5)
        assert answer.status_code == 200, answer.text
        rows = stats(meta.url).table.to_pylist()
        return [((NOW - row["hour"]) // timedelta(hours=1), row["events"]) for row in rows]

    try:
        assert counting() == [(6, 2)]
        assert counting(after_dedup=False) == [(6, 3)]
        assert counting(basis="receipt") == [(0, 2)]
        assert counting(settle_minutes=30) == []
        assert counting(lost_share=0.5) == [(6, 1)]
        assert counting(lost_share=0.5, lost_from=(NOW - timedelta(hours=2)).isoformat()) == [
            (6, 2)
        ]
    finally:
        requests.delete(f"{meta.url}/_sandbox/counting", timeout=5)
    wrong = requests.put(f"{meta.url}/_sandbox/counting", json={"basis": "moon"}, timeout=5)
    assert wrong.status_code == 400
