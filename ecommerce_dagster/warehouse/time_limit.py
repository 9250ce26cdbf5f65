"""A limit for the time that statements of a connection may take together."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from threading import Event, Timer

import duckdb


class TimeLimitError(Exception):
    """The time is over; what ran was interrupted and rolled back."""


@contextmanager
def time_limit(connection: duckdb.DuckDBPyConnection, seconds: float | None) -> Iterator[None]:
    """Interrupt the connection after so many seconds. Raises TimeLimitError then."""
    if seconds is None:
        yield
        return
    over = Event()

    def interrupt() -> None:
        over.set()
        connection.interrupt()

    timer = Timer(seconds, interrupt)
    timer.daemon = True
    timer.start()
    try:
        yield
    except Exception:
        if over.is_set():
            raise TimeLimitError from None
        raise
    finally:
        timer.cancel()
