"""Tells whether the process of a run is alive, however the run was started.

Dagster never learns that a run died which it did not start itself (`ecommerce run`, `dg launch`),
or whose code server died with it: such a run counts as running for ever, and the queue waits.
So each run holds a file of its own as long as it lives. The system lets go of it when the process
ends, and Dagster's run monitoring asks `LocalRunLauncher` (see dagster.yaml) about it.

Where the daemon is on another machine than the runs, deploy/launcher.py knows.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import IO

import dagster as dg

from ecommerce_dagster._compat import CheckRunHealthResult, WorkerStatus


@contextmanager
def run_heartbeat(instance: dg.DagsterInstance, run_id: str) -> Iterator[None]:
    """Hold the run's file until the end of the block."""
    path = _file_of(instance, run_id)
    path.parent.mkdir(parents=True, exist_ok=True)
    with ExitStack() as held:
        with _alone(path.parent):
            file = held.enter_context(path.open("w"))
            # Shared: a run may have several warehouses, or several processes.
            fcntl.flock(file, fcntl.LOCK_SH)
            file.write(str(os.getpid()))
            file.flush()
        try:
            yield
        finally:
            with _alone(path.parent):
                _remove_if_free(path, file)
                held.close()


def remove_if_dead(instance: dg.DagsterInstance, run_id: str) -> bool:
    """Remove the file that a run left behind; whether there was one. A run that never had a file is
    not known to be dead."""
    path = _file_of(instance, run_id)
    if not path.exists():
        return False
    with _alone(path.parent), suppress(FileNotFoundError), path.open() as file:
        return _remove_if_free(path, file)
    return False


def process_of(instance: dg.DagsterInstance, run_id: str) -> tuple[bool, int | None]:
    """Whether a run is alive, and the id of its process (of one of them). A run without a file is
    taken to be alive, in a process that is not known."""
    path = _file_of(instance, run_id)
    if not path.exists():
        return True, None
    with _alone(path.parent), suppress(FileNotFoundError), path.open() as file:
        text = file.read()
        return not _is_free(file), int(text) if text.isdigit() else None
    return True, None


def _is_free(file: IO[str]) -> bool:
    """Whether no process holds a run's file; the file is locked then, until it is closed."""
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _remove_if_free(path: Path, file: IO[str]) -> bool:
    """Remove a run's file unless another process holds it; whether it is removed."""
    if not _is_free(file):
        return False
    path.unlink(missing_ok=True)
    return True


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Keep all others from opening, locking or removing the files of runs, which are several steps:
    a file would else be found unlocked between two of them, or be locked after its removal."""
    with folder.with_suffix(".lock").open("w") as guard:
        fcntl.flock(guard, fcntl.LOCK_EX)
        yield


def _file_of(instance: dg.DagsterInstance, run_id: str) -> Path:
    return Path(instance.root_directory, "running", run_id)


class LocalRunLauncher(dg.DefaultRunLauncher):
    """Dagster's own launcher, which also knows whether a run is alive."""

    @property
    def supports_check_run_worker_health(self) -> bool:
        return True

    def check_run_worker_health(self, run: dg.DagsterRun) -> CheckRunHealthResult:
        if not remove_if_dead(self._instance, run.run_id):
            return CheckRunHealthResult(WorkerStatus.RUNNING)
        return CheckRunHealthResult(WorkerStatus.FAILED, "the process of the run is gone")
