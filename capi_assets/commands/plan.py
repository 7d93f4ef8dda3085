"""`capi-assets plan`: what a backfill of a range of hours would bring, as a table or as JSON."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
from rich.table import Table

from capi_assets.commands.rich_table import rich_table
from capi_assets.coverage.links import partition_ranges_text
from capi_assets.coverage.tables import plan_table
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
    planned = planned_hours(lake, ledger, hours, now, policy)
    return BackfillPlan(
        backfill_plan(planned),
        requests_needed(planned),
        pc.sum(pc.equal(planned["action"], "claimed_elsewhere")).as_py() or 0,
        duplicates_if_resent(planned),
        missing,
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
    """The plan for the terminal."""
    rows = plan_table(outlook.rows, now)
    return rich_table(rows, title="What materializing these hours would do")
