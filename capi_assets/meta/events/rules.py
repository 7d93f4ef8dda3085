"""The rules that refuse, as functions of whole columns: true where an order breaks the rule.

Null means not broken. Which rule has which reason, subcode and place in the order is in
`refusals.py`; more rules are in `limited_data_use`, `messaging` and `weak_keys`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from capi_assets.meta.events.json_text import Columns
from capi_assets.meta.events.user_data import HASHED_FIELDS, not_digests
from capi_assets.meta.limits import (
    ACTION_SOURCES,
    CURRENCIES,
    EARLIEST_EVENT_TIME,
    LATEST_EVENT_TIME,
    PURCHASE,
)

Rule: TypeAlias = Callable[[Columns], pa.Array]

_ACTION_SOURCES = pa.array(sorted(ACTION_SOURCES))
_CURRENCIES = pa.array(sorted(CURRENCIES))


def missing(name: str) -> Rule:
    """Refused where the column is null."""
    return lambda rows: pc.is_null(rows[name])


def longer(name: str, limit: int) -> Rule:
    """Refused where the text has more characters than the limit."""
    return lambda rows: pc.greater(pc.utf8_length(rows[name]), limit)


def reported(column: str, reason: str) -> Rule:
    """Refused where the reader of a JSON column left this reason."""
    return lambda rows: pc.equal(rows[column], reason)


def from_source(source: str, rule: Rule) -> Rule:
    """The rule, for events of one action source."""
    return lambda rows: pc.and_(pc.equal(rows["action_source"], source), rule(rows))


def of_purchase(rule: Rule) -> Rule:
    """The rule, for purchases."""
    return lambda rows: pc.and_(pc.equal(rows["event_name"], PURCHASE), rule(rows))


def action_source_unknown(rows: Columns) -> pa.Array:
    """Outside Meta's enum, or absent."""
    return pc.invert(pc.is_in(rows["action_source"], _ACTION_SOURCES))


def event_time_implausible(rows: Columns) -> pa.Array:
    """Absent, or not ten digits of seconds."""
    time = rows["event_time"]
    outside = pc.or_(pc.less(time, EARLIEST_EVENT_TIME), pc.greater(time, LATEST_EVENT_TIME))
    return pc.fill_null(outside, True)


def contact_data_unhashed(rows: Columns) -> pa.Array:
    """Anything but digests in a hashed column; of external_id hashing is only recommended (page
    "External ID"), and the setting that leaves it raw makes it equal to the browser's."""
    refused = pa.array(np.zeros(len(rows["order_id"]), bool))
    for name in HASHED_FIELDS:
        if name != "external_id" and rows[name].null_count < len(refused):
            refused = pc.or_(refused, not_digests(rows[name]))
    return refused


def currency_unknown(rows: Columns) -> pa.Array:
    """A currency that is not ISO 4217, or that Meta does not take."""
    currency = rows["currency"]
    return pc.and_(pc.is_valid(currency), pc.invert(pc.is_in(currency, _CURRENCIES)))


def value_alone(rows: Columns) -> pa.Array:
    """A value without a currency."""
    return pc.and_(pc.is_valid(rows["value"]), pc.is_null(rows["currency"]))


def extinfo_refused(rows: Columns) -> pa.Array:
    """An `extinfo` Meta would not take, or none in an app event that has `app_data`."""
    wrong = pc.equal(rows["app_data_problem"], "bad_extinfo")
    absent = pc.and_(pc.equal(rows["action_source"], "app"), pc.invert(rows["has_extinfo"]))
    return pc.or_kleene(wrong, absent)
