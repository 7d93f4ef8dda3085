"""How every call to Meta is made: the token in the Authorization header, a deadline, a proof.

Meta takes a token as a parameter too; a header stays out of URLs, proxies' logs and exceptions.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Callable

import requests

from capi_assets.meta.graph.deadline import DeadlineAdapter
from capi_assets.web_addresses import open_session


def signed_session(url: str, token: str, connections: int = 1) -> requests.Session:
    """A session for `url` that signs with `token` and keeps the deadline of `deadline.within`.

    Whoever calls must not follow redirects: they would carry the token elsewhere.
    """
    session = open_session(url)
    session.auth = bearer(token)
    session.headers.update({"Accept-Encoding": "identity"})
    for scheme in ("http://", "https://"):
        session.mount(scheme, DeadlineAdapter(connections))
    return session


def bearer(token: str) -> Callable[[requests.PreparedRequest], requests.PreparedRequest]:
    """An `auth`, because requests lets a ~/.netrc replace a plain Authorization header."""

    def sign(request: requests.PreparedRequest) -> requests.PreparedRequest:
        request.headers["Authorization"] = f"Bearer {token}"
        return request

    return sign


def proof(token: str, app_secret: str | None) -> dict[str, str]:
    """The parameter appsecret_proof, if there is a secret (Graph API page "Secure requests").

    It is worth nothing without the token.
    """
    if not app_secret:
        return {}
    digest = hmac.new(app_secret.encode(), token.encode(), hashlib.sha256)
    return {"appsecret_proof": digest.hexdigest()}
