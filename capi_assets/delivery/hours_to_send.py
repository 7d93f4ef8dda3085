"""What many hours leave to send, the most urgent first, in memory that does not grow with them.

Planning and folding need every column of `matched_events` but the payload and go through the hours
a batch at a time. Of each event to send, only a digest of its identity, its deadline and its money
are kept; its payload is read when its turn comes. What to send is plan.py's, how sender.py's.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from capi_assets.contracts.base import UTC_MICROSECONDS, arrow_schema
from capi_assets.contracts.matched_events import MatchedEvents
from capi_assets.delivery.identity import identity_of
from capi_assets.delivery.ledger.ledger import Ledger
from capi_assets.delivery.plan import PLAN, plan, to_send
from capi_assets.delivery.policy import Policy
from capi_assets.delivery.results import fold
from capi_assets.delivery.sending.queue import COLUMNS, by_urgency
from capi_assets.delivery.withdrawals import note_withdrawals
from capi_assets.lake import BATCH_ROWS, Lake, in_batches

_TABLE = "matched_events"
_SCHEMA = arrow_schema(MatchedEvents)
_LIGHT = [name for name in _SCHEMA.names if name != "payload"]

PAYLOAD_CHUNK_ROWS = 20_000  # events with their payloads, read at a time

_SENDS = pa.schema(
    [
        ("hour", UTC_MICROSECONDS),
        ("key", pa.uint64()),
        ("deliver_until", UTC_MICROSECONDS),
        ("value", pa.float64()),
    ]
)


@dataclass(frozen=True)
class PendingEvents:
    """What is to be sent: one row each of `sends`, in the order in which it goes.

    `actions` counts all events by the plan's action; `withdrawn` those that are newly withheld.
    """

    sends: pa.Table
    actions: Counter[str]
    withdrawn: int

    def tables(self, lake: Lake, turn: int = PAYLOAD_CHUNK_ROWS) -> Iterator[pa.Table]:
        """The events as `sender.deliver` takes them, `turn` at a time; it orders each table itself.

        An hour that was materialized anew since it was planned gives its rows as they are by now;
        the sender plans every event again before it goes.

        Raises:
            LakeError: an hour cannot be read.
        """
        for start in range(0, self.sends.num_rows, turn):
            due = self.sends.slice(start, turn)
            found = [
                rows.filter(pc.is_in(_keys(rows), value_set=wanted))
                for hour, wanted in _by_hour(due)
                for rows in lake.row_groups(_TABLE, hour, _SCHEMA, COLUMNS)
            ]
            if found:
                yield pa.concat_tables(found)


def plan_hours(
    lake: Lake,
    ledger: Ledger,
    hours: Sequence[datetime],
    now: datetime,
    policy: Policy,
    batch_rows: int = BATCH_ROWS,
) -> PendingEvents:
    """Plans the hours as they are stored, and notes in the ledger what was withdrawn since.

    Raises:
        LakeError: an hour cannot be read.
        LedgerError: the ledger cannot be read or written.
    """
    sends, actions, withdrawn = [_SENDS.empty_table()], Counter[str](), 0
    for _, events in batches(lake, hours, batch_rows):
        known = ledger.state_of(events)
        withdrawn += note_withdrawals(ledger, events, known, now)
        planned = plan(events, known, now, policy)
        actions.update(planned["action"].to_pylist())
        sends.append(_sends(to_send(events, planned)))
    return PendingEvents(by_urgency(pa.concat_tables(sends)), actions, withdrawn)


def planned_hours(
    lake: Lake,
    ledger: Ledger,
    hours: Sequence[datetime],
    now: datetime,
    policy: Policy,
    batch_rows: int = BATCH_ROWS,
) -> pa.Table:
    """The plan (`plan.PLAN`) of the hours as they are stored; nothing is changed.

    Raises:
        LakeError: an hour cannot be read.
        LedgerError: the ledger cannot be read.
    """
    planned = [
        plan(events, ledger.state_of(events), now, policy)
        for _, events in batches(lake, hours, batch_rows)
    ]
    return pa.concat_tables([PLAN.empty_table(), *planned])


def results_of(
    lake: Lake,
    ledger: Ledger,
    hours: Sequence[datetime],
    now: datetime,
    policy: Policy,
    batch_rows: int = BATCH_ROWS,
) -> Iterator[tuple[list[datetime], pa.Table]]:
    """Where the events stand (`results.DELIVERY_RESULTS`), some of the hours at a time.

    Raises:
        LakeError: an hour cannot be read.
        LedgerError: the ledger cannot be read.
    """
    for some, events in batches(lake, hours, batch_rows):
        yield some, fold(events, ledger.state_of(events), now, policy)


def batches(
    lake: Lake, hours: Sequence[datetime], batch_rows: int = BATCH_ROWS
) -> Iterator[tuple[list[datetime], pa.Table]]:
    """Whole hours with their events, without payloads, in batches of about `batch_rows`.

    Every hour comes once, in time order, also one that is not stored.
    """
    rows = ((h, lake.read(_TABLE, [h], _SCHEMA, _LIGHT)) for h in sorted(set(hours)))
    yield from in_batches(rows, batch_rows)


def _sends(events: pa.Table) -> pa.Table:
    hour = pc.floor_temporal(events["occurred_at"], unit="hour")
    columns = [hour, _keys(events), events["deliver_until"], events["value"]]
    return pa.table(columns, names=_SENDS.names).cast(_SENDS)


def _keys(events: pa.Table) -> pa.Array:
    """A number for each order's event: eight bytes instead of all that makes it one of a kind.

    Should two ever share a number, both are read, and the sender's own plan has the last word.
    """
    names = pc.binary_join_element_wise(identity_of(events), events["order_id"], "\x1f")
    return pa.array(pd.util.hash_array(names.to_numpy(), categorize=False))


def _by_hour(due: pa.Table) -> Iterator[tuple[datetime, pa.Array]]:
    grouped = due.select(["hour", "key"]).group_by("hour").aggregate([("key", "list")])
    for hour, keys in zip(grouped["hour"], grouped["key_list"], strict=True):
        yield hour.as_py(), keys.values
