"""Runs as tasks of Celery: what sends them. `worker` is what executes them."""

from __future__ import annotations

import os
from typing import Any

import dagster as dg
from dagster_celery.launcher import CeleryRunLauncher
from dagster_celery.tags import DAGSTER_CELERY_TASK_ID_TAG
from kombu.exceptions import OperationalError

from ecommerce_dagster._compat import CheckRunHealthResult, WorkerStatus
from ecommerce_dagster.deploy.celery_app import QUEUE, SETTINGS, ignore_declarations
from ecommerce_dagster.deploy.executor_setting import broker_url

# Seconds in which a worker answers.
_PATIENCE = 3


class WorkerRunLauncher(CeleryRunLauncher):
    """dagster-celery's launcher, which asks the workers themselves whether a run is alive.

    (That one asks the store of results, where a run whose worker was killed is under way for ever.)
    """

    def __init__(self, inst_data: Any = None) -> None:
        ignore_declarations()
        super().__init__(
            default_queue=QUEUE.name,
            broker=broker_url(os.environ),
            backend="rpc://",
            config_source=SETTINGS,
            inst_data=inst_data,
        )

    def terminate(self, run_id: str) -> bool:
        run = self._instance.get_run_by_id(run_id)
        if run is None or run.is_finished:
            return False
        self._instance.report_run_canceling(run)
        if run.status == dg.DagsterRunStatus.STARTING:  # a worker that gets it drops it
            self._instance.report_run_canceled(run)
            return True
        return super().terminate(run_id)

    def check_run_worker_health(self, run: dg.DagsterRun) -> CheckRunHealthResult:
        try:
            is_lost = self._is_lost(run.tags[DAGSTER_CELERY_TASK_ID_TAG])
        except (OperationalError, OSError):  # a broker that starts anew has its tasks again
            is_lost = False
        if is_lost:
            return CheckRunHealthResult(WorkerStatus.FAILED, "no worker has the run")
        return CheckRunHealthResult(WorkerStatus.RUNNING)

    def _is_lost(self, task: str) -> bool:
        """Whether the task is not in the queue, and all workers say that they do not have it."""
        with self.celery.connection_for_read() as connection:
            queue = connection.default_channel.queue_declare(QUEUE.name, passive=True)
        answers = self.celery.control.inspect(timeout=_PATIENCE).query_task(task) or {}
        is_known = queue.message_count > 0 or any(task in found for found in answers.values())
        return not is_known and len(answers) >= queue.consumer_count
