"""`matched_events`: each order with its visit, as the exact event to send, and its check."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

import dagster as dg
import pyarrow as pa
import pyarrow.compute as pc
from dagster_duckdb import DuckDBResource

from capi_assets.contracts.base import arrow_schema
from capi_assets.contracts.matched_events import MatchedEvents
from capi_assets.contracts.orders import Orders
from capi_assets.defs.conversions.landing_assets import money_metadata
from capi_assets.defs.hourly_reporting import (
    HourCheckResult,
    hourly_asset,
    hourly_check,
    hours_of,
    report_hours,
)
from capi_assets.defs.resources import LakeResource, RulesResource
from capi_assets.delivery.hours_to_send import in_batches
from capi_assets.eligibility import matched_events_of
from capi_assets.engine import DuckDBEngine
from capi_assets.hours import HOUR, floor_hour, hour_range, hours_between
from capi_assets.matching import match
from capi_assets.meta.events.refusals import refusal_text
from capi_assets.meta.match_keys.hashed_keys import HASHED_KEYS

PLOTTED_KEYS = (*HASHED_KEYS, "fbc", "fbp", "client_ip_address", "client_user_agent")


@hourly_asset(
    MatchedEvents,
    stage="match",
    kinds={"parquet", "duckdb", "sql"},
    deps=["visits", "orders"],
    description=(
        "Each order with the best visit at or before it, and the server event built from both:"
        " `payload` is what Meta is sent. Reads the visits of its hour and of the whole lookback"
        " (CAPI_LOOKBACK_HOURS) before it, though the lineage shows the same hour only: after"
        " visits are re-materialized, re-materialize the later hours that may have matched them."
    ),
)
def matched_events(
    context: dg.AssetExecutionContext,
    lake: LakeResource,
    duckdb: DuckDBResource,
    rules: RulesResource,
) -> Iterator[Any]:
    """One query for all hours of the run; each hour is replaced whole."""
    hours = hours_of(context)
    start, end = hour_range(hours)
    store = lake.open()
    orders = store.read("orders", hours, arrow_schema(Orders))
    looked_at = hours_between(floor_hour(start - rules.lookback), end)
    with duckdb.get_connection() as connection:
        matched = match(
            orders, store.paths("visits", looked_at), rules.lookback, DuckDBEngine(connection)
        )
    metadata = {}
    for some, rows_of_some in in_batches((hour, rows_of(matched, hour)) for hour in hours):
        events = matched_events_of(rows_of_some, rules.consent_required)
        for hour in some:
            rows = rows_of(events, hour)
            store.write("matched_events", hour, rows)
            metadata[hour] = _metadata(rows)
    yield from report_hours(context, metadata)


def rows_of(events: pa.Table, hour: datetime) -> pa.Table:
    """The rows of one hour of `occurred_at`."""
    occurred = events.column("occurred_at")
    kind = occurred.type
    inside = pc.and_(
        pc.greater_equal(occurred, pa.scalar(hour, kind)),
        pc.less(occurred, pa.scalar(hour + HOUR, kind)),
    )
    return events.filter(inside)


def _metadata(rows: pa.Table) -> dict[str, Any]:
    verdicts = Counter(rows.column("verdict").to_pylist())
    ready = rows.filter(pc.equal(rows.column("verdict"), "ready"))
    found: dict[str, Any] = {
        "dagster/row_count": rows.num_rows,
        "ready": verdicts["ready"],
        "withheld": verdicts["withheld"],
        "invalid": verdicts["invalid"],
        "matched": rows.num_rows - rows.column("matched_by").null_count,
        **money_metadata(ready, "ready_value"),
    }
    if rows.num_rows:
        found["match_rate"] = round(found["matched"] / rows.num_rows, 4)
    if ready.num_rows:
        keys = ready.column("match_keys").to_pylist()
        carried = Counter(key for entry in keys for key in (entry or "").split())
        for key in PLOTTED_KEYS:
            found[f"share_{key}"] = round(carried[key] / ready.num_rows, 4)
    shared = Counter(
        key for entry in rows.column("shared_keys").to_pylist() for key in (entry or "").split()
    )
    if shared:
        found["orders_with_shared_ids"] = ", ".join(f"{key}: {n}" for key, n in shared.items())
    by_key = Counter(rows.column("matched_by").to_pylist())
    lines = [f"| {key or 'no visit found'} | {count} |" for key, count in by_key.most_common()]
    if lines:
        table = "\n".join(["| matched by | orders |", "|---|---:|", *lines])
        found["matched_by"] = dg.MetadataValue.md(table)
    return found


def _judge(hours: Sequence[datetime], lake: LakeResource) -> Mapping[datetime, HourCheckResult]:
    schema = arrow_schema(MatchedEvents)
    columns = ["occurred_at", "verdict", "reason", "subcode"]
    events = lake.open().read("matched_events", hours, schema, columns)
    return {hour: _verdict(rows_of(events, hour)) for hour in hours}


def _verdict(rows: pa.Table) -> HourCheckResult:
    invalid = rows.filter(pc.equal(rows.column("verdict"), "invalid"))
    if not invalid.num_rows:
        return HourCheckResult(True, f"None of {rows.num_rows} events would be refused by Meta.")
    reasons = Counter(
        zip(
            invalid.column("reason").to_pylist(), invalid.column("subcode").to_pylist(), strict=True
        )
    )
    lines = [
        f"| {reason} | {subcode or ''} | {count} | {refusal_text(reason)} |"
        for (reason, subcode), count in reasons.most_common()
    ]
    head = ["| reason | Meta's subcode | orders | what to do |", "|---|---|---:|---|"]
    return HourCheckResult(
        passed=False,
        description=(
            f"{invalid.num_rows} of {rows.num_rows} orders cannot be sent: Meta would refuse them,"
            " and with them every other event of their request."
        ),
        severity=dg.AssetCheckSeverity.WARN,
        metadata={
            "invalid": invalid.num_rows,
            "reasons": dg.MetadataValue.md("\n".join([*head, *lines])),
        },
    )


events_pass_meta_validation = hourly_check(
    "matched_events",
    "events_pass_meta_validation",
    "No order makes an event that Meta would refuse; those that would are listed by reason.",
    _judge,
    {"lake"},
)
