"""A mail server written as a URL: `smtps://user:password@mail.example.com:465`."""

from __future__ import annotations

from dataclasses import dataclass, field
from urllib.parse import unquote, urlsplit

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
