"""Servers that refuse in every way and repeat what they were sent, secrets and people included:
in place of Meta and of the receivers of alerts."""

from __future__ import annotations

import json
import socketserver
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from tests.helpers.canaries import email


@dataclass(frozen=True)
class MetaAnswer:
    """How calls about one dataset are answered; without a code the body is a page in HTML."""

    status: int
    code: int | None = None
    subcode: int | None = None
    more: dict[str, Any] = field(default_factory=dict)


REFUSED_ORDER = "o3-60"
"""The order that is refused for its content where all others are accepted."""

ACCEPTS, ACCEPTS_SOME, DROPS = MetaAnswer(200, 0), MetaAnswer(200, 1), MetaAnswer(0)
ANSWERS = [
    ACCEPTS,
    MetaAnswer(401, 190, 463),
    MetaAnswer(400, 100, 33, {"type": "GraphMethodException"}),
    MetaAnswer(400, 368),
    MetaAnswer(302),
    MetaAnswer(400, 613),
    MetaAnswer(400, 987654),
    MetaAnswer(503, 2, None, {"is_transient": True}),
    MetaAnswer(502),
    MetaAnswer(200),
    MetaAnswer(413),
    MetaAnswer(400, 100, 2804016),
    MetaAnswer(400, 100, 2804003),
    MetaAnswer(400, 100, 2804065),
    ACCEPTS_SOME,
    DROPS,
]
"""One answer for each way on that delivery has (`tests/helpers/meta_answers.py` has them all)."""


@dataclass
class EchoingServers:
    """Where they listen, and what they were sent: path, headers but Authorization, and body."""

    answers: dict[str, MetaAnswer]
    http: str = ""
    smtp: str = ""
    received: list[bytes] = field(default_factory=list)
    authorised: set[str] = field(default_factory=set)


@contextmanager
def echoing_servers(answers: dict[str, MetaAnswer]) -> Iterator[EchoingServers]:
    """They listen on this machine while the block runs; `answers` by dataset."""
    world = EchoingServers(answers)
    http = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (_Http,), {"world": world}))
    smtp = socketserver.ThreadingTCPServer(("127.0.0.1", 0), _Smtp)
    smtp.daemon_threads = True
    world.http = f"127.0.0.1:{http.server_port}"
    world.smtp = f"127.0.0.1:{smtp.server_address[1]}"
    with ExitStack() as stack:
        for server in (http, smtp):
            threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
            stack.callback(server.server_close)
            stack.callback(server.shutdown)
        yield world


class _Http(BaseHTTPRequestHandler):
    world: EchoingServers

    def do_POST(self) -> None:
        self._answer(self.rfile.read(int(self.headers.get("Content-Length") or 0)))

    def do_GET(self) -> None:
        self._answer(b"")

    def log_message(self, *_: object) -> None:
        pass

    def _answer(self, body: bytes) -> None:
        headers = {k: v for k, v in self.headers.items() if k != "Authorization"}
        self.world.authorised.add(self.headers.get("Authorization", ""))
        self.world.received.append(json.dumps([self.path, headers]).encode() + b"\n" + body)
        # What was sent, and what only Meta might know of the person.
        echo = f"{self.headers.get('Authorization')} {email('meta')} {body.decode()} {self.path}"
        echo = echo.replace("appsecret_proof", "proof")  # by that word Meta says that it is wrong
        known = self.world.answers
        answer = next((known[part] for part in self.path.split("/") if part in known), ANSWERS[1])
        if answer is ACCEPTS and REFUSED_ORDER.encode() in body:
            answer = MetaAnswer(400, 100, 2804009)
        if answer is DROPS:
            self.close_connection = True
        elif answer.code is None:
            self._send(answer.status, f"<!DOCTYPE html><title>{echo}</title>".encode(), echo)
        else:
            self._send(answer.status, json.dumps(_document(answer, echo, body)).encode(), echo)

    def _send(self, status: int, content: bytes, echo: str) -> None:
        self.send_response(status, echo.partition("\n")[0][:60])
        for name in ("X-App-Usage", "X-Business-Use-Case-Usage", "X-Echo", "facebook-api-version"):
            self.send_header(name, echo[:300].replace("\n", " "))
        self.send_header("Retry-After", "0")
        self.send_header("Location", f"http://127.0.0.1:9/?{echo[:250].replace(' ', '%20')}")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)


def _document(answer: MetaAnswer, echo: str, body: bytes) -> dict[str, Any]:
    if answer in (ACCEPTS, ACCEPTS_SOME):
        sent = len(json.loads(body)["data"]) if b'"data"' in body else 0
        received = sent if answer is ACCEPTS else sent + 7
        return {"events_received": received, "messages": [echo], "fbtrace_id": echo}
    texts = ("message", "type", "fbtrace_id", "error_user_title", "error_user_msg")
    return {
        "error": {
            **dict.fromkeys(texts, echo),
            "type": "OAuthException",
            "code": answer.code,
            "error_subcode": answer.subcode,
            "error_data": {"blame_field_specs": [[echo], ["data[0]", echo]], "echo": echo},
            **answer.more,
        }
    }


class _Smtp(socketserver.StreamRequestHandler):
    """Offers a login, and refuses it with what was sent."""

    def handle(self) -> None:
        self.wfile.write(b"220 mail\r\n")
        while line := self.rfile.readline().strip():
            if line.upper().startswith(b"EHLO"):
                self.wfile.write(b"250-mail\r\n250 AUTH PLAIN LOGIN\r\n")
            else:
                self.wfile.write(b"535 refused: " + line + b"\r\n")
