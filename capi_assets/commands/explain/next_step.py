"""What a person should do now for one order, in a sentence or two; the end of `explain`.

What is wrong and what to do about it is read from `delivery.causes`, as everywhere.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from capi_assets.coverage.formatting import deadline, format_utc
from capi_assets.delivery import reasons
from capi_assets.delivery.causes import diagnose
from capi_assets.eligibility import WITHHELD_TEXTS
from capi_assets.hours import hour_key


def next_step(
    hour: datetime,
    now: datetime,
    *,
    refused: Mapping[str, Any] | None = None,
    event: Mapping[str, Any] | None = None,
    planned: Mapping[str, Any] | None = None,
    known: Mapping[str, Any] | None = None,
) -> str:
    """The advice for a refused row, an order without an event, or a planned event."""
    key = hour_key(hour)
    if refused is not None:
        line = f" line {refused['line']}" if refused["line"] else ""
        return (
            f"Correct {refused['source']}{line} where it comes from, land the file again, and"
            f" materialize {key}."
        )
    if event is None or planned is None:
        return f"Materialize {key}: the order is stored, but its event was not built yet."
    return _ADVICE[planned["action"]](key, now, event, planned, known)


def _send(key: str, now: datetime, event: Any, planned: Any, known: Any) -> str:
    until = deadline(planned["deliver_until"].astimezone(UTC), now)
    if not planned["reason"]:
        return f"Materialize {key}: the event was never sent; Meta takes it until {until}."
    return f"{_diagnosed('pending', key, planned, known)} Meta takes the event until {until}."


def _diagnosed(stage: str, key: str, planned: Any, known: Any) -> str:
    answer = known or {}
    found = diagnose(
        stage=stage,
        reason=planned["reason"],
        http_status=answer.get("http_status"),
        code=answer.get("code"),
        subcode=answer.get("subcode"),
    )
    return f"{found.remedy} Range: {key}." if found.then else found.remedy


def _delivered(key: str, now: datetime, event: Any, planned: Any, known: Any) -> str:
    when = known and known["delivered_at"]
    at = f" at {format_utc(when)}" if when else ""
    if event["verdict"] == "withheld":
        words = WITHHELD_TEXTS.get(event["reason"], "It is withheld by now.")
        return f"Meta accepted it{at}, and it cannot be retracted, though since: {words}"
    if planned["reason"] == reasons.FORMER_ID and known:
        return (
            f"Nothing: Meta accepted it{at} as {known['event_id']}. Keep the event_id of sent"
            " orders; the Pixel's event under the present id may count once more."
        )
    if planned["reason"] == reasons.PAYLOAD_CHANGED:
        return (
            f"Nothing: Meta accepted it{at}. The event built now differs from what was sent, and"
            " Meta keeps what it got first."
        )
    return f"Nothing: Meta accepted it{at}."


def _withheld(key: str, now: datetime, event: Any, planned: Any, known: Any) -> str:
    words = WITHHELD_TEXTS.get(planned["reason"], "It is withheld on purpose.")
    return (
        f"Nothing, unless the order records are wrong: {words} If status or consent change, land"
        f" the order again and materialize {key}."
    )


def _invalid(key: str, now: datetime, event: Any, planned: Any, known: Any) -> str:
    advice = _diagnosed("invalid", key, planned, None)
    if planned["reason"] == reasons.IDENTITY_CONFLICT and known:
        sent = f"Another order {known['order_id']} was sent from {hour_key(known['hour'])}."
        return f"{sent} {advice}"
    return advice


def _repeated(key: str, now: datetime, event: Any, planned: Any, known: Any) -> str:
    where = f" ({hour_key(known['hour'])})" if known else ""
    return f"Nothing: the same order is counted in another hour{where}."


def _rejected(key: str, now: datetime, event: Any, planned: Any, known: Any) -> str:
    return _diagnosed("rejected", key, planned, known)


def _expired(key: str, now: datetime, event: Any, planned: Any, known: Any) -> str:
    until = format_utc(planned["deliver_until"])
    return f"Meta took this event until {until}. {_diagnosed('expired', key, planned, None)}"


def _held(key: str, now: datetime, event: Any, planned: Any, known: Any) -> str:
    return _diagnosed("unknown", key, planned, None)


def _pixel(key: str, now: datetime, event: Any, planned: Any, known: Any) -> str:
    return (
        "Nothing: the browser's Pixel reported the order, and past Meta's 48 hours a second report"
        " would count twice."
    )


def _future_dated(key: str, now: datetime, event: Any, planned: Any, known: Any) -> str:
    when = format_utc(event["occurred_at"])
    return f"The order is dated {when}. {_diagnosed('future_dated', key, planned, None)}"


def _elsewhere(key: str, now: datetime, event: Any, planned: Any, known: Any) -> str:
    return _diagnosed("pending", key, planned, None)


_ADVICE = {
    "send": _send,
    "already_delivered": _delivered,
    "withheld": _withheld,
    "invalid": _invalid,
    "repeated": _repeated,
    "covered_by_pixel": _pixel,
    "hold_unknown": _held,
    "rejected": _rejected,
    "expired": _expired,
    "future_dated": _future_dated,
    "claimed_elsewhere": _elsewhere,
}
