"""How a call proves who makes it: the token in the Authorization header, and appsecret_proof.

Meta takes a token as a parameter too; a header stays out of URLs, proxies' logs and exceptions.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Callable

import requests


def bearer(token: str) -> Callable[[requests.PreparedRequest], requests.PreparedRequest]:
    """An `auth`, because requests lets a ~/.netrc replace a plain Authorization header."""

    def sign(request: requests.PreparedRequest) -> requests.PreparedRequest:
        request.headers["Authorization"] = f"Bearer {token}"
        return request

    return sign


def proof(token: str, app_secret: str | None) -> dict[str, str]:
    """The parameter appsecret_proof, if there is a secret (Graph API page "Secure requests")."""
    if not app_secret:
        return {}
    digest = hmac.new(app_secret.encode(), token.encode(), hashlib.sha256)
    return {"appsecret_proof": digest.hexdigest()}
