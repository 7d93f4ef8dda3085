"""What a person should do now for one order, in a sentence or two; the last word of `explain`.

Words for causes, refusals and withheld orders come from the rooms that own them.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from capi_assets.coverage.formatting import deadline, format_utc
from capi_assets.delivery import reasons
from capi_assets.delivery.causes import cause_of
from capi_assets.eligibility import WITHHELD_TEXTS
from capi_assets.hours import hour_key
from capi_assets.meta.events.refusals import refusal_text
from capi_assets.meta.graph.errors import SUBCODES

_OWN_REFUSALS = {
    reasons.DUPLICATE: "Another order has the same event_id, and Meta would take the two for one:"
    " give each order its own (leave event_id out to have it made from the order_id), then"
    " materialize {hour} from orders on.",
    reasons.UNSTORABLE: "An id holds a NUL character, which no database keeps: clean it at its"
    " source, then materialize {hour} from orders on.",
}


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
    cause = cause_of(
        stage="pending",
        reason=planned["reason"],
        http_status=known and known["http_status"],
        code=known and known["code"],
        subcode=known and known["subcode"],
    )
    return f"{cause.remedy} Range: {key}. Meta takes the event until {until}."


def _delivered(key: str, now: datetime, event: Any, planned: Any, known: Any) -> str:
    when = known and known["delivered_at"]
    at = f" at {format_utc(when)}" if when else ""
    if event["verdict"] == "withheld":
        words = WITHHELD_TEXTS.get(event["reason"], "It is withheld by now.")
        return f"Meta accepted it{at} and cannot be asked to give it back, though since: {words}"
    if planned["reason"] == reasons.PAYLOAD_CHANGED:
        return (
            f"Nothing: Meta accepted it{at}. The event built now differs from what was sent, and"
            " Meta keeps what it got first."
        )
    return f"Nothing: Meta accepted it{at}."


def _withheld(key: str, now: datetime, event: Any, planned: Any, known: Any) -> str:
    words = WITHHELD_TEXTS.get(planned["reason"], "It is withheld on purpose.")
    return (
        f"Nothing, unless the books are wrong: {words} If status or consent change, land the"
        f" order again and materialize {key}."
    )


def _invalid(key: str, now: datetime, event: Any, planned: Any, known: Any) -> str:
    reason = planned["reason"]
    if reason in _OWN_REFUSALS:
        return _OWN_REFUSALS[reason].format(hour=key)
    try:
        words = refusal_text(reason)
    except KeyError:
        words = f"It cannot be sent ({reason})."
    return f"{words} Then materialize {key} from orders on."


def _rejected(key: str, now: datetime, event: Any, planned: Any, known: Any) -> str:
    if planned["reason"] == reasons.WRITTEN_OFF:
        return "Nothing: a person wrote it off, and it is never sent again."
    meaning = SUBCODES.get(known["subcode"]) if known else None
    why = f" because {meaning.meaning}" if meaning else ""
    return (
        f"Meta refused it{why}: correct the order at its source, then materialize {key} from"
        " orders on; changed bytes are sent again."
    )


def _expired(key: str, now: datetime, event: Any, planned: Any, known: Any) -> str:
    until = format_utc(planned["deliver_until"])
    return f"Nothing can be done: Meta took this event until {until} and takes it no more."


def _held(key: str, now: datetime, event: Any, planned: Any, known: Any) -> str:
    cause = cause_of(
        stage="unknown", reason=planned["reason"], http_status=None, code=None, subcode=None
    )
    return f"{cause.remedy} Range: {key}."


def _pixel(key: str, now: datetime, event: Any, planned: Any, known: Any) -> str:
    return (
        "Nothing: the browser's Pixel reported the order, and past Meta's 48 hours a second report"
        " would count twice."
    )


def _future_dated(key: str, now: datetime, event: Any, planned: Any, known: Any) -> str:
    return (
        f"The order's time lies in the future ({format_utc(event['occurred_at'])}): check clock and"
        f" time zone of its source, or materialize {key} once that time has come."
    )


def _elsewhere(key: str, now: datetime, event: Any, planned: Any, known: Any) -> str:
    return f"Wait: another run is sending it right now. If it is not delivered, materialize {key}."


_ADVICE = {
    "send": _send,
    "already_delivered": _delivered,
    "withheld": _withheld,
    "invalid": _invalid,
    "covered_by_pixel": _pixel,
    "hold_unknown": _held,
    "rejected": _rejected,
    "expired": _expired,
    "future_dated": _future_dated,
    "claimed_elsewhere": _elsewhere,
}
