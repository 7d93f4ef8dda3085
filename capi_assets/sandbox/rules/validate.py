"""Validates events as `/events` does: the order of Meta's checks for an event and for a request.

Written from Meta's pages alone, not from `capi_assets.meta`. The rules are in event.py (time,
names, source), person.py (user_data) and detail.py (custom_data, app_data). A website event without
client_user_agent or event_source_url is accepted, as observed on v26.0, although Meta's pages
require both.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from capi_assets.sandbox.rules import detail, person
from capi_assets.sandbox.rules import event as event_of
from capi_assets.sandbox.rules.refusal import Refusal, schema

AGE = 2804003

# Age first: observed on v26.0, an old event with too few customer keys is rejected for its age.
# The order of the others is not known.
RULES = (
    event_of.unknown_key,
    event_of.identity,
    event_of.source,
    event_of.privacy,
    event_of.messaging,
    person.shapes,
    person.hashed,
    event_of.conversation,
    person.strength,
    detail.money,
    detail.contents,
    detail.app,
)


def validate_event(event: Any, now: datetime) -> Refusal | None:
    """Why Meta would reject this event, received at `now` (aware), or None if it would accept it.

    Pure; `event` is one element of `data`, decoded from JSON.
    """
    if not isinstance(event, dict):
        return schema("{param} must be an object.")
    refusal = event_of.time(event, now)
    if refusal is not None:
        return refusal
    for rule in RULES:
        refusal = rule(event)
        if refusal is not None:
            return refusal
    return None


def validate_events(events: Sequence[Any], now: datetime) -> tuple[int, Refusal] | None:
    """The first refusal among the events of one request, with its index; an age refusal wins."""
    found = ((index, validate_event(event, now)) for index, event in enumerate(events))
    refusals = [(index, refusal) for index, refusal in found if refusal is not None]
    aged = [one for one in refusals if one[1].subcode == AGE]
    return next(iter(aged or refusals), None)
