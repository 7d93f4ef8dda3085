"""Meta's error subcodes: number, our word for it, what it means.

No page lists them; the table gathers what was seen live, in issues and in third-party code.
Where our builder refuses the same thing first, the word here is the refusal's reason.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Subcode:
    """One subcode: `name` is a short word for tables, `meaning` a phrase for people."""

    name: str
    meaning: str


EXPIRED_SUBCODE = 2804003
FUTURE_SUBCODE = 2804004
NO_ACCESS_SUBCODE = 33
WRONG_LEVEL_SUBCODE = 99
NOT_LINKED_SUBCODES = frozenset({2804065, 2804131, 2804132, 2804133})

SUBCODES: dict[int, Subcode] = {
    # Under code 100: the payload. Permanent for these bytes, save for the future and for links.
    2804001: Subcode("click_id_malformed", "a click id has characters that no click id has"),
    2804003: Subcode("expired", "event_time is further back than the window allows"),
    2804004: Subcode("event_time_in_future", "event_time is in the future"),
    2804007: Subcode("refused_2804007", "refused for a reason Meta does not publish"),
    2804008: Subcode("contents_without_id", "an item of contents has no id"),
    2804009: Subcode("missing_value", "a Purchase has no value"),
    2804010: Subcode("missing_currency", "a Purchase has no currency"),
    2804011: Subcode("unsupported_currency", "the currency is not one Meta takes"),
    2804014: Subcode("refused_2804014", "refused for a reason Meta does not publish"),
    2804016: Subcode("unhashed_contact_data", "a contact field is not a SHA-256 digest"),
    2804017: Subcode("refused_2804017", "refused for a reason Meta does not publish"),
    2804019: Subcode("invalid_parameter_value", "a parameter has a value Meta does not take"),
    2804023: Subcode("value_without_currency", "a value has no currency"),
    2804030: Subcode("ldu_choice_required", "a choice about Limited Data Use is required"),
    2804036: Subcode("bad_lead_id", "the lead id is invalid or deleted"),
    2804043: Subcode("bad_extinfo", "the extended device info of an app event is invalid"),
    2804048: Subcode("refused_2804048", "refused for a reason Meta does not publish"),
    2804050: Subcode("weak_match_keys", "too little customer information to recognise a person"),
    2804065: Subcode("messaging_not_linked", "the dataset is not linked to the page or account"),
    2804066: Subcode(
        "messaging_event_not_allowed", "the event name is not allowed for business messaging"
    ),
    2804071: Subcode("missing_ctwa_clid", "a WhatsApp event has no ctwa_clid"),
    2804072: Subcode("foreign_messaging_page", "the page did not run the ad that was clicked"),
    2804081: Subcode("order_without_currency", "an OrderCreated event has no currency"),
    2804087: Subcode("unknown_ctwa_clid", "the ctwa_clid belongs to no click Meta knows"),
    2804116: Subcode(
        "missing_messaging_account", "neither page_id nor whatsapp_business_account_id is given"
    ),
    2804117: Subcode("refused_2804117", "a messaging id is refused"),
    2804131: Subcode("messaging_not_linked", "the dataset is not linked to the page or account"),
    2804132: Subcode("messaging_not_linked", "the dataset is not linked to the page or account"),
    2804133: Subcode("messaging_not_linked", "the dataset is not linked to the page or account"),
    # Under code 100, but about access.
    33: Subcode("no_access", "the dataset does not exist or the token may not use it"),
    # Under code 190: the token.
    458: Subcode("app_not_installed", "the person behind the token removed the app"),
    459: Subcode("checkpoint", "the person behind the token must log in to Facebook first"),
    460: Subcode("password_changed", "the password behind the token was changed"),
    463: Subcode("token_expired", "the token has expired"),
    464: Subcode("unconfirmed_user", "the person behind the token is not confirmed"),
    467: Subcode("token_invalid", "the token was revoked or its session ended"),
    492: Subcode("session_invalid", "the session behind the token is invalid"),
    # Throttling and the rest.
    99: Subcode("wrong_level", "the call asks for something this edge does not have"),
    1487742: Subcode("account_throttled", "too many calls from this ad account"),
    1504022: Subcode("app_throttled", "too many calls from this app"),
    1504039: Subcode("app_throttled", "too many calls from this app"),
    2446079: Subcode("account_throttled", "the ad account's score limit is reached"),
    5044001: Subcode("mutation_rate", "more than 100 changes a second on ad objects"),
}


def is_payload_subcode(subcode: int | None) -> bool:
    """Whether a subcode belongs to the Conversions API's own range, listed above or not."""
    return subcode is not None and 2_800_000 <= subcode <= 2_899_999


def subcode_name(subcode: int | None) -> str | None:
    """Our word for a subcode; `subcode_<number>` for one never seen; None for None."""
    if subcode is None:
        return None
    known = SUBCODES.get(subcode)
    return known.name if known else f"subcode_{subcode}"
