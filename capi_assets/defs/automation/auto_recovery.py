"""Automatic recovery as Dagster sees it: canaries asked, runs requested, what is told of it.

When to launch what is decided in coverage/recovery/decisions.py.
"""

from __future__ import annotations

import logging
from collections.abc import Collection, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime

import dagster as dg

from capi_assets.coverage.alerting.alert_state import AlertState
from capi_assets.coverage.alerting.alerts import Alert, AlertKind, alerted_id
from capi_assets.coverage.formatting import count, join_names
from capi_assets.coverage.recovery.decisions import (
    Launch,
    datasets_to_ask,
    decide_recovery,
    savable_hours,
)
from capi_assets.coverage.recovery.state import RecoveryState
from capi_assets.coverage.stored_health import CoverageSnapshot
from capi_assets.defs.automation.active_runs import range_tags
from capi_assets.hours import key_hour
from capi_assets.meta.graph.client import DatasetAccess, MetaClient
from capi_assets.meta.graph.preflight import Preflight, preflight
from capi_assets.policies import datasets_of
from capi_assets.settings import Settings

TAG = "capi_assets/auto_backfill"
_FROM_DELIVERY = [dg.AssetKey("delivery_results"), dg.AssetKey("attribution_health")]
_PREFLIGHT_CONCURRENCY = 8
# A sensor has a minute, and alerts take up to half of it.
_CONNECT, _READ, _IN_ALL = 3.05, 8.0, 10.0


@dataclass(frozen=True)
class RecoveryRequests:
    """What came of a look: runs to launch, alerts to tell, what to remember."""

    requests: list[dg.RunRequest]
    alerts: list[Alert]
    state: RecoveryState


def recover(
    seen: CoverageSnapshot,
    state: RecoveryState,
    told: AlertState,
    settings: Settings,
    under_way: Collection[datetime],
    now: datetime,
    log: logging.Logger,
) -> RecoveryRequests:
    """Asks for the canaries that are needed and launches what they allow.

    An alert comes with each launch; which are worth telling is the caller's to choose. Hours that
    miss too few orders to be flagged go to the log alone.
    """
    found = savable_hours(seen.flags, seen.gaps, seen.health, now)
    savable = [hour for hour in found if hour.hour >= settings.start_date]
    asked = datasets_to_ask(state, savable, now, under_way)
    canaries = _ask(settings, asked, now, log) if asked else {}
    decided = decide_recovery(state, savable, now, canaries, under_way)
    for launch in decided.launches:
        log.info("Recovery of %s: %s", launch.gap or "hours too small to flag", _words(launch))
    return RecoveryRequests(
        [request for launch in decided.launches for request in _requests(launch, seen, now)],
        [
            *_alerts("recovery_launched", decided.launches, seen, told),
            *_alerts("recovery_stopped", decided.stopped, seen, told),
        ],
        decided.state,
    )


def _ask(
    settings: Settings, datasets: Sequence[str], now: datetime, log: logging.Logger
) -> dict[str, bool]:
    """Whether each dataset's canary passes; one without access does not."""
    try:
        known = datasets_of(settings)
    except ValueError as error:
        log.warning("No canary: %s", error)
        return dict.fromkeys(datasets, False)
    for name in datasets:
        if name not in known.accesses:
            why = known.missing.get(name, "no token is set for it")
            log.warning("No canary for dataset %s: %s", name, why)
    accesses = [known.accesses[name] for name in datasets if name in known.accesses]
    with ThreadPoolExecutor(_PREFLIGHT_CONCURRENCY) as pool:
        answers = list(pool.map(lambda access: _canary(access, now), accesses))
    for answer in answers:
        log.info("Canary: %s", answer.words)
    passed = {answer.dataset_id: answer.ok for answer in answers}
    return {name: passed.get(name, False) for name in datasets}


def _canary(access: DatasetAccess, now: datetime) -> Preflight:
    client = MetaClient(
        access, connections=1, connect_timeout=_CONNECT, read_timeout=_READ, deadline=_IN_ALL
    )
    try:
        return preflight(client, now)
    finally:
        client.close()


def _requests(launch: Launch, seen: CoverageSnapshot, now: datetime) -> list[dg.RunRequest]:
    gap = next((gap for gap in seen.gaps if gap.id == launch.gap), None)
    # What is stored has all its match keys; matched again, it would find fewer visits.
    as_stored = gap is not None and gap.as_stored
    return [
        dg.RunRequest(
            job_name="deliver_hour",
            asset_selection=_FROM_DELIVERY if as_stored else None,
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
    kind: AlertKind, launches: Sequence[Launch], seen: CoverageSnapshot, told: AlertState
) -> list[Alert]:
    gaps = {gap.id: gap for gap in seen.gaps}
    return [
        Alert(
            kind,
            alerted_id(told, gaps[launch.gap]),
            gaps[launch.gap],
            tuple(f"{first}...{last}" for first, last in launch.ranges),
            automatic=True,
        )
        for launch in launches
        if launch.gap in gaps
    ]


def _words(launch: Launch) -> str:
    ranges = [first if first == last else f"{first}...{last}" for first, last in launch.ranges]
    return f"{count(len(launch.hours), 'hour')} launched, {join_names(ranges)}"
