"""Whether two orders under one id are the same conversion, and whose order of when each is.

Meta deduplicates by dataset, event name and event_id: another order under a used identity would
never be counted. Ingest, the plan and the results all ask `same_conversion`.
"""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from capi_assets.meta.match_keys.digests import sha256_column

IDENTITY_CONFLICT = "identity_conflict"

# 40 bits: two people of one shop who share an order_id differ in them, and nobody is found by them.
_PREFIX = 10
_SAME_MONEY = 0.005  # half a cent: the same sum, computed twice


def same_conversion(one: pa.Table, other: pa.Table) -> pa.ChunkedArray:
    """Which rows are the same conversion in both tables, whose rows of a place share an identity.

    The columns person, event_time, value and currency decide: equal time and money is the same; a
    person known on both sides by the same kind of contact decides otherwise, and where no person
    can be compared, the time or the money must be equal. False where `other` has no row.
    """
    same_time = pc.fill_null(pc.equal(one["event_time"], other["event_time"]), False)
    is_same_money = same_money(one, other)
    same = pc.and_(same_time, is_same_money)
    doubtful = pc.and_(pc.invert(same), pc.is_valid(other["event_time"]))
    if not pc.any(doubtful).as_py():
        return same
    either = pc.or_(same_time, is_same_money)
    rows = np.flatnonzero(doubtful.to_numpy())
    result = np.array(same.to_numpy())
    columns = (t["person"].take(pa.array(rows)).to_pylist() for t in (one, other))
    for row, mine, theirs in zip(rows, *columns, strict=True):
        is_person = _same_person(mine, theirs)
        result[row] = either[row].as_py() if is_person is None else is_person
    return pa.chunked_array([pa.array(result)])


def same_money(one: pa.Table, other: pa.Table) -> pa.ChunkedArray:
    """Which rows have the same value and currency in both tables, or no value in either."""
    near = pc.less(pc.abs(pc.subtract(one["value"], other["value"])), _SAME_MONEY)
    none = pc.and_(pc.is_null(one["value"]), pc.is_null(other["value"]))
    currency = pc.equal(pc.fill_null(one["currency"], ""), pc.fill_null(other["currency"], ""))
    return pc.and_(currency, pc.or_(pc.fill_null(near, False), none))


def person_of(orders: pa.Table) -> pa.ChunkedArray:
    """Whose order it is, as the column `person`: prefixes of the digests of its own contacts.

    A letter for the kind and ten hexadecimal digits each, such as `e5f2b0c11aa p09be71d2c4`; null
    where the order has neither e-mail, phone nor external_id of its own.
    """
    external_id = sha256_column(orders["external_id"].combine_chunks())
    if "lent" in orders.column_names:
        lent = pc.fill_null(pc.match_substring_regex(orders["lent"], r"\bexternal_id\b"), False)
        external_id = pc.if_else(lent, pa.scalar(None, pa.string()), external_id)
    prefixes = [
        pc.replace_substring_regex(
            pc.fill_null(digests, ""), rf"(\S{{{_PREFIX}}})\S*", rf"{kind}\1"
        )
        for kind, digests in (("e", orders["em"]), ("p", orders["ph"]), ("x", external_id))
    ]
    person = pc.utf8_trim_whitespace(pc.binary_join_element_wise(*prefixes, " "))
    person = pc.replace_substring(person, "  ", " ")
    return pc.if_else(pc.equal(person, ""), pa.scalar(None, pa.string()), person)


def _same_person(one: str | None, other: str | None) -> bool | None:
    """Whether two persons are one; None where no kind of contact is known of both."""
    mine, theirs = set((one or "").split()), set((other or "").split())
    if mine & theirs:
        return True
    return False if {t[0] for t in mine} & {t[0] for t in theirs} else None
