"""The sandbox's access tokens: which are valid, until when, for which datasets.

Only digests are stored, never a token: pages and responses name a token by its fingerprint,
the first eight hex digits of its SHA-256.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from capi_assets.sandbox.responses import GraphError

SCOPES = ("ads_management", "ads_read", "business_management")
APP_ID = "1024000000000001"


@dataclass(frozen=True)
class Token:
    """One token; `datasets` None means every dataset.

    `may_inspect`: whether it may call /debug_token. Tokens made in Events Manager belong to no app
    of their owner's, and may not.
    """

    digest: str
    issued_at: datetime
    expires_at: datetime | None = None
    datasets: frozenset[str] | None = None
    data_access_expires_at: datetime | None = None
    may_inspect: bool = True

    @property
    def fingerprint(self) -> str:
        """The token's public name."""
        return self.digest[:8]

    def expired(self, now: datetime) -> bool:
        return self.expires_at is not None and now >= self.expires_at


class TokenStore:
    """The tokens by digest, with when each expires; `tokens` None accepts any not revoked."""

    def __init__(
        self,
        tokens: Mapping[str, datetime | None] | Iterable[str] | None,
        now: datetime,
        app_secret: str | None = None,
    ) -> None:
        self.app_secret = app_secret
        self._accepts_any = tokens is None
        self._tokens: dict[str, Token] = {}
        self._revoked: set[str] = set()
        expiries = tokens if isinstance(tokens, Mapping) else dict.fromkeys(tokens or ())
        for token, expires_at in expiries.items():
            self.put(digest_of(token), now, expires_at=expires_at)

    def put(
        self,
        digest: str,
        now: datetime,
        *,
        expires_at: datetime | None = None,
        datasets: Iterable[str] | None = None,
        data_access_expires_at: datetime | None = None,
        may_inspect: bool = True,
    ) -> Token:
        """Adds a token, or sets when it expires; `datasets` None keeps what was set before."""
        known = self._tokens.get(digest) or Token(digest, now)
        self._tokens[digest] = replace(
            known,
            expires_at=expires_at,
            datasets=known.datasets if datasets is None else frozenset(datasets),
            data_access_expires_at=data_access_expires_at,
            may_inspect=may_inspect,
        )
        self._revoked.discard(digest)
        return self._tokens[digest]

    def remove(self, digest: str) -> None:
        """Revokes a token: it is then unknown."""
        self._tokens.pop(digest, None)
        self._revoked.add(digest)

    def find(self, token: str | None, now: datetime) -> Token | None:
        """The stored token; where any is accepted, a new one is added."""
        if not token:
            return None
        digest = digest_of(token)
        if self._accepts_any and digest not in self._revoked:
            self._tokens.setdefault(digest, Token(digest, now))
        return self._tokens.get(digest)

    def all(self) -> list[Token]:
        return list(self._tokens.values())

    def admit(self, token: str | None, proof: str | None, now: datetime) -> Token:
        """The token of a call, if it is valid.

        Raises:
            GraphError: 100, 104 or 190, as Meta responds.
        """
        if not token:
            raise GraphError("An access token is required to request this resource.", 104)
        known = self.find(token, now)
        if known is None:
            raise unknown_token()
        if self.app_secret is not None:
            expected = hmac.new(self.app_secret.encode(), token.encode(), hashlib.sha256)
            if not hmac.compare_digest(expected.hexdigest(), proof or ""):
                raise proof_required() if proof is None else proof_wrong()
        if known.expires_at is not None and known.expired(now):
            raise session_expired(known.expires_at, now)
        return known

    def is_app_token(self, token: str | None) -> bool:
        """Whether this is the app's own token, `app_id|app_secret`."""
        return self.app_secret is not None and token == f"{APP_ID}|{self.app_secret}"


def digest_of(token: str) -> str:
    """The only form in which a token is stored."""
    return hashlib.sha256(token.encode()).hexdigest()


def unknown_token() -> GraphError:
    """Meta's response to a token it never gave: 190 with HTTP 401."""
    return GraphError("Invalid OAuth access token - Cannot parse access token", 190, status=401)


def proof_required() -> GraphError:
    """Meta's response to a call without appsecret_proof, if the app requires one."""
    message = "API calls from the server require an appsecret_proof argument"
    return GraphError(message, 100, type="GraphMethodException")


def proof_wrong() -> GraphError:
    """Meta's response to an appsecret_proof of another secret or token."""
    message = "Invalid appsecret_proof provided in the API argument"
    return GraphError(message, 100, type="GraphMethodException")


def session_expired(ended: datetime, now: datetime) -> GraphError:
    """Meta's response to an expired token: 190/463 with HTTP 401."""
    form = "%A, %d-%b-%y %H:%M:%S UTC"
    return GraphError(
        f"Error validating access token: Session has expired on {ended:{form}}. "
        f"The current time is {now:{form}}.",
        190,
        status=401,
        subcode=463,
    )


def describe(token: Token, now: datetime) -> dict[str, Any]:
    """The `data` object of Meta's /debug_token for a known token (times in Unix seconds)."""
    targets = {} if token.datasets is None else {"target_ids": sorted(token.datasets)}
    described: dict[str, Any] = {
        "app_id": APP_ID,
        "type": "SYSTEM_USER",
        "application": "Meta sandbox",
        "data_access_expires_at": _unix(token.data_access_expires_at),
        "expires_at": _unix(token.expires_at),
        "is_valid": not token.expired(now),
        "issued_at": int(token.issued_at.timestamp()),
        "scopes": list(SCOPES),
        "granular_scopes": [{"scope": scope, **targets} for scope in SCOPES],
    }
    if token.expires_at is not None and token.expired(now):
        described["error"] = reason(session_expired(token.expires_at, now))
    return described


def reason(error: GraphError) -> dict[str, Any]:
    """Why a token is not valid, as /debug_token writes it."""
    written = {"code": error.code, "message": error.message, "subcode": error.subcode}
    return {name: value for name, value in written.items() if value is not None}


def _unix(moment: datetime | None) -> int:
    """Unix seconds, as Meta writes an expiry; 0 for none."""
    return 0 if moment is None else int(moment.timestamp())
