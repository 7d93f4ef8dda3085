"""To which address the access token may go, how every HTTP call of ours is made, and what of an
address or a value may be shown.

`settings.py` checks CAPI_GRAPH_URL with it, `meta/graph` every dataset before a client is made.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Collection
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import requests
from requests.utils import get_auth_from_url

if TYPE_CHECKING:
    from sqlalchemy import URL

META_HOST = "graph.facebook.com"

# Parsers disagree about user information, backslashes, escapes and several @, so an address has
# only what an address of ours can need: scheme, host, port and a plain path.
_ADDRESS = re.compile(
    r"(https?)://(\[[0-9A-Fa-f:]+\]|[A-Za-z0-9.-]+)(?::([0-9]{1,5}))?(?:/[A-Za-z0-9._~/-]*)?"
)


def graph_url_problem(url: str, hosts_allowed: Collection[str] = ()) -> str | None:
    """Why the token may not go to `url`; None if it may.

    It may go to graph.facebook.com and to `hosts_allowed` (`host`, or `host:port` for a port other
    than 443) over https, and to loopback. The text never shows the address.

        graph_url_problem("https://graph.facebook.com.evil.example")  # not Meta's host ...
    """
    match = _ADDRESS.fullmatch(url)
    if match is None:
        return "must be https://host, without user, password, query or special characters"
    scheme, host, port = match[1], match[2].lower(), match[3]
    if _is_loopback(host.strip("[]")):
        return None
    if scheme != "https":
        return "must begin with https://; plain http is for loopback only"
    if (host if port in (None, "443") else f"{host}:{port}") in {META_HOST, *hosts_allowed}:
        return None
    return (
        f"its host is neither {META_HOST} nor loopback; if the token may go there, name it in"
        " CAPI_GRAPH_HOSTS_ALLOWED (with its port, if that is not 443)"
    )


def is_loopback(url: str) -> bool:
    """Whether `url` leads to this machine: localhost, 127.0.0.0/8 or [::1]."""
    try:
        return _is_loopback(urlsplit(url).hostname or "")
    except ValueError:
        return False


def _is_loopback(host: str) -> bool:
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


# Access tokens of Meta begin with EAA and have more than 100 characters; an app's token is
# `id|secret`; an app's secret has 32 hexadecimal digits.
_TOKEN = re.compile(r"EAA[A-Za-z0-9]{20}|\b[0-9]{6,}\|[A-Za-z0-9_-]{20}|^[0-9a-f]{32}$")
# A password may hold any character; a port is no password.
_PASSWORD = re.compile(
    r"://[^/:@\s]*:(?!\d{1,5}(?:/|$))\S*@|[?&](?:password|passwd|pwd|secret|access_token)=", re.I
)


def secret_problem(text: str) -> str | None:
    """Why `text` must not be the value of a setting that is shown; None if it may.

    Finds access tokens, app secrets, and URLs with a password. The answer shows nothing of it.
    """
    if _TOKEN.search(text):
        return f"looks like an access token or app secret ({len(text)} characters); not shown"
    if _PASSWORD.search(text):
        return f"contains a password ({len(text)} characters); not shown"
    return None


def database_url_problem(url: str) -> str | None:
    """Why `url` is no address of a database; None if SQLAlchemy reads it as its author meant it.

    Of a password with a bare @, SQLAlchemy takes a part for the host, which drivers then name.
    """
    if url.startswith("sqlite:///") and "?" not in url:
        return None  # a file: commands that open no database need not load SQLAlchemy
    from sqlalchemy import make_url
    from sqlalchemy.exc import ArgumentError

    try:
        parsed = make_url(url)
    except (ArgumentError, ValueError):  # ValueError: its port is no number, perhaps a password
        return (
            f"is not a SQLAlchemy URL ({len(url)} characters); write sqlite:///data/ledger.db or"
            " postgresql+psycopg2://user:password@host/database, in a password @ as %40, : as %3A"
            " and / as %2F"
        )
    if parsed.get_backend_name() != "sqlite" and "@" in f"{parsed.host}{parsed.database}":
        return "has more than one @; in user and password write @ as %40 and / as %2F"
    return None


def database_label(url: str) -> str:
    """`url` without password and values of its query, for people.

    database_label("postgresql://me:pw@host/shop?password=pw")  # postgresql://me:***@host/shop?…
    """
    from sqlalchemy import make_url

    if database_url_problem(url):
        return "a database whose URL is not valid"
    parsed = make_url(url)
    shown = parsed.set(query={}).render_as_string(hide_password=True)
    return f"{shown}?…" if parsed.query else shown


def spark_label(url: str) -> str:
    """An address of Spark Connect without its parameters, which may have a token, for people.

    spark_label("sc://host:443/;token=abc;use_ssl=true")  # sc://host:443
    """
    return "/".join(url.split("/")[:3])


def without_passwords(text: str, url: URL) -> str:
    """`text`, such as a driver's message, without the password and query values of `url`."""
    for value in (url.password, *url.normalized_query.get("password", ())):
        if value:
            text = text.replace(str(value), "***")
    return text


def open_session(url: str) -> requests.Session:
    """A session for calls to `url`: a call to loopback uses no proxy, and none sends ~/.netrc.

    Proxies and certificates of the environment (HTTPS_PROXY, REQUESTS_CA_BUNDLE) count elsewhere.
    """
    session = requests.Session()
    session.trust_env = not is_loopback(url)
    # requests reads ~/.netrc for calls without an auth, even if the address has user and password.
    own = get_auth_from_url(url)
    session.auth = own if any(own) else _unchanged
    return session


def _unchanged(request: requests.PreparedRequest) -> requests.PreparedRequest:
    return request
