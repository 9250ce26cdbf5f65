"""What a worker loads: celery --app ecommerce_dagster.deploy.worker worker --queues dagster

A run is executed by one process of the worker, which stays: it imports Dagster and loads the code
location once.
"""

from __future__ import annotations

import os
import time
from functools import cache
from typing import Any

import dagster as dg
from celery import Task
from celery.exceptions import Reject
from dagster_celery.make_app import make_app
from dagster_celery.tasks import create_execute_job_task, create_task

from ecommerce_dagster._compat import (
    ExecuteRunArgs,
    ExecuteStepArgs,
    capture_interrupts,
    unpack_value,
)
from ecommerce_dagster.deploy.celery_app import QUEUE, SETTINGS, ignore_declarations
from ecommerce_dagster.deploy.executor_setting import broker_url

# Seconds until a task that could not reach Dagster's database is tried again.
_PAUSE = 5
_LOST = "the worker that executed it was lost: killed, out of memory, or cut off from the broker"


@cache
def _instance() -> dg.DagsterInstance:
    """Dagster's records, opened once in each process. Each question is a connection of its own."""
    return dg.DagsterInstance.get()


class DagsterTask(Task):  # type: ignore[misc]  # Celery has no types
    """A run, or a step of one, as long as Dagster waits for it.

    The broker delivers a task again when the worker that had it was lost. How far that one came
    is not known, so the run fails; Dagster's retries start what is left of it as a new run, as
    often as dagster.yaml says. A run that kills its workers does not do so for ever.
    """

    # The argument that says which run, and its type.
    what = "execute_job_args_packed"
    which: type[ExecuteRunArgs | ExecuteStepArgs] = ExecuteRunArgs

    def __call__(self, **arguments: Any) -> Any:
        # A signal that terminates the run is kept until a step can raise it. Before a first run it
        # would end the process; after that it would be ignored, as Celery ignores SIGINT.
        with capture_interrupts():
            return self.execute(arguments)

    def execute(self, arguments: dict[str, Any]) -> Any:
        try:
            instance = _instance()
            task = unpack_value(arguments[self.what], self.which)
            run = instance.get_run_by_id(task.run_id)
            if run is None or run.is_finished:
                return []
            if run.status == dg.DagsterRunStatus.CANCELING:
                return self.drop(instance, run)
            if self.request.delivery_info.get("redelivered"):
                return self.give_up(instance, run, task)
            return super().__call__(**arguments)
        except Exception as error:
            # A run that fails has an event of it and raises nothing; here there was no event.
            time.sleep(_PAUSE)
            raise Reject(repr(error), requeue=True) from error

    def drop(self, instance: dg.DagsterInstance, run: dg.DagsterRun) -> list[Any]:
        """Execute nothing of a run that is being terminated."""
        instance.report_run_canceled(run)
        return []

    def give_up(self, instance: dg.DagsterInstance, run: dg.DagsterRun, task: Any) -> list[Any]:
        """Tell Dagster, and so people, that the run has failed."""
        instance.report_run_failed(run, f"The run failed because {_LOST}.")
        return []


class StepTask(DagsterTask):
    """A step: what becomes of its run is decided by the run's own process."""

    what = "execute_step_args_packed"
    which = ExecuteStepArgs

    def drop(self, instance: dg.DagsterInstance, run: dg.DagsterRun) -> list[Any]:
        return []

    def give_up(self, instance: dg.DagsterInstance, run: dg.DagsterRun, task: Any) -> list[Any]:
        """Say why in the log of the run. Without a result the step fails, and the run after all
        steps that do not need it. If the task raised, the run would send no more steps, and wait
        for ever for those that it has not sent."""
        step = ", ".join(task.step_keys_to_execute)
        instance.report_engine_event(f"The step failed because {_LOST}.", run, step_key=step)
        return []


ignore_declarations()
_run_options: dict[str, Any] = {"base": DagsterTask, "ignore_result": True}
app = make_app({"broker": broker_url(os.environ), "backend": "rpc://", "config_source": SETTINGS})
app.conf.update(task_queues=[QUEUE], task_queue_max_priority=None)
create_execute_job_task(app, **_run_options)
create_task(app, base=StepTask)
