"""Access tokens the sandbox knows: which are valid, until when, for which datasets.

Only digests are kept, never a token: a token is named on pages and in answers by its fingerprint,
the first eight hex digits of its SHA-256.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from threading import Lock
from typing import Any

from capi_assets.sandbox.answers import GraphError

SCOPES = ("ads_management", "ads_read", "business_management")
APP_ID = "1024000000000001"


@dataclass(frozen=True)
class Token:
    """What Meta knows of one token; `datasets` None means every dataset.

    `may_inspect`: whether /debug_token answers it. Tokens made in Events Manager have no app of
    their owner's behind them, and are not answered.
    """

    digest: str
    issued_at: datetime
    expires_at: datetime | None = None
    datasets: frozenset[str] | None = None
    scopes: tuple[str, ...] = SCOPES
    data_access_expires_at: datetime | None = None
    may_inspect: bool = True

    @property
    def fingerprint(self) -> str:
        """The token's public name."""
        return self.digest[:8]

    def expired(self, now: datetime) -> bool:
        """Whether the token's lifetime is over at `now`."""
        return self.expires_at is not None and now >= self.expires_at


@dataclass
class TokenStore:
    """The tokens by digest; with an open door, every token is taken when first seen."""

    app_secret: str | None = field(default=None, repr=False)
    open_door: bool = False
    _tokens: dict[str, Token] = field(default_factory=dict, repr=False)
    _revoked: set[str] = field(default_factory=set, repr=False)
    _lock: Lock = field(default_factory=Lock, repr=False)

    @classmethod
    def of(
        cls,
        tokens: Mapping[str, datetime | None] | Iterable[str] | None,
        now: datetime,
        app_secret: str | None = None,
    ) -> TokenStore:
        """A book of tokens with their ends (None: never), or of any token when `tokens` is None."""
        book = cls(app_secret, open_door=tokens is None)
        given = tokens if isinstance(tokens, Mapping) else dict.fromkeys(tokens or ())
        for token, expires_at in given.items():
            book.put(digest_of(token), now, expires_at=expires_at)
        return book

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
        """Add a token, or set an old one's ends; `datasets` None keeps what was set before."""
        with self._lock:
            token = self._tokens.get(digest) or Token(digest, now)
            token = replace(
                token,
                expires_at=expires_at,
                data_access_expires_at=data_access_expires_at,
                may_inspect=may_inspect,
            )
            if datasets is not None:
                token = replace(token, datasets=frozenset(datasets))
            self._tokens[digest] = token
            self._revoked.discard(digest)
            return token

    def remove(self, digest: str) -> None:
        """Forget a token: it is then unknown, as a revoked one is."""
        with self._lock:
            self._tokens.pop(digest, None)
            self._revoked.add(digest)

    def find(self, token: str | None, now: datetime) -> Token | None:
        """The token as the book knows it; with an open door an unseen one is entered."""
        if not token:
            return None
        digest = digest_of(token)
        with self._lock:
            known = self._tokens.get(digest)
            if known is None and self.open_door and digest not in self._revoked:
                known = self._tokens[digest] = Token(digest, now)
            return known

    def with_fingerprint(self, fingerprint: str) -> Token | None:
        """The token of that public name."""
        with self._lock:
            return next((t for t in self._tokens.values() if t.fingerprint == fingerprint), None)

    def all(self) -> list[Token]:
        """Every known token, oldest first."""
        with self._lock:
            return list(self._tokens.values())

    def admit(self, token: str | None, proof: str | None, now: datetime) -> Token:
        """The valid token of a call; GraphError 104 or 190 as Meta answers otherwise."""
        if not token:
            raise GraphError("An access token is required to request this resource.", 104)
        known = self.find(token, now)
        if known is None:
            raise GraphError(
                "Invalid OAuth access token - Cannot parse access token", 190, status=401
            )
        if self.app_secret is not None and not self._proves(token, proof):
            raise GraphError("Incorrect signature: appsecret_proof does not fit the token", 104)
        if known.expired(now):
            assert known.expires_at is not None
            raise session_expired(known.expires_at, now)
        return known

    def _proves(self, token: str, proof: str | None) -> bool:
        secret = (self.app_secret or "").encode()
        expected = hmac.new(secret, token.encode(), hashlib.sha256).hexdigest()
        return proof is not None and hmac.compare_digest(expected, proof)

    def is_app_token(self, token: str | None) -> bool:
        """Whether this is the app's own token, `app_id|app_secret`."""
        return self.app_secret is not None and token == f"{APP_ID}|{self.app_secret}"


def digest_of(token: str) -> str:
    """The only form in which a token is kept."""
    return hashlib.sha256(token.encode()).hexdigest()


def session_expired(ended: datetime, now: datetime) -> GraphError:
    """Meta's answer to a token whose lifetime is over: 190/463 with HTTP 401."""
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
    described: dict[str, Any] = {
        "app_id": APP_ID,
        "type": "SYSTEM_USER",
        "application": "Meta sandbox",
        "data_access_expires_at": _unix(token.data_access_expires_at),
        "expires_at": _unix(token.expires_at),
        "is_valid": not token.expired(now),
        "issued_at": int(token.issued_at.timestamp()),
        "scopes": list(token.scopes),
        "granular_scopes": [
            {"scope": scope, "target_ids": sorted(token.datasets)}
            if token.datasets is not None
            else {"scope": scope}
            for scope in token.scopes
        ],
    }
    if token.expires_at is not None and token.expired(now):
        error = session_expired(token.expires_at, now)
        described["error"] = {
            "code": error.code,
            "message": error.message,
            "subcode": error.subcode,
        }
    return described


def _unix(moment: datetime | None) -> int:
    """Unix seconds, as Meta writes an end; 0 for none."""
    return 0 if moment is None else int(moment.timestamp())
