"""What `/events` refuses: the order of Meta's checks over one event, and over a request.

Written from Meta's pages alone, not from `capi_assets.meta`: it is the other side of the wire.
The rules stand in `event_rules` (time, names, source), `person_rules` (user_data) and
`detail_rules` (custom_data, app_data). A website event without client_user_agent or
event_source_url passes, as observed on v26.0, although Meta's pages ask for both.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from capi_assets.sandbox import detail_rules, event_rules, person_rules
from capi_assets.sandbox.refusal import Refusal, schema

AGE = 2804003

# Age first: observed on v26.0, an old event with too few customer keys is refused for its age.
# The order of the others is not known.
RULES = (
    event_rules.unknown_key,
    event_rules.identity,
    event_rules.source,
    event_rules.privacy,
    event_rules.messaging,
    person_rules.shapes,
    person_rules.hashed,
    person_rules.strength,
    detail_rules.money,
    detail_rules.contents,
    detail_rules.app,
)


def judge(event: Any, now: datetime) -> Refusal | None:
    """Why Meta would refuse this event when it arrives at `now` (aware), or None if it would not.

    Pure; `event` is one element of `data`, decoded from JSON.
    """
    if not isinstance(event, dict):
        return schema("{param} must be an object.")
    refusal = event_rules.time(event, now)
    if refusal is not None:
        return refusal
    for rule in RULES:
        refusal = rule(event)
        if refusal is not None:
            return refusal
    return None


def judge_all(events: Sequence[Any], now: datetime) -> tuple[int, Refusal] | None:
    """The first refusal among the events of one request, with its index; an age refusal wins."""
    first: tuple[int, Refusal] | None = None
    for index, event in enumerate(events):
        refusal = judge(event, now) if first is None else event_rules.too_old(event, now)
        if refusal is None:
            continue
        if refusal.subcode == AGE:
            return index, refusal
        if first is None:
            first = index, refusal
    return first
