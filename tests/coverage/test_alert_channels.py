"""A channel delivers or says why not; it never raises, and its address stays secret."""

from __future__ import annotations

import json
import logging
import socket
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from capi_assets.coverage.channels import (
    Failure,
    LogChannel,
    Message,
    WebhookChannel,
    send_all,
    webhook_text,
)

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
    assert text.endswith("And 23 more: see coverage_watch in Dagster.")


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
