"""The run launcher of a deployment: what executes a run, and whether it is alive."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

import dagster as dg

from ecommerce_dagster._compat import (
    CanCancelExecutionRequest,
    CanCancelExecutionResult,
    CheckRunHealthResult,
    DagsterUserCodeUnreachableError,
    WorkerStatus,
)
from ecommerce_dagster.deploy.executor_setting import chosen

_ALIVE = CheckRunHealthResult(WorkerStatus.RUNNING)


class ServedRunLauncher(dg.DefaultRunLauncher):
    """The code server executes the run, unless ECOMMERCE_EXECUTOR is celery: then a worker does.

    A code server that started anew has none of the runs that it had before; one that does not
    answer may be busy, so that its runs count as alive.
    """

    @classmethod
    def from_config_value(
        cls, inst_data: Any, config_value: Mapping[str, Any]
    ) -> Any:  # another launcher, where the environment asks for it
        if chosen(os.environ) == "celery":
            from ecommerce_dagster.deploy.celery_launcher import WorkerRunLauncher

            return WorkerRunLauncher(inst_data)
        return super().from_config_value(inst_data, config_value)

    @property
    def supports_check_run_worker_health(self) -> bool:
        return True

    def check_run_worker_health(self, run: dg.DagsterRun) -> CheckRunHealthResult:
        client = self._get_grpc_client_for_termination(run.run_id)  # type: ignore[no-untyped-call]  # Dagster gives it no types
        if client is None:
            return _ALIVE
        try:
            answer = client.can_cancel_execution(CanCancelExecutionRequest(run_id=run.run_id))
        except DagsterUserCodeUnreachableError:
            return _ALIVE
        if dg.deserialize_value(answer, CanCancelExecutionResult).can_cancel:
            return _ALIVE
        return CheckRunHealthResult(WorkerStatus.FAILED, "the code server of the run has ended")
