"""What is done after a table is published.

The table is there whatever follows, so it has to be recorded: what goes wrong is a warning.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol, TypeVar

Found = TypeVar("Found")


class Log(Protocol):
    """Where a run writes what happens."""

    def warning(self, msg: object, /) -> None: ...


def attempt(log: Log, what: str, do: Callable[[], Found], otherwise: Found) -> Found:
    """What `do` gives. When it raises, a warning says that `what` is missing, and why."""
    try:
        return do()
    except Exception as error:
        log.warning(f"{what} is missing: {type(error).__name__}: {error}")
        return otherwise
