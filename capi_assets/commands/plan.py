"""`capi-assets plan`: what a backfill of a range of hours would bring, as a table or as JSON."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
from rich.table import Table

from capi_assets.coverage.formatting import deadline, money
from capi_assets.coverage.links import partition_ranges_text
from capi_assets.delivery.backfill_plan import (
    OUTLOOK_NAMES,
    backfill_plan,
    duplicates_if_resent,
    requests_needed,
)
from capi_assets.delivery.hours_to_send import planned_hours
from capi_assets.delivery.ledger.ledger import Ledger
from capi_assets.delivery.policy import Policy
from capi_assets.hours import hour_key, key_ranges
from capi_assets.lake import Lake


@dataclass(frozen=True)
class BackfillPlan:
    """The plan of a range of hours; `rows` as `backfill_plan.BACKFILL_PLAN`.

    `claimed` counts the recoverable events that another run, perhaps a killed one, has claimed.
    """

    rows: pa.Table
    requests: int
    claimed: int
    duplicates_if_resent: int
    not_materialized: list[datetime]

    @property
    def first_deadline(self) -> datetime | None:
        """Until when the first recoverable event can be delivered."""
        first: datetime | None = pc.min(self.rows["first_deadline"]).as_py()
        return first

    @property
    def ranges(self) -> str:
        """The hours with recoverable events, as the UI's partition field accepts them."""
        rows = self.rows.filter(pc.equal(self.rows["outlook"], "recoverable"))
        hours = rows["hour"].to_pylist()
        return partition_ranges_text(f"{first}...{last}" for first, last in key_ranges(hours))


def range_ends(text: str) -> tuple[str, str]:
    """First and last key of a range as alerts and the UI write it: `A...B`, `[A...B]` or `A`."""
    first, dots, last = text.strip().removeprefix("[").removesuffix("]").partition("...")
    return (first.strip(), last.strip()) if dots else (first, first)


def backfill_plan_for(
    lake: Lake, ledger: Ledger, hours: Sequence[datetime], now: datetime, policy: Policy
) -> BackfillPlan:
    """Plans `hours` as they are stored; changes nothing.

    Raises:
        LakeError: an hour cannot be read.
        LedgerError: the ledger cannot be read.
    """
    stored = {path.parent for path in lake.paths("matched_events", hours)}
    missing = [h for h in hours if lake.path("matched_events", h).parent not in stored]
    return outlook_of(planned_hours(lake, ledger, hours, now, policy), missing)


def outlook_of(planned: pa.Table, not_materialized: Sequence[datetime] = ()) -> BackfillPlan:
    """The totals of a plan."""
    return BackfillPlan(
        backfill_plan(planned),
        requests_needed(planned),
        pc.sum(pc.equal(planned["action"], "claimed_elsewhere")).as_py() or 0,
        duplicates_if_resent(planned),
        list(not_materialized),
    )


def as_json(outlook: BackfillPlan) -> dict[str, Any]:
    """The plan for programs: times as ISO 8601, money per currency."""
    hours: dict[str, dict[str, Any]] = {}
    for row in outlook.rows.to_pylist():
        outlooks = hours.setdefault(hour_key(row["hour"]), {})
        entry = outlooks.setdefault(row["outlook"], {"events": 0, "money": {}})
        entry["events"] += row["events"]
        if row["currency"]:
            entry["money"][row["currency"]] = round(row["value"], 4)
    total = {
        name: sum(hour.get(name, {}).get("events", 0) for hour in hours.values())
        for name in OUTLOOK_NAMES
    }
    first = outlook.first_deadline
    return {
        "hours": hours,
        "total": total,
        "requests": outlook.requests,
        "claimed": outlook.claimed,
        "duplicates_if_resent": outlook.duplicates_if_resent,
        "first_deadline": first.isoformat() if first else None,
        "ranges": outlook.ranges,
        "not_materialized": [hour_key(hour) for hour in outlook.not_materialized],
    }


def as_table(outlook: BackfillPlan, now: datetime) -> Table:
    """The plan for people: one row per hour that has events, and the total."""
    rows = outlook.rows.to_pylist()
    shown = [name for name in OUTLOOK_NAMES if any(row["outlook"] == name for row in rows)]
    table = Table(title="What materializing these hours would do", title_justify="left")
    table.add_column("hour", no_wrap=True)
    for name in shown:
        table.add_column(name.replace("_", " "), justify="right")
    if "recoverable" in shown:
        table.add_column("recoverable value", justify="right", no_wrap=True)
        table.add_column("first deadline")
    by_hour: dict[datetime, list[dict[str, Any]]] = {}
    for row in rows:
        by_hour.setdefault(row["hour"], []).append(row)
    for hour, rows_of_hour in by_hour.items():
        table.add_row(hour_key(hour), *_cells(rows_of_hour, shown, now))
    if len(by_hour) > 1:
        table.add_section()
        table.add_row("total", *_cells(rows, shown, now), style="bold")
    return table


def _cells(rows: list[dict[str, Any]], shown: list[str], now: datetime) -> list[str]:
    counts = [sum(r["events"] for r in rows if r["outlook"] == name) for name in shown]
    cells = [f"{count:,}" if count else "" for count in counts]
    if "recoverable" not in shown:
        return cells
    sums: dict[str, float] = {}
    for row in rows:
        if row["outlook"] == "recoverable" and row["currency"]:
            sums[row["currency"]] = sums.get(row["currency"], 0.0) + row["value"]
    ends = [row["first_deadline"] for row in rows if row["first_deadline"]]
    values = "\n".join(money(currency, value) for currency, value in sorted(sums.items()))
    return [*cells, values, deadline(min(ends), now) if ends else ""]
