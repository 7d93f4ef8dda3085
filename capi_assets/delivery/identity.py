"""An event's identity as one column: dataset, name and id, by which Meta deduplicates."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

IDENTITY = ("dataset_id", "event_name", "event_id")

_SEPARATOR = "\x1f"  # the ASCII unit separator occurs in no id that passed the contracts


def identity_of(table: pa.Table) -> pa.ChunkedArray:
    """One string per row, equal where all three parts are equal."""
    return pc.binary_join_element_wise(*(table[name] for name in IDENTITY), _SEPARATOR)


def storable(events: pa.Table) -> pa.ChunkedArray:
    """Which rows a database can store: PostgreSQL accepts no text with a NUL in it."""
    has_nul = pc.match_substring(events["order_id"], "\0")
    for name in IDENTITY:
        has_nul = pc.or_(has_nul, pc.match_substring(events[name], "\0"))
    return pc.invert(has_nul)


def aligned(table: pa.Table, to: pa.Table) -> pa.Table:
    """The rows of `table` in the order of `to`: one per row of `to`, null where none matches."""
    return table.take(pc.index_in(identity_of(to), value_set=_flat(identity_of(table))))


def repeats(table: pa.Table, among: pa.ChunkedArray) -> pa.ChunkedArray:
    """Which rows have an identity that an earlier row has already; only rows `among` count."""
    keys = pc.if_else(among, identity_of(table), pa.scalar(None, pa.string()))
    first = pc.index_in(keys, value_set=_flat(keys))
    rows = pa.array(np.arange(table.num_rows, dtype=np.int32))
    return pc.and_(among, pc.fill_null(pc.not_equal(first, rows), False))


def _flat(column: pa.ChunkedArray) -> pa.Array:
    return column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
