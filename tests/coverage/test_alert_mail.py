"""Mail is handed in once per look, safely, and what goes wrong is told without an address."""

from __future__ import annotations

import email
import email.policy
import logging
import socket
import socketserver
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from email.message import EmailMessage

import pytest

from capi_assets.coverage.alerting.channels import EmailChannel, Failure, Message, smtp_address

TO = ["ops@shop.example", "ana@shop.example"]
NEWS = [Message("412 orders are missing – say 38.000 €.", subject="New gap: 412 orders")]


@dataclass
class Mailroom:
    """A mail server of this machine that answers as told and keeps what it received."""

    answers: dict[str, list[str]] = field(default_factory=dict)
    offers: tuple[str, ...] = ("AUTH PLAIN",)
    said: list[str] = field(default_factory=list)
    mails: list[EmailMessage] = field(default_factory=list)
    port: int = 0

    def answer(self, verb: str, usual: str) -> str:
        queue = self.answers.get(verb, [])
        return queue.pop(0) if queue else usual


@pytest.fixture
def room() -> Iterator[Mailroom]:
    room = Mailroom()

    class Handler(socketserver.StreamRequestHandler):
        def put(self, text: str) -> None:
            self.wfile.write(f"{text}\r\n".encode())

        def handle(self) -> None:
            self.put(room.answer("GREETING", "220 ready"))
            while line := self.rfile.readline().decode(errors="replace").rstrip("\r\n"):
                verb, _, rest = line.partition(" ")
                verb = verb.upper()
                room.said.append(f"{verb} {rest}".rstrip())
                if verb == "EHLO":
                    lines = ["room", *room.offers]
                    for text in lines[:-1]:
                        self.put(f"250-{text}")
                    self.put(f"250 {lines[-1]}")
                elif verb == "DATA":
                    self.put("354 go on")
                    content = b""
                    while (piece := self.rfile.readline()) != b".\r\n":
                        content += piece
                    answer = room.answer("DATA", "250 taken")
                    if answer.startswith("250"):
                        read = email.message_from_bytes(content, policy=email.policy.default)
                        assert isinstance(read, EmailMessage)
                        room.mails.append(read)
                    self.put(answer)
                elif verb == "QUIT":
                    self.put("221 bye")
                    return
                else:
                    self.put(room.answer(verb, "235 in" if verb == "AUTH" else "250 fine"))

    class Server(socketserver.ThreadingTCPServer):
        daemon_threads = True

        def handle_error(self, *_: object) -> None:
            """A client that hangs up, or speaks TLS where none is, is what some tests are about."""

    server = Server(("127.0.0.1", 0), Handler)
    room.port = server.server_address[1]
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield room
    server.shutdown()
    server.server_close()


def channel(room: Mailroom, login: str = "", pauses: list[float] | None = None) -> EmailChannel:
    kept = [] if pauses is None else pauses
    url = f"smtp://{login}127.0.0.1:{room.port}"
    return EmailChannel(url, "capi@shop.example", TO, sleep=kept.append)


def test_one_look_is_one_mail_to_all(room: Mailroom) -> None:
    assert channel(room).send([*NEWS, Message("and this")]) is None
    (mail,) = room.mails
    assert mail["Subject"] == "[capi] New gap: 412 orders (and 1 more)"
    assert mail["From"] == "capi@shop.example"
    assert mail["To"] == "ops@shop.example, ana@shop.example"
    assert mail["Auto-Submitted"] == "auto-generated"
    assert mail["Message-ID"].endswith("@shop.example>")
    assert mail["Date"]
    assert mail.get_content_type() == "text/plain"
    said = mail.get_content().splitlines()
    assert said == ["412 orders are missing – say 38.000 €.", "", "and this"]
    assert sum(line.startswith("RCPT") for line in room.said) == 2


def test_nothing_to_tell_is_no_mail(room: Mailroom) -> None:
    assert channel(room).send([]) is None
    assert room.said == []


def test_a_subject_never_breaks_the_mail(room: Mailroom) -> None:
    text = "New gap\r\nBcc: someone@else.example\n" + "x" * 300
    assert channel(room).send([Message(text)]) is None
    (mail,) = room.mails
    assert mail["Bcc"] is None
    assert mail["Subject"].startswith("[capi] New gap Bcc: someone@else.example xxx")
    assert len(mail["Subject"]) < 170


def test_user_and_password_may_hold_any_character(room: Mailroom) -> None:
    assert channel(room, "ops%40shop.example:p%3A%2Fw@").send(NEWS) is None
    assert any(line.startswith("AUTH PLAIN") for line in room.said)
    assert len(room.mails) == 1


