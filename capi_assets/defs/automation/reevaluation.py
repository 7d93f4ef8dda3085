"""Evaluates hours again whose verdict is out of date. The job `evaluate_hour` sends nothing.

Either their results changed after it, as when `delivery_results` was materialized alone, or time
changed it: a deadline is near or past. An `AutomationCondition` was tried and is not used: it also
requests hours that one run delivered and evaluated between two ticks, and knows no deadline.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime

import dagster as dg

from capi_assets.coverage.alerting.alerts import Alert
from capi_assets.coverage.stored_health import older_than_results
from capi_assets.defs.automation.active_runs import done_at, range_tags
from capi_assets.defs.names import asset_key
from capi_assets.hours import hour_key, key_hour, key_ranges
from capi_assets.lake import Lake
from capi_assets.settings import Settings

_CHANGED_BY_TIME = ("about_to_expire", "expired")
MAX_RANGES = 5
"""Ranges evaluated again per tick, so that a changed setting does not fill the run queue."""


def reevaluate_expiring(settings: Settings, alerts: Sequence[Alert]) -> list[dg.RunRequest]:
    """Runs for the hours of incidents that expire soon or have expired, as far as they are
    partitions."""
    requests = []
    for alert in alerts:
        if alert.kind not in _CHANGED_BY_TIME:
            continue
        for keys in alert.ranges:
            first, last = map(key_hour, keys.split("..."))
            first = max(first, settings.start_date)  # CAPI_START_DATE may have been moved
            if first <= last:
                key = f"{alert.incident_id}-{alert.kind}-{hour_key(first)}"
                tags = {"capi_assets/gap": alert.incident_id}
                requests.append(_request(settings, key, first, last, tags))
    return requests


def reevaluate_changed(
    instance: dg.DagsterInstance,
    settings: Settings,
    lake: Lake,
    reevaluated: Mapping[datetime, datetime],
    active: frozenset[datetime],
    now: datetime,
) -> tuple[list[dg.RunRequest], dict[datetime, datetime]]:
    """Runs for hours whose results are newer than their verdict, once per change.

    The third duty of the coverage sensor. Hours of active runs wait for the next tick.

    Args:
        reevaluated: what the previous tick returned: hours, and the change they were evaluated
            again for.
    """

    def evaluated_at(hours: list[datetime]) -> dict[datetime, datetime]:
        done = done_at(instance, asset_key(settings, "attribution_health"), hours)
        return {hour: at for hour, (at, _) in done.items()}

    changes = older_than_results(lake, evaluated_at, now)
    known = {hour: at for hour, at in reevaluated.items() if changes.get(hour) == at}
    due = [h for h in changes if h not in known and h not in active and h >= settings.start_date]
    requests, tags = [], {"capi_assets/reevaluated": "newer_results"}
    for keys in key_ranges(due)[:MAX_RANGES]:
        first, last = map(key_hour, keys)
        of_range = {hour: changes[hour] for hour in due if first <= hour <= last}
        known |= of_range
        newest = int(max(of_range.values()).timestamp())
        key = f"newer-results-{keys[0]}-{keys[1]}-{newest}"
        requests.append(_request(settings, key, first, last, tags))
    return requests, known


def _request(
    settings: Settings, run_key: str, first: datetime, last: datetime, tags: Mapping[str, str]
) -> dg.RunRequest:
    return dg.RunRequest(
        job_name=settings.prefixed("evaluate_hour"),
        run_key=run_key,
        tags={**range_tags(first, last), **tags},
    )
