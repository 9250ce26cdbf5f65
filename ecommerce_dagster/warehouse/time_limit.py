"""A limit for the time that statements of a connection may take together."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import Event, Thread

import duckdb

_AGAIN = 1.0  # seconds: an interrupt that comes between two statements is lost


class TimeLimitError(Exception):
    """The time is over; what ran was interrupted and rolled back."""


@contextmanager
def time_limit(
    connection: duckdb.DuckDBPyConnection,
    seconds: float | None,
    cancel: Callable[[], None] | None = None,
) -> Iterator[None]:
    """Interrupt the connection after so many seconds. Raises TimeLimitError then.

    `cancel` ends what the connection may be waiting for elsewhere.
    """
    if seconds is None:
        yield
        return
    over, done = Event(), Event()

    def watch(patience: float) -> None:
        while not done.wait(patience):
            over.set()
            connection.interrupt()
            if cancel:
                cancel()
            patience = _AGAIN

    watcher = Thread(target=watch, args=[seconds], daemon=True)
    watcher.start()
    try:
        yield
    except Exception:
        if over.is_set():
            raise TimeLimitError from None
        raise
    finally:
        done.set()
        watcher.join()
