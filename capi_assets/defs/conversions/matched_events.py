"""`matched_events`: each order with its visit, as the exact event to send, and its check."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from functools import partial
from typing import Any

import dagster as dg
import pyarrow as pa
import pyarrow.compute as pc

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
from capi_assets.defs.resources import clock_of
from capi_assets.delivery.ledger.ledger import LedgerError
from capi_assets.engine import DuckDBEngine, open_duckdb
from capi_assets.hours import floor_hour, hour_range, hours_between
from capi_assets.lake import Lake, rows_of
from capi_assets.matching import MATCHED_ON, best_visits
from capi_assets.meta.events.refusals import REFUSAL_TEXTS
from capi_assets.meta.match_keys.hashed_keys import HASHED_KEYS
from capi_assets.policies import event_stage, open_ledger
from capi_assets.settings import Settings
from capi_assets.stages.events import EventHour, Known, known_of, known_of_range

_NEW_PAYLOADS = "Events that Meta may have get new payloads: %s"
PLOTTED_KEYS = (*HASHED_KEYS, "fbc", "fbp", "client_ip_address", "client_user_agent")


def _metadata(hour: EventHour) -> dict[str, Any]:
    ready = hour.verdicts.get("ready", 0)
    metadata: dict[str, Any] = {
        "dagster/row_count": hour.rows,
        "ready": ready,
        "withheld": hour.verdicts.get("withheld", 0),
        "invalid": hour.verdicts.get("invalid", 0),
        "matched": sum(hour.matched_by.values()),
        "without_browser": hour.without_browser,
        **money_metadata(hour.ready_value, "ready_value"),
    }
    if hour.rows:
        metadata["share_without_browser"] = round(hour.without_browser / hour.rows, 4)
    if ready:
        for key in PLOTTED_KEYS:
            metadata[f"share_{key}"] = round(hour.match_keys.get(key, 0) / ready, 4)
    if hour.shared_keys:
        listed = (f"{key}: {n}" for key, n in hour.shared_keys.items())
        metadata["orders_with_shared_ids"] = ", ".join(listed)
    by_key = Counter(hour.matched_by)
    if unmatched := hour.rows - by_key.total():
        by_key["no visit found"] = unmatched
    counts: list[list[str | int]] = [[key, orders] for key, orders in by_key.most_common()]
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


def _note_withdrawals(context: dg.AssetExecutionContext, settings: Settings, now: datetime) -> None:
    try:
        with open_ledger(settings) as ledger:
            note_landed_withdrawals(context, settings, ledger, now)
    except LedgerError as error:
        context.log.warning("Withdrawals of consent wait for delivery: %s", error)


def _store_on_cluster(
    url: str,
    context: dg.AssetExecutionContext,
    settings: Settings,
    hours: Sequence[datetime],
    visit_hours: Sequence[datetime],
    now: datetime,
) -> list[EventHour]:
    """Replaces each hour, on a Spark cluster."""
    from capi_assets.spark import events, session

    _note_withdrawals(context, settings, now)
    stage, known = event_stage(settings, now), None
    try:
        with open_ledger(settings) as ledger:
            known = known_of_range(ledger, now, stage.delivery)
    except LedgerError as error:
        context.log.warning(_NEW_PAYLOADS, error)
    work = events.EventWork(stage, hours, visit_hours, settings.lookback, known)
    with session.open_session(url) as cluster:
        return work.run(cluster)


def _store_events(
    context: dg.AssetExecutionContext,
    settings: Settings,
    hours: Sequence[datetime],
    visit_hours: Sequence[datetime],
    now: datetime,
) -> Iterator[EventHour]:
    """Replaces each hour; one query for all of them."""
    lake, stage = Lake(settings.lake), event_stage(settings, now)
    orders = lake.snapshot("orders", hours, arrow_schema(Orders))
    best = pa.table({})  # of no order
    if orders.num_rows:
        _note_withdrawals(context, settings, now)
        files = [lake.path("visits", hour) for hour in visit_hours]
        with open_duckdb() as connection:
            engine = DuckDBEngine(connection)
            best = best_visits(orders.select(MATCHED_ON), files, settings.lookback, engine)

    def known(batch: Sequence[datetime], events: pa.Table) -> Known | None:
        try:
            with open_ledger(settings) as ledger:
                return known_of(events, batch, lake, ledger, now)
        except LedgerError as error:
            context.log.warning(_NEW_PAYLOADS, error)
            return None

    yield from stage.run_range(hours, orders, best, known)


def build_matched_events(
    settings: Settings, hourly: dg.HourlyPartitionsDefinition
) -> dg.Definitions:
    """The asset `matched_events` and its check."""
    lake = Lake(settings.lake)

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
        searched = hours_between(floor_hour(start - settings.lookback), end)
        stored = set(lake.stored("visits", searched))
        kept_since = floor_hour(clock.now() - timedelta(days=settings.retention_days))
        oldest = max(settings.start_date, kept_since)
        missing = [hour for hour in searched if hour >= oldest and hour not in stored]
        added = ingest_missing_visits(context, settings, missing)
        visit_hours = sorted({*stored, *added})
        metadata = {}
        store = partial(_store_on_cluster, url) if (url := settings.spark_url) else _store_events
        for hour in store(context, settings, hours, visit_hours, clock.now()):
            metadata[hour.hour] = _metadata(hour)
            if added:
                metadata[hour.hour]["visit_hours_ingested_first"] = len(added)
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
