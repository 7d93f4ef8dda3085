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
from capi_assets.order_identity import IDENTITY_CONFLICT


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
    action, until = planned["action"], planned["deliver_until"].astimezone(UTC)
    if action == "already_delivered":
        return _delivered(event, planned, known)
    if action == "withheld":
        text = WITHHELD_TEXTS.get(planned["reason"], "It is withheld on purpose.")
        return (
            f"Nothing, unless the order records are wrong: {text} If status or consent change,"
            f" land the order again and materialize {key}."
        )
    if action == "covered_by_pixel":
        return (
            "Nothing: the browser's Pixel reported the order, and past Meta's 48 hours a second"
            " report would count twice."
        )
    if action == "repeated":
        where = f" ({hour_key(known['hour'])})" if known else ""
        return f"Nothing: the same order is counted in another hour{where}."
    if action == "send" and not planned["reason"]:
        at = deadline(until, now)
        return f"Materialize {key}: the event was never sent; Meta takes it until {at}."
    answer = known if known and action in ("send", "rejected") else {}
    found = diagnose(
        stage=_STAGES.get(action, action),
        reason=planned["reason"],
        **{name: answer.get(name) for name in ("http_status", "code", "subcode")},
    )
    advice = f"{found.remedy} Range: {key}." if found.then else found.remedy
    if action == "send":
        return f"{advice} Meta takes the event until {deadline(until, now)}."
    if action == "expired":
        return f"Meta took this event until {format_utc(until)}. {advice}"
    if planned["reason"] == IDENTITY_CONFLICT and known:
        sent = f"Another order {known['order_id']} was sent from {hour_key(known['hour'])}."
        return f"{sent} {advice}"
    if action == "future_dated":
        return f"The order is dated {format_utc(event['occurred_at'])}. {advice}"
    return advice


_STAGES = {"send": "pending", "claimed_elsewhere": "pending", "hold_unknown": "unknown"}
"""The stage of the waterfall of an action, where it has another name."""


def _delivered(
    event: Mapping[str, Any], planned: Mapping[str, Any], known: Mapping[str, Any] | None
) -> str:
    when = known and known["delivered_at"]
    at = f" at {format_utc(when)}" if when else ""
    if event["verdict"] == "withheld":
        text = WITHHELD_TEXTS.get(event["reason"], "It is withheld by now.")
        return f"Meta accepted it{at}, and it cannot be retracted, though since: {text}"
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
