"""Plans many hours and reads what they leave to send, the most urgent first, in bounded memory.

Planning and folding need no payload of `matched_events` and read the hours a batch at a time; a
busy hour is planned in parts. Of each event to send only a digest of its identity, its deadline and
its value are kept; payloads are read when their turn comes. What to send is decided in plan.py, how
in sender.py.

    pending = plan_hours(lake, ledger, hours, now, policy)
    deliver(pending.tables(lake), ledger, clients, clock, policy, run_id=run_id)
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from capi_assets.contracts.base import UTC_MICROSECONDS, arrow_schema
from capi_assets.contracts.counts import count_words
from capi_assets.contracts.matched_events import MatchedEvents
from capi_assets.delivery.consent import withhold_withdrawn
from capi_assets.delivery.identity import identity_of, is_shared, order_of
from capi_assets.delivery.ledger.ledger import Ledger
from capi_assets.delivery.other_hours import LIGHT, in_other_hours
from capi_assets.delivery.plan import PLAN, plan, to_send
from capi_assets.delivery.policy import Policy
from capi_assets.delivery.results import fold
from capi_assets.delivery.sending.queue import COLUMNS
from capi_assets.delivery.withdrawals import note_withdrawals
from capi_assets.lake import BATCH_ROWS, Lake, in_batches
from capi_assets.processes import release_memory

_TABLE = "matched_events"
_SCHEMA = arrow_schema(MatchedEvents)

PART_ROWS = 100_000
"""Events of an hour that are planned together: planning takes five times what the events do."""

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
        parts = _parts(events)
        for rows in parts:
            part = events.take(rows) if len(parts) > 1 else events
            known = ledger.state_of(part)
            withdrawn += note_withdrawals(ledger, part, known, now)
            other_hour = in_other_hours(lake, ledger, part, known, now)
            planned = plan(part, known, now, policy, other_hour=other_hour)
            actions.update(count_words(planned["action"]))
            sends.append(_sends(to_send(part, planned)))
        release_memory()
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

    def planned_part(part: pa.Table) -> pa.Table:
        known = ledger.state_of(part)
        other_hour = in_other_hours(lake, ledger, part, known, now)
        return plan(part, known, now, policy, other_hour=other_hour)

    for _, events in _as_of(now, lake, ledger, hours, batch_rows):
        planned.append(_part_by_part(events, planned_part))
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

    def folded(part: pa.Table) -> pa.Table:
        known = ledger.state_of(part)
        return fold(part, known, now, policy, in_other_hours(lake, ledger, part, known, now))

    for batch, events in _as_of(now, lake, ledger, hours, batch_rows):
        results = _part_by_part(events, folded)
        del events
        release_memory()
        yield batch, results


def _parts(events: pa.Table) -> list[npt.NDArray[np.int64]]:
    """The numbers of the rows that are planned together. Rows that share their identity or their
    order decide about each other, and are in the first part."""
    numbers = np.arange(events.num_rows)
    if events.num_rows <= PART_ROWS:
        return [numbers]
    shares = is_shared(identity_of(events)) | is_shared(order_of(events))
    together, alone = numbers[shares], numbers[~shares]
    first = max(0, PART_ROWS - len(together))
    cuts = range(first, len(alone), PART_ROWS)
    head, *others = np.split(alone, cuts)
    return [np.concatenate([together, head]), *others]


def _part_by_part(events: pa.Table, work: Callable[[pa.Table], pa.Table]) -> pa.Table:
    """What `work` gives for each event, in their order."""
    parts = _parts(events)
    if len(parts) == 1:
        return work(events)
    done = pa.concat_tables([work(events.take(rows)) for rows in parts])
    place = np.concatenate(parts)
    return done if (place[1:] > place[:-1]).all() else done.take(np.argsort(place))


def _as_of(
    now: datetime, lake: Lake, ledger: Ledger, hours: Sequence[datetime], batch_rows: int
) -> Iterator[tuple[list[datetime], pa.Table]]:
    """`batches`, without the events of those who withdrew consent since they were matched."""
    for batch, events in batches(lake, hours, batch_rows):
        parts = (
            events.slice(start, PART_ROWS) for start in range(0, max(events.num_rows, 1), PART_ROWS)
        )
        yield batch, pa.concat_tables(withhold_withdrawn(p, ledger, lake, now) for p in parts)


def batches(
    lake: Lake,
    hours: Sequence[datetime],
    batch_rows: int = BATCH_ROWS,
    columns: Sequence[str] = LIGHT,
) -> Iterator[tuple[list[datetime], pa.Table]]:
    """Whole hours with these columns of their events, in batches of about `batch_rows`.

    Every hour comes once, in time order, also one that is not stored.
    """
    rows = ((h, lake.read(_TABLE, [h], _SCHEMA, columns)) for h in sorted(set(hours)))
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
