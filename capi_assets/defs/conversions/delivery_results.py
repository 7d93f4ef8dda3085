"""`delivery_results`: delivers what Meta does not have yet, and stores every event's status."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

import dagster as dg
import pyarrow as pa
import pyarrow.compute as pc
from pydantic import Field

from capi_assets.contracts.base import arrow_schema, conform
from capi_assets.contracts.counts import count_words, sums_by_currency
from capi_assets.contracts.delivery_results import DeliveryResults
from capi_assets.contracts.matched_events import MatchedEvents
from capi_assets.coverage.formatting import count
from capi_assets.coverage.tables import Table, plan_table
from capi_assets.defs.conversions.landing_assets import money_metadata
from capi_assets.defs.conversions.withdrawals import note_landed_withdrawals
from capi_assets.defs.hourly_reporting import (
    HourCheckResult,
    UnfinishedHour,
    hourly_asset,
    hourly_check,
    hours_of,
    report_hours,
    report_nothing_done,
)
from capi_assets.defs.metadata import table_metadata
from capi_assets.defs.resources import ClockResource, clock_of
from capi_assets.delivery.backfill_plan import (
    OUTLOOK_NAMES,
    backfill_plan,
    duplicates_if_resent,
    requests_needed,
)
from capi_assets.delivery.causes import DIAGNOSES, Cause, cause_of
from capi_assets.delivery.consent import withhold_withdrawn
from capi_assets.delivery.datasets import Datasets
from capi_assets.delivery.hours_to_send import plan_hours, planned_hours, results_of
from capi_assets.delivery.ledger.ledger import Ledger
from capi_assets.delivery.ledger_from_lake import restore_if_behind
from capi_assets.delivery.other_hours import (
    changed_orders,
    hours_that_count_too,
    hours_to_count_again,
)
from capi_assets.delivery.policy import Policy
from capi_assets.delivery.reasons import (
    HELD,
    HELD_FORMER_ID,
    HELD_TOO_LATE,
    WRITTEN_OFF,
)
from capi_assets.delivery.sending.access import clients_for
from capi_assets.delivery.sending.sender import deliver
from capi_assets.delivery.sending.summary import DeliverySummary, Progress
from capi_assets.hours import hour_key
from capi_assets.lake import Lake, rows_of
from capi_assets.order_identity import IDENTITY_CONFLICT
from capi_assets.policies import datasets_of, delivery_policy, open_ledger
from capi_assets.settings import Settings

# A person decides these; another materialization would not finish them.
_HELD = pa.array([HELD, HELD_TOO_LATE, HELD_FORMER_ID])
_OPEN = pa.array(["pending", "unknown", "future_dated"])


_RESTORED = "events_restored_to_ledger"
_RESTORED_TEXT = (
    "The ledger had lost %d events of which delivery_results knows the attempts, as after a"
    " restore from an older backup. They were restored; nothing is sent again. Check its backup and"
    " CAPI_LEDGER_URL."
)
_MOVED = "orders_now_counted_in"
_MOVED_TEXT = (
    "Orders that were counted in this hour are no longer in it; they are counted in %s now, where"
    " their rows came again. Materialize delivery_results of these hours if they show open orders."
)


class DeliveryConfig(dg.Config):
    """How a run delivers."""

    dry_run: bool = Field(
        False, description="Only plan: show what would be sent, send and materialize nothing."
    )


def _plan_metadata(planned: pa.Table, now: datetime) -> dict[str, Any]:
    rows = backfill_plan(planned)
    totals = Counter[str]()
    for row in rows.to_pylist():
        totals[row["outlook"]] += row["events"]
    return {
        **{name: totals[name] for name in OUTLOOK_NAMES if totals[name]},
        "requests_needed": requests_needed(planned),
        "duplicates_if_resent": duplicates_if_resent(planned),
        **table_metadata("plan", plan_table(rows, now)),
    }


def _deliver(
    context: dg.AssetExecutionContext,
    settings: Settings,
    lake: Lake,
    hours: Sequence[datetime],
    ledger: Ledger,
    datasets: Datasets,
    policy: Policy,
    clock: ClockResource,
) -> DeliverySummary:
    backlog = plan_hours(lake, ledger, hours, clock.now(), policy)
    if backlog.withdrawn:
        context.log.info(
            "Events withheld after they were recorded in the ledger: %d", backlog.withdrawn
        )
    context.log.info("Plan for %d events: %s", backlog.actions.total(), dict(backlog.actions))
    if claimed := backlog.actions["claimed_elsewhere"]:
        context.log.info(
            "%s claimed by another run; waiting up to %d s (the claim of a killed run lapses)",
            count(claimed, "event"),
            policy.claim_patience.total_seconds(),
        )

    def log_progress(progress: Progress) -> None:
        context.log.info(
            "%d of %d delivered in %s, %.1f s",
            progress.delivered,
            backlog.sends.num_rows,
            count(progress.requests, "request"),
            progress.seconds,
        )

    def sends() -> Iterator[pa.Table]:
        """The events to send, without those withdrawn since the run began."""
        for events in backlog.tables(lake):
            if note_landed_withdrawals(context, settings, ledger, clock.now()):
                events = withhold_withdrawn(events, ledger, lake, clock.now())
            yield events

    for why in datasets.missing.values():
        context.log.error("No access token: %s", why)
    policy = replace(policy, requests_per_second_of=datasets.requests_per_second)
    with clients_for(datasets.accesses.values(), policy) as clients:
        summary = deliver(
            sends(),
            ledger,
            clients,
            clock.now,
            policy,
            run_id=context.run.run_id,
            on_progress=log_progress,
        )
    for stop in summary.stops:
        context.log.error("%s", stop)
    for warning in summary.warnings:
        context.log.warning("%s", warning)
    return summary


def _metadata(rows: pa.Table, summary: DeliverySummary) -> dict[str, Any]:
    statuses = Counter(count_words(rows.column("status")))
    delivered = rows.filter(pc.equal(rows.column("status"), "delivered"))
    missing = rows.filter(pc.is_in(rows.column("status"), _OPEN))
    metadata: dict[str, Any] = {
        "dagster/row_count": rows.num_rows,
        **{name: statuses[name] for name in ("delivered", "pending", "unknown", "rejected")},
        "expired": statuses["expired"],
        **money_metadata(sums_by_currency(delivered), "delivered"),
        **money_metadata(sums_by_currency(missing), "open"),
        "requests_of_the_run": summary.requests,
    }
    by_reason = [[*key, count] for key, count in _reasons(rows).most_common()]
    metadata |= table_metadata("statuses", Table(["status", "reason", "events"], by_reason))
    if missing.num_rows:
        deadline = pc.min(missing.column("deliver_until")).as_py()
        metadata["first_deadline"] = dg.MetadataValue.timestamp(deadline)
    return metadata


def _reasons(rows: pa.Table) -> Counter[tuple[str, str | None]]:
    by_reason = rows.group_by(["status", "reason"], use_threads=False)
    counts = by_reason.aggregate([([], "count_all")]).to_pylist()
    return Counter({(row["status"], row["reason"]): row["count_all"] for row in counts})


def _unfinished(results: pa.Table, hours: Sequence[datetime]) -> list[UnfinishedHour]:
    """Hours with events that another materialization can still deliver."""
    held = pc.fill_null(pc.is_in(results.column("reason"), _HELD), False)
    waits = pc.and_(pc.is_in(results.column("status"), _OPEN), pc.invert(held))
    left = results.filter(waits)
    unfinished = []
    for hour in hours:
        rows = rows_of(left, hour)
        if not rows.num_rows:
            continue
        (status, reason), most = _reasons(rows).most_common(1)[0]
        cause = cause_of(stage=status, reason=reason, http_status=None, code=None, subcode=None)
        wait = "event waits" if rows.num_rows == 1 else "events wait"
        of_them = f", {most} of them" if most < rows.num_rows else ""
        why = f"{rows.num_rows} {wait}{of_them} because {_words(cause, reason)}."
        unfinished.append(UnfinishedHour(hour, why, cause.remedy_for([reason] if reason else [])))
    return unfinished


def _words(cause: Cause, reason: str | None) -> str:
    return f"{cause.headline_for([reason])} ({reason})" if reason else cause.headline


def _judge(lake: Lake, hours: Sequence[datetime]) -> Mapping[datetime, HourCheckResult]:
    events, results = arrow_schema(MatchedEvents), arrow_schema(DeliveryResults)
    return {
        hour: _verdict(
            lake.read("matched_events", [hour], events, ["order_id"]),
            lake.read(
                "delivery_results", [hour], results, ["order_id", "status", "reason", "sent_hour"]
            ),
        )
        for hour in hours
    }


def _verdict(events: pa.Table, results: pa.Table) -> HourCheckResult:
    statuses = Counter(count_words(results.column("status")))
    counts = ", ".join(f"{count} {status}" for status, count in statuses.most_common()) or "none"
    if events.num_rows != results.num_rows:
        return HourCheckResult(
            passed=False,
            description=(
                f"{events.num_rows} events, but {results.num_rows} results: matched_events was"
                " materialized after them. Materialize delivery_results of this hour again."
            ),
        )
    conflicts = results.filter(pc.fill_null(pc.equal(results["reason"], IDENTITY_CONFLICT), False))
    if conflicts.num_rows:
        return HourCheckResult(
            passed=False,
            description=_conflict_text(conflicts.to_pylist(), counts),
            severity=dg.AssetCheckSeverity.WARN,
            metadata={IDENTITY_CONFLICT: conflicts.num_rows},
        )
    undecided = Counter(count_words(results.filter(_is_undecided(results)).column("status")))
    stuck = {name: undecided[name] for name in ("unknown", "rejected")}
    if any(stuck.values()):
        unresolved = " and ".join(f"{count} {name}" for name, count in stuck.items() if count)
        return HourCheckResult(
            passed=False,
            description=(
                f"{unresolved} of {results.num_rows} events are not resolved. In total: {counts}."
            ),
            severity=dg.AssetCheckSeverity.WARN,
            metadata=stuck,
        )
    return HourCheckResult(True, f"Every event has one status: {counts}.", metadata=stuck)


def _conflict_text(rows: Sequence[Mapping[str, Any]], counts: str) -> str:
    """Names up to three orders that share their identity with another order, and the remedy."""
    named = ", ".join(
        f"{row['order_id']} (another order {row['order_id']}"
        + (f" was sent from {hour_key(row['sent_hour'])})" if row["sent_hour"] else " is sent)")
        for row in rows[:3]
    )
    more = f" and {len(rows) - 3} more" if len(rows) > 3 else ""
    remedy = DIAGNOSES[IDENTITY_CONFLICT].action
    return f"Not sent, as their order_id is in use: {named}{more}. {remedy} In total: {counts}."


def _with_restored(verdict: HourCheckResult, metadata: Mapping[str, Any]) -> HourCheckResult:
    """The verdict, with what the hour's last run restored to the ledger, or lost to other hours."""
    for name, text in ((_RESTORED, _RESTORED_TEXT), (_MOVED, _MOVED_TEXT)):
        if name in metadata:
            value = metadata[name].value
            verdict = verdict.warned(text % value, {name: value})
    return verdict


