"""The Dagster instance of this machine, which records the runs of the command line."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
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
