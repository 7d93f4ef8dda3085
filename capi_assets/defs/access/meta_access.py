"""`meta_access`: whether Meta accepts the tokens, and when tokens and Graph version expire."""

import logging
from collections.abc import Callable, Iterator, Sequence
from datetime import timedelta
from typing import Any

import dagster as dg

from capi_assets.contracts.base import arrow_schema
from capi_assets.contracts.meta_access import MetaAccess
from capi_assets.coverage.access_health import findings as access_health
from capi_assets.coverage.access_health.alerts import access_alerts, previous_alerts
from capi_assets.coverage.access_health.findings import AccessStatus, Finding
from capi_assets.coverage.alerting.channels import LogChannel, Message, send_all
from capi_assets.coverage.tables import Table
from capi_assets.defs.autostart import schedule_status
from capi_assets.defs.executor import IN_ONE_PROCESS
from capi_assets.defs.hourly_reporting import OWNERS, column_schema
from capi_assets.defs.metadata import markdown_text, table_metadata
from capi_assets.defs.names import asset_key, group_name, resource_key
from capi_assets.defs.resources import clock_of
from capi_assets.hours import floor_hour
from capi_assets.lake import Lake, LakeError
from capi_assets.policies import alert_channels, datasets_of
from capi_assets.settings import Settings

TABLE = "meta_access"
# Alerts repeat no earlier than the steps of 30, 14, 7, 3 and 1 days; two weeks of daily checks.
_REMEMBERED_CHECKS = 14

_CHECKS: dict[str, tuple[Callable[[AccessStatus], Finding], str]] = {
    "token_valid": (
        access_health.access,
        "Meta accepts the token of every dataset. With CAPI_PREFLIGHT=on an event that Meta must"
        " reject also proves that the token may send.",
    ),
    "token_not_expiring": (
        access_health.token_end,
        f"No token expires within {access_health.WARNING_DAYS} days (ERROR within"
        f" {access_health.ERROR_DAYS}). Passes where Meta does not report the expiry.",
    ),
    "graph_version_supported": (
        access_health.version,
        "The Graph API version expires no sooner than in 60 days (ERROR within 14).",
    ),
}


def previous_checks(lake: Lake, log: logging.Logger) -> list[dict[str, Any]]:
    """The rows of the last checks, without those that cannot be read: alerts that only these
    recorded are sent again."""
    rows: list[dict[str, Any]] = []
    for hour in lake.hours(TABLE)[-_REMEMBERED_CHECKS:]:
        try:
            rows += lake.read(TABLE, [hour], arrow_schema(MetaAccess)).to_pylist()
        except LakeError as error:
            log.warning("The alerts sent before cannot be read: %s", error)
    return rows


def _send(log: logging.Logger, settings: Settings, messages: Sequence[Message]) -> None:
    """To the log and to every channel; a channel that fails does not fail the run."""
    LogChannel(log).send(messages)
    try:
        failures = send_all(alert_channels(settings), messages)
    except ValueError as error:  # a channel's address; the message does not show it
        log.warning("Alerts were not delivered: %s", error)
        return
    for failure in failures:
        log.warning("An alert was not delivered by %s: %s", failure.channel, failure.reason)


def _judged(
    name: str, statuses: Sequence[AccessStatus], judge: Callable[[AccessStatus], Finding]
) -> dg.AssetCheckResult:
    findings = [judge(status) for status in statuses]
    verdict = access_health.worst(findings)
    texts = dict.fromkeys(one.words for one in findings if one.verdict == verdict)
    return dg.AssetCheckResult(
        check_name=name,
        passed=bool(statuses) and verdict in ("ok", "unknown"),
        severity=dg.AssetCheckSeverity.ERROR if verdict == "error" else dg.AssetCheckSeverity.WARN,
        description=markdown_text(" ".join(texts) or "No dataset is set up: set CAPI_DATASET_ID."),
    )


def _metadata(statuses: Sequence[AccessStatus]) -> dict[str, Any]:
    """What the asset's page shows; the smallest numbers are plotted over time."""
    columns = ("dataset_id", "verdict", "words", "trace_id")
    rows = [[entry[name] for name in columns] for entry in map(access_health.row, statuses)]
    metadata: dict[str, Any] = {
        "dagster/row_count": len(statuses),
        **table_metadata("outlook", Table(["dataset", "verdict", "finding", "trace id"], rows)),
    }
    days = [status.days_left for status in statuses if status.days_left is not None]
    if days:
        metadata["token_days_left"] = min(days)
    left = [s.version.days_left for s in statuses if s.version.days_left is not None]
    if left:
        metadata["version_days_left"] = min(left)
    return metadata


def build_meta_access(settings: Settings) -> dg.Definitions:
    """The asset `meta_access` with its checks, its job and its schedule."""
    asset = asset_key(settings, TABLE)

    @dg.asset(
        key=asset,
        required_resource_keys={resource_key(settings, "clock")},
        # A group of its own: `--select group:conversions` takes a range of hours; this has none.
        group_name=group_name(settings, "meta_access"),
        owners=OWNERS,
        kinds={"parquet"},
        tags={"stage": "access"},
        freshness_policy=dg.FreshnessPolicy.time_window(fail_window=timedelta(hours=49)),
        metadata={"dagster/column_schema": column_schema(MetaAccess)},
        check_specs=[
            dg.AssetCheckSpec(name, asset=asset, description=text)
            for name, (_, text) in _CHECKS.items()
        ],
        description=(
            "Whether Meta accepts each dataset's access token, when tokens expire, and how long the"
            " Graph API version is available: one row per dataset, checked every morning. Alerts"
            " are sent 30, 14, 7, 3 and 1 days before an expiry, and when access is lost or"
            " restored."
        ),
    )
    def meta_access(context: dg.AssetExecutionContext) -> Iterator[Any]:
        """Asks Meta about every dataset, alerts on changes, and stores the result.

        Started by `check_access`, daily. Columns: `contracts/meta_access.py`; stored under the
        hour of the check, UTC. An alert channel that fails does not fail the run.

        Raises:
            DatasetsError: the file of datasets is invalid.
        """
        now, lake = clock_of(context, settings).now(), Lake(settings.lake)
        statuses = access_health.check_access(
            datasets_of(settings),
            now,
            canary=settings.preflight == "on",
            version=settings.graph_version,
        )
        before = previous_alerts(previous_checks(lake, context.log))
        messages, sent = access_alerts(statuses, before, now)
        _send(context.log, settings, messages)
        rows = [access_health.row(status, sent[status.dataset_id]) for status in statuses]
        lake.write(TABLE, floor_hour(now), access_health.table(rows))
        yield dg.MaterializeResult(
            metadata=_metadata(statuses),
            check_results=[_judged(name, statuses, judge) for name, (judge, _) in _CHECKS.items()],
        )

    check_access = dg.define_asset_job(
        settings.prefixed("check_access"),
        selection=dg.AssetSelection.assets(asset),
        executor_def=IN_ONE_PROCESS,
        description="Checks whether Meta accepts the tokens, and when tokens and version expire.",
        tags={"capi_assets/job": "access"},
    )
    check_access_daily = dg.ScheduleDefinition(
        name=settings.prefixed("check_access_daily"),
        job=check_access,
        cron_schedule="45 5 * * *",
        execution_timezone="UTC",
        description="Checks once a day whether a token or the Graph API version expires soon.",
        default_status=schedule_status(settings),
    )
    return dg.Definitions(assets=[meta_access], jobs=[check_access], schedules=[check_access_daily])
