"""A finding of `ecommerce doctor`, and the setup that is examined."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

import dagster as dg

from ecommerce_dagster.bruin.project import Project

Level = Literal["ok", "warning", "problem"]
Facts = Mapping[str, str | float | None]
LEVELS: tuple[Level, ...] = ("ok", "warning", "problem")

_NAMES = 3  # that a line shows


@dataclass(frozen=True)
class Finding:
    """What was found of one thing.

    `part` and `name` say of what: they and the keys of `facts` stay the same from version to
    version. A fact that is not known is None; times are in seconds. `advice` is a sentence
    about what to do, empty where nothing is to be done.
    """

    part: str
    name: str
    level: Level
    text: str
    advice: str = ""
    facts: Facts = field(default_factory=dict)


@dataclass(frozen=True)
class Setup:
    """A pipeline on this machine.

    `instance` is None where Dagster has recorded nothing yet, and for records that cannot be read
    (`has_unread_records`). `at_rest` are the connections whose
    local server does not run now, and is started by those who need it; `away` are those that were
    tried and do not work. `now` is in seconds since 1970.
    """

    project: Project
    instance: dg.DagsterInstance | None
    has_unread_records: bool = False
    at_rest: frozenset[str] = frozenset()
    away: frozenset[str] = frozenset()
    now: float = field(default_factory=time.time)


Part = Callable[[Setup], Iterable[Finding]]


def ago(seconds: float) -> str:
    """A time span for people: `40 s`, `12 min`, `5 h`, `3 days`."""
    for size, word in ((86400, "days"), (3600, "h"), (60, "min")):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {word}"
    return f"{max(seconds, 0):.0f} s"


def some(names: Sequence[str]) -> str:
    """The first names for people, and how many more there are."""
    more = f" and {len(names) - _NAMES} more" if len(names) > _NAMES else ""
    return ", ".join(names[:_NAMES]) + more


def byte_size(number: float) -> str:
    """A number of bytes for people: `1.5 GB`."""
    for size, word in ((1e12, "TB"), (1e9, "GB"), (1e6, "MB"), (1e3, "kB")):
        if number >= size:
            return f"{number / size:.1f} {word}"
    return f"{number:.0f} B"
