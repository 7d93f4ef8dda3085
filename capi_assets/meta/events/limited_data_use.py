"""Limited Data Use: `data_processing_options` with its country and state.

Rules: Marketing API page "Data processing options", and "Server event parameters" for the IP.
Country and state are always sent together: without either Meta locates the person itself, which
we say explicitly (0, 0); a state alone implies its country. An empty list says "not limited".
"""

from __future__ import annotations

import pyarrow as pa
import pyarrow.compute as pc

from capi_assets.meta.events.json_text import Columns, Member, json_member, read_distinct
from capi_assets.meta.events.json_values import load
from capi_assets.meta.limits import LDU, LDU_COUNTRIES, LDU_STATES

_TEXT = pa.string()
_SCHEMA = {"options": _TEXT, "ldu": pa.bool_(), "options_problem": _TEXT}
_UNITED_STATES = 1


def read_privacy(columns: Columns) -> dict[str, pa.Array]:
    """`options` (JSON text), `ldu` (bool, never null), `ldu_country` and `ldu_state` (as sent;
    null unless limited), and `options_problem` (a reason)."""
    read = read_distinct(columns["data_processing_options"], _options, _SCHEMA)
    ldu = pc.fill_null(read["ldu"], False)
    state = columns["data_processing_options_state"]
    country = pc.coalesce(
        columns["data_processing_options_country"],
        pc.if_else(pc.greater(state, 0), pa.scalar(_UNITED_STATES, pa.int64()), None),
    )
    neither = pc.and_(pc.is_null(country), pc.is_null(state))
    return {
        **read,
        "ldu": ldu,
        "ldu_country": pc.if_else(ldu, pc.if_else(neither, 0, pc.coalesce(country, 0)), None),
        "ldu_state": pc.if_else(ldu, pc.if_else(neither, 0, state), None),
    }


def privacy_members(rows: Columns) -> dict[str, Member]:
    """The three event-level members by name."""
    columns = {
        "data_processing_options": rows["options"],
        "data_processing_options_country": rows["ldu_country"].cast(_TEXT),
        "data_processing_options_state": rows["ldu_state"].cast(_TEXT),
    }
    return {name: json_member(name, literals) for name, literals in columns.items()}


def country_without_state(rows: Columns) -> pa.Array:
    """Limited, with a country and no state."""
    return pc.and_(rows["ldu"], pc.is_null(rows["ldu_state"]))


def place_unknown(rows: Columns) -> pa.Array:
    """Limited, with a country or state outside Meta's table."""
    country = pc.is_in(rows["ldu_country"], pa.array(LDU_COUNTRIES, pa.int64()))
    state = pc.is_in(rows["ldu_state"], pa.array(LDU_STATES, pa.int64()))
    return pc.and_(rows["ldu"], pc.invert(pc.and_(country, state)))


def place_cannot_be_found(rows: Columns) -> pa.Array:
    """Limited, to be located by Meta, and no IP address to do it with."""
    no_address = pc.is_null(rows["client_ip_address"])
    return pc.and_(pc.and_(rows["ldu"], pc.equal(rows["ldu_state"], 0)), no_address)


def _options(text: str) -> tuple[str | None, bool | None, str | None]:
    given = load(text)
    if given == []:
        return "[]", False, None
    if given == [LDU]:
        return f'["{LDU}"]', True, None
    return None, None, "bad_data_processing_options"
