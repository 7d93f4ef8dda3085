"""What became of a run whose worker was killed, restarted, or could not report how it ended."""

from __future__ import annotations

from pathlib import Path

import dagster as dg
import pytest

from capi_assets.commands.demo.workspace import free_port
from tests.helpers.redis_server import missing, redis_server


def test_a_run_is_lost_once_no_worker_has_it(tmp_path: Path) -> None:
    pytest.importorskip("dagster_celery", reason="dagster-celery is not installed (extra: celery)")
    if reason := missing():
        pytest.skip(reason)
    from celery.contrib.testing.worker import start_worker
    from dagster_celery.tags import DAGSTER_CELERY_TASK_ID_TAG

    from capi_assets.defs.celery_launcher import WatchedCeleryRunLauncher

    with redis_server("127.0.0.1", free_port(), tmp_path / "redis.log") as url:
        launcher = WatchedCeleryRunLauncher(default_queue="dagster", broker=url, backend=url)
        results = launcher.celery.backend

        def health(task: str) -> tuple[str, str | None]:
            run = dg.DagsterRun(job_name="deliver_hour", tags={DAGSTER_CELERY_TASK_ID_TAG: task})
            result = launcher.check_run_worker_health(run)
            return result.status.name, result.msg

        results.mark_as_started("killed", hostname="celery@gone", pid=1)
        results.mark_as_started("restarted", hostname="celery@here", pid=1)
        results.mark_as_done("ended", 1)
        with start_worker(launcher.celery, hostname="celery@here", perform_ping_check=False):
            assert health("killed") == ("FAILED", "worker celery@gone does not answer")
            assert health("restarted") == ("FAILED", "worker celery@here was restarted")
        assert health("ended") == ("FAILED", "its Celery task ended (SUCCESS), the run did not")
