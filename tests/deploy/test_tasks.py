"""What a worker does with a run or a step that it should not execute."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
from dagster._grpc.types import ExecuteRunArgs, ExecuteStepArgs
from dagster._serdes import pack_value

RUN = "b4b60d5d-57c4-4e05-bcb5-401f2f1b33cd"
STATUS = dg.DagsterRunStatus


@dg.job
def job() -> None:
    """A job."""


@pytest.fixture
def instance(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[dg.DagsterInstance]:
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path))
    with dg.DagsterInstance.get() as instance:
        yield instance


@pytest.fixture
def tasks(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setenv("ECOMMERCE_CELERY_BROKER", "amqp://nowhere.invalid")
    from ecommerce_dagster.deploy import worker

    worker._instance.cache_clear()
    return worker.app.tasks


def execute_run(tasks: Any, *, redelivered: bool = False) -> Any:
    arguments = ExecuteRunArgs(dg.reconstructable(job).get_python_origin(), RUN, instance_ref=None)
    return delivered(
        tasks["execute_job"], redelivered, execute_job_args_packed=pack_value(arguments)
    )


def execute_step(tasks: Any, *, redelivered: bool = False) -> Any:
    arguments = ExecuteStepArgs(
        dg.reconstructable(job).get_python_origin(), RUN, step_keys_to_execute=["stg__orders"]
    )
    return delivered(
        tasks["execute_plan"],
        redelivered,
        execute_step_args_packed=pack_value(arguments),
        executable_dict={},
    )


def delivered(task: Any, redelivered: bool, **arguments: Any) -> Any:
    task.push_request(delivery_info={"redelivered": redelivered})
    try:
        return task(**arguments)
    finally:
        task.pop_request()


def add_run(instance: dg.DagsterInstance, status: dg.DagsterRunStatus) -> None:
    instance.add_run(dg.DagsterRun(job_name="job", run_id=RUN, status=status))


def status_of(instance: dg.DagsterInstance) -> dg.DagsterRunStatus:
    run = instance.get_run_by_id(RUN)
    assert run is not None
    return run.status


@pytest.mark.parametrize("execute", [execute_run, execute_step])
class TestWhatNobodyWaitsForIsDropped:
    @pytest.mark.parametrize("status", [STATUS.CANCELED, STATUS.FAILURE, STATUS.SUCCESS])
    def test_of_a_run_that_has_ended(
        self, tasks: Any, instance: dg.DagsterInstance, execute: Any, status: STATUS
    ) -> None:
        add_run(instance, status)
        assert execute(tasks) == []
        assert execute(tasks, redelivered=True) == []
        assert status_of(instance) == status

    def test_of_a_run_that_was_deleted(
        self, tasks: Any, instance: dg.DagsterInstance, execute: Any
    ) -> None:
        assert execute(tasks) == []


def test_a_run_that_is_terminated_before_it_starts_is_cancelled(
    tasks: Any, instance: dg.DagsterInstance
) -> None:
    add_run(instance, STATUS.CANCELING)
    assert execute_run(tasks) == []
    assert status_of(instance) == STATUS.CANCELED


def test_a_step_of_a_run_that_is_terminated_is_dropped(
    tasks: Any, instance: dg.DagsterInstance
) -> None:
    add_run(instance, STATUS.CANCELING)
    assert execute_step(tasks) == []
    assert status_of(instance) == STATUS.CANCELING


@pytest.mark.parametrize("status", [STATUS.STARTING, STATUS.STARTED])
def test_a_run_whose_worker_was_lost_fails_and_says_why(
    tasks: Any, instance: dg.DagsterInstance, status: STATUS
) -> None:
    add_run(instance, status)
    assert execute_run(tasks, redelivered=True) == []
    assert status_of(instance) == STATUS.FAILURE
    [event] = instance.all_logs(RUN, of_type=dg.DagsterEventType.RUN_FAILURE)
    assert "the worker that executed it was lost: killed, out of memory" in event.message


def test_a_step_whose_worker_was_lost_fails_and_says_why(
    tasks: Any, instance: dg.DagsterInstance
) -> None:
    add_run(instance, STATUS.STARTED)
    # A task that raises would make the run of dagster-celery wait for ever (test_workers.py).
    assert execute_step(tasks, redelivered=True) == []
    [event] = instance.all_logs(RUN, of_type=dg.DagsterEventType.ENGINE_EVENT)
    assert event.dagster_event.step_key == "stg__orders"
    assert "The step failed because the worker that executed it was lost: killed" in event.message
