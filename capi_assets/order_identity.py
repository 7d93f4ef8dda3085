"""Whether two orders under one id are the same conversion, and whose order of when each is.

Meta deduplicates by dataset, event name and event_id: another order under a used identity would
never be counted. Ingest, the plan and the results all ask `same_conversion`.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from capi_assets.meta.match_keys.digests import sha256_column

IDENTITY_CONFLICT = "identity_conflict"
CONSENT_WITHDRAWN = "consent_withdrawn"

_SEPARATOR, _ESCAPE = "\x1f", "\x1e"  # ASCII's unit and record separator

# 40 bits: two people of one shop who share an order_id differ in them, and nobody is found by them.
_PREFIX = 10
_SAME_MONEY = 0.005  # half a cent: the same sum, computed twice

# Between a late correction of an order's time and the next renewal of a subscription.
_CORRECTED_WITHIN_SECONDS = 48 * 3600

Flags = npt.NDArray[np.bool_]


def same_conversion(one: pa.Table, other: pa.Table) -> pa.ChunkedArray:
    """Which rows are the same conversion in both tables, whose rows of a place share an identity.

    The columns person, event_time, value and currency decide: equal time and money is the same; a
    person known on both sides by the same kind of contact decides otherwise. Where no person can be
    compared, as in rows of former versions, the time must be equal, or the money with times within
    48 hours. False where `other` has no row.
    """
    same_time = pc.fill_null(pc.equal(one["event_time"], other["event_time"]), False)
    is_same_money = same_money(one, other)
    same = pc.and_(same_time, is_same_money)
    doubtful = pc.and_(pc.invert(same), pc.is_valid(other["event_time"]))
    if not pc.any(doubtful).as_py():
        return same
    rows = np.flatnonzero(doubtful.to_numpy())
    near = pc.fill_null(pc.and_(is_same_money, is_near(one, other)), False)
    by_person, comparable = _same_person(*(t["person"].take(pa.array(rows)) for t in (one, other)))
    result = np.array(same.to_numpy())
    either = pc.or_(same_time, near).to_numpy()[rows]
    result[rows] = np.where(comparable, by_person, either)
    return pa.chunked_array([pa.array(result)])


def is_near(one: pa.Table, other: pa.Table) -> pa.ChunkedArray:
    """Which rows have times within 48 hours in both tables; null where a time is unknown."""
    apart = pc.abs(pc.subtract(one["event_time"], other["event_time"]))
    return pc.less_equal(apart, _CORRECTED_WITHIN_SECONDS)


def same_money(one: pa.Table, other: pa.Table) -> pa.ChunkedArray:
    """Which rows have the same value and currency in both tables, or no value in either."""
    near = pc.less(pc.abs(pc.subtract(one["value"], other["value"])), _SAME_MONEY)
    none = pc.and_(pc.is_null(one["value"]), pc.is_null(other["value"]))
    currency = pc.equal(pc.fill_null(one["currency"], ""), pc.fill_null(other["currency"], ""))
    return pc.and_(currency, pc.or_(pc.fill_null(near, False), none))


def person_of(orders: pa.Table) -> pa.ChunkedArray:
    """Whose order it is, as the column `person`: prefixes of the digests of its contacts.

    A letter for the kind and ten hexadecimal digits each, such as `e5f2b0c11aa p09be71d2c4`; null
    without any. What the order says itself has a small letter (e-mail, phone, x for external_id)
    and tells orders apart. What only says whose browser it is has a capital one (X for a visit's
    external_id, B for fbp) and counts for withdrawals of consent. Visits are read alike.
    """
    names = orders.column_names
    external_id = sha256_column(orders["external_id"].combine_chunks())
    nobody = pa.nulls(orders.num_rows, pa.string())
    of_visit = nobody
    if "lent" in names:
        lent = pc.fill_null(pc.match_substring_regex(orders["lent"], r"\bexternal_id\b"), False)
        of_visit = pc.if_else(lent, external_id, nobody)
        external_id = pc.if_else(lent, nobody, external_id)
    browser = sha256_column(orders["fbp"].combine_chunks()) if "fbp" in names else nobody
    digests = {"e": orders["em"], "p": orders["ph"], "x": external_id, "X": of_visit, "B": browser}
    return _joined(_prefixes(kind, of_kind) for kind, of_kind in digests.items())


def joined_key(table: pa.Table, names: Iterable[str]) -> pa.ChunkedArray:
    """One string per row, equal where all of the columns `names` are equal, whatever they hold."""
    *first, last = (table[name].cast(pa.string()) for name in names)
    return pc.binary_join_element_wise(*map(_escaped, first), last, _SEPARATOR)


def _escaped(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """The column without separators, so that those of the join end its values: the last value of a
    key needs no end."""
    if not any(_ESCAPE in text or _SEPARATOR in text for text in _distinct(column)):
        return column
    escaped = pc.replace_substring(column, _ESCAPE, f"{_ESCAPE}0")
    return pc.replace_substring(escaped, _SEPARATOR, f"{_ESCAPE}1")


def _distinct(column: pa.ChunkedArray) -> list[str]:
    texts: list[str] = pc.unique(column).drop_null().to_pylist()
    return texts


def marks_of(rows: pa.Table) -> pa.Table:
    """The order, visit and person of each row as marks: columns `row` (its number) and `mark`.

    Rows of matched_events have `person`, others em, ph, external_id and fbp; order_id and visit_id
    as far as there are any. A withdrawal of consent applies to the rows that share a mark.
    """
    names = rows.column_names
    person = rows["person"] if "person" in names else person_of(rows)
    ids = [
        _prefixes(kind, sha256_column(rows[name].combine_chunks()))
        for kind, name in (("o", "order_id"), ("v", "visit_id"))
        if name in names
    ]
    texts = _joined([pc.fill_null(pc.utf8_lower(person), ""), *ids])
    lists = pc.utf8_split_whitespace(pc.fill_null(texts, "")).combine_chunks()
    marks = pa.table({"row": pc.list_parent_indices(lists), "mark": pc.list_flatten(lists)})
    return marks.filter(pc.not_equal(marks["mark"], ""))


def _prefixes(kind: str, digests: pa.ChunkedArray | pa.Array) -> pa.ChunkedArray | pa.Array:
    """The marks of texts with any number of digests, separated by spaces."""
    pattern = rf"(\S{{{_PREFIX}}})\S*"
    return pc.replace_substring_regex(pc.fill_null(digests, ""), pattern, rf"{kind}\1")


def _joined(parts: Iterable[pa.ChunkedArray | pa.Array]) -> pa.ChunkedArray:
    # Not null_handling="skip": pyarrow 26 drops the rows in which everything is null.
    text = pc.utf8_trim_whitespace(pc.binary_join_element_wise(*parts, " "))
    text = pc.replace_substring_regex(text, " +", " ")
    joined = pc.if_else(pc.equal(text, ""), pa.scalar(None, pa.string()), text)
    return joined if isinstance(joined, pa.ChunkedArray) else pa.chunked_array([joined])


def _same_person(one: pa.ChunkedArray, other: pa.ChunkedArray) -> tuple[Flags, Flags]:
    """In which rows two persons share a contact, and in which a kind of contact is known of both.

    Capital marks say whose browser it was, and tell no orders apart.
    """
    mine, theirs = (_contacts(person.combine_chunks()) for person in (one, other))
    shared, comparable = np.zeros(len(one), bool), np.zeros(len(one), bool)
    for found, name in ((shared, "mark"), (comparable, "kind")):
        found[mine["row"].to_numpy()[pc.is_in(mine[name], theirs[name]).to_numpy()]] = True
    return shared, comparable


def _contacts(person: pa.Array) -> pa.Table:
    """The contacts of each row: its number, and mark and kind with the number in front."""
    lists = pc.utf8_split_whitespace(pc.fill_null(person, ""))
    row, mark = pc.list_parent_indices(lists), pc.list_flatten(lists)
    number = pc.cast(row, pa.string())
    kind = pc.utf8_slice_codeunits(mark, 0, 1)
    contacts = {
        "row": row,
        "mark": pc.binary_join_element_wise(number, mark, " "),
        "kind": pc.binary_join_element_wise(number, kind, " "),
    }
    return pa.table(contacts).filter(pc.utf8_is_lower(kind)).combine_chunks()
