"""`capi-assets resolve`: a person decides about events with unknown outcome that are held.

It shows what a decision would change, then records it with person, reason and time. Nothing is
sent here: the next materialization applies the decision.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime

import pyarrow as pa
import pyarrow.compute as pc
from rich.table import Table

from capi_assets.contracts.base import arrow_schema
from capi_assets.contracts.matched_events import MatchedEvents
from capi_assets.coverage.formatting import deadline, format_utc, money
from capi_assets.coverage.gaps import total_money
from capi_assets.delivery.identity import aligned
from capi_assets.delivery.ledger.decisions import DecisionKind, decidable, held
from capi_assets.delivery.ledger.ledger import Ledger
from capi_assets.delivery.plan import plan
from capi_assets.delivery.policy import Policy
from capi_assets.hours import hour_key, key_ranges
from capi_assets.lake import Lake

MAX_ROWS = 40  # what fits on a screen


@dataclass(frozen=True)
class HeldSelection:
    """Held events before the decision. `events` are rows of the plan, `known` their state in the
    ledger, in the same order; `too_late` counts those left out because Meta no longer accepts them,
    `not_held` are requested ids of events that are not held."""

    events: pa.Table
    known: pa.Table
    too_late: int
    not_held: list[str]

    @property
    def ranges(self) -> list[tuple[str, str]]:
        """Partition ranges to materialize afterwards, as (first, last) keys."""
        return key_ranges(self.events["occurred_at"].to_pylist())


def held_events(
    lake: Lake,
    ledger: Ledger,
    hours: Sequence[datetime],
    now: datetime,
    policy: Policy,
    kind: DecisionKind,
    event_ids: Collection[str] = (),
) -> HeldSelection:
    """The events that a decision of this kind would change in `hours`; only `event_ids`, if any.

    Raises:
        LakeError: an hour cannot be read.
        LedgerError: the ledger cannot be read.
    """
    columns = [name for name in arrow_schema(MatchedEvents).names if name != "payload"]
    events = lake.read("matched_events", hours, arrow_schema(MatchedEvents), columns)
    known = ledger.state_of(events)
    rows = held(plan(events, known, now, policy))
    if event_ids:
        rows = rows.filter(pc.is_in(rows["event_id"], pa.array(event_ids, pa.string())))
    chosen = decidable(rows, kind, now)
    return HeldSelection(
        events=chosen,
        known=aligned(known, to=chosen),
        too_late=rows.num_rows - chosen.num_rows,
        not_held=sorted(set(event_ids) - set(rows["event_id"].to_pylist())),
    )


def as_table(choice: HeldSelection, now: datetime) -> Table:
    """The events, the oldest first: up to `MAX_ROWS`, and a line for the rest."""
    table = Table(title="Events with unknown outcome", title_justify="left")
    for name in ("hour", "event id", "reason", "first sent at", "value"):
        table.add_column(name, overflow="fold")
    table.add_column("Meta accepts it until")
    rows = choice.events.slice(0, MAX_ROWS).to_pylist()
    since = choice.known["unknown_since"].slice(0, MAX_ROWS).to_pylist()
    for row, first_sent_at in zip(rows, since, strict=True):
        until = row["deliver_until"]
        table.add_row(
            hour_key(row["occurred_at"]),
            row["event_id"],
            row["reason"].replace("_", " "),
            format_utc(first_sent_at) if first_sent_at else "",
            money(row["currency"], row["value"]) if row["value"] is not None else "",
            deadline(until, now) if until > now else "no longer",
        )
    more = choice.events.num_rows - len(rows)
    if more:
        table.add_section()
        table.add_row("", f"and {more:,} more", "", "", "", "")
    return table


def sums(choice: HeldSelection) -> dict[str, float]:
    """The value of the events per currency."""
    rows = choice.events.select(["currency", "value"]).to_pylist()
    priced = [row for row in rows if row["currency"] and row["value"] is not None]
    return total_money({row["currency"]: row["value"]} for row in priced)
