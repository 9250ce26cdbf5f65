"""The Dagster instance of this machine, which records the runs of the command line."""

from __future__ import annotations

import logging
import os
import re
import threading
from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from pathlib import Path

import dagster as dg
from filelock import FileLock
from sqlalchemy.exc import DatabaseError

from ecommerce_dagster import local


@contextmanager
def dagster_instance() -> Iterator[dg.DagsterInstance]:
    """The local Dagster instance. Raises StateError when the disk does not take its records.

    The first process that opens it creates its databases; two at once would collide.
    """
    # Ctrl-C in the moment in which a connection closes is logged with a traceback, and raised too.
    logging.getLogger("sqlalchemy.pool").setLevel(logging.CRITICAL)
    home = local.dagster_home()
    try:
        with FileLock(home / "opening.lock"):
            instance = dg.DagsterInstance.get()
        with instance:
            yield instance
    except DatabaseError as error:
        raise local.StateError(
            f"the records of runs in {home} cannot be kept: {error.orig}"
        ) from None


@contextmanager
def existing_instance() -> Iterator[dg.DagsterInstance | None]:
    """The same for commands that only look: None where Dagster has not run yet, and nothing is
    made. Raises StateError."""
    home = Path(os.environ.get("DAGSTER_HOME") or local.state_dir() / "dagster")
    if not home.is_dir():
        yield None
        return
    with dagster_instance() as instance:
        yield instance


@contextmanager
def untouched_instance(patience: float) -> Iterator[dg.DagsterInstance | None]:
    """The same, and nothing is written: not even the settings of this package, where an older one
    has left its own. Raises StateError for records that cannot be read, or not within `patience`
    seconds."""
    home = Path(os.environ.get("DAGSTER_HOME") or local.state_dir() / "dagster")
    opening: Future[dg.DagsterInstance | None] = Future()
    # In a thread that keeps no process from ending: a server may never answer.
    threading.Thread(target=_open, args=(home, opening), daemon=True).start()
    try:
        instance = opening.result(patience)
    except TimeoutError:
        reason = f"no answer within {patience:g} s"
        raise local.StateError(f"the records of runs in {home} cannot be read: {reason}") from None
    if instance is None:
        yield None
        return
    with instance:
        yield instance


def _open(home: Path, opening: Future[dg.DagsterInstance | None]) -> None:
    try:
        found = dg.DagsterInstance.from_config(str(home)) if _has_records(home) else None
    except Exception as error:
        # What a driver says, without the statement that stands around it; never a setting.
        told = str(getattr(error, "orig", None) or getattr(error, "strerror", None) or "")
        reason = (told.strip().splitlines() or [type(error).__name__])[0]
        what = f"the records of runs in {home} cannot be read: {reason}"
        opening.set_exception(local.StateError(what))
    else:
        opening.set_result(found)


def _has_records(home: Path) -> bool:
    """Whether Dagster has recorded anything, or records it in a database that the settings name:
    opening the instance would else make its files."""
    settings = home / "dagster.yaml"
    if not settings.is_file():
        return False
    named = re.search(r"^(storage|run_storage):", settings.read_text(), re.MULTILINE)
    return named is not None or (home / "history" / "runs.db").is_file()
