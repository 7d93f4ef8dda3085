"""Meta's identity of an event (dataset, name and event_id), and what the ledger knows under it."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from capi_assets.delivery.ledger.schema import MAYBE_AT_META
from capi_assets.order_identity import is_near, joined_key, same_conversion, same_money

IDENTITY = ("dataset_id", "event_name", "event_id")
ORDER = ("dataset_id", "event_name", "order_id")


def identity_of(table: pa.Table) -> pa.ChunkedArray:
    """One string per row, equal where all three parts are equal."""
    return joined_key(table, IDENTITY)


def storable(events: pa.Table) -> pa.ChunkedArray:
    """Which rows a database can store: PostgreSQL accepts no text with a NUL in it."""
    has_nul = pc.match_substring(events["order_id"], "\0")
    for name in IDENTITY:
        has_nul = pc.or_(has_nul, pc.match_substring(events[name], "\0"))
    return pc.invert(has_nul)


def aligned(table: pa.Table, to: pa.Table) -> pa.Table:
    """The rows of `table` in the order of `to`: one per row of `to`, null where none matches."""
    return table.take(pc.index_in(identity_of(to), value_set=_flat(identity_of(table))))


def known_of(ledger: pa.Table, events: pa.Table) -> pa.Table:
    """What the ledger knows of each order, in the order of `events`; null where it knows nothing.

    `ledger` is `Ledger.state_of(events)`. It is the row of the event's identity, or, where that
    never reached Meta, the row under which the same order may be at Meta by another event_id.
    """
    own = pc.index_in(identity_of(events), value_set=_flat(identity_of(ledger)))
    maybe_at_meta = pc.is_in(ledger["state"], value_set=pa.array(MAYBE_AT_META))
    is_open = pc.invert(pc.fill_null(maybe_at_meta.take(own), False))
    used = pa.array(np.isin(np.arange(ledger.num_rows), own.drop_null().to_numpy()))
    candidates = pc.and_(maybe_at_meta, pc.invert(used))
    if not (pc.any(candidates).as_py() and pc.any(is_open).as_py()):
        return ledger.take(own)
    former = former_rows(ledger, events, candidates)
    is_former = pc.and_(is_open, pc.is_valid(former))
    return ledger.take(pc.if_else(is_former, former, own.cast(former.type)))


def former_rows(ledger: pa.Table, events: pa.Table, among: pa.ChunkedArray) -> pa.ChunkedArray:
    """For each event the row of `ledger` that is the same order; only rows `among` count."""
    rows = pa.array(np.flatnonzero(among.to_numpy()))
    former = rows.take(pc.index_in(order_of(events), value_set=_flat(order_of(ledger.take(rows)))))
    is_same = same_order(events, ledger.take(former))
    return pc.if_else(is_same, former, pa.scalar(None, former.type))


def same_order(one: pa.Table, other: pa.Table) -> pa.ChunkedArray:
    """Which rows, equal in dataset, event name and order_id, are one order whatever their event_id.

    Under different event_ids, which tell orders apart, time or money must be equal as well, and the
    times within 48 hours.
    """
    same_id = pc.fill_null(pc.equal(one["event_id"], other["event_id"]), False)
    same_time = pc.fill_null(pc.equal(one["event_time"], other["event_time"]), False)
    near = pc.fill_null(is_near(one, other), False)
    near = pc.and_(near, pc.or_(same_time, same_money(one, other)))
    return pc.and_(pc.or_(same_id, near), same_conversion(one, other))


def order_of(table: pa.Table) -> pa.ChunkedArray:
    """One string per row, equal where dataset, event name and order_id are equal."""
    return joined_key(table, ORDER)


def first_rows(table: pa.Table, among: pa.ChunkedArray) -> pa.Array:
    """For each row the first row of its identity; only rows `among` count, null for others."""
    keys = pc.if_else(among, identity_of(table), pa.scalar(None, pa.string()))
    first = pc.index_in(keys, value_set=_flat(keys))
    return pc.if_else(among, first, pa.scalar(None, pa.int32()))


def repeats(table: pa.Table, among: pa.ChunkedArray) -> pa.ChunkedArray:
    """Which rows have an identity that an earlier row has already; only rows `among` count."""
    rows = pa.array(np.arange(table.num_rows, dtype=np.int32))
    return pc.fill_null(pc.not_equal(first_rows(table, among), rows), False)


def is_shared(keys: pa.ChunkedArray) -> npt.NDArray[np.bool_]:
    """Which keys, none of them null, several rows have."""
    firsts = pc.index_in(keys, value_set=_flat(keys)).to_numpy()
    return np.asarray(np.bincount(firsts, minlength=len(keys))[firsts] > 1)


def _flat(column: pa.ChunkedArray) -> pa.Array:
    return column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
