"""Runs whose process died are told from those that live, however they were started.

Dagster never learns that a run died which it did not start itself (`ecommerce run`, `dg launch`),
or whose code server died with it: such a run counts as running for ever, and the queue waits.
So each run holds a file of its own as long as it lives. The system lets go of it when the process
ends, and Dagster's run monitoring asks `LocalRunLauncher` (see dagster.yaml) about it.

Where the daemon is on another machine than the runs, `ServedRunLauncher` (see deploy/dagster.yaml)
asks the code server that started the run.
"""

from __future__ import annotations

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import dagster as dg
from dagster._core.errors import DagsterUserCodeUnreachableError
from dagster._core.launcher import CheckRunHealthResult, DefaultRunLauncher, WorkerStatus
from dagster._grpc.types import CanCancelExecutionRequest, CanCancelExecutionResult
from dagster._serdes import deserialize_value


@contextmanager
def sign_of_life(instance: dg.DagsterInstance, run_id: str) -> Iterator[None]:
    """Hold the run's file until the end of the block."""
    path = _file_of(instance, run_id)
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w") as file:
        # Shared: a run may have several warehouses, or several processes.
        fcntl.flock(file, fcntl.LOCK_SH)
        try:
            yield
        finally:
            with suppress(BlockingIOError):
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                path.unlink(missing_ok=True)


def is_dead(instance: dg.DagsterInstance, run_id: str) -> bool:
    """Whether the run left its file behind. A run that never had one is not known to be dead."""
    try:
        with _file_of(instance, run_id).open() as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except (BlockingIOError, FileNotFoundError):
        return False
    return True


def _file_of(instance: dg.DagsterInstance, run_id: str) -> Path:
    return Path(instance.root_directory, "running", run_id)


class LocalRunLauncher(DefaultRunLauncher):
    """Dagster's own launcher, which also knows whether a run is alive."""

    @property
    def supports_check_run_worker_health(self) -> bool:
        return True

    def check_run_worker_health(self, run: dg.DagsterRun) -> CheckRunHealthResult:
        if not is_dead(self._instance, run.run_id):
            return CheckRunHealthResult(WorkerStatus.RUNNING)
        _file_of(self._instance, run.run_id).unlink(missing_ok=True)
        return CheckRunHealthResult(WorkerStatus.FAILED, "the process of the run is gone")


class ServedRunLauncher(DefaultRunLauncher):
    """Dagster's own launcher, which also asks the code server of a run whether it is alive.

    A code server that started anew has none of the runs that it had before; one that does not
    answer may be busy, so that its runs count as alive.
    """

    @property
    def supports_check_run_worker_health(self) -> bool:
        return True

    def check_run_worker_health(self, run: dg.DagsterRun) -> CheckRunHealthResult:
        client = self._get_grpc_client_for_termination(run.run_id)  # type: ignore[no-untyped-call]  # of Dagster's
        if client is None:
            return CheckRunHealthResult(WorkerStatus.RUNNING)
        try:
            answer = client.can_cancel_execution(CanCancelExecutionRequest(run_id=run.run_id))
        except DagsterUserCodeUnreachableError:
            return CheckRunHealthResult(WorkerStatus.RUNNING)
        if deserialize_value(answer, CanCancelExecutionResult).can_cancel:
            return CheckRunHealthResult(WorkerStatus.RUNNING)
        return CheckRunHealthResult(WorkerStatus.FAILED, "the code server of the run has ended")
