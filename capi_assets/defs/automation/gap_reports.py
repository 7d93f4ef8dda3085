"""What the coverage sensor reports: alerts, notes on the pages of flagged hours, and the list of
open gaps.

coverage/alerting/alerts.py decides which incidents are reported.
"""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

import dagster as dg

from capi_assets.coverage.alerting.alert_message import message
from capi_assets.coverage.alerting.alert_state import AlertState
from capi_assets.coverage.alerting.alerts import Alert, decide
from capi_assets.coverage.alerting.channels import LogChannel, UnsentMessages, deliver
from capi_assets.coverage.gap_text import hour_sentence
from capi_assets.coverage.gaps import Gap
from capi_assets.coverage.incidents import size
from capi_assets.coverage.links import backfill_link, partition_ranges_text
from capi_assets.coverage.policy import CoveragePolicy
from capi_assets.coverage.sensor_state import HourMark, SensorState
from capi_assets.coverage.stored_health import CoverageSnapshot
from capi_assets.defs.automation.active_runs import failure_texts
from capi_assets.defs.conversions.attribution_health import open_gaps_check
from capi_assets.defs.hourly_reporting import latest_materialization
from capi_assets.defs.metadata import markdown_text
from capi_assets.defs.names import asset_key
from capi_assets.delivery.causes import Cause
from capi_assets.hours import hour_key
from capi_assets.lake import Lake
from capi_assets.policies import alert_channels
from capi_assets.settings import Settings

MAX_NOTES = 200
"""Hours noted per tick, more than a week has: each is an event in Dagster's database."""


@dataclass(frozen=True)
class GapReport:
    """The alerts and notes of one tick, and what to remember of them."""

    snapshot: CoverageSnapshot
    alerts: list[Alert]
    alert_state: AlertState
    notes: list[dg.AssetObservation]
    flagged: dict[datetime, HourMark]


def report_gaps(
    instance: dg.DagsterInstance,
    settings: Settings,
    snapshot: CoverageSnapshot,
    previous: SensorState,
    policy: CoveragePolicy,
    now: datetime,
) -> GapReport:
    """Alerts for incidents that changed, and a note for each hour that is flagged in a new way.

    The first duty of the coverage sensor.
    """
    snapshot = _with_failed_runs(instance, settings, snapshot, previous.flagged)
    alerts, alert_state = decide(
        previous.alerts, snapshot.gaps, now, watched_from=snapshot.watched_from, policy=policy
    )
    # Of several gaps in an hour, the one that misses most is noted.
    marks = {
        hour: (gap, HourMark(gap.cause, gap.severity, gap.missing[hour]))
        for gap in sorted(snapshot.gaps, key=size)
        for hour in gap.missing
    }
    changed = [hour for hour, (_, mark) in marks.items() if previous.flagged.get(hour) != mark]
    notes = [
        dg.AssetObservation(
            asset_key(settings, "attribution_health"),
            partition=hour_key(hour),
            description=markdown_text(hour_sentence(hour, snapshot.flags, now)),
            metadata=_note(marks[hour][0], settings.backfill_url),
        )
        for hour in changed[:MAX_NOTES]
    ]
    flagged = {hour: mark for hour, (_, mark) in marks.items()}
    return GapReport(snapshot, alerts, alert_state, notes, flagged)


def _with_failed_runs(
    instance: dg.DagsterInstance,
    settings: Settings,
    snapshot: CoverageSnapshot,
    before: Mapping[datetime, HourMark],
) -> CoverageSnapshot:
    """Names the failed run, if any, in the evidence of newly flagged hours without data."""
    absent = [gap for gap in snapshot.gaps if gap.cause is Cause.NOT_MATERIALIZED]
    newly = {hour for gap in absent for hour in gap.missing if hour not in before}
    texts = failure_texts(instance, settings, newly)

    def explained(gap: Gap) -> Gap:
        of_gap = [texts[hour] for hour in sorted(gap.missing) if hour in texts]
        return replace(gap, evidence=of_gap[-1]) if of_gap else gap

    gaps = [explained(gap) if gap in absent else gap for gap in snapshot.gaps]
    return replace(snapshot, gaps=gaps)


def _note(gap: Gap, backfill_url: str | None) -> dict[str, Any]:
    note: dict[str, Any] = {
        "gap": gap.id,
        "cause": str(gap.cause),
        "materialize": partition_ranges_text([gap.partition_range]),
        "remedy": gap.remedy,
    }
    if gap.evidence:
        note["evidence"] = gap.evidence
    if not gap.as_stored and (link := backfill_link(backfill_url, [gap.partition_range])):
        note["backfill"] = dg.MetadataValue.url(link)
    return note


def list_open_gaps(
    instance: dg.DagsterInstance,
    settings: Settings,
    report: GapReport,
    previous: SensorState,
    policy: CoveragePolicy,
    now: datetime,
) -> tuple[list[dg.AssetCheckEvaluation], int | None]:
    """An evaluation of the check `open_gaps` if the gaps changed, or if their asset was
    materialized: Dagster shows an older evaluation as "not evaluated".

    The fourth duty of the coverage sensor. Also returns the storage id of that materialization.
    """
    asset = asset_key(settings, "attribution_health")
    latest = latest_materialization(instance, asset)
    storage_id = latest.storage_id if latest else None
    if report.flagged == previous.flagged and storage_id == previous.listed_after:
        return [], storage_id
    evaluation = dg.AssetCheckEvaluation(
        asset_key=asset,
        check_name="open_gaps",
        target_materialization_data=latest,
        **open_gaps_check(
            Lake(settings.lake), report.snapshot.gaps, policy, now, settings.backfill_url
        ),
    )
    return [evaluation], storage_id


def send_alerts(
    alerts: Sequence[Alert],
    settings: Settings,
    unsent: Mapping[str, UnsentMessages],
    now: datetime,
    log: logging.Logger,
) -> dict[str, UnsentMessages]:
    """Writes alerts to the log and sends them to every channel; returns what was not accepted."""
    messages = [message(alert, now, settings.backfill_url) for alert in alerts]
    LogChannel(log).send(messages)
    failures, still_unsent = deliver(alert_channels(settings), messages, unsent, now)
    for failure in failures:
        log.warning("An alert was not delivered by %s: %s", failure.channel, failure.reason)
    return still_unsent
