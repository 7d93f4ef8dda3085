"""The facts of `capi-assets report`: everything about a range of hours, from lake and ledger.

Reads and computes; page.py draws the page of them, text.py words it.

    report = gather(read_settings(), hours)
    Path("report.html").write_text(page(report))
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from capi_assets.contracts.attribution_health import AttributionHealth
from capi_assets.contracts.base import UTC_MICROSECONDS, arrow_schema
from capi_assets.contracts.delivery_results import DeliveryResults
from capi_assets.contracts.matched_events import MatchedEvents
from capi_assets.contracts.meta_stats import MetaStats
from capi_assets.contracts.quarantine import Quarantine
from capi_assets.coverage.flags import flag_hours
from capi_assets.coverage.gap_history import gap_histories
from capi_assets.coverage.incident_history import IncidentHistory, incident_histories
from capi_assets.coverage.late_orders import late_causes, late_events, late_orders
from capi_assets.coverage.match_key_shares import match_key_counts
from capi_assets.coverage.outcomes import losses
from capi_assets.coverage.policy import CoveragePolicy
from capi_assets.coverage.stored_health import NEIGHBOURS
from capi_assets.delivery.ledger.schema import ATTEMPT
from capi_assets.delivery.reasons import PAYLOAD_CHANGED
from capi_assets.hours import HOUR, floor_hour, hour_range, hours_between
from capi_assets.lake import Lake
from capi_assets.policies import coverage_policy, open_ledger
from capi_assets.settings import Settings

_BATCH_HOURS = 24
"""Hours read at a time, so that memory does not grow with the range."""

_EVENTS = [name for name in arrow_schema(MatchedEvents).names if name != "payload"]
_DELIVERED = ["occurred_at", "delivered_at", "status", "reason"]
_CHANGED = (pc.field("status") == "delivered") & (pc.field("reason") == PAYLOAD_CHANGED)


@dataclass(frozen=True)
class Report:
    """Everything that the page shows about `hours` (UTC), as of `now`.

    Attributes:
        health: `attribution_health` of these hours.
        flags: one row per hour (`flags.FLAGS`), evaluated as of `now`.
        late: orders delivered after their hour was due (`late_orders.LATE`).
        losses: orders that were not delivered, per hour and reason (`outcomes.LOSSES`).
        match_keys: match keys per hour (`match_key_shares.MATCH_KEY_COUNTS`).
        changed: delivered orders whose payload would differ if sent today.
        meta_stats: Meta's counts compared with ours, as far as they are stored.
        deliveries: occurred_at, delivered_at, status and reason of every event.
        histories: the incidents, in time order.
        backfill_url: where the hours of an incident are launched; None without `CAPI_UI_URL`.
    """

    hours: Sequence[datetime]
    now: datetime
    health: pa.Table
    flags: pa.Table
    late: pa.Table
    losses: pa.Table
    match_keys: pa.Table
    changed: int
    meta_stats: Sequence[Mapping[str, Any]]
    deliveries: pa.Table
    histories: Sequence[IncidentHistory]
    backfill_url: str | None = None


def gather(settings: Settings, hours: Sequence[datetime]) -> Report:
    """The report of `hours` (consecutive), read a day at a time; called by the command line.

    The ledger is opened only if orders were late; a ledger that cannot be reached raises then.
    """
    now = settings.now or datetime.now(UTC)
    lake, policy = Lake(settings.lake), coverage_policy(settings, now)
    start, end = hour_range(hours)
    around = hours_between(start - NEIGHBOURS, end + NEIGHBOURS)
    health = lake.read("attribution_health", around, arrow_schema(AttributionHealth))
    known = lake.hours("attribution_health")
    expected = [h for h in hours if known and known[0] <= h < floor_hour(now) + HOUR]
    flags = _within(flag_hours(health, policy, now, expected_hours=expected), start, end)
    days = [hours[i : i + _BATCH_HOURS] for i in range(0, len(hours), _BATCH_HOURS)]
    parts = [_read(lake, day, policy) for day in days]
    tables = {name: pa.concat_tables(part[name] for part in parts) for name in parts[0]}
    late, events = tables["late"], tables.pop("late_events")
    attempts = ATTEMPT.empty_table()
    if events.num_rows:
        with open_ledger(settings) as ledger:
            attempts = ledger.attempts_for(events)
    return Report(
        hours=hours,
        now=now,
        health=_within(health, start, end),
        flags=flags,
        changed=tables["deliveries"].filter(_CHANGED).num_rows,
        meta_stats=lake.read("meta_stats", hours, arrow_schema(MetaStats)).to_pylist(),
        histories=incident_histories(
            gap_histories(flags, late, late_causes(late, events, attempts))
        ),
        backfill_url=settings.backfill_url,
        **tables,
    )


def _read(lake: Lake, hours: Sequence[datetime], policy: CoveragePolicy) -> dict[str, pa.Table]:
    events = lake.read("matched_events", hours, arrow_schema(MatchedEvents), _EVENTS)
    results = lake.read("delivery_results", hours, arrow_schema(DeliveryResults))
    quarantined = lake.read("quarantined_orders", hours, arrow_schema(Quarantine))
    late = late_orders(results, policy)
    return {
        "late": late,
        "late_events": late_events(results, late, policy),
        "losses": losses(events, results, quarantined),
        "match_keys": match_key_counts(events),
        "deliveries": results.select(_DELIVERED),
    }


def _within(rows: pa.Table, start: datetime, end: datetime) -> pa.Table:
    first, last = (pa.scalar(moment, UTC_MICROSECONDS) for moment in (start, end))
    return rows.filter((pc.field("hour") >= first) & (pc.field("hour") < last))
