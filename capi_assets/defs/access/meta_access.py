"""`meta_access`: whether Meta accepts the tokens, and how long tokens and Graph version last."""

import logging
from collections.abc import Callable, Iterator, Sequence
from datetime import timedelta
from typing import Any

import dagster as dg

from capi_assets.contracts.base import arrow_schema
from capi_assets.contracts.meta_access import MetaAccess
from capi_assets.coverage.access_health import findings as foresight
from capi_assets.coverage.access_health.alerts import access_alerts, previous_alerts
from capi_assets.coverage.access_health.findings import AccessStatus, Finding
from capi_assets.coverage.alerting.channels import LogChannel, Message, send_all
from capi_assets.coverage.tables import Table
from capi_assets.defs.automation.autostart import schedule_status
from capi_assets.defs.hourly_reporting import OWNERS, column_schema
from capi_assets.defs.metadata import table_metadata
from capi_assets.defs.resources import AlertsResource, ClockResource, LakeResource, MetaResource
from capi_assets.hours import floor_hour
from capi_assets.lake import Lake, LakeError

TABLE = "meta_access"
_REMEMBERED_LOOKS = 14

_CHECKS: dict[str, tuple[Callable[[AccessStatus], Finding], str]] = {
    "token_valid": (
        foresight.access,
        "Meta accepts the token of every dataset. With CAPI_PREFLIGHT=on an event that Meta must"
        " refuse proves that it may send, too.",
    ),
    "token_not_expiring": (
        foresight.token_end,
        f"No token ends within {foresight.WARNING_DAYS} days (ERROR within"
        f" {foresight.ERROR_DAYS}). Passes where Meta does not tell.",
    ),
    "graph_version_supported": (
        foresight.version,
        "Meta's calendar keeps the Graph API version for another 60 days (ERROR within 14).",
    ),
}


@dg.asset(
    name=TABLE,
    # A group of its own: `--select group:conversions` takes a range of hours, and this has none.
    group_name="foresight",
    owners=OWNERS,
    kinds={"parquet"},
    tags={"stage": "foresight"},
    freshness_policy=dg.FreshnessPolicy.time_window(fail_window=timedelta(hours=49)),
    metadata={"dagster/column_schema": column_schema(MetaAccess)},
    check_specs=[
        dg.AssetCheckSpec(name, asset=TABLE, description=words)
        for name, (_, words) in _CHECKS.items()
    ],
    description=(
        "Whether Meta accepts each dataset's access token, when tokens end, and how long the Graph"
        " API version answers: one row per dataset, looked at every morning. Alerts come ahead, 30,"
        " 14, 7, 3 and 1 days before an end, and when access is lost or good again."
    ),
)
def meta_access(
    context: dg.AssetExecutionContext,
    meta: MetaResource,
    lake: LakeResource,
    clock: ClockResource,
    alerts: AlertsResource,
) -> Iterator[Any]:
    """Asks Meta, tells what changed, and keeps the look in the lake."""
    now, store = clock.now(), lake.open()
    outlooks = foresight.check_access(
        meta.open(), now, canary=meta.preflight == "on", version=meta.graph_version
    )
    messages, told = access_alerts(outlooks, previous_alerts(_former(store, context.log)), now)
    _send(context.log, alerts, messages)
    rows = [foresight.row(outlook, told[outlook.dataset_id]) for outlook in outlooks]
    store.write(TABLE, floor_hour(now), foresight.table(rows))
    yield dg.MaterializeResult(
        metadata=_metadata(outlooks),
        check_results=[_judged(name, outlooks, judge) for name, (judge, _) in _CHECKS.items()],
    )


def _former(store: Lake, log: logging.Logger) -> list[dict[str, Any]]:
    """The rows of the last looks, without those that cannot be read: what they alone knew to be
    told is told again."""
    rows: list[dict[str, Any]] = []
    for hour in store.hours(TABLE)[-_REMEMBERED_LOOKS:]:
        try:
            rows += store.read(TABLE, [hour], arrow_schema(MetaAccess)).to_pylist()
        except LakeError as error:
            log.warning("What was told before cannot be read: %s", error)
    return rows


def _send(log: logging.Logger, alerts: AlertsResource, messages: Sequence[Message]) -> None:
    """To the log and to every channel; whatever goes wrong is no reason for the run to fail."""
    LogChannel(log).send(messages)
    try:
        failures = send_all(alerts.channels(), messages)
    except ValueError as error:  # a channel's address; the message does not show it
        log.warning("Alerts were not delivered: %s", error)
        return
    for failure in failures:
        log.warning("An alert was not delivered by %s: %s", failure.channel, failure.reason)


def _judged(
    name: str, outlooks: Sequence[AccessStatus], judge: Callable[[AccessStatus], Finding]
) -> dg.AssetCheckResult:
    said = [judge(outlook) for outlook in outlooks]
    verdict = foresight.worst(said)
    telling = dict.fromkeys(one.words for one in said if one.verdict == verdict)
    return dg.AssetCheckResult(
        check_name=name,
        passed=bool(outlooks) and verdict in ("ok", "unknown"),
        severity=dg.AssetCheckSeverity.ERROR if verdict == "error" else dg.AssetCheckSeverity.WARN,
        description=" ".join(telling) or "No dataset is set up: set CAPI_DATASET_ID.",
    )


def _metadata(outlooks: Sequence[AccessStatus]) -> dict[str, Any]:
    """What the asset's page shows; the smallest numbers are plotted over time."""
    columns = ("dataset_id", "verdict", "words", "trace_id")
    rows = [[entry[name] for name in columns] for entry in map(foresight.row, outlooks)]
    found: dict[str, Any] = {
        "dagster/row_count": len(outlooks),
        **table_metadata("outlook", Table(["dataset", "verdict", "finding", "trace id"], rows)),
    }
    days = [outlook.days_left for outlook in outlooks if outlook.days_left is not None]
    if days:
        found["token_days_left"] = min(days)
    left = [o.version.days_left for o in outlooks if o.version.days_left is not None]
    if left:
        found["version_days_left"] = min(left)
    return found


check_access = dg.define_asset_job(
    "check_access",
    selection=dg.AssetSelection.assets(TABLE),
    description="Looks whether Meta accepts the tokens, and how long tokens and version last.",
    tags={"capi_assets/job": "foresight"},
)

check_access_daily = dg.ScheduleDefinition(
    name="check_access_daily",
    job=check_access,
    cron_schedule="45 5 * * *",
    execution_timezone="UTC",
    description="Looks once a day whether a token or the Graph API version is about to end.",
    default_status=schedule_status(),
)
