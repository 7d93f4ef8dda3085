"""`capi-assets resolve`: a person decides about events that no run sends again by itself.

These are events with unknown outcome that are held, and those that Meta rejected.

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
from capi_assets.delivery.identity import identity_of, known_of
from capi_assets.delivery.ledger.decisions import (
    DecisionKind,
    decidable,
    surely_not_at_meta,
    undecided,
)
from capi_assets.delivery.ledger.ledger import Ledger
from capi_assets.delivery.plan import plan
from capi_assets.delivery.policy import Policy
from capi_assets.hours import hour_key, key_ranges
from capi_assets.lake import Lake

MAX_ROWS = 40  # what fits on a screen

KINDS: dict[str, DecisionKind] = {"resend": "resend", "write-off": "write_off", "retry": "retry"}
"""The decisions by their name on the command line."""


@dataclass(frozen=True)
class Selection:
    """Events before the decision. `events` are rows of the plan, `known` their state in the ledger,
    in the same order. Left out are `too_late`, which Meta no longer accepts, and `maybe_at_meta`,
    which it may have accepted before it rejected them. `not_found` are requested ids of events that
    the decision is not about."""

    events: pa.Table
    known: pa.Table
    too_late: int
    maybe_at_meta: int
    not_found: list[str]

    @property
    def ranges(self) -> list[tuple[str, str]]:
        """Partition ranges to materialize afterwards, as (first, last) keys."""
        return key_ranges(self.events["occurred_at"].to_pylist())


def select_events(
    lake: Lake,
    ledger: Ledger,
    hours: Sequence[datetime],
    now: datetime,
    policy: Policy,
    kind: DecisionKind,
    event_ids: Collection[str] = (),
    reason: str | None = None,
    dataset_id: str | None = None,
) -> Selection:
    """The events that a decision of this kind would change in `hours`; only `event_ids`, if any,
    and only those of this `reason` and `dataset_id`.

    Raises:
        LakeError: an hour cannot be read.
        LedgerError: the ledger cannot be read.
    """
    columns = [name for name in arrow_schema(MatchedEvents).names if name != "payload"]
    events = lake.read("matched_events", hours, arrow_schema(MatchedEvents), columns)
    known = ledger.state_of(events)
    rows = undecided(plan(events, known, now, policy), kind)
    for column, value in (("reason", reason), ("dataset_id", dataset_id)):
        if value is not None:
            rows = rows.filter(pc.equal(rows[column], value))
    if event_ids:
        rows = rows.filter(pc.is_in(rows["event_id"], pa.array(event_ids, pa.string())))
    in_time = chosen = decidable(rows, kind, now)
    identities = identity_of(events).combine_chunks()

    def known_rows(planned: pa.Table) -> pa.Table:
        """The ledger's rows of planned events, which lack columns that `known_of` compares."""
        positions = pc.index_in(identity_of(planned), value_set=identities)
        return known_of(known, events.take(positions))

    if kind == "retry":
        attempts = ledger.attempts_for(in_time)
        chosen = in_time.filter(surely_not_at_meta(known_rows(in_time), attempts))
    return Selection(
        events=chosen,
        known=known_rows(chosen),
        too_late=rows.num_rows - in_time.num_rows,
        maybe_at_meta=in_time.num_rows - chosen.num_rows,
        not_found=sorted(set(event_ids) - set(rows["event_id"].to_pylist())),
    )


def as_table(choice: Selection, kind: DecisionKind, now: datetime) -> Table:
    """The events, the oldest first: up to `MAX_ROWS`, and a line for the rest."""
    title, sent, column = _LABELS[kind == "retry"]
    table = Table(title=title, title_justify="left")
    for name in ("hour", "event id", "reason", sent, "value"):
        table.add_column(name, overflow="fold")
    table.add_column("Meta accepts it until")
    rows = choice.events.slice(0, MAX_ROWS).to_pylist()
    moments = choice.known[column].slice(0, MAX_ROWS).to_pylist()
    for row, sent_at in zip(rows, moments, strict=True):
        until = row["deliver_until"]
        table.add_row(
            hour_key(row["occurred_at"]),
            row["event_id"],
            (row["reason"] or "").replace("_", " "),
            format_utc(sent_at) if sent_at else "",
            money(row["currency"], row["value"]) if row["value"] is not None else "",
            deadline(until, now) if until > now else "no longer",
        )
    more = choice.events.num_rows - len(rows)
    if more:
        table.add_section()
        table.add_row("", f"and {more:,} more", "", "", "", "")
    return table


_LABELS = (
    ("Events with unknown outcome", "first sent at", "unknown_since"),
    ("Events that Meta rejected", "rejected at", "last_attempt_at"),
)
"""Title of the table, name and source of its time: of held and of rejected events."""


def sums(choice: Selection) -> dict[str, float]:
    """The value of the events per currency."""
    rows = choice.events.select(["currency", "value"]).to_pylist()
    priced = [row for row in rows if row["currency"] and row["value"] is not None]
    return total_money({row["currency"]: row["value"]} for row in priced)
