"""`matched_events`: each order with its visit, as the exact event to send, and its check."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

import dagster as dg
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from upath import UPath

from capi_assets.contracts.base import arrow_schema
from capi_assets.contracts.matched_events import MatchedEvents
from capi_assets.contracts.orders import Orders
from capi_assets.coverage.anomalies.anomaly import Anomaly
from capi_assets.coverage.formatting import count, format_amounts
from capi_assets.coverage.stored_health import doubled_orders
from capi_assets.coverage.tables import Table
from capi_assets.defs.conversions.landing_assets import money_metadata
from capi_assets.defs.conversions.visits import ingest_missing_visits
from capi_assets.defs.conversions.withdrawals import note_landed_withdrawals
from capi_assets.defs.hourly_reporting import (
    HourCheckResult,
    hourly_asset,
    hourly_check,
    hours_of,
    report_hours,
)
from capi_assets.defs.metadata import table_metadata
from capi_assets.defs.resources import clock_of, duckdb_of
from capi_assets.delivery.consent import withhold_withdrawn
from capi_assets.delivery.ledger.ledger import LedgerError
from capi_assets.delivery.ledger.schema import UNKNOWN
from capi_assets.delivery.sent_payloads import keep_sent_payloads
from capi_assets.eligibility import matched_events_of
from capi_assets.engine import DuckDBEngine, open_duckdb
from capi_assets.hours import floor_hour, hour_range, hours_between
from capi_assets.lake import Lake, in_batches, rows_of
from capi_assets.matching import best_visits, with_visits
from capi_assets.meta.events.refusals import REFUSAL_TEXTS
from capi_assets.meta.match_keys.hashed_keys import HASHED_KEYS
from capi_assets.policies import delivery_policy, event_policy, open_ledger
from capi_assets.settings import Settings

PLOTTED_KEYS = (*HASHED_KEYS, "fbc", "fbp", "client_ip_address", "client_user_agent")


def _metadata(rows: pa.Table) -> dict[str, Any]:
    verdicts = Counter(rows.column("verdict").to_pylist())
    ready = rows.filter(pc.equal(rows.column("verdict"), "ready"))
    metadata: dict[str, Any] = {
        "dagster/row_count": rows.num_rows,
        "ready": verdicts["ready"],
        "withheld": verdicts["withheld"],
        "invalid": verdicts["invalid"],
        "matched": rows.num_rows - rows.column("matched_by").null_count,
        "without_browser": pc.sum(rows.column("without_browser")).as_py() or 0,
        **money_metadata(ready, "ready_value"),
    }
    if rows.num_rows:
        metadata["share_without_browser"] = round(metadata["without_browser"] / rows.num_rows, 4)
    if ready.num_rows:
        keys = ready.column("match_keys").to_pylist()
        carried = Counter(key for entry in keys for key in (entry or "").split())
        for key in PLOTTED_KEYS:
            metadata[f"share_{key}"] = round(carried[key] / ready.num_rows, 4)
    shared = Counter(
        key for entry in rows.column("shared_keys").to_pylist() for key in (entry or "").split()
    )
    if shared:
        metadata["orders_with_shared_ids"] = ", ".join(f"{key}: {n}" for key, n in shared.items())
    by_key = Counter(rows.column("matched_by").to_pylist())
    counts = [[key or "no visit found", count] for key, count in by_key.most_common()]
    return metadata | table_metadata("matched_by", Table(["matched by", "orders"], counts))


def _judge(lake: Lake, hours: Sequence[datetime]) -> Mapping[datetime, HourCheckResult]:
    schema = arrow_schema(MatchedEvents)
    columns = ["occurred_at", "verdict", "reason", "subcode"]
    events = lake.read("matched_events", hours, schema, columns)
    return {hour: _verdict(rows_of(events, hour)) for hour in hours}


def _verdict(rows: pa.Table) -> HourCheckResult:
    invalid = rows.filter(pc.equal(rows.column("verdict"), "invalid"))
    if not invalid.num_rows:
        return HourCheckResult(
            True,
            f"All {rows.num_rows} events pass Meta's rules or are withheld.",
            metadata={"invalid": 0},
        )
    reasons = Counter(
        zip(
            invalid.column("reason").to_pylist(), invalid.column("subcode").to_pylist(), strict=True
        )
    )
    counts = [
        [reason, subcode, count, REFUSAL_TEXTS[reason]]
        for (reason, subcode), count in reasons.most_common()
    ]
    table = Table(["reason", "Meta's subcode", "orders", "remedy"], counts)
    return HourCheckResult(
        passed=False,
        description=(
            f"{invalid.num_rows} of {rows.num_rows} orders cannot be sent: Meta would reject them,"
            " and with them every other event of their request."
        ),
        severity=dg.AssetCheckSeverity.WARN,
        metadata={"invalid": invalid.num_rows, **table_metadata("reasons", table)},
    )


def _judge_doubled(lake: Lake, hours: Sequence[datetime]) -> Mapping[datetime, HourCheckResult]:
    doubled = doubled_orders(lake, hours)
    return {
        hour: HourCheckResult(
            passed=hour not in doubled,
            description=_doubled_text(doubled[hour])
            if hour in doubled
            else "No more orders than usual are like an earlier one.",
            severity=dg.AssetCheckSeverity.WARN,
            metadata={"orders": doubled[hour].orders_affected if hour in doubled else 0},
        )
        for hour in hours
    }


def _doubled_text(anomaly: Anomaly) -> str:
    value = format_amounts({c: m.expected for c, m in anomaly.estimated_money.items()})
    orders = count(anomaly.orders_affected, "order")
    return (
        f"{anomaly.evidence}. About {orders} too many{f' ({value})' if value else ''}."
        f" {anomaly.cause.remedy}"
    )


_PART_ROWS = 25_000
"""Orders of an hour whose events are built together: of a busy hour, the orders and the events of a
part are in memory, never all of its events."""


def _best_visits(orders: pa.Table, visit_files: list[UPath], settings: Settings) -> pa.Table:
    with open_duckdb() as connection:
        engine = DuckDBEngine(connection)
        return best_visits(
            orders, visit_files if orders.num_rows else [], settings.lookback, engine
        )


def _parts(orders: pa.Table) -> Iterator[tuple[int, int]]:
    """First row and number of rows of each part; orders of the same moment are in one."""
    times = orders["occurred_at"].cast(pa.int64()).to_numpy()
    is_sorted = bool((times[1:] >= times[:-1]).all())
    start = 0
    while start < len(times):
        end = len(times)
        if is_sorted and start + _PART_ROWS < end:
            end = int(np.searchsorted(times, times[start + _PART_ROWS], side="left"))
            end = end if end > start else len(times)
        yield start, end - start
        start = end


def build_matched_events(
    settings: Settings, hourly: dg.HourlyPartitionsDefinition
) -> dg.Definitions:
    """The asset `matched_events` and its check."""
    lake = Lake(settings.lake)

    def _as_of(events: pa.Table, hours: Sequence[datetime], now: datetime) -> pa.Table:
        """With the bytes that Meta may have, and without those who withdrew consent."""
        schema = arrow_schema(MatchedEvents)
        with open_ledger(settings) as ledger:
            is_stored = bool(lake.stored("matched_events", hours))
            if is_stored and UNKNOWN in ledger.state_of(events)["state"].unique().to_pylist():
                stored = lake.read("matched_events", hours, schema)
                state = ledger.state_of(stored)
                events = keep_sent_payloads(events, stored, state, now, delivery_policy(settings))
            return withhold_withdrawn(events, ledger, lake, now)

    @hourly_asset(
        MatchedEvents,
        settings,
        hourly,
        stage="match",
        kinds={"parquet", "duckdb", "sql"},
        deps=["visits", "orders"],
        resources=["clock", "duckdb"],
        description=(
            "Each order with the best visit at or before it, and the server event built from both:"
            " `payload` is what Meta is sent. Reads the visits of its hour and of the whole"
            " lookback (CAPI_LOOKBACK_HOURS) before it, although the lineage shows the same hour"
            " only, and ingests those that landed but were never materialized. After visits are"
            " materialized again, materialize the later hours again whose orders may match them."
        ),
    )
    def matched_events(context: dg.AssetExecutionContext) -> Iterator[Any]:
        """Matches the orders of the run's hours with visits and builds their events.

        One query for all hours; each hour is replaced as a whole, but for events that Meta may
        have: they keep the bytes they were sent with. Started by `deliver_hour`.
        Columns: `contracts/matched_events.py`; `verdict` is ready, withheld or invalid.

        Raises:
            LakeError: stored orders or visits cannot be read.
        """
        hours, clock = hours_of(context), clock_of(context, settings)
        start, end = hour_range(hours)
        orders = lake.read("orders", hours, arrow_schema(Orders))
        moments = orders.select(["occurred_at"])
        if orders.num_rows:
            try:
                with open_ledger(settings) as ledger:
                    note_landed_withdrawals(context, settings, ledger, clock.now())
            except LedgerError as error:
                context.log.warning("Withdrawals of consent wait for delivery: %s", error)
        searched = hours_between(floor_hour(start - settings.lookback), end)
        stored = set(lake.stored("visits", searched))
        kept_since = floor_hour(clock.now() - timedelta(days=settings.retention_days))
        oldest = max(settings.start_date, kept_since)
        missing = [hour for hour in searched if hour >= oldest and hour not in stored]
        with duckdb_of(context, settings).get_connection() as connection:
            added = ingest_missing_visits(context, settings, missing, connection)
        files = [lake.path("visits", hour) for hour in sorted({*stored, *added})]
        visits = _best_visits(orders, files, settings)
        metadata, light = {}, list[pa.Table]()

        def events_of(batch: Sequence[datetime], start: int, rows: int) -> Iterator[pa.Table]:
            """The events of the orders from row `start` on, a part at a time."""
            for first, size in _parts(orders.slice(start, rows)) if rows else [(0, 0)]:
                part = (table.slice(start + first, size) for table in (orders, visits))
                events = matched_events_of(with_visits(*part), event_policy(settings))
                try:
                    if events.num_rows:
                        events = _as_of(events, batch, clock.now())
                except LedgerError as error:
                    context.log.warning("Events that Meta may have get new payloads: %s", error)
                light.append(events.drop_columns("payload"))
                yield events

        batches = [(b, t.num_rows) for b, t in in_batches((h, rows_of(moments, h)) for h in hours)]
        assert sum(rows for _, rows in batches) == orders.num_rows, "an order outside its hour"
        first_row = 0
        for batch, rows in batches:
            parts = events_of(batch, first_row, rows)
            first_row += rows
            if len(batch) > 1:
                events = pa.concat_tables(parts)
                for hour in batch:
                    lake.write("matched_events", hour, rows_of(events, hour))
            else:
                lake.write("matched_events", batch[0], parts)
            built = pa.concat_tables(light)
            light.clear()
            for hour in batch:
                metadata[hour] = _metadata(rows_of(built, hour))
                if added:
                    metadata[hour]["visit_hours_ingested_first"] = len(added)
        yield from report_hours(context, metadata)

    events_pass_meta_validation = hourly_check(
        settings,
        "matched_events",
        "events_pass_meta_validation",
        "Every order produces an event that passes Meta's rules; those that do not are listed by"
        " reason.",
        hourly,
        lambda hours, now: _judge(lake, hours),
    )
    orders_not_doubled = hourly_check(
        settings,
        "matched_events",
        "orders_not_doubled",
        "No more orders than usual are like an earlier one of their hour (same person, value and"
        " currency, another order_id); if so, how many, their value, and how many are not sent yet."
        " Only warns: delivery goes on.",
        hourly,
        lambda hours, now: _judge_doubled(lake, hours),
    )
    return dg.Definitions(
        assets=[matched_events], asset_checks=[events_pass_meta_validation, orders_not_doubled]
    )
