"""What the builder refuses and the sandbox takes, each with its reason: no other difference may be.

A difference speaks of events, never of two results, so that it cannot excuse a mistake elsewhere:
an event that is refused for reasons in this table only must pass the judge, any other must not.
Nothing is taken by the builder and refused by the judge.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from capi_assets.meta.events.weak_keys import BUSINESS_KEYS

Event = dict[str, Any]

POLICY = "Meta's policy"
JUDGEMENT = "our judgement"
RECORDS = "our books"


def always(event: Event) -> bool:
    """Whatever else the event is like."""
    return True


@dataclass(frozen=True)
class Difference:
    """A reason of `REFUSALS` that Meta is not known to enforce, where `applies` to the event."""

    reason: str
    whose: str
    why: str
    applies: Callable[[Event], bool] = always


def _has(key: str, kind: type) -> Callable[[Event], bool]:
    return lambda event: isinstance(event.get(key), kind)


def _every_item_has_some_id(event: Event) -> bool:
    details = event["custom_data"]
    items = details.get("contents") if isinstance(details, dict) else None
    return isinstance(items, list) and all(
        isinstance(item, dict) and item.get("id") not in (None, "") for item in items
    )


def _names_a_business(event: Event) -> bool:
    person = event["user_data"]
    return isinstance(person, dict) and bool(BUSINESS_KEYS & person.keys())


def _tracking_is_said_where_it_must_be(event: Event) -> bool:
    device = event.get("app_data")
    if not isinstance(device, dict):
        return False
    flag = device.get("advertiser_tracking_enabled")
    return event["action_source"] != "app" or flag in (0, 1, "0", "1")


DIFFERENCES = (
    Difference(
        "unknown_messaging_channel",
        POLICY,
        "The page asks for the channel; no refusal for it is known.",
    ),
    Difference(
        "missing_messaging_ids",
        POLICY,
        "The page asks for the ids of Messenger and Instagram; no refusal for them is known.",
    ),
    Difference(
        "bad_custom_data",
        POLICY,
        "The pages give kinds and values of these keys; no refusal for others is known.",
    ),
    Difference(
        "bad_original_event_data",
        POLICY,
        "Four fields are documented; no refusal of others, or of their values, is known.",
        _has("original_event_data", dict),
    ),
    Difference(
        "malformed_contents",
        POLICY,
        "delivery_category has three documented values; no refusal of others is known.",
        _every_item_has_some_id,
    ),
    Difference(
        "malformed_content_ids",
        POLICY,
        "Documented as a list of ids; no refusal of anything else is known.",
    ),
    Difference(
        "bad_num_items",
        POLICY,
        "Documented as a count; no refusal of anything else is known.",
    ),
    Difference(
        "malformed_app_data",
        POLICY,
        "Flags are 0 or 1; a refusal is known of advertiser_tracking_enabled in app events only.",
        _tracking_is_said_where_it_must_be,
    ),
    Difference(
        "bad_extinfo",
        POLICY,
        "Outside app events nobody is known to look at it; it would still be wrong.",
        lambda event: event.get("action_source") != "app",
    ),
    Difference(
        "event_name_too_long",
        POLICY,
        "The Pixel's page has the limit. A longer name could not be the Pixel's.",
    ),
    Difference(
        "contents_without_id",
        JUDGEMENT,
        "An id that is blank, a fraction or true is no product's; Meta is known to refuse absent"
        " ones.",
        _every_item_has_some_id,
    ),
    Difference(
        "malformed_custom_data",
        JUDGEMENT,
        "A JSON null is an export's mistake for an empty column; on the wire it means the same.",
        _has("custom_data", dict),
    ),
    Difference(
        "unknown_app_data_key",
        JUDGEMENT,
        "Only custom_data is said to take free keys, and one refusal costs a whole request.",
    ),
    Difference(
        "unknown_user_data_key",
        JUDGEMENT,
        "Such a key matches nobody, and what it holds might be contact data in the clear.",
    ),
    Difference(
        "weak_match_keys",
        JUDGEMENT,
        "Ids of the business recognise no person; Meta's list of weak sets does not speak of them.",
        _names_a_business,
    ),
    Difference(
        "negative_value",
        JUDGEMENT,
        "Meta does not forbid it, but learns nothing good from it. Refunds have their own event.",
    ),
    Difference(
        "event_id_too_long",
        JUDGEMENT,
        "No page has a limit; an id of 256 characters is a mistaken column.",
    ),
    Difference(
        "missing_event_id",
        RECORDS,
        "Recommended by Meta; without it a repeat counts twice, and the ledger has no key.",
    ),
    Difference(
        "missing_order_id",
        RECORDS,
        "Optional to Meta; without it nobody could say which order was delivered.",
    ),
)
