"""Meta's rate limits in the headers of a response: how long to wait, how near the limit is.

Meta gives the regain time in minutes in one header and in seconds in another (Marketing API page
"Rate limiting"); nothing promises `Retry-After`, proxies send it. None of them is documented for
`/events`, so their absence means nothing.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Any

_PERCENTAGES = ("call_count", "total_time", "total_cputime", "acc_id_util_pct")


def requested_wait(headers: Mapping[str, str], now: datetime) -> timedelta | None:
    """How long the response asks to wait; None if it does not."""
    waits = [
        *_retry_after(headers.get("Retry-After"), now),
        *(
            timedelta(minutes=minutes)
            for use in _business_uses(headers)
            if (minutes := _number(use.get("estimated_time_to_regain_access"))) > 0
        ),
        *_account_reset(headers),
    ]
    return max(waits, default=None)


def load(headers: Mapping[str, str]) -> float:
    """The highest share of a limit that is used up, as a fraction; 0.0 if no header names one."""
    uses = [
        _object(headers.get("X-App-Usage")),
        _object(headers.get("X-Ad-Account-Usage")),
        *_business_uses(headers),
    ]
    return max((_number(use.get(name)) for use in uses for name in _PERCENTAGES), default=0) / 100


def _retry_after(value: str | None, now: datetime) -> Iterator[timedelta]:
    if value is None:
        return
    if value.strip().isdigit():
        yield timedelta(seconds=min(int(value), 10**7))
        return
    try:
        moment = parsedate_to_datetime(value)
    except ValueError:
        return
    if moment.tzinfo is not None:
        yield max(moment - now, timedelta(0))


def _account_reset(headers: Mapping[str, str]) -> Iterator[timedelta]:
    account = _object(headers.get("X-Ad-Account-Usage"))
    if _number(account.get("acc_id_util_pct")) >= 100:
        yield timedelta(seconds=_number(account.get("reset_time_duration")))


def _business_uses(headers: Mapping[str, str]) -> Iterator[dict[str, Any]]:
    for uses in _object(headers.get("X-Business-Use-Case-Usage")).values():
        yield from (use for use in uses if isinstance(use, dict)) if isinstance(uses, list) else ()


def _object(value: str | None) -> dict[str, Any]:
    try:
        document = json.loads(value or "{}")
    except ValueError:
        return {}
    return document if isinstance(document, dict) else {}


def _number(value: object) -> float:
    """A plain number up to 10 million (more is nonsense), else 0."""
    if isinstance(value, int | float) and not isinstance(value, bool) and value == value:
        return float(min(max(value, 0), 10**7))
    return 0.0
