"""24 hours at once on two worker machines; one is killed, then PostgreSQL: none lost or doubled."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from pathlib import Path

import pytest

from capi_assets.hours import HOUR, floor_hour
from capi_assets.sandbox.reports import totals
from tests.helpers.cluster import cluster, missing
from tests.helpers.production_server import TOKEN, land
from tests.helpers.redis_server import PASSWORD

pytestmark = pytest.mark.e2e
HOURS, ORDERS = 24, 5


def test_a_killed_worker_and_a_killed_database_lose_and_double_nothing(tmp_path: Path) -> None:
    if reason := missing():
        pytest.skip(reason)
    last = floor_hour(datetime.now(UTC)) - HOUR
    hours = [last - n * HOUR for n in range(HOURS)]
    root = tmp_path / "capi"
    with cluster(root) as several:
        one, two = several.workers
        for hour in hours:
            land(root, hour, ORDERS)
        for hour in hours:
            several.server.launch(hour)
        several.wait(lambda: several.finished_by(one) and several.finished_by(two))

        several.meta.set_fault("slow", latency_ms=6_000)  # so that a kill hits a request
        time.sleep(1)  # requests before it are answered
        several.wait(lambda: several.sending(one))
        one.power_off()
        lost = several.sending(one)
        assert lost, "the kill hit no request"

        former = several.sending(two)
        (stopped, *_) = several.wait(lambda: several.sending(two) - former)
        several.server.terminate(stopped)
        several.wait(lambda: several.statuses()[stopped] == "CANCELED")

        before = several.sessions()
        several.kill_session(two)
        several.wait(lambda: not before & several.sessions())  # PostgreSQL cuts all of them
        several.meta.clear_faults()

        several.wait(several.is_idle, pause=1)
        failed = {run for run, status in several.statuses().items() if status == "FAILURE"}
        assert lost <= failed
        assert len(failed) <= 4, "a run failed that no kill hit: four were active at most"
        left = set(hours) - several.delivered_hours()
        assert not left & several.hours_of(lost), "a killed run did not start again"
        assert several.hours_of({stopped}) <= left, "a terminated run started again"
        several.wait(several.are_pages_up)
        for hour in left:  # "Failed and missing"
            several.server.launch(hour)
        several.wait(several.is_idle, pause=1)

        assert several.delivered_hours() == set(hours)
        received = totals(several.meta.inbox)["events"]
        assert (received["accepted"], received["doubled"]) == (HOURS * ORDERS, 0)
    for secret in (TOKEN, PASSWORD):
        assert secret not in several.logs()
