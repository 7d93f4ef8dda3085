"""Runs on Celery workers, on several machines: docs/production.md. Only `dagster.yaml` names it.

Dagster's own launcher reads a run's health from the result of its Celery task. That stays "started"
when the worker is killed, and becomes "succeeded" when the run could not report its failure to the
database: such a run would look alive until `max_runtime_seconds` (dagster-io/dagster#33493). Here
the worker is asked too.
"""

from __future__ import annotations

import dagster as dg
from dagster_celery.launcher import CeleryRunLauncher
from dagster_celery.tags import DAGSTER_CELERY_TASK_ID_TAG

from capi_assets.defs.dagster_private import CheckRunHealthResult, WorkerStatus

# A worker answers in milliseconds, also while its runs are busy. One that is wrongly taken for dead
# costs work: its runs start again elsewhere, and the ledger still sends each event once.
_MAX_ANSWER_SECONDS = 5.0


class WatchedCeleryRunLauncher(CeleryRunLauncher):
    """Dagster's `CeleryRunLauncher`, whose run monitoring notices killed workers and lost runs."""

    def check_run_worker_health(self, run: dg.DagsterRun) -> CheckRunHealthResult:
        """Dagster's daemon asks for each run that has started and not ended."""
        task = run.tags[DAGSTER_CELERY_TASK_ID_TAG]
        result = self.celery.backend.get_task_meta(task)
        if result["status"] != "STARTED":
            return CheckRunHealthResult(
                WorkerStatus.FAILED, f"its Celery task ended ({result['status']}), the run did not"
            )
        worker = result["result"]["hostname"]
        question = self.celery.control.inspect([worker], timeout=_MAX_ANSWER_SECONDS, limit=1)
        answer = question.query_task(task) or {}
        if worker not in answer:
            return CheckRunHealthResult(WorkerStatus.FAILED, f"worker {worker} does not answer")
        if task not in answer[worker]:
            return CheckRunHealthResult(WorkerStatus.FAILED, f"worker {worker} was restarted")
        return CheckRunHealthResult(WorkerStatus.RUNNING)

    def terminate(self, run_id: str) -> bool:
        """Interrupts the run, which records what it has sent and ends as canceled.

        Dagster's own launcher kills it, and its run would then look failed and start again.
        """
        run = self._instance.get_run_by_id(run_id)
        if run is None or run.is_finished:
            return False
        self._instance.report_run_canceling(run)
        task = self.celery.AsyncResult(run.tags[DAGSTER_CELERY_TASK_ID_TAG])
        task.revoke(terminate=True, signal="SIGINT")
        return True
