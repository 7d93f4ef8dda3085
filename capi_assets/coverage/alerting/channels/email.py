"""Alerts by e-mail: one plain-text mail per tick, sent through a mail server by SMTP."""

from __future__ import annotations

import smtplib
import socket
import ssl
from collections.abc import Sequence
from dataclasses import dataclass, field
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import formatdate, make_msgid
from urllib.parse import unquote, urlsplit

from capi_assets.coverage.alerting.channels.message import Failure, Message, spelled_out
from capi_assets.coverage.alerting.channels.retry import Attempt, Retries

_SOME_REFUSED = "recipients not accepted"
_THIS_MACHINE = ("127.0.0.1", "::1", "localhost")


_PORTS = {"smtps": 465, "smtp": 587}


@dataclass(frozen=True, slots=True)
class SmtpAddress:
    """Where mail is handed in. With `smtps` the connection is encrypted from its first byte; with
    `smtp` it is encrypted by STARTTLS as soon as the server offers that."""

    host: str
    port: int
    encrypted: bool
    user: str | None = None
    password: str | None = field(default=None, repr=False)


def smtp_address(url: str) -> SmtpAddress:
    """The parts of an `smtps://` or `smtp://` URL; user and password may be percent-encoded.

    Raises:
        ValueError: it is none; the message says what is wrong and shows nothing of it.
    """
    try:
        parts = urlsplit(url.strip())
        host, port = parts.hostname, parts.port
    except ValueError:
        raise ValueError("not a URL: a port is a number, and brackets belong to IPv6") from None
    if parts.scheme not in _PORTS:
        raise ValueError("must begin with smtps:// or smtp://")
    if not host:
        raise ValueError("names no host")
    if (parts.username is None) != (parts.password is None):
        raise ValueError("needs user and password, or neither")
    return SmtpAddress(
        host,
        port or _PORTS[parts.scheme],
        parts.scheme == "smtps",
        None if parts.username is None else unquote(parts.username),
        None if parts.password is None else unquote(parts.password),
    )


@dataclass
class EmailChannel(Retries):
    """One mail per tick to all of `to`.

    `url` is the mail server's, as `smtp_address` reads it. A password never travels in the clear,
    save to this machine. Connection failures and the server's 4xx answers are tried again.
    """

    url: str = field(repr=False)
    sender: str
    to: Sequence[str] = field(repr=False)
    name: str = "email"
    timeout: float = 5.0
    tls: ssl.SSLContext | None = field(default=None, repr=False)

    def send(self, messages: Sequence[Message]) -> Failure | None:
        if not messages:
            return None
        try:
            server = smtp_address(self.url)
        except ValueError as error:
            return Failure(self.name, f"CAPI_SMTP_URL: {error}")
        try:
            mail = mail_of(messages, self.sender, self.to)
        except (ValueError, IndexError):
            return Failure(self.name, "an address of sender or recipients cannot be used")
        reason = self.run_with_retry(lambda: self._hand_in(mail, server))
        if not reason:
            return None
        # The others have it: once more would reach them twice.
        return Failure(self.name, reason, 0 if _SOME_REFUSED in reason else None)

    def _hand_in(self, mail: EmailMessage, server: SmtpAddress) -> Attempt:
        """One try; what a server says is not repeated, since it quotes addresses."""
        try:
            with self._connect(server) as connection:
                if server.user is not None and server.password is not None:
                    connection.login(server.user, server.password)
                refused = connection.send_message(mail, self.sender, list(self.to))
        except _NotSafe:
            return Attempt("the server offers no encryption (STARTTLS) for the password")
        except smtplib.SMTPRecipientsRefused as error:
            codes = [code for code, _ in error.recipients.values()]
            return Attempt(f"no recipient accepted (SMTP {min(codes)})", max(codes) < 500)
        except smtplib.SMTPResponseException as error:
            return Attempt(f"SMTP {error.smtp_code}", 400 <= error.smtp_code < 500)
        except ssl.SSLError as error:
            return Attempt(type(error).__name__)
        except (OSError, smtplib.SMTPServerDisconnected) as error:
            return Attempt(type(error).__name__, again=True)
        except (smtplib.SMTPException, ValueError) as error:
            return Attempt(type(error).__name__)
        if refused:
            return Attempt(f"{len(refused)} of {len(self.to)} {_SOME_REFUSED}")
        return Attempt()

    def _connect(self, server: SmtpAddress) -> smtplib.SMTP:
        own_name = socket.gethostname()  # the default asks the DNS, which may take long
        tls = self.tls or ssl.create_default_context()
        if server.encrypted:
            return smtplib.SMTP_SSL(
                server.host, server.port, own_name, timeout=self.timeout, context=tls
            )
        connection = smtplib.SMTP(server.host, server.port, own_name, timeout=self.timeout)
        try:
            connection.ehlo_or_helo_if_needed()
            if connection.has_extn("starttls"):
                connection.starttls(context=tls)
                connection.ehlo()
            elif server.password is not None and server.host not in _THIS_MACHINE:
                raise _NotSafe
        except BaseException:
            connection.close()
            raise
        return connection


class _NotSafe(Exception):
    """The password would travel in the clear."""


def mail_of(messages: Sequence[Message], sender: str, to: Sequence[str]) -> EmailMessage:
    """The mail for one tick: all texts, and a subject that names the first alert.

    Raises:
        ValueError: an address is not allowed in a header.
    """
    mail = EmailMessage(policy=SMTP)
    first = " ".join((messages[0].subject or messages[0].text).split())
    first = first if len(first) <= 150 else f"{first[:149]}…"
    more = f" (and {len(messages) - 1} more)" if len(messages) > 1 else ""
    mail["Subject"] = f"[capi] {first}{more}"
    mail["From"] = sender
    mail["To"] = ", ".join(to)
    mail["Date"] = formatdate(localtime=False, usegmt=True)
    mail["Message-ID"] = make_msgid(domain=sender.rpartition("@")[2].strip("> ") or "localhost")
    mail["Auto-Submitted"] = "auto-generated"  # RFC 3834: no holiday reply, please
    mail.set_content("\n\n".join(spelled_out(messages)) + "\n")
    return mail
