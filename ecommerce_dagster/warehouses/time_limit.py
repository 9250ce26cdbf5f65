"""A limit for the time that the statements of one asset may take together."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import Event, Thread

from ecommerce_dagster.errors import UnlocatedError

_AGAIN = 1.0  # seconds: an interrupt that comes between two statements is lost


class TimeLimitError(UnlocatedError):
    """The time is over; what ran was interrupted and rolled back."""


@contextmanager
def time_limit(interrupt: Callable[[], None], seconds: float | None) -> Iterator[None]:
    """Interrupt what is done after so many seconds, and again until it ends. Raises TimeLimitError
    then."""
    if seconds is None:
        yield
        return
    over, done = Event(), Event()

    def watch(patience: float) -> None:
        while not done.wait(patience):
            over.set()
            interrupt()
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
