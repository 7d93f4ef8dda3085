"""Matched orders into the lake, as the events to send: each hour is replaced as a whole.

`EventStage` is the work on some hours with all that it needs, so that it runs in this process or,
pickled, on a worker of a cluster. What it returns has no rows.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import pyarrow as pa
import pyarrow.compute as pc

from capi_assets.contracts.base import arrow_schema
from capi_assets.contracts.counts import count_words, sums_by_currency
from capi_assets.contracts.matched_events import MatchedEvents
from capi_assets.delivery.consent import refused_visits, withhold_known
from capi_assets.delivery.identity import IDENTITY
from capi_assets.delivery.ledger.ledger import Ledger
from capi_assets.delivery.ledger.schema import STATE, WITHDRAWAL
from capi_assets.delivery.policy import Policy
from capi_assets.delivery.sent_payloads import keep_sent_payloads
from capi_assets.eligibility import EventPolicy, matched_events_of
from capi_assets.ingest.tombstones import Tombstones
from capi_assets.lake import Lake, rows_of


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
    """What is known of these events, which are all of `hours`.

    Raises:
        LakeError: the lake cannot be read.
        LedgerError: the ledger cannot be read.
        TombstoneError: people were erased, and the key of their tombstones is missing.
    """
    names = [*IDENTITY, "order_id"]
    stored = lake.read("matched_events", hours, arrow_schema(MatchedEvents), names)
    since = pc.min(events["occurred_at"]).as_py()
    return Known(
        ledger.state_of(stored) if stored.num_rows else STATE.empty_table(),
        ledger.withdrawals(),
        refused_visits(lake, since, now),
        ledger.tombstones(),
    )


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

        EventStage(lake.address, EventPolicy(), Policy(), now).store(events, [hour], known)
    """

    lake: str
    events: EventPolicy
    delivery: Policy
    now: datetime

    def built(self, matched: pa.Table) -> pa.Table:
        """The events of `matched` (as of `matching.match`), whatever is known of them."""
        return matched_events_of(matched, self.events)

    def store(
        self, events: pa.Table, hours: Sequence[datetime], known: Known | None
    ) -> list[EventHour]:
        """Replaces `hours` by `events`, which are `built` from all of their orders.

        Events that Meta may have keep the bytes that they were sent with, and those of people who
        withdrew consent are withheld; not without `known`.

        Raises:
            LakeError: the lake cannot be read or written.
        """
        lake = Lake(self.lake)
        if known is not None and events.num_rows:
            if known.sent.num_rows:
                stored = lake.read("matched_events", hours, arrow_schema(MatchedEvents))
                events = keep_sent_payloads(events, stored, known.sent, self.now, self.delivery)
            events = known.tombstones.without(events)
            events = withhold_known(events, known.withdrawn, known.refused)
        return [self._store(lake, hour, rows_of(events, hour)) for hour in hours]

    def _store(self, lake: Lake, hour: datetime, rows: pa.Table) -> EventHour:
        lake.write("matched_events", hour, rows)
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
