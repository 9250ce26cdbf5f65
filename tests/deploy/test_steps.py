"""What a worker does with a step that it should not execute."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
from dagster._core.events import DagsterEvent, DagsterEventType
from dagster._grpc.types import ExecuteStepArgs
from dagster._serdes import pack_value

RUN = "b4b60d5d-57c4-4e05-bcb5-401f2f1b33cd"


@dg.job
def job() -> None:
    """A job."""


@pytest.fixture
def instance(tmp_path: Path) -> Iterator[dg.DagsterInstance]:
    with dg.DagsterInstance.local_temp(str(tmp_path)) as instance:
        yield instance


@pytest.fixture
def worker(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setenv("DAGSTER_POSTGRES_HOST", "nowhere.invalid")
    from ecommerce_dagster.orchestration.celery_worker import app

    return app.tasks["execute_plan"]


def execute(worker: Any, instance: dg.DagsterInstance) -> Any:
    arguments = ExecuteStepArgs(
        job_origin=dg.reconstructable(job).get_python_origin(),
        run_id=RUN,
        step_keys_to_execute=["stg__orders"],
        instance_ref=instance.get_ref(),
    )
    return worker(pack_value(arguments), {})


def add_run(instance: dg.DagsterInstance, status: dg.DagsterRunStatus) -> None:
    instance.add_run(dg.DagsterRun(job_name="job", run_id=RUN, status=status))


@pytest.mark.parametrize("status", [dg.DagsterRunStatus.CANCELING, dg.DagsterRunStatus.FAILURE])
def test_a_step_whose_run_was_terminated_is_dropped(
    worker: Any, instance: dg.DagsterInstance, status: dg.DagsterRunStatus
) -> None:
    add_run(instance, status)
    assert execute(worker, instance) == []


def test_a_step_whose_run_was_deleted_is_dropped(worker: Any, instance: dg.DagsterInstance) -> None:
    assert execute(worker, instance) == []


def test_a_step_that_three_workers_died_of_fails(worker: Any, instance: dg.DagsterInstance) -> None:
    add_run(instance, dg.DagsterRunStatus.STARTED)
    for _ in range(3):
        event = DagsterEvent(DagsterEventType.STEP_START.value, "job", step_key="stg__orders")
        instance.report_dagster_event(event, RUN)
    with pytest.raises(dg.Failure, match="stg__orders: 3 workers died while they executed this"):
        execute(worker, instance)
