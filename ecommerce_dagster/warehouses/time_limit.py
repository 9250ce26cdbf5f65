"""A limit for the time that the statements of one asset may take together."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from threading import Event, Lock, Thread
from time import monotonic
from typing import Self

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
    with TimeLimits(seconds) as limits, limits.limit(interrupt):
        yield


@dataclass
class _Limit:
    interrupt: Callable[[], None]
    until: float
    is_over: bool = False


class TimeLimits:
    """The same limit for one thing after the other, as a context. One thread watches all of them:
    to start one for each took a tenth of `ecommerce validate`."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._current: _Limit | None = None
        self._lock, self._done = Lock(), Event()
        self._watcher = Thread(target=self._watch, daemon=True)

    def __enter__(self) -> Self:
        self._watcher.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._done.set()
        self._watcher.join()

    @contextmanager
    def limit(self, interrupt: Callable[[], None]) -> Iterator[None]:
        """Interrupt what is done inside after the time. Raises TimeLimitError then."""
        mine = self._current = _Limit(interrupt, monotonic() + self._seconds)
        try:
            yield
        except Exception:
            if mine.is_over:
                raise TimeLimitError from None
            raise
        finally:
            # Not while it is interrupted: what comes next would be.
            with self._lock:
                self._current = None

    def _watch(self) -> None:
        patience = self._seconds
        while not self._done.wait(patience):
            with self._lock:
                # A limit that begins from here on ends after the next look.
                patience = self._seconds
                limit = self._current
                if limit is None:
                    continue
                patience = limit.until - monotonic()
                if patience <= 0:
                    limit.is_over = True
                    limit.interrupt()
                    patience = _AGAIN
