"""What Meta tells of a token, asked without ever putting it in a URL."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, HTTPServer
from threading import Thread

import pytest

from capi_assets.meta.graph.client import DatasetAccess
from capi_assets.meta.graph.debug_token import TokenFacts, debug_token
from capi_assets.sandbox.run import SandboxServer
from capi_assets.sandbox.tokens import digest_of

NOW = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)
TOKEN = "EAAB-debug-token"


@pytest.fixture(scope="module")
def meta() -> Iterator[SandboxServer]:
    with SandboxServer(clock=lambda: NOW, tokens=[TOKEN], app_secret="quiet") as running:
        yield running


def ask(meta: SandboxServer, token: str = TOKEN, secret: str | None = "quiet") -> TokenFacts:
    return debug_token(DatasetAccess("42", token, secret, graph_url=meta.url))


def test_a_token_without_end_is_told_as_such(meta: SandboxServer) -> None:
    meta.renew_token(TOKEN)
    found = ask(meta)
    assert (found.is_valid, found.never_expires, found.expires_at) == (True, True, None)
    assert "ads_management" in found.scopes
    assert found.api_version == "v26.0"


def test_both_ends_are_told(meta: SandboxServer) -> None:
    end, data = NOW + timedelta(days=3), NOW + timedelta(days=2)
    meta.state.tokens.put(digest_of(TOKEN), NOW, expires_at=end, data_access_expires_at=data)
    found = ask(meta)
    assert (found.expires_at, found.data_access_expires_at) == (end, data)
    assert not found.never_expires


def test_a_token_that_is_over_or_unknown_is_not_valid(meta: SandboxServer) -> None:
    meta.expire_token(TOKEN)
    found = ask(meta)
    assert (found.is_valid, found.code, found.subcode) == (False, 190, 463)
    assert not found.never_expires
    assert ask(meta, "mistyped").is_valid is False


def test_a_token_that_may_not_ask_is_no_fault(meta: SandboxServer) -> None:
    meta.state.tokens.put(digest_of(TOKEN), NOW, may_inspect=False)
    found = ask(meta)
    assert found.is_valid is None
    assert "Events Manager" in str(found.why_unknown)


def test_a_wrong_app_secret_is_told(meta: SandboxServer) -> None:
    meta.renew_token(TOKEN)
    for secret in ("other", None):
        found = ask(meta, secret=secret)
        assert (found.is_valid, found.code, found.reason) == (False, 100, "app_secret_wrong")


def test_nobody_there_is_not_known() -> None:
    found = debug_token(DatasetAccess("42", TOKEN, graph_url="http://127.0.0.1:9"))
    assert found.is_valid is None
    assert "did not answer" in str(found.why_unknown)


class Recorder(BaseHTTPRequestHandler):
    """Answers what the test says, and keeps request lines and headers."""

    said: tuple[int, dict[str, str], bytes] = (200, {}, b"")
    lines: list[str]
    headers_seen: list[dict[str, str]]

    def do_POST(self) -> None:
        type(self).lines.append(self.requestline)
        type(self).headers_seen.append(dict(self.headers))
        self.rfile.read(int(self.headers["Content-Length"]))
        status, headers, body = type(self).said
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args: object) -> None:
        """Silence."""


@pytest.fixture
def recorder() -> Iterator[tuple[type[Recorder], str]]:
    class Mine(Recorder):
        """With lists of its own."""

    Mine.lines, Mine.headers_seen = [], []

    server = HTTPServer(("127.0.0.1", 0), Mine)
    thread = Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield Mine, f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.mark.parametrize(
    "said",
    [
        b"",
        b"<html>",
        b"[]",
        b'{"data": []}',
        b'{"data": {"is_valid": "yes"}}',
        b'{"data": {"is_valid"',
        b'{"error": "no"}',
    ],
)
def test_an_answer_of_another_shape_is_not_known(
    recorder: tuple[type[Recorder], str], said: bytes
) -> None:
    mine, url = recorder
    mine.said = (200, {}, said)
    assert debug_token(DatasetAccess("42", TOKEN, graph_url=url)).is_valid is None


def test_absurd_values_are_left_out(recorder: tuple[type[Recorder], str]) -> None:
    mine, url = recorder
    data = {"is_valid": True, "expires_at": 10**30, "scopes": ["fine", 7, "not fine!"]}
    mine.said = (200, {}, json.dumps({"data": data}).encode())
    found = debug_token(DatasetAccess("42", TOKEN, graph_url=url))
    assert (found.expires_at, found.never_expires, found.scopes) == (None, False, ("fine",))


def test_the_token_is_never_in_a_url_a_log_or_an_error(
    recorder: tuple[type[Recorder], str], caplog: pytest.LogCaptureFixture
) -> None:
    mine, url = recorder
    mine.said = (302, {"Location": url + "/elsewhere"}, b"")
    with caplog.at_level(logging.DEBUG):
        found = debug_token(DatasetAccess("42", TOKEN, "secret", graph_url=url))
        gone = debug_token(DatasetAccess("42", TOKEN, graph_url="http://127.0.0.1:9"))
    assert mine.lines == ["POST /v26.0/debug_token HTTP/1.1"], "a redirect was followed"
    assert mine.headers_seen[0]["Authorization"] == f"Bearer {TOKEN}"
    assert TOKEN not in caplog.text + repr(found) + repr(gone)
