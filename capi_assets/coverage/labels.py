"""Labels of waterfall stages, match keys and reasons, for readers who do not know the codes.

The codes come from outcomes.py, delivery/reasons.py, eligibility.py and Meta's tables in meta/;
where those have a text of their own, it is used.
"""

from __future__ import annotations

from capi_assets.delivery import reasons
from capi_assets.delivery.causes import DIAGNOSES
from capi_assets.eligibility import WITHHELD_TEXTS
from capi_assets.meta.events.refusals import REFUSAL_TEXTS
from capi_assets.meta.graph.error_subcodes import SUBCODES
from capi_assets.meta.match_keys.key_rules import LABELS

STAGE_LABELS = {
    "orders": "Orders",
    "withheld": "Withheld on purpose",
    "quarantined": "Quarantined: faulty rows",
    "invalid": "Invalid: lacks required data",
    "rejected": "Rejected by Meta",
    "expired": "Too old for Meta",
    "unknown": "Outcome unknown",
    "pending": "Waiting to be sent",
    "future_dated": "Dated in the future",
    "delivered": "Delivered to Meta",
}
"""Every stage in the order in which a waterfall is read, from all orders to those delivered."""

LOST_FOR_GOOD = ("quarantined", "invalid", "rejected", "expired")
WAITING = ("unknown", "pending", "future_dated")

_LABELS = {
    **{s.name: f"Meta says: {s.meaning}." for s in SUBCODES.values()},
    **REFUSAL_TEXTS,
    **WITHHELD_TEXTS,
    "quarantined": "The row does not match the contract; the quarantine says where.",
    reasons.PIXEL_REPORTED: "The browser's Pixel had reported the order already.",
    reasons.PIXEL_ASSUMED: "The browser's Pixel is assumed to have reported the order.",
    reasons.PAYLOAD_CHANGED: "The order changed after it was sent.",
    **{
        reason: f"{found.headline[0].upper()}{found.headline[1:]}."
        for reason, found in DIAGNOSES.items()
        if not found.cause.cured_by_data or found.headline != found.cause.headline
    },
}


def reason_label(reason: str | None) -> str:
    """A reason as a sentence; an unknown code with blanks for underscores."""
    if not reason:
        return "No reason is recorded."
    return _LABELS.get(reason) or f"{reason[0].upper()}{reason[1:].replace('_', ' ')}."


def match_key_label(key: str) -> str:
    """The name of a match key, such as `E-mail` for em."""
    return LABELS.get(key, key.replace("_", " "))
