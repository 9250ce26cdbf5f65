"""The Celery app that workers load (see `celery_executor`)."""

from __future__ import annotations

import os
from typing import Any

import dagster as dg
from celery import Task
from dagster._grpc.types import ExecuteStepArgs
from dagster._serdes import unpack_value
from dagster_celery.config import DEFAULT_CONFIG
from dagster_celery.make_app import make_app
from dagster_celery.tasks import create_task

from ecommerce_dagster.orchestration.celery_executor import SETTINGS, urls

# A step that ends the process of its worker, say because the memory is full, does so again.
_MOST_DEATHS = 3
_STARTED = {dg.DagsterEventType.STEP_START, dg.DagsterEventType.STEP_RESTARTED}


class StepTask(Task):  # type: ignore[misc]  # celery has no types
    """A step of a run, as long as anybody waits for it."""

    def __call__(self, execute_step_args_packed: Any, executable_dict: Any) -> Any:
        step = unpack_value(execute_step_args_packed, as_type=ExecuteStepArgs)
        assert step.instance_ref is not None
        with dg.DagsterInstance.from_ref(step.instance_ref) as instance:
            run = instance.get_run_by_id(step.run_id)
            if run is None or run.is_finished or run.status == dg.DagsterRunStatus.CANCELING:
                return []
            _refuse_what_kills(instance, step)
        return super().__call__(execute_step_args_packed, executable_dict)


def _refuse_what_kills(instance: dg.DagsterInstance, step: ExecuteStepArgs) -> None:
    [key] = step.step_keys_to_execute or [""]
    started = sum(
        entry.dagster_event is not None and entry.dagster_event.step_key == key
        for entry in instance.all_logs(step.run_id, of_type=_STARTED)
    )
    known = step.known_state
    failed = known.get_retry_state().get_attempt_count(key) if known else 0
    if started - failed >= _MOST_DEATHS:
        raise dg.Failure(
            f"{key}: {_MOST_DEATHS} workers died while they executed this step (is there enough "
            "memory?)"
        )


def _app() -> Any:
    broker, backend = urls(os.environ)
    options = {**DEFAULT_CONFIG, **SETTINGS}
    app = make_app({"broker": broker, "backend": backend})
    app.conf.update(options)
    create_task(app, base=StepTask)
    return app


app = _app()
