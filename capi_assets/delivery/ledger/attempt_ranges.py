"""Which events an attempt held, as ranges of their numbers.

The events of a request are numbered one after the other when they are new, so that an attempt has
one row here for 1,000 events. Each function runs in one transaction of ledger.py.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from sqlalchemy import Connection, and_, bindparam, delete, insert, select

from capi_assets.delivery.ledger.schema import ATTEMPT_RANGES, CHUNK, EVENTS
from capi_assets.delivery.ledger.sets import as_json, numbers

_R = ATTEMPT_RANGES.c

# An index finds the ranges that begin near an event, since none is longer than CHUNK.
holds_event = and_(
    _R.first_ref.between(EVENTS.c.ref - (CHUNK - 1), EVENTS.c.ref), _R.last_ref >= EVENTS.c.ref
)
"""Whether the range of `ATTEMPT_RANGES` holds the event of `EVENTS`."""

_OF_ATTEMPT = select(_R.first_ref, _R.last_ref).where(_R.attempt == bindparam("number"))
_WITH_EVENTS = (
    select(ATTEMPT_RANGES)
    .distinct()
    .join(EVENTS, holds_event)
    .where(EVENTS.c.ref.in_(numbers("refs")))
)
_DELETE = delete(ATTEMPT_RANGES).where(
    _R.attempt == bindparam("number"), _R.first_ref == bindparam("first")
)


def write(connection: Connection, attempt: int, refs: Sequence[int]) -> None:
    """Notes which events the attempt holds."""
    rows = [{"attempt": attempt, **ends} for ends in _ranges(refs)]
    if rows:
        connection.execute(insert(ATTEMPT_RANGES), rows)


def refs_of(connection: Connection, attempt: int) -> list[int]:
    """The events that the attempt held."""
    found = connection.execute(_OF_ATTEMPT, {"number": attempt})
    return [ref for first, last in found for ref in range(first, last + 1)]


def remove(connection: Connection, refs: Sequence[int]) -> None:
    """Takes these events, which are still in `EVENTS`, out of all attempts."""
    for row in connection.execute(_WITH_EVENTS, {"refs": as_json(refs)}).all():
        connection.execute(_DELETE, {"number": row.attempt, "first": row.first_ref})
        kept = set(range(row.first_ref, row.last_ref + 1)).difference(refs)
        write(connection, row.attempt, [*kept])


def _ranges(refs: Sequence[int]) -> list[dict[str, Any]]:
    """The fewest ranges of at most CHUNK that hold these numbers and no others."""
    if not len(refs):
        return []
    numbers = np.unique(np.asarray(refs, np.int64))
    starts = np.flatnonzero(np.diff(numbers, prepend=numbers[:1] - 2) != 1)
    # What a long range holds begins a new one at every CHUNK-th number.
    runs = np.split(numbers, starts[1:])
    parts = [run[at : at + CHUNK] for run in runs for at in range(0, len(run), CHUNK)]
    return [{"first_ref": int(part[0]), "last_ref": int(part[-1])} for part in parts]
