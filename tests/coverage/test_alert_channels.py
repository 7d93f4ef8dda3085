"""A channel delivers or says why not; it never raises, and its address stays secret."""

from __future__ import annotations

import json
import logging
import socket
import threading
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from capi_assets.coverage.alerting.channels import (
    Failure,
    JsonChannel,
    LogChannel,
    Message,
    WebhookChannel,
    deliver,
    send_all,
    webhook_text,
)
from capi_assets.coverage.sensor_state import SensorState

SECRET = "T0SECRET/B0SECRET"
NEWS = [Message("10 orders < 5 & more are missing")]


class Hook:
    """A webhook that answers as told and keeps what it received."""

    def __init__(self) -> None:
        self.answers: list[tuple[int, dict[str, str]]] = []
        self.received: list[dict] = []
        hook = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                length = int(self.headers["Content-Length"])
                hook.received.append(json.loads(self.rfile.read(length)))
                status, headers = hook.answers.pop(0) if hook.answers else (200, {})
                self.send_response(status)
                for name, value in headers.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", "2")
                self.end_headers()
                self.wfile.write(b"ok")

            def log_message(self, *_: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/services/{SECRET}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()


@pytest.fixture
def hook() -> Iterator[Hook]:
    hook = Hook()
    yield hook
    hook.server.shutdown()
    hook.server.server_close()


def channel(url: str, pauses: list[float] | None = None) -> WebhookChannel:
    kept = [] if pauses is None else pauses
    return WebhookChannel(url, timeout=(1, 1), sleep=kept.append)


def test_one_look_is_one_post_in_slacks_form(hook: Hook) -> None:
    assert channel(hook.url).send([*NEWS, Message("and this")]) is None
    assert hook.received == [{"text": "10 orders &lt; 5 &amp; more are missing\n\nand this"}]


def test_nothing_to_tell_is_no_post(hook: Hook) -> None:
    assert channel(hook.url).send([]) is None
    assert hook.received == []


def test_a_passing_fault_is_tried_again_with_the_pause_it_asks_for(hook: Hook) -> None:
    hook.answers = [(503, {}), (429, {"Retry-After": "2"})]
    pauses: list[float] = []
    assert channel(hook.url, pauses).send(NEWS) is None
    assert len(hook.received) == 3
    assert pauses == [0.5, 2.0]


def test_a_long_pause_is_cut_short_and_the_attempts_are_bounded(hook: Hook) -> None:
    hook.answers = [(429, {"Retry-After": "3600"})] * 9
    pauses: list[float] = []
    failure = channel(hook.url, pauses).send(NEWS)
    assert failure == Failure("webhook", "HTTP 429, tried 3 times")
    assert pauses == [5.0, 5.0]


@pytest.mark.parametrize("status", [301, 400, 403, 404, 410])
def test_a_lasting_refusal_is_not_tried_again(hook: Hook, status: int) -> None:
    hook.answers = [(status, {"Location": hook.url})]
    assert channel(hook.url).send(NEWS) == Failure("webhook", f"HTTP {status}, tried once")
    assert len(hook.received) == 1


@pytest.mark.parametrize(
    "address",
    [
        "nonsense",
        "ftp://host/x",
        "http://",
        "http://[bad/",
        "http://127.0.0.1:99999/",
        "",
        "http://\x00",
    ],
)
def test_an_address_that_cannot_be_used_is_a_failure_without_the_address(address: str) -> None:
    failure = channel(address).send(NEWS)
    assert failure is not None
    assert not address or address not in failure.reason


def test_nobody_listening_is_a_failure_without_the_address() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # bound, not listening: refused
        port = taken.getsockname()[1]
        failure = channel(f"http://127.0.0.1:{port}/services/{SECRET}").send(NEWS)
    assert failure == Failure("webhook", "ConnectionError, tried 3 times")


def test_a_silent_listener_is_given_up_on() -> None:
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        url = f"http://127.0.0.1:{silent.getsockname()[1]}/"
        failure = WebhookChannel(url, attempts=1, timeout=(1, 0.2)).send(NEWS)
    assert failure == Failure("webhook", "ReadTimeout, tried once")


def test_the_address_is_in_no_log_and_no_repr(hook: Hook, caplog: pytest.LogCaptureFixture) -> None:
    hook.answers = [(503, {}), (404, {})]
    with caplog.at_level(logging.DEBUG):
        failure = channel(hook.url).send(NEWS)
        logging.getLogger("urllib3.connectionpool").debug("others are heard again")
    assert failure is not None
    seen = caplog.text + repr(channel(hook.url)) + repr(failure)
    assert "SECRET" not in seen
    assert "others are heard again" in seen


def test_a_flood_is_counted_not_poured_out() -> None:
    text = webhook_text([Message(f"gap {n}") for n in range(33)])
    assert "gap 9" in text
    assert "gap 10" not in text
    assert text.endswith("And 23 more: see open_gaps in Dagster.")


def test_the_log_has_a_level_for_each_severity(caplog: pytest.LogCaptureFixture) -> None:
    messages = [
        Message("a %s", "warn"),
        Message("b", "error"),
        Message("c", "error", good=True),
    ]
    with caplog.at_level(logging.INFO):
        assert LogChannel(logging.getLogger("capi")).send(messages) is None
    assert [(r.levelname, r.message) for r in caplog.records] == [
        ("WARNING", "a %s"),
        ("ERROR", "b"),
        ("INFO", "c"),
    ]


def test_a_failing_channel_does_not_silence_the_others(
    hook: Hook, caplog: pytest.LogCaptureFixture
) -> None:
    hook.answers = [(404, {})]
    with caplog.at_level(logging.INFO):
        failures = send_all([channel(hook.url), LogChannel(logging.getLogger("capi"))], NEWS)
    assert [f.reason for f in failures] == ["HTTP 404, tried once"]
    assert "10 orders" in caplog.text


def test_programs_get_a_document_per_alert(hook: Hook) -> None:
    documents = [{"schema": "capi_assets.alert", "kind": "opened", "gap_id": n} for n in "ab"]
    told = [Message("x", document=document) for document in documents]
    assert JsonChannel(hook.url, timeout=(1, 1)).send(told) is None
    assert hook.received == documents


def test_what_is_no_gap_is_a_document_too(hook: Hook) -> None:
    assert JsonChannel(hook.url, timeout=(1, 1)).send([Message("token ends", "error")]) is None
    assert hook.received == [
        {
            "schema": "capi_assets.alert",
            "version": 1,
            "kind": "notice",
            "good": False,
            "severity": "error",
            "text": "token ends",
        }
    ]


def test_documents_that_were_not_delivered_are_counted(hook: Hook) -> None:
    hook.answers = [(200, {}), (503, {}), (404, {})]
    pauses: list[float] = []
    channel = JsonChannel(hook.url, timeout=(1, 1), sleep=pauses.append)
    failure = channel.send([Message("a"), Message("b"), Message("c")])
    assert failure == Failure("json", "2 of 3 alerts not delivered: HTTP 404, tried 2 times")
    assert [body["text"] for body in hook.received] == ["a", "b", "b"]


class Stuck:
    """A channel that hangs, and one that breaks its promise never to raise."""

    name = "stuck"

    def __init__(self, until: threading.Event | None) -> None:
        self._until = until

    def send(self, messages: Sequence[Message]) -> Failure | None:
        if self._until is None:
            raise OSError("https://secret.example/hook")
        self._until.wait()
        return None


def test_neither_a_stuck_nor_a_broken_channel_holds_up_the_others(hook: Hook) -> None:
    free = threading.Event()
    try:
        failures = send_all([Stuck(free), Stuck(None), channel(hook.url)], NEWS, longest=1.0)
    finally:
        free.set()
    assert failures == [Failure("stuck", "not through after 1 s"), Failure("stuck", "OSError")]
    assert len(hook.received) == 1


NOW = datetime(2026, 11, 20, 13, tzinfo=UTC)


def test_an_alert_that_could_not_be_sent_is_sent_later(hook: Hook) -> None:
    hook.answers = [(404, {}), (404, {})]
    web = channel(hook.url)
    failures, unsent = deliver([web], [Message("first")], {}, NOW)
    assert len(failures) == 1
    unsent = dict(SensorState.from_json(SensorState(unsent=unsent).to_json()).unsent)
    # With news it is tried at once, without any only after a pause.
    failures, unsent = deliver([web], [Message("second")], unsent, NOW + timedelta(minutes=1))
    assert len(failures) == 1
    failures, unsent = deliver([web], [], unsent, NOW + timedelta(minutes=2))
    assert not failures
    assert len(hook.received) == 2
    failures, unsent = deliver([web], [], unsent, NOW + timedelta(minutes=7))
    assert (failures, unsent) == ([], {})
    assert hook.received[-1] == {"text": "first\n\nsecond"}


def test_only_what_is_left_is_sent_again(hook: Hook) -> None:
    hook.answers = [(200, {}), (404, {})]
    programs = JsonChannel(hook.url, timeout=(1, 1))
    _, unsent = deliver([programs], [Message("a"), Message("b", "error")], {}, NOW)
    assert deliver([programs], [], unsent, NOW + timedelta(hours=1)) == ([], {})
    assert [body["text"] for body in hook.received] == ["a", "b", "b"]
    assert hook.received[1] == hook.received[2]


def test_old_news_and_floods_are_not_kept_for_ever(hook: Hook) -> None:
    hook.answers = [(404, {})] * 9
    flood = [Message(f"gap {n}") for n in range(100)]
    _, unsent = deliver([channel(hook.url)], flood, {}, NOW)
    assert len(unsent["webhook"].messages) == 20
    assert unsent["webhook"].messages[-1][1].text == "gap 99"
    posts = len(hook.received)
    assert deliver([channel(hook.url)], [], unsent, NOW + timedelta(hours=13)) == ([], {})
    assert len(hook.received) == posts
    assert deliver([], [], unsent, NOW) == ([], {})  # its address was taken out of the settings
