"""What the steps of one load share: the connection, the generator, the time, the progress."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime
from itertools import islice
from random import Random
from typing import Any

import psycopg

from data_generator.options import Options, Window

Progress = Callable[[str, int, int], None]
"""Called now and then with what is being written, the steps done and all steps.

A step is one customer, product or order; variants are counted by product, items by order. A large
load ends with "indexes", which counts indexes and foreign keys."""

_STEPS_AT_ONCE = 1_000


@dataclass(frozen=True, slots=True)
class Job:
    """One load, inside a transaction of the connection."""

    connection: psycopg.Connection[Any]
    options: Options
    window: Window
    rng: Random
    """All numbers come from it, so the order in which they are drawn is part of the data."""
    now: datetime
    """The time of the load, later than that of every load before it."""
    progress: Progress | None

    def copy(self, target: str, texts: Iterable[str], name: str, steps: int) -> int:
        """Stream texts of whole lines into a table with COPY; returns the rows written.

        `target` is the table with its columns; `name` and `steps` are for the progress, with one
        text a step.
        """
        done = 0
        texts = iter(texts)
        with self.connection.cursor() as cursor:
            with cursor.copy(f"COPY {target} FROM STDIN".encode()) as copy:
                while batch := list(islice(texts, _STEPS_AT_ONCE)):
                    copy.write("".join(batch))
                    done += len(batch)
                    if self.progress:
                        self.progress(name, done, steps)
            return cursor.rowcount


def one_value(connection: psycopg.Connection[Any], query: bytes, *parameters: object) -> Any:
    """Return the first value of the first row."""
    row = connection.execute(query, parameters).fetchone()
    return row[0] if row else None
