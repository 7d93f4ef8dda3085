"""Every reason for which an order cannot become an event, one coded rule each, in order.

A rule takes whole columns and is true where it refuses a row; a row gets the first reason of
`REFUSALS` that applies. Rules that Meta enforces have its subcode; the others are Meta's stated
policy or our own caution. Called by `build_events`; `docs/events.md` prints the list. Rules that
need a clock (too old, in the future) are not here but in `delivery/plan.py`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from capi_assets.meta.events import limited_data_use, messaging
from capi_assets.meta.events.json_text import Columns
from capi_assets.meta.events.rules import (
    Rule,
    action_source_unknown,
    contact_data_unhashed,
    currency_unknown,
    event_time_implausible,
    extinfo_refused,
    from_source,
    longer,
    missing,
    of_purchase,
    reported,
    value_alone,
)
from capi_assets.meta.events.user_data import not_lead_ids
from capi_assets.meta.events.weak_keys import weak
from capi_assets.meta.limits import ACTION_SOURCES, MAX_EVENT_ID_LENGTH, MAX_EVENT_NAME_LENGTH


@dataclass(frozen=True, slots=True)
class Refusal:
    """One rule: `reason` is the code in tables, `broken` is true where a row breaks the rule (null
    counts as false), `text` is a sentence with the remedy, `subcode` is Meta's if Meta refuses the
    same."""

    reason: str
    broken: Rule
    text: str
    subcode: int | None = None


REFUSALS: tuple[Refusal, ...] = (
    # Who and when.
    Refusal(
        "damaged_text",
        lambda rows: rows["damaged_text"],
        "A text of this order is not valid UTF-8. Export it again with the right encoding.",
    ),
    Refusal(
        "missing_order_id",
        missing("order_id"),
        "The order has no order_id. Give every order the id it has in your shop.",
    ),
    Refusal(
        "missing_event_name",
        missing("event_name"),
        "The event has no name. Leave the column out for Purchase, or name every row.",
    ),
    Refusal(
        "event_name_too_long",
        longer("event_name", MAX_EVENT_NAME_LENGTH),
        f"An event name has at most {MAX_EVENT_NAME_LENGTH} characters. Choose a shorter one, "
        "the same as the Pixel's.",
    ),
    Refusal(
        "missing_event_id",
        missing("event_id"),
        "The event has no event_id, so Meta could not tell a repeat from a second order. "
        "Leave the column out to have it made from the order_id.",
    ),
    Refusal(
        "event_id_too_long",
        longer("event_id", MAX_EVENT_ID_LENGTH),
        f"The event_id has more than {MAX_EVENT_ID_LENGTH} characters. "
        "Use an id, the same as the Pixel's eventID.",
    ),
    Refusal(
        "implausible_event_time",
        event_time_implausible,
        "The time of the order is missing or is not a time of this century. Check the unit: "
        "seconds and milliseconds are easily mixed up.",
    ),
    Refusal(
        "unknown_action_source",
        action_source_unknown,
        f"action_source must be one of {', '.join(sorted(ACTION_SOURCES))}. "
        "For sales in a shop it is physical_store, not offline.",
    ),
    # JSON columns.
    Refusal(
        "malformed_custom_data",
        reported("custom_data_problem", "malformed_custom_data"),
        "custom_data is not a JSON object. Correct the column, or leave it empty.",
    ),
    Refusal(
        "bad_custom_data",
        reported("custom_data_problem", "bad_custom_data"),
        "A documented key of custom_data has a value of the wrong kind: net_revenue and "
        "predicted_ltv are numbers, store_data is an object, search_string is text, and "
        "delivery_category and customer_segmentation have fixed values.",
    ),
    Refusal(
        "bad_original_event_data",
        reported("custom_data_problem", "bad_original_event_data"),
        "original_event_data takes event_name, event_id, order_id and event_time (unix seconds), "
        "and nothing else. Correct it, or leave it out.",
    ),
    Refusal(
        "malformed_contents",
        reported("contents_problem", "malformed_contents"),
        "contents is not a JSON list of items, or an item's delivery_category is not one of "
        "Meta's. Correct the column, or leave it empty.",
    ),
    Refusal(
        "contents_without_id",
        reported("contents_problem", "contents_without_id"),
        "An item of contents has no id. Give each item the id it has in the catalogue.",
        2804008,
    ),
    Refusal(
        "malformed_content_ids",
        reported("content_ids_problem", "malformed_content_ids"),
        "content_ids is not a JSON list of ids. Correct the column, or leave it empty.",
    ),
    Refusal(
        "malformed_app_data",
        reported("app_data_problem", "malformed_app_data"),
        "app_data is not a JSON object with flags of 0 or 1. Correct the column.",
    ),
    Refusal(
        "unknown_app_data_key",
        reported("app_data_problem", "unknown_app_data_key"),
        "app_data has a key Meta does not document, for which it may refuse the event and its "
        "neighbours. Move free keys to custom_data.",
    ),
    Refusal(
        "malformed_user_data",
        reported("user_data_problem", "malformed_user_data"),
        "user_data is not a JSON object of ids. Correct the column, or leave it empty.",
    ),
    Refusal(
        "unknown_user_data_key",
        reported("user_data_problem", "unknown_user_data_key"),
        "user_data may only add ids of conversations, such as ctwa_clid or page_id. "
        "Contact fields have columns of their own, where they are hashed.",
    ),
    # The person.
    Refusal(
        "unhashed_contact_data",
        contact_data_unhashed,
        "A contact field is not a SHA-256 digest. Pass raw values through the landing zone, "
        "which hashes them, or hash them as Meta asks.",
        2804016,
    ),
    Refusal(
        "bad_lead_id",
        lambda rows: not_lead_ids(rows["lead_id"]),
        "lead_id is not one of Meta's: 15 or 16 digits, from the lead form. Leave it empty for "
        "leads of other origin.",
        2804036,
    ),
    # What the action source asks for.
    Refusal(
        "bad_extinfo",
        extinfo_refused,
        "extinfo must have 16 positions, the first a2 or i2, the fifth the OS version. "
        "Write an empty text where you do not know.",
        2804043,
    ),
    Refusal(
        "missing_app_data",
        from_source("app", missing("app_data")),
        "An app event must carry app_data, with advertiser_tracking_enabled and extinfo.",
    ),
    Refusal(
        "missing_advertiser_tracking",
        from_source("app", lambda rows: pc.invert(rows["has_tracking"])),
        "An app event must say in app_data.advertiser_tracking_enabled (0 or 1) whether the "
        "person allowed tracking.",
    ),
    Refusal(
        "unknown_messaging_channel",
        messaging.channel_unknown,
        "A business_messaging event must name its messaging_channel: whatsapp, messenger or "
        "instagram.",
    ),
    Refusal(
        "messaging_event_not_allowed",
        messaging.event_not_allowed,
        "Meta does not take this event name from conversations. Use LeadSubmitted for leads, and "
        "Purchase for sales.",
        2804066,
    ),
    Refusal(
        "missing_messaging_account",
        messaging.without_account,
        "A WhatsApp event must carry page_id or whatsapp_business_account_id in user_data.",
        2804116,
    ),
    Refusal(
        "missing_ctwa_clid",
        messaging.without_click,
        "A WhatsApp event must carry the ctwa_clid of the click that opened the conversation, in "
        "user_data.",
        2804071,
    ),
    Refusal(
        "missing_messaging_ids",
        messaging.without_ids,
        "A Messenger event must carry page_id and page_scoped_user_id in user_data, an Instagram "
        "event ig_account_id and ig_sid.",
    ),
    Refusal(
        "weak_match_keys",
        lambda rows: weak(rows["key_bits"]),
        "Too little to recognise a person by. Add an email, a phone, an external_id, fbc, fbp or "
        "the client's IP address.",
        2804050,
    ),
    # Money.
    Refusal(
        "value_not_a_number",
        lambda rows: pc.invert(pc.is_finite(rows["value"])),
        "The value is not a finite number. Correct it at its source.",
    ),
    Refusal(
        "negative_value",
        lambda rows: pc.less(rows["value"], 0),
        "The value is negative. Send refunds as an event of their own with original_event_data.",
    ),
    Refusal(
        "missing_value",
        of_purchase(missing("value")),
        "A Purchase must have a value. Give the order's total, 0 if it was free.",
        2804009,
    ),
    Refusal(
        "missing_currency",
        of_purchase(missing("currency")),
        "A Purchase must have a currency. Give its ISO 4217 code, such as EUR.",
        2804010,
    ),
    Refusal(
        "unsupported_currency",
        currency_unknown,
        "The currency is not an ISO 4217 code that Meta takes. Convert the value to one it takes.",
        2804011,
    ),
    Refusal(
        "value_without_currency",
        value_alone,
        "A value must have a currency. Give its ISO 4217 code, such as EUR.",
        2804023,
    ),
    Refusal(
        "bad_num_items",
        lambda rows: pc.less(rows["num_items"], 0),
        "num_items is not a count. Correct it, or leave it empty.",
    ),
    # Limited Data Use.
    Refusal(
        "bad_data_processing_options",
        reported("options_problem", "bad_data_processing_options"),
        'data_processing_options must be ["LDU"] or []. Nothing is sent while it is unclear '
        "whether the person limited the use of data.",
    ),
    Refusal(
        "ldu_country_without_state",
        limited_data_use.country_without_state,
        "Limited Data Use with a country needs a state as well. Give it, or 0 to have Meta "
        "locate the person.",
    ),
    Refusal(
        "ldu_place_unknown",
        limited_data_use.place_unknown,
        "Limited Data Use knows country 0 and 1, and state 0 and 1000 to 1013.",
    ),
    Refusal(
        "ldu_without_place",
        limited_data_use.place_cannot_be_found,
        "Limited Data Use without a state needs the client's IP address. Give one of the two.",
    ),
)

FORMER_REASONS = ("missing_client_user_agent", "missing_event_source_url")
"""Refusals of former versions that stored hours still name: data that a visit would have supplied.
Such orders are sent today."""

REFUSAL_TEXTS = {refusal.reason: refusal.text for refusal in REFUSALS} | dict.fromkeys(
    FORMER_REASONS,
    "A former version did not send website events without a browser. Materialize the hour again: "
    "it is sent now, unless CAPI_WEBSITE_WITHOUT_BROWSER is withhold.",
)
"""A sentence with the remedy for every reason of an `invalid` order, former ones included."""

_REASONS = pa.array([refusal.reason for refusal in REFUSALS], pa.string())
_SUBCODES = pa.array([refusal.subcode for refusal in REFUSALS], pa.int64())


def refuse(rows: Columns) -> tuple[pa.Array, pa.Array]:
    """The first reason that applies to each row and Meta's subcode for it; null where none."""
    first = np.full(len(rows["order_id"]), -1, np.int32)
    for place, refusal in reversed(tuple(enumerate(REFUSALS))):
        broken = pc.fill_null(refusal.broken(rows), False)
        if broken.true_count:
            first[broken.to_numpy(zero_copy_only=False)] = place
    which = pa.array(first, mask=first < 0)
    return _REASONS.take(which), _SUBCODES.take(which)
