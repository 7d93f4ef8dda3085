"""The HTTP client: the right bytes out, any answer back, no secret anywhere else."""

from __future__ import annotations

import hashlib
import hmac
import json
import logging
import socket
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from capi_assets.meta.graph.client import DatasetAccess, MetaClient, RequestOutcome
from capi_assets.meta.graph.errors import Body, ErrorKind

TOKEN = "EAAsecrettoken"
SECRET = "app-secret-value"
EVENT = b'{"event_name":"Purchase","user_data":{"em":["ab"]}}'
GOOD = json.dumps({"events_received": 1, "messages": [], "fbtrace_id": "Axyz"}).encode()

Answering = Callable[[BaseHTTPRequestHandler], None]


class Meta:
    """A server whose next answers a test sets; keeps what it was sent."""

    def __init__(self) -> None:
        self.answer: Answering = reply(200, GOOD)
        self.seen: list[dict[str, Any]] = []
        meta = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                meta.seen.append({"path": self.path, "headers": dict(self.headers), "body": body})
                meta.answer(self)

            def log_message(self, *_: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.server.handle_error = lambda *_: None  # type: ignore[method-assign]
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"
        threading.Thread(target=self.server.serve_forever, args=(0.01,), daemon=True).start()


def reply(status: int, body: bytes, **headers: str) -> Answering:
    def answer(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(status)
        for name, value in headers.items():
            handler.send_header(name.replace("_", "-"), value)
        handler.send_header("Content-Length", str(len(body)))
        handler.end_headers()
        handler.wfile.write(body)

    return answer


@pytest.fixture
def meta() -> Iterator[Meta]:
    server = Meta()
    yield server
    server.server.shutdown()
    server.server.server_close()


def access(meta: Meta, **changes: Any) -> DatasetAccess:
    return DatasetAccess(**{"dataset_id": "42", "token": TOKEN, "graph_url": meta.url, **changes})


def client(meta: Meta, **changes: Any) -> MetaClient:
    return MetaClient(access(meta, **changes), read_timeout=2, deadline=3)


class TestWhatGoesOut:
    def test_the_events_own_bytes_joined(self, meta: Meta) -> None:
        sender = client(meta)
        odd = b'{"event_name":"Purchase", "value": 1.10,"n":"\xc3\xa9"}'
        sender.post(sender.body([EVENT, odd]))
        assert meta.seen[0]["body"] == b'{"data":[' + EVENT + b"," + odd + b"]}"
        assert meta.seen[0]["headers"]["Content-Type"] == "application/json"

    def test_the_address_names_version_and_dataset_and_no_secret(self, meta: Meta) -> None:
        sender = client(meta, app_secret=SECRET)
        sender.post(sender.body([EVENT]))
        assert meta.seen[0]["path"] == "/v26.0/42/events"

    def test_the_token_is_in_the_authorization_header_only(self, meta: Meta) -> None:
        sender = client(meta)
        sender.post(sender.body([EVENT]))
        seen = meta.seen[0]
        assert seen["headers"].pop("Authorization") == f"Bearer {TOKEN}"
        assert TOKEN not in repr(seen)

    def test_fields_beside_data(self, meta: Meta) -> None:
        sender = client(
            meta, test_event_code='TEST"1', partner_agent="capi-assets", app_secret=SECRET
        )
        sender.post(sender.body([EVENT]))
        document = json.loads(meta.seen[0]["body"])
        proof = hmac.new(SECRET.encode(), TOKEN.encode(), hashlib.sha256).hexdigest()
        assert document == {
            "data": [json.loads(EVENT)],
            "test_event_code": 'TEST"1',
            "partner_agent": "capi-assets",
            "appsecret_proof": proof,
        }

    def test_a_netrc_file_does_not_replace_the_token(
        self, meta: Meta, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        netrc = tmp_path / "netrc"
        netrc.write_text("machine 127.0.0.1 login someone password else\n")
        monkeypatch.setenv("NETRC", str(netrc))
        sender = client(meta)
        sender.post(sender.body([EVENT]))
        assert meta.seen[0]["headers"]["Authorization"] == f"Bearer {TOKEN}"

    def test_a_redirect_is_not_followed(self, meta: Meta) -> None:
        meta.answer = reply(307, b"", Location=meta.url + "/elsewhere")
        sender = client(meta)
        answer = sender.post(sender.body([EVENT]))
        assert answer.http_status == 307
        assert len(meta.seen) == 1


class TestWhatComesBack:
    def test_an_accepted_request(self, meta: Meta) -> None:
        meta.answer = reply(200, GOOD, facebook_api_version="v26.0", X_App_Usage='{"call_count":3}')
        answer = client(meta).post(b"{}")
        assert answer.arrival is RequestOutcome.ANSWERED
        assert (answer.http_status, answer.events_received) == (200, 1)
        assert answer.error.fbtrace_id == "Axyz"
        assert answer.api_version == "v26.0"
        assert answer.usage == {"X-App-Usage": '{"call_count":3}'}

    def test_a_refusal_with_its_codes_and_without_its_texts(self, meta: Meta) -> None:
        error = {"message": "em jane@example.com", "code": 190, "error_subcode": 463}
        meta.answer = reply(401, json.dumps({"error": error}).encode())
        answer = client(meta).post(b"{}")
        assert (answer.http_status, answer.error.code, answer.error.subcode) == (401, 190, 463)
        assert "jane" not in repr(answer)

    @pytest.mark.parametrize("number", ['"1"', "true", "1.0", "null", "[1]"])
    def test_only_a_whole_number_of_events_counts(self, meta: Meta, number: str) -> None:
        meta.answer = reply(200, b'{"events_received":' + number.encode() + b"}")
        assert client(meta).post(b"{}").events_received is None

    def test_html_and_nothing(self, meta: Meta) -> None:
        meta.answer = reply(502, b"<html>Bad gateway</html>")
        assert client(meta).post(b"{}").error.body is Body.HTML
        meta.answer = reply(503, b"")
        assert client(meta).post(b"{}").error.body is Body.EMPTY

    def test_a_body_cut_short_keeps_its_status(self, meta: Meta) -> None:
        def cut(handler: BaseHTTPRequestHandler) -> None:
            handler.send_response(200)
            handler.send_header("Content-Length", "500")
            handler.end_headers()
            handler.wfile.write(b'{"events_rec')
            handler.close_connection = True

        meta.answer = cut
        answer = client(meta).post(b"{}")
        assert (answer.arrival, answer.http_status) == (RequestOutcome.ANSWERED, 200)
        assert answer.error.body is Body.TRUNCATED
        assert answer.fault is not None

    def test_a_hang_up_is_no_answer(self, meta: Meta) -> None:
        def hang_up(handler: BaseHTTPRequestHandler) -> None:
            handler.connection.shutdown(socket.SHUT_RDWR)
            handler.close_connection = True

        meta.answer = hang_up
        assert client(meta).post(b"{}").arrival is RequestOutcome.NO_ANSWER

    def test_a_refused_connection_was_not_sent(self, unused: str) -> None:
        nowhere = MetaClient(DatasetAccess("42", TOKEN, graph_url=unused))
        assert nowhere.post(b"{}").arrival is RequestOutcome.NOT_SENT

    def test_an_unknown_host_was_not_sent(self) -> None:
        nowhere = MetaClient(
            DatasetAccess(
                "42", TOKEN, graph_url="https://nowhere.invalid", hosts_allowed=("nowhere.invalid",)
            )
        )
        assert nowhere.post(b"{}").arrival is RequestOutcome.NOT_SENT

    def test_a_server_that_speaks_no_tls_is_no_answer_and_no_exception(self, meta: Meta) -> None:
        # The handshake fails after bytes have gone out; nothing says that they were no request.
        secure = MetaClient(access(meta, graph_url=meta.url.replace("http:", "https:")))
        assert secure.post(b"{}").arrival is RequestOutcome.NO_ANSWER


class TestRenewedToken:
    """A token from a file or a command may be replaced while a run goes on."""

    def refusing(self, meta: Meta, *tokens: str) -> None:
        def answer(handler: BaseHTTPRequestHandler) -> None:
            refused = any(handler.headers["Authorization"] == f"Bearer {t}" for t in tokens)
            body = json.dumps({"error": {"code": 190}}).encode()
            reply(*((401, body) if refused else (200, GOOD)))(handler)

        meta.answer = answer

    def test_a_newer_token_is_read_once_meta_refuses_the_old_one(self, meta: Meta) -> None:
        self.refusing(meta, TOKEN)
        reads = iter(["EAAnewer"])
        sender = client(meta, renew=lambda: next(reads), app_secret=SECRET)
        body = sender.body([EVENT])
        assert [sender.post(body).problem(1) for _ in range(2)] == [None, None]
        assert [seen["headers"]["Authorization"] for seen in meta.seen] == [
            f"Bearer {token}" for token in (TOKEN, "EAAnewer", "EAAnewer")
        ]
        newest = json.loads(meta.seen[-1]["body"])
        assert newest["data"] == [json.loads(EVENT)]
        proof = hmac.new(SECRET.encode(), b"EAAnewer", hashlib.sha256).hexdigest()
        assert newest["appsecret_proof"] == proof

    @pytest.mark.parametrize("found", [TOKEN, "", "not a token", LookupError("no such file")])
    def test_without_a_newer_token_nothing_is_sent_again(
        self, meta: Meta, found: str | Exception
    ) -> None:
        def renew() -> str:
            if isinstance(found, Exception):
                raise found
            return found

        self.refusing(meta, TOKEN)
        sender = client(meta, renew=renew)
        problem = sender.post(sender.body([EVENT])).problem(1)
        assert problem is not None
        assert problem.kind is ErrorKind.TOKEN
        assert len(meta.seen) == 1

    def test_no_other_answer_reads_the_token_again(self, meta: Meta) -> None:
        for status, code in ((400, 100), (400, 80004), (500, 2), (403, 200)):
            meta.answer = reply(status, json.dumps({"error": {"code": code}}).encode())
            sender = client(meta, renew=lambda: pytest.fail("read again"))
            sender.post(sender.body([EVENT]))
        assert len(meta.seen) == 4


class TestTime:
    def test_silence_ends_with_the_read_timeout(self, meta: Meta) -> None:
        meta.answer = lambda _: time.sleep(6)
        started = time.monotonic()
        sender = MetaClient(access(meta), read_timeout=0.2)
        assert sender.post(b"{}").arrival is RequestOutcome.NO_ANSWER
        assert time.monotonic() - started < 4

    @pytest.mark.parametrize("part", ["headers", "body"])
    def test_a_drip_ends_with_the_deadline(self, meta: Meta, part: str) -> None:
        def drip(handler: BaseHTTPRequestHandler) -> None:
            start = b"HTTP/1.1 200 OK\r\n"
            slow = b"X-Slow: " + b"a" * 200 if part == "headers" else b""
            if part == "body":
                start += b"Content-Length: 200\r\n\r\n"
                slow = b" " * 200
            handler.wfile.write(start)
            for byte in slow:
                handler.wfile.write(bytes([byte]))
                handler.wfile.flush()
                time.sleep(0.05)

        meta.answer = drip
        started = time.monotonic()
        sender = MetaClient(access(meta), read_timeout=2, deadline=0.4)
        answer = sender.post(b"{}")
        assert time.monotonic() - started < 4
        assert answer.events_received is None
        assert answer.arrival is not RequestOutcome.NOT_SENT

    def test_an_endless_answer_is_read_only_so_far(self, meta: Meta) -> None:
        meta.answer = reply(200, b" " * (3 * 1024 * 1024) + GOOD)
        assert client(meta).post(b"{}").events_received is None

    def test_one_clients_deadline_does_not_touch_its_next_request(self, meta: Meta) -> None:
        sender = MetaClient(access(meta), deadline=0.3)
        assert sender.post(b"{}").events_received == 1
        time.sleep(0.4)
        assert sender.post(b"{}").events_received == 1


class TestSecrets:
    def test_none_is_in_a_repr_or_a_log(self, meta: Meta, caplog: pytest.LogCaptureFixture) -> None:
        sender = client(meta, app_secret=SECRET)
        with caplog.at_level(logging.DEBUG):
            sender.post(sender.body([EVENT]))
        told = repr(sender) + repr(sender.access) + caplog.text
        for secret in (TOKEN, SECRET, "Bearer", "Purchase"):
            assert secret not in told

    @pytest.mark.parametrize(
        "token", ["", "two words", '"quoted"', "'quoted'", "ended\n", "käse", "tab\there"]
    )
    def test_a_token_that_cannot_be_one_is_refused_without_repeating_it(self, token: str) -> None:
        with pytest.raises(ValueError, match="access token of dataset 42") as caught:
            DatasetAccess("42", token)
        assert not token or token not in str(caught.value)

    @pytest.mark.parametrize(
        "changes",
        [
            {"graph_url": "graph.facebook.com"},
            {"graph_url": "https://x/?access_token=1"},
            {"version": "26"},
            {"dataset_id": ""},
            {"partner_agent": "a-name-that-goes-on-too-long"},
            {"partner_agent": "7-1"},
        ],
    )
    def test_an_access_that_leads_nowhere_is_refused_at_once(self, changes: dict[str, str]) -> None:
        with pytest.raises(ValueError, match=next(iter(changes))):
            DatasetAccess(**{"dataset_id": "42", "token": TOKEN, **changes})


@pytest.fixture
def unused() -> str:
    with socket.create_server(("127.0.0.1", 0)) as free:
        return f"http://127.0.0.1:{free.getsockname()[1]}"


def test_many_threads_may_use_one_client(meta: Meta) -> None:
    sender = client(meta)
    received: list[int | None] = []
    threads = [
        threading.Thread(target=lambda: received.append(sender.post(b"{}").events_received))
        for _ in range(12)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert received == [1] * 12
