"""Rules over the event's own fields: time, names, source, messaging, limited data use.

From Meta's server event parameters, "Using the API" and "Data processing options" pages.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from capi_assets.sandbox.rules.refusal import META, Refusal, known, schema

Event = dict[str, Any]

KEYS = frozenset(META["event_keys"])
ACTION_SOURCES = frozenset(META["action_sources"])
# Live-verified by third parties on v25.0; every other name, custom ones too, gives 2804066.
MESSAGING_EVENTS = frozenset(META["messaging_events"])
WHATSAPP = "whatsapp"

TEXTS = ("event_source_url", "referrer_url", "messaging_channel", "advanced_measurement_table")
OBJECTS = ("custom_data", "app_data", "original_event_data", "attribution_data")

LDU_COUNTRIES = frozenset({0, 1})
LDU_STATES = frozenset({0, *range(1000, 1014)})

DAY = 86_400
WEB_AGE = 7 * DAY
STORE_AGE = 62 * DAY
# Meta documents no tolerance for clocks that run ahead; a minute is this project's judgement.
AHEAD = 60


def seconds_of(event_time: Any) -> int | None:
    """An event_time as Unix seconds: an integer, or its digits as text; anything else is None."""
    if type(event_time) is int:
        return event_time
    if isinstance(event_time, str) and event_time.isascii() and event_time.isdigit():
        return int(event_time) if len(event_time) < 20 else None
    return None


def time(event: Event, now: datetime) -> Refusal | None:
    """event_time: present, whole seconds, not too old (2804003), not ahead (2804004)."""
    given = event.get("event_time")
    if given is None:
        return schema("{param} is required.", "event_time")
    seconds = seconds_of(given)
    if seconds is None:
        return schema("{param} must be an integer of Unix seconds.", "event_time")
    age = now.timestamp() - seconds
    if age > WEB_AGE and (age > STORE_AGE or event.get("action_source") != "physical_store"):
        return known(2804003)
    if age < -AHEAD:
        return known(2804004)
    return None


def unknown_key(event: Event) -> Refusal | None:
    """Keys outside Meta's list are refused at event level; custom_data is free."""
    if event.keys() <= KEYS:
        return None
    key = next(key for key in event if key not in KEYS)
    return schema(f'Unexpected key "{key}" on param "{{param}}".')


def identity(event: Event) -> Refusal | None:
    """event_name and event_id, and the JSON types of the plain fields."""
    name = event.get("event_name")
    if name is None or name == "":
        return schema("{param} is required.", "event_name")
    if not isinstance(name, str):
        return schema("{param} must be a string.", "event_name")
    event_id = event.get("event_id")
    if event_id is not None and type(event_id) not in (str, int):
        return schema("{param} must be a string.", "event_id")
    for keys, kind, name_of_kind in ((TEXTS, str, "a string"), (OBJECTS, dict, "an object")):
        for key in keys:
            if not isinstance(event.get(key), kind | None):
                return schema(f"{{param}} must be {name_of_kind}.", key)
    opt_out = event.get("opt_out")
    if opt_out is not None and opt_out not in (True, False):
        return schema("{param} must be a boolean.", "opt_out")
    return None


def source(event: Event) -> Refusal | None:
    """action_source is required and closed; there is no `offline`."""
    given = event.get("action_source")
    if given is None:
        return schema("{param} is required.", "action_source")
    if not isinstance(given, str) or given not in ACTION_SOURCES:
        allowed = ", ".join(sorted(ACTION_SOURCES))
        return schema(f"{{param}} must be one of {allowed}.", "action_source")
    return None


def messaging(event: Event) -> Refusal | None:
    """business_messaging takes a short list of event names only (2804066)."""
    if event.get("action_source") != "business_messaging":
        return None
    return None if event["event_name"] in MESSAGING_EVENTS else known(2804066)


def conversation(event: Event) -> Refusal | None:
    """A WhatsApp event names the account written to (2804116) and the click (2804071).

    Of Messenger and Instagram no refusal is known, though Meta's page asks for their ids too.
    """
    if (event["action_source"], event.get("messaging_channel")) != ("business_messaging", WHATSAPP):
        return None
    person = event["user_data"]
    if not person.get("page_id") and not person.get("whatsapp_business_account_id"):
        return known(2804116)
    return None if person.get("ctwa_clid") else known(2804071)


def privacy(event: Event) -> Refusal | None:
    """Limited data use: LDU or nothing; a country wants its state, or an address to look it up."""
    options = event.get("data_processing_options")
    if options is None:
        return None
    if not isinstance(options, list) or any(option != "LDU" for option in options):
        return schema('{param} must be ["LDU"] or an empty list.', "data_processing_options")
    if not options:
        return None
    country = event.get("data_processing_options_country")
    state = event.get("data_processing_options_state")
    if country is not None and (type(country) is not int or country not in LDU_COUNTRIES):
        return schema("{param} must be 0 or 1.", "data_processing_options_country")
    if state is not None and (type(state) is not int or state not in LDU_STATES):
        return schema("{param} must be 0 or 1000 to 1013.", "data_processing_options_state")
    if country is not None and state is None:
        return schema(
            "{param} is required beside data_processing_options_country.",
            "data_processing_options_state",
        )
    person = event.get("user_data")
    has_address = isinstance(person, dict) and bool(person.get("client_ip_address"))
    if not state and not has_address:
        return schema(
            "{param} is required when there is no client_ip_address to locate.",
            "data_processing_options_state",
        )
    return None
