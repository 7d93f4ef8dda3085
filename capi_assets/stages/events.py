"""Matched orders into the lake, as the events to send: each hour is replaced as a whole.

`EventStage` is the work on some hours with all that it needs, so that it runs in this process or,
pickled, on a worker of a cluster. What it returns has no rows.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from capi_assets.contracts.base import arrow_schema
from capi_assets.contracts.counts import count_words, sums_by_currency
from capi_assets.contracts.matched_events import MatchedEvents
from capi_assets.delivery.consent import refused_visits, withhold_known
from capi_assets.delivery.ledger.ledger import Ledger
from capi_assets.delivery.ledger.schema import STATE, UNKNOWN, WITHDRAWAL
from capi_assets.delivery.policy import Policy
from capi_assets.delivery.sent_payloads import keep_sent_payloads
from capi_assets.eligibility import EventPolicy, matched_events_of
from capi_assets.ingest.tombstones import Tombstones
from capi_assets.lake import Lake, in_batches, rows_of
from capi_assets.matching import MATCHED, with_visits
from capi_assets.processes import release_memory
from capi_assets.storage.stored_rows import StoredRows

PART_ROWS = 25_000
"""Orders of an hour whose events are built together: of a busy hour, the events of a part are in
memory, never all of them."""

_COUNTED = (
    *("occurred_at", "verdict", "matched_by", "without_browser", "value", "currency"),
    *("match_keys", "shared_keys"),
)


@dataclass(frozen=True)
class Known:
    """What the ledger and the stored visits say of the events of some hours.

    Attributes:
        sent: rows of `Ledger.state_of`; those that were sent with unknown outcome are enough.
        withdrawn: withdrawals of consent.
        refused: those of visits with consent false, as of `consent.refused_visits`.
        tombstones: erased people, whose orders are left out.
    """

    sent: pa.Table
    withdrawn: pa.Table
    refused: pa.Table
    tombstones: Tombstones


def known_of(
    events: pa.Table, hours: Sequence[datetime], lake: Lake, ledger: Ledger, now: datetime
) -> Known:
    """What is known of these events of `hours`.

    Raises:
        LakeError: the lake cannot be read.
        LedgerError: the ledger cannot be read.
        TombstoneError: people were erased, and the key of their tombstones is missing.
    """
    sent = STATE.empty_table()
    if lake.stored("matched_events", hours):
        state = ledger.state_of(events)
        sent = state.filter(pc.equal(state["state"], UNKNOWN))
    refused = refused_visits(lake, pc.min(events["occurred_at"]).as_py(), now)
    return Known(sent, ledger.withdrawals(), refused, ledger.tombstones())


def known_of_range(ledger: Ledger, now: datetime, policy: Policy) -> Known:
    """What the ledger knows of any events; without `refused`, which is found where the visits are.

    Raises:
        LedgerError: the ledger cannot be read.
        TombstoneError: people were erased, and the key of their tombstones is missing.
    """
    sent = ledger.unknown_since(now - policy.dedup_window)
    refused = WITHDRAWAL.empty_table()
    return Known(sent, ledger.withdrawals(), refused, ledger.tombstones())


@dataclass(frozen=True)
class EventHour:
    """What was stored of one hour, in numbers: orders by verdict and by the key that found their
    visit, ready events by the match keys that they have."""

    hour: datetime
    rows: int
    verdicts: dict[str, int]
    matched_by: dict[str, int]
    without_browser: int
    ready_value: dict[str, float]
    match_keys: dict[str, int]
    shared_keys: dict[str, int]


@dataclass(frozen=True)
class EventStage:
    """Stores matched orders as events in `lake`, an address as of `Lake.address`; `now` is aware
    UTC.

        stage = EventStage(lake.address, EventPolicy(), Policy(), now)
        stage.run([hour], orders, best_visits(orders, ...), lambda events: known)
    """

    lake: str
    events: EventPolicy
    delivery: Policy
    now: datetime

    def run_range(
        self,
        hours: Sequence[datetime],
        orders: StoredRows,
        best: pa.Table,
        known: Callable[[Sequence[datetime], pa.Table], Known | None],
    ) -> Iterator[EventHour]:
        """`run` of many hours, a batch in memory at a time; `known` is also given the batch."""
        times = ((hour, orders.of([hour]).select(["occurred_at"])) for hour in hours)
        start = 0
        for batch, rows in in_batches(times):
            best_of_batch = best.slice(start, rows.num_rows)
            yield from self.run(batch, orders.of(batch), best_of_batch, partial(known, batch))
            start += rows.num_rows
            release_memory()

    def run(
        self,
        hours: Sequence[datetime],
        orders: StoredRows | pa.Table,
        best: pa.Table,
        known: Callable[[pa.Table], Known | None],
    ) -> list[EventHour]:
        """Replaces `hours`, whose orders these are; `best` is `matching.best_visits` of them.

        Events that Meta may have keep the bytes that they were sent with, and those of people who
        withdrew consent are withheld: by what is `known` of events that are built; None if that
        cannot be read. A busy hour is built in parts.

        Raises:
            LakeError: the lake cannot be read or written.
            ContractError: an event breaks its contract, which is a bug.
        """
        lake, counted = Lake(self.lake), list[pa.Table]()

        def parts() -> Iterator[pa.Table]:
            for start, rows in _parts(orders.select(["occurred_at"])["occurred_at"]):
                matched = MATCHED.empty_table()
                if rows:
                    matched = with_visits(orders.slice(start, rows), best.slice(start, rows))
                events = matched_events_of(matched, self.events)
                if events.num_rows and (facts := known(events)):
                    events = self._as_known(events, hours, facts)
                counted.append(events.select(_COUNTED))
                yield events

        if len(hours) == 1:
            lake.write("matched_events", hours[0], parts())
        else:
            events = pa.concat_tables(parts())
            for hour in hours:
                lake.write("matched_events", hour, rows_of(events, hour))
        stored = pa.concat_tables(counted)
        return [_in_numbers(hour, rows_of(stored, hour)) for hour in hours]

    def _as_known(self, events: pa.Table, hours: Sequence[datetime], known: Known) -> pa.Table:
        if known.sent.num_rows:
            stored = Lake(self.lake).read("matched_events", hours, arrow_schema(MatchedEvents))
            events = keep_sent_payloads(events, stored, known.sent, self.now, self.delivery)
        events = known.tombstones.without(events)
        return withhold_known(events, known.withdrawn, known.refused)


def _parts(times: pa.ChunkedArray) -> Iterator[tuple[int, int]]:
    """First row and number of rows of each part; orders of the same moment are in one, so that the
    parts, sorted each, are the whole sorted."""
    moments = times.cast(pa.int64()).to_numpy()
    is_sorted = bool((moments[1:] >= moments[:-1]).all())
    start = 0
    while start < len(moments):
        end = len(moments)
        if is_sorted and start + PART_ROWS < end:
            end = int(np.searchsorted(moments, moments[start + PART_ROWS], side="left"))
            end = end if end > start else len(moments)
        yield start, end - start
        start = end
    if not len(moments):
        yield 0, 0


def _in_numbers(hour: datetime, rows: pa.Table) -> EventHour:
    ready = rows.filter(pc.equal(rows["verdict"], "ready"))
    return EventHour(
        hour=hour,
        rows=rows.num_rows,
        verdicts=count_words(rows["verdict"]),
        matched_by=count_words(rows["matched_by"]),
        without_browser=pc.sum(rows["without_browser"]).as_py() or 0,
        ready_value=sums_by_currency(ready),
        match_keys=count_words(ready["match_keys"]),
        shared_keys=count_words(rows["shared_keys"]),
    )
