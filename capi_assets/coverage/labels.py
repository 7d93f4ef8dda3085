"""Labels of waterfall stages, match keys and reasons, for readers who do not know the codes.

The codes come from outcomes.py, delivery/reasons.py, eligibility.py and Meta's tables in meta/;
where those have a text of their own, it is used.
"""

from __future__ import annotations

from capi_assets.delivery import reasons
from capi_assets.delivery.causes import NOT_PLANNED
from capi_assets.eligibility import WITHHELD_WORDS
from capi_assets.meta.events.refusals import REFUSALS
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

_OURS = {
    NOT_PLANNED: "The hour's delivery has not been run yet.",
    "quarantined": "The row does not match the contract; the quarantine says where.",
    reasons.NOT_ATTEMPTED: "Not sent yet.",
    reasons.TOKEN_EXPIRED: "The access token had expired.",
    reasons.TOKEN_INVALID: "The access token was not accepted.",
    reasons.PERMISSION_LOST: "The token was not allowed to write to the dataset.",
    reasons.NO_ACCESS: "No access token or dataset was set up.",
    reasons.THROTTLED: "Meta limited the rate of calls.",
    reasons.META_DOWN: "Meta returned server errors.",
    reasons.REDIRECTED: "A proxy responded instead of Meta.",
    reasons.UNRECOGNISED: "Meta answered with an error that this version does not know.",
    reasons.TIME_BUDGET: "The run's time budget ended first.",
    reasons.BISECTION_BUDGET: "Meta rejected the request; the faulty event is not found yet.",
    reasons.REFUSED_TOGETHER: "Meta rejected the request that contained them.",
    reasons.CLAIMED_ELSEWHERE: "Another run is sending them.",
    reasons.INTERRUPTED: "The run was interrupted.",
    reasons.CORRECTED: "The order was corrected and will be sent again.",
    reasons.RESEND_DECIDED: "A person decided to resend them.",
    reasons.IN_FLIGHT: "In flight; no response yet.",
    reasons.NO_ANSWER: "Meta did not respond.",
    reasons.UNEXPECTED_ANSWER: "Meta's response could not be read.",
    reasons.HELD: "On hold: Meta may have them, and resending could count them twice.",
    reasons.HELD_TOO_LATE: "On hold until they were too old for Meta.",
    reasons.TOO_LATE: "Too old when processed; Meta accepts seven days.",
    reasons.UNSTORABLE: "An id contains a character that the ledger cannot store.",
    reasons.DUPLICATE: "Another order has the same event id; Meta would count only one.",
    reasons.PIXEL_REPORTED: "The browser's Pixel already reported the order.",
    reasons.PIXEL_ASSUMED: "The browser's Pixel is assumed to have reported the order.",
    reasons.FUTURE: "The order is dated in the future.",
    reasons.WRITTEN_OFF: "Written off with unknown outcome.",
    reasons.PAYLOAD_CHANGED: "The order changed after it was sent.",
}

_LABELS = {
    **{s.name: f"Meta says: {s.meaning}." for s in SUBCODES.values()},
    **{refusal.reason: refusal.words for refusal in REFUSALS},
    **WITHHELD_WORDS,
    **_OURS,
}


def reason_label(reason: str | None) -> str:
    """A reason as a sentence; an unknown code with blanks for underscores."""
    if not reason:
        return "No reason is recorded."
    return _LABELS.get(reason) or f"{reason[0].upper()}{reason[1:].replace('_', ' ')}."


def match_key_label(key: str) -> str:
    """The name of a match key, such as `E-mail` for em."""
    return MATCH_KEY_LABELS.get(key, key.replace("_", " "))
