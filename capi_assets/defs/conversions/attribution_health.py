"""`attribution_health`: what became of each hour's orders, and the checks on it."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

import dagster as dg
import pyarrow as pa
import pyarrow.compute as pc

from capi_assets.contracts.attribution_health import AttributionHealth
from capi_assets.contracts.base import UTC_MICROSECONDS, arrow_schema, conform
from capi_assets.contracts.delivery_results import DeliveryResults
from capi_assets.contracts.quarantine import Quarantine
from capi_assets.contracts.visits import Visits
from capi_assets.coverage.flags import is_inconclusive
from capi_assets.coverage.formatting import paragraph
from capi_assets.coverage.gap_text import hour_sentence, incidents_sentence
from capi_assets.coverage.gaps import Gap, gaps_of_hour
from capi_assets.coverage.incidents import open_and_closed
from capi_assets.coverage.links import backfill_link
from capi_assets.coverage.missing_orders import missing_orders
from capi_assets.coverage.outcomes import EVENT_COLUMNS, RESULT_COLUMNS
from capi_assets.coverage.policy import ERROR, CoveragePolicy
from capi_assets.coverage.signals import signals
from capi_assets.coverage.stored_health import find_gaps, flags_of
from capi_assets.coverage.tables import (
    comparisons_table,
    event_table,
    incidents_table,
    missing_orders_table,
    remedies_table,
    waterfall_table,
)
from capi_assets.coverage.waterfall import unbalanced_rows, waterfall
from capi_assets.defs.automation.active_runs import done_at
from capi_assets.defs.hourly_reporting import (
    HourCheckResult,
    hourly_asset,
    hourly_check,
    hours_of,
    report_hours,
)
from capi_assets.defs.metadata import markdown_text, table_metadata
from capi_assets.defs.names import asset_key, resource_key
from capi_assets.defs.resources import clock_of
from capi_assets.delivery.hours_to_send import batches
from capi_assets.hours import HOUR, floor_hour, hour_key, hour_range, hours_between
from capi_assets.lake import Lake
from capi_assets.policies import coverage_policy
from capi_assets.settings import Settings

# The waterfall's own numbers aside, what the UI plots of an hour.
_SIGNALS = (
    "match_rate",
    "order_supplied_event_ids",
    "share_lookalikes",
    "share_zero_value",
    "freshness_p50_minutes",
    "freshness_p95_minutes",
    "within_1h",
    "within_2h",
    "within_24h",
)

_OF_VISITS = ["occurred_at", "fbc", "fbclid"]


def _visits_per_hour(visits: pa.Table) -> pa.Table:
    floors = pc.floor_temporal(visits.column("occurred_at"), unit="hour").cast(UTC_MICROSECONDS)
    click = pc.or_(pc.is_valid(visits.column("fbc")), pc.is_valid(visits.column("fbclid")))
    counts = pa.table({"hour": floors, "click": click.cast(pa.int64())})
    counts = counts.group_by("hour").aggregate([([], "count_all"), ("click", "sum")])
    return counts.rename_columns(["hour", "visits", "with_click_id"])


def _visits_rebuilt_since(
    instance: dg.DagsterInstance, store: Lake, hours: Sequence[datetime], settings: Settings
) -> dict[datetime, int]:
    """How many hours of visits in each hour's lookback changed after its orders were matched.

    The lineage maps an hour to the same hour of visits, so Dagster cannot know.
    """
    (start, end), lookback = hour_range(hours), settings.lookback
    matched_events = asset_key(settings, "matched_events")
    changed = store.changed_at("visits", hours_between(floor_hour(start - lookback), end))
    matched, rebuilt = done_at(instance, matched_events, hours), dict.fromkeys(hours, 0)
    for hour, (since, _) in matched.items():
        reach = hours_between(floor_hour(hour - lookback), hour + HOUR)
        rebuilt[hour] = sum(h in changed and changed[h] > since for h in reach)
    return rebuilt


def _metadata(rows: pa.Table) -> dict[str, Any]:
    """Numbers that the UI plots per hour; money per currency."""

    def total(name: str) -> int:
        return pc.sum(rows.column(name)).as_py() or 0

    metadata: dict[str, Any] = {"dagster/row_count": rows.num_rows}
    metadata["visits"] = pc.max(rows.column("visits")).as_py() or 0
    for name in ("orders", "withheld", "delivered", "pending", "quarantined", "invalid", "matched"):
        metadata[name] = total(name)
    metadata["without_browser"] = total("without_browser")
    if metadata["orders"]:
        share = metadata["without_browser"] / metadata["orders"]
        metadata["share_without_browser"] = round(share, 4)
    eligible = total("eligible")
    metadata["missing"] = eligible - metadata["delivered"]
    if eligible:
        metadata["coverage"] = round(metadata["delivered"] / eligible, 4)
    for row in rows.to_pylist():
        if row["currency"]:
            key = row["currency"].lower()
            lost = row["value_orders"] - row["value_withheld"] - row["value_delivered"]
            for name, value in (("delivered", row["value_delivered"]), ("missing", lost)):
                at = f"{name}_{key}"
                metadata[at] = round(metadata.get(at, 0.0) + value, 2)
            if row["value_changed"]:
                metadata[f"changed_after_delivery_{key}"] = round(row["value_changed"], 2)
    deadline = pc.min(rows.column("first_deadline")).as_py()
    if deadline is not None:
        metadata["first_deadline"] = dg.MetadataValue.timestamp(deadline)
    return metadata


def _judge_coverage(
    settings: Settings, hours: Sequence[datetime], now: datetime
) -> Mapping[datetime, HourCheckResult]:
    policy = coverage_policy(settings, now)
    health, flags = flags_of(Lake(settings.lake), hours, policy, now)
    rows = {row["hour"]: row for row in flags.to_pylist(maps_as_pydicts="strict")}
    return {
        hour: HourCheckResult(
            passed=not (rows[hour]["flagged"] or is_inconclusive(rows[hour])),
            description=paragraph(hour_sentence(hour, flags, now), policy.delays_text(hour, now)),
            severity=_severity(rows[hour]["severity"]),
            metadata=_hour_metadata(rows[hour], health, settings.backfill_url),
        )
        for hour in hours
        if hour in rows
    }


def _severity(word: str | None) -> dg.AssetCheckSeverity:
    return dg.AssetCheckSeverity.ERROR if word == ERROR else dg.AssetCheckSeverity.WARN


def _hour_metadata(
    row: Mapping[str, Any], health: pa.Table, backfill_url: str | None
) -> dict[str, Any]:
    moment = pa.scalar(row["hour"], UTC_MICROSECONDS)
    rows = health.filter(pc.equal(health["hour"], moment)).to_pylist()
    metadata = table_metadata("waterfall", waterfall_table(rows))
    events = event_table(rows)
    if len(events.rows) > 1:
        metadata |= table_metadata("events", events)
    if row["coverage"] is not None:
        metadata["coverage"] = round(row["coverage"], 4)
    metadata["missing_orders"] = (row["missing"] or 0) if row["flagged"] else 0
    if row["flagged"]:
        metadata["cause"] = row["cause"]
        found = gaps_of_hour(row)
        if evidence := "; ".join(gap.evidence for gap in found if gap.evidence):
            metadata["evidence"] = evidence
        if any(gap.comparisons for gap in found):
            metadata |= table_metadata("expected", comparisons_table(found))
        if row["first_deadline"]:
            metadata["first_deadline"] = dg.MetadataValue.timestamp(row["first_deadline"])
        if visits := min((gap.visits_until for gap in found if gap.visits_until), default=None):
            metadata["visits_until"] = dg.MetadataValue.timestamp(visits)
        link = backfill_link(backfill_url, [hour_key(row["hour"])])
        if link and not any(gap.as_stored for gap in found):
            metadata["backfill"] = dg.MetadataValue.url(link)
    return metadata


def _judge_sums(lake: Lake, hours: Sequence[datetime]) -> Mapping[datetime, HourCheckResult]:
    health = lake.read("attribution_health", hours, arrow_schema(AttributionHealth))
    off = {row["hour"]: row for row in unbalanced_rows(health).to_pylist()}
    return {
        hour: HourCheckResult(
            passed=hour not in off,
            description=(
                f"{off[hour]['measure']} do not add up: {off[hour]['parts']} in all stages,"
                f" {off[hour]['total']} in total."
                if hour in off
                else "Every order is in exactly one stage, by count and by value."
            ),
            metadata={"sums_that_differ": int(hour in off)},
        )
        for hour in hours
    }


def open_gaps_check(
    lake: Lake,
    gaps: Sequence[Gap],
    policy: CoveragePolicy,
    now: datetime,
    backfill_url: str | None = None,
) -> dict[str, Any]:
    """The list of open gaps by incident, as the fields of a check's result.

    Raises:
        LakeError: the orders of a flagged hour cannot be read.
    """
    incidents, closed = open_and_closed(gaps, policy, now)
    gaps = [gap for incident in incidents for gap in incident.gaps]
    severe = any(gap.severity == ERROR for gap in gaps)
    orders = missing_orders(lake, gaps)
    link = backfill_link(
        backfill_url, [gap.partition_range for gap in gaps if gap.savable and not gap.as_stored]
    )
    return {
        "passed": not gaps,
        "severity": dg.AssetCheckSeverity.ERROR if severe else dg.AssetCheckSeverity.WARN,
        "description": markdown_text(incidents_sentence(incidents, now)),
        "metadata": {
            **table_metadata("incidents", incidents_table(incidents, now)),
            **table_metadata("remedies", remedies_table(gaps, now)),
            **table_metadata("first_missing", missing_orders_table(orders)),
            **({"all_missing": orders.command} if orders.command else {}),
            **table_metadata("closed", incidents_table(closed, now)),
            **({"landing": policy.delays.text} if policy.delays.text else {}),
            **({"backfill": dg.MetadataValue.url(link)} if link else {}),
            "flagged_hours": sum(gap.hours for gap in gaps),
            "missing_orders": sum(gap.orders for gap in gaps),
            "recoverable_orders": sum(gap.recoverable for gap in gaps),
        },
    }


def build_attribution_health(
    settings: Settings, hourly: dg.HourlyPartitionsDefinition
) -> dg.Definitions:
    """The asset `attribution_health` and its checks."""
    lake = Lake(settings.lake)

    @hourly_asset(
        AttributionHealth,
        settings,
        hourly,
        stage="evaluate",
        kinds={"parquet", "duckdb"},
        deps=["visits", "orders", "matched_events", "delivery_results"],
        description=(
            "The outcome of every order of the hour, by count and by value: delivered, withheld on"
            " purpose, or lost for one reason, and until when it can be recovered. Coverage is the"
            " share of delivered orders among the orders that should be delivered. Where"
            " delivery_results was materialized alone, coverage_sensor has the hour evaluated"
            " again."
        ),
    )
    def attribution_health(context: dg.AssetExecutionContext) -> Iterator[Any]:
        """Sums up the stored tables of the run's hours; sends nothing.

        Started by `deliver_hour` and `evaluate_hour`. One row per hour, dataset, event name and
        currency; columns: `contracts/attribution_health.py`.

        Raises:
            LakeError: a stored table cannot be read.
        """
        hours = hours_of(context)
        rebuilt = _visits_rebuilt_since(context.instance, lake, hours, settings)
        metadata = {}
        for batch, events in batches(lake, hours, columns=EVENT_COLUMNS):
            results = lake.read(
                "delivery_results", batch, arrow_schema(DeliveryResults), RESULT_COLUMNS
            )
            visits = lake.read(
                "visits", batch, arrow_schema(Visits), ["occurred_at", "fbc", "fbclid"]
            )
            quarantined = lake.read("quarantined_orders", batch, arrow_schema(Quarantine))
            health = conform(
                waterfall(batch, events, results, quarantined, _visits_per_hour(visits)),
                AttributionHealth,
            )
            plotted = {row["hour"]: row for row in signals(health, results).to_pylist()}
            for hour in batch:
                moment = pa.scalar(hour, UTC_MICROSECONDS)
                rows = health.filter(pc.equal(health.column("hour"), moment))
                lake.write("attribution_health", hour, rows)
                metadata[hour] = _metadata(rows) | {
                    name: round(plotted[hour][name], 4)
                    for name in _SIGNALS
                    if plotted[hour][name] is not None
                }
                metadata[hour]["visit_hours_rebuilt_since_matching"] = rebuilt[hour]
                if rebuilt[hour]:
                    metadata[hour]["remedy"] = (
                        "Visits that these orders may match were materialized again after the"
                        " orders were matched: materialize matched_events of this hour again."
                    )
        yield from report_hours(context, metadata)

    coverage_above_threshold = hourly_check(
        settings,
        "attribution_health",
        "coverage_above_threshold",
        "The share of orders that reached Meta is at least CAPI_COVERAGE_THRESHOLD; if not, why,"
        " what it costs, and until when it can be recovered. ERROR when the first deadline is near"
        " or nothing was delivered.",
        hourly,
        lambda hours, now: _judge_coverage(settings, hours, now),
    )
    every_order_is_accounted_for = hourly_check(
        settings,
        "attribution_health",
        "every_order_is_accounted_for",
        "Orders = delivered + withheld + lost for one reason each, by count and by value, to the"
        " cent.",
        hourly,
        lambda hours, now: _judge_sums(lake, hours),
    )

    @dg.asset_check(
        asset=asset_key(settings, "attribution_health"),
        name="open_gaps",
        required_resource_keys={resource_key(settings, "clock")},
        description=(
            "All open gaps of the last eight days by incident, whatever hour was evaluated last:"
            " causes, cost, deadline, the ranges to materialize, the first missing orders by id."
            " Written by the coverage sensor whenever it changes. An incident that ended without"
            " being fixed is listed as closed, and fails nothing."
        ),
    )
    def open_gaps(context: dg.AssetCheckExecutionContext) -> dg.AssetCheckResult:
        """All gaps of the watched hours, as the sensor finds them."""
        now = clock_of(context, settings).now()
        policy = coverage_policy(settings, now)
        gaps = find_gaps(lake, policy, now).gaps
        return dg.AssetCheckResult(
            **open_gaps_check(lake, gaps, policy, now, settings.backfill_url)
        )

    return dg.Definitions(
        assets=[attribution_health],
        asset_checks=[coverage_above_threshold, every_order_is_accounted_for, open_gaps],
    )
