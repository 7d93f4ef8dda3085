"""Tombstones of erased people: their rows from before the erasure are not stored or sent again.

A tombstone is the HMAC of an id under a key that is not in the ledger: whoever has only the ledger
cannot find out by trying whose it is. `capi-assets erase` leaves them; ingest, matching and
delivery ask `Tombstones.cover`. What the person does after the erasure is new, and not covered.
"""

from __future__ import annotations

import hmac
import os
import secrets
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

_KEY_BYTES = 32  # as long as the digest of the HMAC
_CHECK = "key"  # its mark shows that a key is the one that tombstones were made with
_CONTACTS = ("em", "ph", "external_id")
_ORDER = ("dataset_id", "event_name", "order_id")
_TIMES = ("occurred_at", "hour", "withdrawn_at")
_DIGEST_CHARACTERS = 64  # without the appendix of Meta's parameter builder


class TombstoneError(RuntimeError):
    """Tombstones cannot be read, so nothing may be stored or sent; the message has the remedy."""


@dataclass(frozen=True)
class Tombstones:
    """The marks of erased ids with the times of their erasure, in microseconds since the epoch.

    tombstones.cover(orders)  # which rows are an erased person's, from before the erasure
    """

    key: bytes = field(default=b"", repr=False)
    erased_at: Mapping[str, int] = field(default_factory=dict, repr=False)

    def cover(self, rows: pa.Table) -> pa.ChunkedArray:
        """Which rows are covered, as booleans; never null.

        Orders and events are found by order and contacts, visits by id, contacts and `fbp`,
        quarantined rows by `row_id`: by those of these columns that `rows` has. A row counts as of
        its `occurred_at`, `hour` or `withdrawn_at`; without one it is covered.
        """
        covered = np.zeros(rows.num_rows, bool)
        if self.erased_at and rows.num_rows:
            row, texts = _ids(rows)
            distinct = pc.unique(texts)
            at = pa.array(map(self.erased_at.get, self.marks(distinct.to_pylist())), pa.int64())
            erased = at.take(pc.index_in(texts, value_set=distinct))
            is_before = np.array(pc.greater_equal(pc.fill_null(erased, 0), _times(rows).take(row)))
            covered[row.to_numpy()[is_before & erased.is_valid().to_numpy(False)]] = True
        return pa.chunked_array([pa.array(covered)])

    def without(self, rows: pa.Table) -> pa.Table:
        """The rows that are not covered."""
        return rows.filter(pc.invert(self.cover(rows))) if self.erased_at else rows

    def marks(self, ids: Iterable[str]) -> list[str]:
        """The mark of each id."""
        return [hmac.digest(self.key, text.encode(), "sha256").hex() for text in ids]

    def check_mark(self) -> str:
        """The mark that is stored with the first tombstone."""
        return self.marks([_CHECK])[0]


NONE = Tombstones()


def tombstones_of(erased_at: Mapping[str, int], key_file: str | None) -> Tombstones:
    """The stored tombstones with their key; the file is read only if there are any.

    Raises:
        TombstoneError: the key is missing, or is another one.
    """
    if not erased_at:
        return NONE
    found = Tombstones(read_key(key_file), erased_at)
    if found.check_mark() not in erased_at:
        raise TombstoneError(_no_key(key_file, "is another one"))
    return found


def read_key(key_file: str | None) -> bytes:
    """The key of tombstones.

    Raises:
        TombstoneError: there is none, or it is too short.
    """
    try:
        key = bytes.fromhex(Path(key_file or "").read_text(encoding="ascii").strip())
    except (OSError, ValueError) as error:
        raise TombstoneError(
            _no_key(key_file, f"cannot be read ({type(error).__name__})")
        ) from None
    if len(key) < _KEY_BYTES:
        raise TombstoneError(_no_key(key_file, f"has fewer than {_KEY_BYTES} bytes"))
    return key


def create_key(key_file: str) -> None:
    """Writes a new key for its owner alone; an existing file is left as it is."""
    Path(key_file).parent.mkdir(parents=True, exist_ok=True)
    try:
        opened = os.open(key_file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        return
    with os.fdopen(opened, "w", encoding="ascii") as file:
        file.write(f"{secrets.token_hex(_KEY_BYTES)}\n")


def _no_key(key_file: str | None, why: str) -> str:
    return (
        f"People were erased, and the key of their tombstones, {key_file or ''}"
        f" (CAPI_ERASURE_KEY_FILE), {why}. Nothing is stored or sent without it, because they could"
        " come back. Restore the file on this machine (docs/erasure.md)."
    )


def order_ids(rows: pa.Table) -> pa.ChunkedArray:
    """The id of each row's order: by dataset, event name and order_id."""
    joined = pc.binary_join_element_wise(*(rows[name] for name in _ORDER), "\x1f")
    return pc.binary_join_element_wise("order", joined, ":")


def _ids(rows: pa.Table) -> tuple[pa.Array, pa.Array]:
    """Row numbers and ids such as `em:62a14e44…`; several of a row, and none of some."""
    names = rows.column_names
    found = [_listed(rows, name) for name in _CONTACTS if name in names]
    if set(_ORDER) <= set(names):
        found.append(_single(order_ids(rows)))
    elif "visit_id" in names:
        found += [_single(_named("id", rows["visit_id"])), _single(_named("fbp", rows["fbp"]))]
    if "row_id" in names:
        found.append(_single(_named("id", rows["row_id"])))
    return (
        pa.concat_arrays([row for row, _ in found]),
        pa.concat_arrays([texts for _, texts in found]),
    )


def _listed(rows: pa.Table, name: str) -> tuple[pa.Array, pa.Array]:
    """The digests of a column that may have several."""
    lists = pc.utf8_split_whitespace(pc.fill_null(rows[name], "")).combine_chunks()
    values = pc.list_flatten(lists)
    if name != "external_id":
        values = pc.utf8_slice_codeunits(values, 0, _DIGEST_CHARACTERS)
    is_any = pc.not_equal(values, "")
    row = pc.list_parent_indices(lists).cast(pa.int64())
    return row.filter(is_any), _named(name, values).filter(is_any)


def _single(texts: pa.ChunkedArray) -> tuple[pa.Array, pa.Array]:
    flat = texts.combine_chunks() if isinstance(texts, pa.ChunkedArray) else texts
    row = pa.array(np.flatnonzero(flat.is_valid().to_numpy(zero_copy_only=False)), pa.int64())
    return row, flat.drop_null()


def _named(kind: str, values: pa.Array | pa.ChunkedArray) -> pa.Array | pa.ChunkedArray:
    return pc.binary_join_element_wise(kind, values, ":")


def _times(rows: pa.Table) -> pa.Array:
    name = next(name for name in _TIMES if name in rows.column_names)
    return pc.fill_null(rows[name].cast(pa.int64()), 0).combine_chunks()
