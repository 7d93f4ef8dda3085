"""Plans many hours and reads what they leave to send, the most urgent first, in bounded memory.

Planning and folding need every column of `matched_events` but the payload and read the hours a
batch at a time. Of each event to send only a digest of its identity, its deadline and its value are
kept; payloads are read when their turn comes. What to send is decided in plan.py, how in sender.py.

    pending = plan_hours(lake, ledger, hours, now, policy)
    deliver(pending.tables(lake), ledger, clients, clock, policy, run_id=run_id)
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
from capi_assets.delivery.consent import withhold_withdrawn
from capi_assets.delivery.identity import identity_of
from capi_assets.delivery.ledger.ledger import Ledger
from capi_assets.delivery.other_hours import in_other_hours
from capi_assets.delivery.plan import PLAN, plan, to_send
from capi_assets.delivery.policy import Policy
from capi_assets.delivery.results import fold
from capi_assets.delivery.sending.queue import COLUMNS
from capi_assets.delivery.withdrawals import note_withdrawals
from capi_assets.lake import BATCH_ROWS, Lake, in_batches

_TABLE = "matched_events"
_SCHEMA = arrow_schema(MatchedEvents)
_LIGHT = [name for name in _SCHEMA.names if name != "payload"]

PAYLOAD_CHUNK_ROWS = 20_000  # about 30 MB of payloads, and five times what is in flight at most
_MOST_CHUNK_ROWS = 100_000  # of a busy hour, whose file is read once for each chunk

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
    """The events to send: one row each of `sends`, in the order in which they go.

    `actions` counts all events by the plan's action; `withdrawn` those that are newly withheld.
    """

    sends: pa.Table
    actions: Counter[str]
    withdrawn: int

    def tables(self, lake: Lake, chunk_rows: int = PAYLOAD_CHUNK_ROWS) -> Iterator[pa.Table]:
        """The events (`queue.COLUMNS`) in the order in which `sender.deliver` sends them.

        Each table has at most `chunk_rows` rows, more only if an hour has ten times as many. An
        hour that was materialized again since it was planned gives its present rows; the sender
        plans every event again before it is sent.

        Raises:
            LakeError: an hour cannot be read.
        """
        busiest = pc.max(pc.value_counts(self.sends["hour"]).field("counts")).as_py() or 0
        chunk_rows = max(chunk_rows, min(busiest // 10, _MOST_CHUNK_ROWS))
        for start in range(0, self.sends.num_rows, chunk_rows):
            chunk = self.sends.slice(start, chunk_rows)
            rows = [
                group.filter(pc.is_in(_keys(group), value_set=keys))
                for hour, keys in _by_hour(chunk)
                for group in lake.row_groups(_TABLE, hour, _SCHEMA, COLUMNS)
            ]
            if rows:
                yield _by_urgency(pa.concat_tables(rows))


def plan_hours(
    lake: Lake,
    ledger: Ledger,
    hours: Sequence[datetime],
    now: datetime,
    policy: Policy,
    batch_rows: int = BATCH_ROWS,
) -> PendingEvents:
    """Plans the hours as they are stored, and notes in the ledger which events are withheld.

    Called by `delivery_results` before it sends; `hours` are starts of hours, aware UTC.

    Raises:
        LakeError: an hour cannot be read.
        LedgerError: the ledger cannot be read or written.
    """
    sends, actions, withdrawn = [_SENDS.empty_table()], Counter[str](), 0
    for _, events in _as_of(now, lake, ledger, hours, batch_rows):
        known = ledger.state_of(events)
        withdrawn += note_withdrawals(ledger, events, known, now)
        planned = plan(
            events, known, now, policy, other_hour=in_other_hours(lake, ledger, events, known, now)
        )
        actions.update(planned["action"].to_pylist())
        sends.append(_sends(to_send(events, planned)))
    return PendingEvents(_by_urgency(pa.concat_tables(sends)), actions, withdrawn)


def planned_hours(
    lake: Lake,
    ledger: Ledger,
    hours: Sequence[datetime],
    now: datetime,
    policy: Policy,
    batch_rows: int = BATCH_ROWS,
) -> pa.Table:
    """The plan (`plan.PLAN`) of the hours as they are stored; changes nothing.

    Called by the dry run and by `capi-assets plan`.

    Raises:
        LakeError: an hour cannot be read.
        LedgerError: the ledger cannot be read.
    """
    planned = []
    for _, events in _as_of(now, lake, ledger, hours, batch_rows):
        known = ledger.state_of(events)
        other_hour = in_other_hours(lake, ledger, events, known, now)
        planned.append(plan(events, known, now, policy, other_hour=other_hour))
    return pa.concat_tables([PLAN.empty_table(), *planned])


def results_of(
    lake: Lake,
    ledger: Ledger,
    hours: Sequence[datetime],
    now: datetime,
    policy: Policy,
    batch_rows: int = BATCH_ROWS,
) -> Iterator[tuple[list[datetime], pa.Table]]:
    """The status of the events (`results.DELIVERY_RESULTS`), in batches of whole hours.

    Raises:
        LakeError: an hour cannot be read.
        LedgerError: the ledger cannot be read.
    """
    for batch, events in _as_of(now, lake, ledger, hours, batch_rows):
        known = ledger.state_of(events)
        yield (
            batch,
            fold(events, known, now, policy, in_other_hours(lake, ledger, events, known, now)),
        )


def _as_of(
    now: datetime, lake: Lake, ledger: Ledger, hours: Sequence[datetime], batch_rows: int
) -> Iterator[tuple[list[datetime], pa.Table]]:
    """`batches`, without the events of those who withdrew consent since they were matched."""
    for batch, events in batches(lake, hours, batch_rows):
        yield batch, withhold_withdrawn(events, ledger, lake, now)


def batches(
    lake: Lake, hours: Sequence[datetime], batch_rows: int = BATCH_ROWS
) -> Iterator[tuple[list[datetime], pa.Table]]:
    """Whole hours with their events, without payloads, in batches of about `batch_rows`.

    Every hour comes once, in time order, also one that is not stored.
    """
    rows = ((h, lake.read(_TABLE, [h], _SCHEMA, _LIGHT)) for h in sorted(set(hours)))
    yield from in_batches(rows, batch_rows)


def _by_urgency(events: pa.Table) -> pa.Table:
    """What expires in the same hour by value, the nearest hour first.

    Deadlines are whole seconds and nearly all different: without the hour, value never decided.
    """
    keys = pa.table(
        {
            "hour": pc.floor_temporal(events["deliver_until"], unit="hour"),
            "value": pc.fill_null(events["value"], 0.0),
            "until": events["deliver_until"],
        }
    )
    order = [("hour", "ascending"), ("value", "descending"), ("until", "ascending")]
    return events.take(pc.sort_indices(keys, sort_keys=order))


def _sends(events: pa.Table) -> pa.Table:
    hour = pc.floor_temporal(events["occurred_at"], unit="hour")
    columns = [hour, _keys(events), events["deliver_until"], events["value"]]
    return pa.table(columns, names=_SENDS.names).cast(_SENDS)


def _keys(events: pa.Table) -> pa.Array:
    """A 64-bit hash of each order's event: eight bytes instead of its identity.

    Should two events share a hash, both are read, and the sender's own plan decides.
    """
    identities = pc.binary_join_element_wise(identity_of(events), events["order_id"], "\x1f")
    return pa.array(pd.util.hash_array(identities.to_numpy(), categorize=False))


def _by_hour(chunk: pa.Table) -> Iterator[tuple[datetime, pa.Array]]:
    grouped = chunk.select(["hour", "key"]).group_by("hour").aggregate([("key", "list")])
    for hour, keys in zip(grouped["hour"], grouped["key_list"], strict=True):
        yield hour.as_py(), keys.values
