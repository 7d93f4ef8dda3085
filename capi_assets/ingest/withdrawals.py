"""The folder `withdrawals` of the landing zone: who withdrew consent, as marks of order and person.

Its files lie in any folders and have no hour: a withdrawal counts from the moment it is read. Raw
contact data is hashed in memory; only marks (`order_identity`) go on.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from upath import UPath

from capi_assets.contracts.base import UTC_MICROSECONDS, columns
from capi_assets.contracts.landing import LandedWithdrawals
from capi_assets.engine import open_cursor
from capi_assets.ingest.column_map import PLAIN, fold
from capi_assets.ingest.concat import concat_files
from capi_assets.ingest.hashing import HashPolicy, hash_contacts
from capi_assets.ingest.landing_folder import MAX_DEPTH, is_landed, read_file
from capi_assets.ingest.our_columns import in_our_columns
from capi_assets.ingest.pii_scan import stored_id
from capi_assets.ingest.readers import UnreadableFile
from capi_assets.ingest.sources import LandedTable, SourceError
from capi_assets.ingest.tombstones import NONE, Tombstones
from capi_assets.meta.match_keys.placeholders import without_placeholders
from capi_assets.order_identity import marks_of
from capi_assets.storage.listing import files_below

FOLDER = "withdrawals"
_NAMING = ("order_id", "external_id", "email", "phone")

MARKS = pa.schema([("mark", pa.string()), ("withdrawn_at", UTC_MICROSECONDS)])
"""A withdrawal's order or person; a null time means from when it is first read."""


@dataclass(frozen=True)
class Withdrawals:
    """What landed: `marks` as MARKS, and the places (file and line) of rows that name nobody."""

    marks: pa.Table
    unusable: list[str]


def read_withdrawals(
    root: UPath, policy: HashPolicy, now: datetime, tombstones: Tombstones = NONE
) -> Withdrawals:
    """Every withdrawal below `root/withdrawals`; none if there is no such folder.

    Called before events are matched and before they are sent. A row counts for each order and
    person that it names; those of erased people (`tombstones`) are left out. `now` (aware UTC) is
    only used to check dates.

    Raises:
        SourceError: a file cannot be read. Nothing may be sent then: whoever withdrew in it would
            be passed over.
    """
    files = []
    for file in _files(root):
        name = "/".join((FOLDER, *file))
        try:
            rows = read_file(root, name, file)
        except (UnreadableFile, OSError) as error:
            raise SourceError(_unreadable(name, error)) from error
        if rows.bad_lines:
            bad = rows.bad_lines[0]
            raise SourceError(_unreadable(name, f"line {bad.line}: {bad.reason}, {bad.shape}"))
        names = set(map(fold, rows.table.column_names))
        if names and not names.intersection(_NAMING):
            raise SourceError(_unreadable(name, f"it has none of the columns {', '.join(_NAMING)}"))
        files.append(LandedTable(None, name, rows))
    if not files:
        return Withdrawals(MARKS.empty_table(), [])
    with open_cursor() as connection:
        wanted = columns(LandedWithdrawals)
        files = [in_our_columns(file, wanted, PLAIN, connection) for file in files]
        landed = concat_files(files, wanted, connection)
    rows, _ = without_placeholders(landed.typed, frozenset({"order_id"}))
    digests, _ = hash_contacts(rows, policy, now.date())
    # As ids are stored today, and as a former version stored those with contact data in them.
    ids = rows["order_id"].combine_chunks()
    stored = pa.array([text and stored_id(text) for text in ids.to_pylist()], pa.string())
    named = [pa.table({"order_id": each, **digests}) for each in (stored, ids)]
    marks = pa.concat_tables([marks_of(each) for each in named])
    row = marks["row"].combine_chunks()
    unusable = np.setdiff1d(np.arange(rows.num_rows), row.to_numpy())
    places = np.searchsorted(landed.starts, unusable, side="right") - 1
    at = rows["withdrawn_at"]
    erased = tombstones.cover(pa.table({"row_id": stored, **digests, "withdrawn_at": at}))
    known = pa.table([marks["mark"], at.take(row)], schema=MARKS)
    return Withdrawals(
        known.filter(pc.invert(erased).take(row)),
        [
            f"{files[f].source}, line {files[f].rows.lines[int(at - landed.starts[f])].as_py()}"
            for f, at in zip(places, unusable, strict=True)
        ],
    )


def unusable_text(places: Sequence[str]) -> str:
    """One sentence about rows that name nobody, with the remedy."""
    return (
        f"Withdrawals of consent that name nobody: {len(places)} ({'; '.join(places[:3])}). Give"
        " each row order_id, external_id, email or phone."
    )


def _files(root: UPath) -> list[tuple[str, ...]]:
    try:
        found = files_below(root / FOLDER, MAX_DEPTH)
        return sorted(file.parts for file in found if all(map(is_landed, file.parts)))
    except OSError as error:
        raise SourceError(_unreadable(FOLDER, error)) from error


def _unreadable(name: str, why: object) -> str:
    return (
        f"{name} in the landing folder cannot be read: {why}. Nothing is sent, because a withdrawal"
        " of consent may be in it. Fix or remove the file and materialize again."
    )
