"""Automatic recovery in Dagster: runs preflights, requests runs, and reports both.

coverage/recovery/decisions.py decides what to launch and when.
"""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Collection, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime

import dagster as dg

from capi_assets.coverage.access_health.findings import preflight_cause, preflight_text
from capi_assets.coverage.alerting.alert_state import AlertState
from capi_assets.coverage.alerting.alerts import Alert, AlertKind, alerted_id
from capi_assets.coverage.formatting import count, join_names
from capi_assets.coverage.incidents import incident
from capi_assets.coverage.recovery.decisions import (
    Launch,
    datasets_to_ask,
    decide_recovery,
    note_blocks,
    savable_hours,
)
from capi_assets.coverage.recovery.state import RecoveryState
from capi_assets.coverage.stored_health import CoverageSnapshot
from capi_assets.defs.automation.active_runs import range_tags
from capi_assets.defs.names import asset_key
from capi_assets.delivery.causes import Cause
from capi_assets.hours import key_hour
from capi_assets.meta.graph.client import DatasetAccess, MetaClient
from capi_assets.meta.graph.preflight import Preflight, preflight
from capi_assets.policies import datasets_of
from capi_assets.settings import Settings

TAG = "capi_assets/auto_backfill"
_FROM_DELIVERY = ("delivery_results", "attribution_health")
_PREFLIGHT_CONCURRENCY = 8
# Seconds: Dagster ends a sensor after 60, and alerts take up to 30 of them.
_CONNECT_TIMEOUT, _READ_TIMEOUT, _DEADLINE = 3.05, 8.0, 10.0


@dataclass(frozen=True)
class RecoveryRequests:
    """The runs to launch, the alerts to send, and the state to remember."""

    requests: list[dg.RunRequest]
    alerts: list[Alert]
    state: RecoveryState
    alert_state: AlertState


def recover(
    snapshot: CoverageSnapshot,
    state: RecoveryState,
    alert_state: AlertState,
    settings: Settings,
    active: Collection[datetime],
    now: datetime,
    log: logging.Logger,
) -> RecoveryRequests:
    """Runs the preflights that are needed and launches the hours that they allow.

    The second duty of the coverage sensor. The first launch for an incident is reported, and its
    first stop.
    Hours that miss too few orders to be flagged are written to the log only.

    Args:
        snapshot: the flags and gaps of this tick.
        state, alert_state: what the previous tick, and the alerts of this one, remember.
        active: hours of active or queued runs; they are not launched.
        start: the first hour of the partitions; earlier hours are not launched.
    """
    savable = savable_hours(snapshot.flags, snapshot.gaps, snapshot.health, now)
    savable = [hour for hour in savable if hour.hour >= settings.start_date]
    state = note_blocks(state, savable, snapshot.health, now)
    datasets = datasets_to_ask(state, savable, now, active)
    preflights = _preflights(settings, datasets, now, log) if datasets else {}
    decided = decide_recovery(state, savable, now, preflights, active)
    for launch in decided.launches:
        ranges = [a if a == b else f"{a}...{b}" for a, b in launch.ranges]
        log.info(
            "Recovery of %s: %s launched, %s",
            launch.gap or "hours too small to flag",
            count(len(launch.hours), "hour"),
            join_names(ranges),
        )
    launched = _alerts("recovery_launched", decided.launches, snapshot, alert_state)
    stopped = _alerts("recovery_stopped", decided.stopped, snapshot, alert_state)
    before = {known.id for known in alert_state.incidents if known.recovery_launched}
    stopped_before = {known.id for known in alert_state.incidents if known.recovery_stopped}
    return RecoveryRequests(
        [
            request
            for launch in decided.launches
            for request in _requests(settings, launch, snapshot, now)
        ],
        [
            *(alert for alert in launched if alert.incident_id not in before),
            *(alert for alert in stopped if alert.incident_id not in stopped_before),
        ],
        decided.state,
        alert_state.recovering(
            launched={alert.incident_id for alert in launched},
            stopped={alert.incident_id for alert in stopped},
        ),
    )


def _preflights(
    settings: Settings, datasets: Sequence[str], now: datetime, log: logging.Logger
) -> dict[str, Cause | None]:
    """What stands in the way of each dataset: None if its preflight passes."""
    try:
        known = datasets_of(settings)
    except ValueError as error:
        log.warning("No preflight: %s", error)
        return dict.fromkeys(datasets, Cause.TOKEN)
    for name in datasets:
        if name not in known.accesses:
            why = known.missing.get(name, "no token is set for it")
            log.warning("No preflight for dataset %s: %s", name, why)
    accesses = [known.accesses[name] for name in datasets if name in known.accesses]
    with ThreadPoolExecutor(_PREFLIGHT_CONCURRENCY) as pool:
        answers = list(pool.map(lambda access: _preflight(access, now), accesses))
    for answer in answers:
        log.info("Preflight: %s", preflight_text(answer))
    found = {answer.dataset_id: preflight_cause(answer) for answer in answers}
    return {name: found.get(name, Cause.TOKEN) for name in datasets}


def _preflight(access: DatasetAccess, now: datetime) -> Preflight:
    client = MetaClient(
        access,
        connections=1,
        connect_timeout=_CONNECT_TIMEOUT,
        read_timeout=_READ_TIMEOUT,
        deadline=_DEADLINE,
    )
    try:
        return preflight(client, now)
    finally:
        client.close()


def _requests(
    settings: Settings, launch: Launch, snapshot: CoverageSnapshot, now: datetime
) -> list[dg.RunRequest]:
    gap = next((gap for gap in snapshot.gaps if gap.id == launch.gap), None)
    # Stored events have all their match keys; matching again would find fewer visits.
    as_stored = gap is not None and gap.as_stored
    from_delivery = [asset_key(settings, name) for name in _FROM_DELIVERY]
    return [
        dg.RunRequest(
            job_name=settings.prefixed("deliver_hour"),
            asset_selection=from_delivery if as_stored else None,
            run_key=f"recover-{first}-{last}-{now:%Y-%m-%dT%H:%M}",
            tags={
                **range_tags(key_hour(first), key_hour(last)),
                TAG: "true",
                "capi_assets/gap": launch.gap or "not_flagged",
            },
        )
        for first, last in launch.ranges
    ]


def _alerts(
    kind: AlertKind,
    launches: Sequence[Launch],
    snapshot: CoverageSnapshot,
    alert_state: AlertState,
) -> list[Alert]:
    """One alert per incident, about the gaps that are launched or stopped."""
    gaps = {gap.id: gap for gap in snapshot.gaps}
    by_incident: dict[str, list[Launch]] = defaultdict(list)
    for launch in launches:
        if launch.gap in gaps:
            by_incident[alerted_id(alert_state, gaps[launch.gap])].append(launch)
    return [
        Alert(
            kind,
            incident_id,
            incident([gaps[launch.gap] for launch in group if launch.gap]),
            tuple(f"{first}...{last}" for launch in group for first, last in launch.ranges),
            automatic=True,
        )
        for incident_id, group in by_incident.items()
    ]
