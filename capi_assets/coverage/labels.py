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

MATCH_KEY_LABELS = {
    "em": "E-mail",
    "ph": "Phone",
    "fn": "First name",
    "ln": "Last name",
    "db": "Date of birth",
    "ge": "Gender",
    "ct": "City",
    "st": "State",
    "zp": "Postcode",
    "country": "Country",
    "external_id": "Customer id",
    "fbc": "Click on an ad (fbc)",
    "fbp": "Browser cookie (fbp)",
    "client_ip_address": "IP address",
    "client_user_agent": "Browser (user agent)",
    "subscription_id": "Subscription id",
    "lead_id": "Lead id",
    "fb_login_id": "Facebook login",
    "anon_id": "App install id",
    "madid": "Advertising id",
    "ctwa_clid": "Click to WhatsApp",
    "page_id": "Facebook page",
    "page_scoped_user_id": "Messenger user",
    "ig_account_id": "Instagram account",
    "ig_sid": "Instagram user",
    "whatsapp_business_account_id": "WhatsApp account",
}

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
    return MATCH_KEY_LABELS.get(key, key.replace("_", " "))