def test_a_passing_fault_is_tried_again(room: Mailroom) -> None:
    room.answers = {"GREETING": ["421 busy"], "DATA": ["451 later"]}
    pauses: list[float] = []
    assert channel(room, pauses=pauses).send(NEWS) is None
    assert pauses == [0.5, 1.0]
    assert len(room.mails) == 1


def test_a_lasting_refusal_is_not_tried_again(room: Mailroom) -> None:
    room.answers = {"AUTH": ["535 no"] * 5}
    failure = channel(room, "u:secret@").send(NEWS)
    assert failure == Failure("email", "SMTP 535, tried once")


def test_refused_recipients_are_counted_and_the_others_are_not_mailed_twice(
    room: Mailroom,
) -> None:
    room.answers = {"RCPT": ["250 fine", "550 no such user"]}
    failure = channel(room).send(NEWS)
    assert failure == Failure("email", "1 of 2 recipients not accepted, tried once")
    assert len(room.mails) == 1
    room.answers = {"RCPT": ["550 no"] * 2}
    failure = channel(room).send(NEWS)
    assert failure == Failure("email", "no recipient accepted (SMTP 550), tried once")


def test_no_password_travels_in_the_clear(room: Mailroom, monkeypatch: pytest.MonkeyPatch) -> None:
    def here(*_: object, **__: object) -> list[object]:
        where = ("127.0.0.1", room.port)
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", where)]

    monkeypatch.setattr(socket, "getaddrinfo", here)  # mail.example is this machine, unknowingly
    url = f"smtp://u:secret@mail.example:{room.port}"
    failure = EmailChannel(url, TO[0], TO, sleep=lambda _: None).send(NEWS)
    assert failure is not None
    assert "no encryption" in failure.reason
    assert not any(line.startswith(("AUTH", "MAIL")) for line in room.said)


def test_starttls_is_used_where_it_is_offered(room: Mailroom) -> None:
    room.offers = ("STARTTLS", "AUTH PLAIN")
    room.answers = {"STARTTLS": ["454 not now"] * 3}
    failure = channel(room, "u:secret@").send(NEWS)
    assert failure is not None
    assert room.said.count("STARTTLS") == 3
    assert not any(line.startswith(("AUTH", "MAIL")) for line in room.said)


def test_a_server_without_tls_is_refused_by_smtps(room: Mailroom) -> None:
    url = f"smtps://u:secret@127.0.0.1:{room.port}"
    failure = EmailChannel(url, TO[0], TO, timeout=2, sleep=lambda _: None).send(NEWS)
    assert failure is not None
    assert not any("AUTH" in line for line in room.said)


def test_nobody_listening_is_a_failure_without_the_address() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # bound, not listening: refused
        url = f"smtp://u:secret@127.0.0.1:{taken.getsockname()[1]}"
        failure = EmailChannel(url, TO[0], TO, sleep=lambda _: None).send(NEWS)
    assert failure == Failure("email", "ConnectionRefusedError, tried 3 times")


def test_no_address_is_in_logs_reprs_or_failures(
    room: Mailroom, caplog: pytest.LogCaptureFixture
) -> None:
    room.answers = {"MAIL": ["550 capi@shop.example is not known to ops@shop.example"]}
    with caplog.at_level(logging.DEBUG):
        failure = channel(room, "user:secret@").send(NEWS)
    seen = caplog.text + repr(failure) + repr(channel(room, "user:secret@"))
    assert "secret" not in seen
    assert "ops@" not in seen


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("mail.example:465", "must begin with"),
        ("https://mail.example", "must begin with"),
        ("smtps://", "names no host"),
        ("smtps://user@mail.example", "needs user and password"),
        ("smtps://u:p@mail.example:port", "a port is a number"),
        ("", "must begin with"),
    ],
)
def test_a_server_that_cannot_be_used_is_said_without_showing_it(url: str, says: str) -> None:
    failure = EmailChannel(url, TO[0], TO).send(NEWS)
    assert failure is not None
    assert failure.reason.startswith("CAPI_SMTP_URL: ")
    assert says in failure.reason
    assert "mail.example" not in failure.reason


def test_a_server_is_read_from_its_url() -> None:
    found = smtp_address("smtps://ops%40shop:p%2Fw@mail.example")
    assert (found.host, found.port, found.encrypted) == ("mail.example", 465, True)
    assert (found.user, found.password) == ("ops@shop", "p/w")
    assert "p/w" not in repr(found)
    plain = smtp_address("smtp://127.0.0.1")
    assert (plain.port, plain.encrypted, plain.user) == (587, False, None)
