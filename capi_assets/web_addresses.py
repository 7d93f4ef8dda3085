"""To which address the access token may go, and how every HTTP call of ours is made.

`settings.py` checks CAPI_GRAPH_URL with it, `meta/graph` every dataset before a client is made.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Collection
from urllib.parse import urlsplit

import requests
from requests.utils import get_auth_from_url

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
