"""Numbers, money, times and lists as short plain text, for log lines, descriptions and chats.

Sentences about gaps are in gap_text.py, those about alerts in alerting/alert_text.py.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta

_NO_DECIMALS = {
    *("BIF", "CLP", "DJF", "GNF", "ISK", "JPY", "KMF", "KRW", "PYG", "RWF", "UGX", "UYI", "VND"),
    *("VUV", "XAF", "XOF", "XPF"),
}
_THREE_DECIMALS = {"BHD", "IQD", "JOD", "KWD", "LYD", "OMR", "TND"}


def money(currency: str | None, value: float) -> str:
    """`EUR 12,345.60`, with the decimals that the currency has (ISO 4217)."""
    return f"{currency or 'no currency'} {amount(currency, value)}"


def amount(currency: str | None, value: float) -> str:
    """`12,345.60`, for a column or sentence that names the currency."""
    decimals = 0 if currency in _NO_DECIMALS else 3 if currency in _THREE_DECIMALS else 2
    return f"{value:,.{decimals}f}"


def format_amounts(amounts: Mapping[str, float]) -> str:
    """`EUR 12,345.60 and USD 3.00`; empty without any amount."""
    return join_names(money(currency, amounts[currency]) for currency in sorted(amounts))


def count(number: int, noun: str) -> str:
    """`1 order`, `1,204 orders`."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def join_names(names: Iterable[str]) -> str:
    """`a, b and c`."""
    *head, last = list(names) or [""]
    return f"{', '.join(head)} and {last}" if head else last


def percent(share: float | None) -> str:
    """`93.4 %`, never rounded up to 100 %; `–` for None."""
    if share is None:
        return "–"
    rounded = f"{share * 100:.1f}"
    return f"{'99.9' if share < 1 and rounded == '100.0' else rounded} %"


def format_utc(time: datetime) -> str:
    """`2026-11-20 13:00 UTC`, from a time in any timezone."""
    return f"{time.astimezone(UTC):%Y-%m-%d %H:%M} UTC"


def format_duration(length: timedelta) -> str:
    """`3 d 4 h`, `4 h 5 min`, `12 min`: two units at most, rounded down."""
    minutes = int(length.total_seconds() // 60)
    days, hours, minutes = minutes // 1440, minutes // 60 % 24, minutes % 60
    if days:
        return f"{days} d {hours} h" if hours else f"{days} d"
    if hours:
        return f"{hours} h {minutes} min" if minutes else f"{hours} h"
    return f"{minutes} min" if minutes else "less than a minute"


def deadline(time: datetime, now: datetime) -> str:
    """`2026-11-20 13:00 UTC (in 3 d 4 h)`, or `(4 h ago)`."""
    away = (
        f"in {format_duration(time - now)}" if time > now else f"{format_duration(now - time)} ago"
    )
    return f"{format_utc(time)} ({away})"


def paragraph(*sentences: str) -> str:
    """The sentences that are not empty, each with a capital."""
    return " ".join(s[0].upper() + s[1:] for s in sentences if s)