def _is_undecided(results: pa.Table) -> pa.ChunkedArray:
    """Which rows nobody has written off."""
    return pc.fill_null(pc.not_equal(results.column("reason"), WRITTEN_OFF), True)


def build_delivery_results(
    settings: Settings, hourly: dg.HourlyPartitionsDefinition
) -> dg.Definitions:
    """The asset `delivery_results` and its check."""
    lake = Lake(settings.lake)

    @hourly_asset(
        DeliveryResults,
        settings,
        hourly,
        stage="deliver",
        kinds={"parquet", "sqlite"},
        deps=["matched_events"],
        resources=["clock"],
        description=(
            "Delivers the events that Meta does not have yet and stores the status of every event."
            " Materialize it as often as you like: the ledger records what was sent, so nothing is"
            " counted twice. Hours with events that are still pending end as failed, so that a"
            " backfill of 'Failed and missing' selects exactly those."
        ),
    )
    def delivery_results(
        context: dg.AssetExecutionContext, config: DeliveryConfig
    ) -> Iterator[Any]:
        """Plans and delivers all hours of the run together, most urgent events first.

        Started by `deliver_hour`; alone, it delivers stored events without matching them again.
        Columns: `contracts/delivery_results.py`. With `dry_run` it only plans.

        Raises:
            dagster.Failure: events of some hours are still pending; names cause and remedy.
            LedgerError: the ledger cannot be opened or written.
            SourceError: a landed withdrawal of consent cannot be read; nothing is sent.
        """
        hours, policy = hours_of(context), delivery_policy(settings)
        clock = clock_of(context, settings)
        with open_ledger(settings) as ledger:
            restored = restore_if_behind(lake, ledger, hours, clock.now())
            note_landed_withdrawals(context, settings, ledger, clock.now())
        if restored:
            context.log.warning(_RESTORED_TEXT, restored)
        if config.dry_run:
            with open_ledger(settings) as ledger:
                planned = planned_hours(lake, ledger, hours, clock.now(), policy)
            yield from report_nothing_done(context, _plan_metadata(planned, clock.now()))
            return
        metadata, unfinished = {}, []
        moved: dict[datetime, list[datetime]] = {}
        new = []
        with open_ledger(settings) as ledger:
            datasets = datasets_of(settings)
            summary = _deliver(context, settings, lake, hours, ledger, datasets, policy, clock)
            for batch, folded in results_of(lake, ledger, hours, clock.now(), policy):
                results = conform(folded, DeliveryResults)
                for hour in batch:
                    rows = rows_of(results, hour)
                    left, counted = changed_orders(lake, hour, rows)
                    moved[hour] = hours_to_count_again(lake, hour, left)
                    new.append(counted)
                    lake.write("delivery_results", hour, rows)
                    metadata[hour] = _metadata(rows, summary)
                    if restored:
                        metadata[hour][_RESTORED] = restored
                unfinished += _unfinished(results, batch)
            # Their orders were counted in these hours, which have them no more; or the other way.
            others = {other for found in moved.values() for other in found} - set(hours)
            orders = pa.chunked_array([part for each in new for part in each.chunks], pa.string())
            others |= set(hours_that_count_too(lake, hours, orders))
            for batch, folded in results_of(lake, ledger, sorted(others), clock.now(), policy):
                for hour in batch:
                    rows = rows_of(conform(folded, DeliveryResults), hour)
                    lake.write("delivery_results", hour, rows)
            for hour, found in moved.items():
                if counting := [hour_key(other) for other in found if other in others]:
                    metadata[hour][_MOVED] = ", ".join(counting)
        yield from report_hours(context, metadata, unfinished)

    all_events_resolved = hourly_check(
        settings,
        "delivery_results",
        "all_events_resolved",
        "Every matched event has one result; none was rejected or has an unknown outcome.",
        hourly,
        lambda hours, now: _judge(lake, hours),
        _with_restored,
    )
    return dg.Definitions(assets=[delivery_results], asset_checks=[all_events_resolved])
