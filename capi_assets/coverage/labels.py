"""The stages of the waterfall, match keys and reasons, said to people who know none of our codes.

The codes come from outcomes.py, delivery/reasons.py, eligibility.py and Meta's tables in meta/;
their own words are used where they have some.
"""

from __future__ import annotations

from capi_assets.delivery import reasons
from capi_assets.delivery.causes import NOT_PLANNED
from capi_assets.eligibility import WITHHELD_TEXTS
from capi_assets.meta.events.refusals import REFUSALS
from capi_assets.meta.graph.error_subcodes import SUBCODES

STAGE_LABELS = {
    "orders": "Orders",
    "withheld": "Withheld on purpose",
    "quarantined": "Quarantined: faulty rows",
    "invalid": "Invalid: lacks what Meta asks",
    "rejected": "Refused by Meta",
    "expired": "Too old for Meta",
    "unknown": "Fate unknown",
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

_OURS = {
    NOT_PLANNED: "The hour's delivery has not been run yet.",
    "quarantined": "The row did not keep to the agreed format; the quarantine says where.",
    reasons.NOT_ATTEMPTED: "Not sent yet.",
    reasons.TOKEN_EXPIRED: "The access token had expired.",
    reasons.TOKEN_INVALID: "The access token was not accepted.",
    reasons.PERMISSION_LOST: "The token was not allowed to write to the dataset.",
    reasons.NO_ACCESS: "No access token or dataset was set up.",
    reasons.THROTTLED: "Meta limited the number of our calls.",
    reasons.META_DOWN: "Meta was out of order.",
    reasons.REDIRECTED: "Something on the way answered in Meta's place.",
    reasons.UNRECOGNISED: "Meta answered with an error that this version does not know.",
    reasons.TIME_BUDGET: "The run's time was up before their turn.",
    reasons.BISECTION_BUDGET: "Meta refused them together; which one is faulty is not found yet.",
    reasons.REFUSED_TOGETHER: "Meta refused them together.",
    reasons.CLAIMED_ELSEWHERE: "Another run is sending them.",
    reasons.INTERRUPTED: "The run was interrupted.",
    reasons.CORRECTED: "The order was corrected and waits to be sent again.",
    reasons.RESEND_DECIDED: "Somebody decided to send them again.",
    reasons.IN_FLIGHT: "On their way; the answer is not here yet.",
    reasons.NO_ANSWER: "Meta gave no answer.",
    reasons.UNEXPECTED_ANSWER: "Meta's answer could not be understood.",
    reasons.HELD: "Held: Meta may have them, and sending again could count them twice.",
    reasons.HELD_TOO_LATE: "Held until they were too old for Meta.",
    reasons.TOO_LATE: "Too old when their turn came; Meta takes seven days.",
    reasons.UNSTORABLE: "An id holds a character that no database stores.",
    reasons.DUPLICATE: "Another order has the same event id; Meta would count only one.",
    reasons.PIXEL_REPORTED: "The browser's Pixel had reported the order already.",
    reasons.PIXEL_ASSUMED: "The browser's Pixel is assumed to have reported the order.",
    reasons.FUTURE: "The order is dated in the future.",
    reasons.WRITTEN_OFF: "Somebody gave up knowing whether Meta has them.",
    reasons.PAYLOAD_CHANGED: "The order changed after it was sent.",
}

_WORDS = {
    **{s.name: f"Meta says: {s.meaning}." for s in SUBCODES.values()},
    **{refusal.reason: refusal.text for refusal in REFUSALS},
    **WITHHELD_TEXTS,
    **_OURS,
}


def reason_label(reason: str | None) -> str:
    """A reason of the waterfall as a sentence; a code nobody knows is at least legible."""
    if not reason:
        return "No reason is recorded."
    return _WORDS.get(reason) or f"{reason[0].upper()}{reason[1:].replace('_', ' ')}."


def match_key_label(key: str) -> str:
    """A match key as people say it."""
    return MATCH_KEY_LABELS.get(key, key.replace("_", " "))
