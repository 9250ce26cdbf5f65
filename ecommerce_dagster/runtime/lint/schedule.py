"""Whether a schedule and a start date mean anything.

Dagster says it too, when it loads the pipeline; here it is said without importing Dagster, and with
the file and the line. What counts as a cron expression is what Dagster takes for one.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime

from ecommerce_dagster.bruin.model.pipeline import Pipeline
from ecommerce_dagster.bruin.problems import ProblemLog
from ecommerce_dagster.runtime.schedule import cron_of


def lint_schedule(pipeline: Pipeline, log: ProblemLog) -> None:
    """Report a schedule or a start date that means nothing."""
    cron = cron_of(pipeline)
    if cron is not None and not is_cron(cron):
        message = (
            f"'{pipeline.schedule}' is not a valid schedule; expected hourly, daily, weekly, "
            "monthly, yearly or a cron expression"
        )
        log.error(*pipeline.at("schedule"), "valid-pipeline-schedule", message)
    try:
        if pipeline.start_date:
            datetime.fromisoformat(pipeline.start_date).astimezone(UTC)
    except (ValueError, OverflowError):
        message = f"the start_date '{pipeline.start_date}' is not a date; write 2026-01-31"
        log.error(*pipeline.at("start_date"), "valid-pipeline-start-date", message)


@dataclass(frozen=True)
class _Field:
    """The numbers that may stand in a field of a cron expression, and words for them."""

    smallest: int
    largest: int
    words: Mapping[str, int] = field(default_factory=dict)

    def number(self, word: str) -> int:
        """Raises KeyError for a word that is none, ValueError for a number that is too large."""
        value = int(word) if word.isdecimal() else self.words[word]
        if self is _WEEKDAY and value == 7:
            return 0
        if value > self.largest:
            raise ValueError(f"{value} is larger than {self.largest}")
        return value

    def numbers(self, item: str) -> set[int]:
        """What one item of a list stands for, such as `*/5`, `1-5` or `mon`; 0 for the last day of
        a month. Raises KeyError, ValueError."""
        match = _ITEM.fullmatch(item)
        if match is None:
            raise ValueError(f"'{item}' is not an item of a cron expression")
        first, last, step = match.groups()
        if self is _DAY and item == "l":
            return {0}
        if self is _DAY and last == "l":
            last = "31"
        if last is None and step is None and first != "*":
            return self._within({self.number(first)})
        low = self.smallest if first == "*" and last is None else self.number(first)
        high = self.largest if last is None else self.number(last)
        by = int(step or 1)
        if low == high:
            return set(range(self.smallest, self.largest + 1, by))
        if low < high:
            return self._within(set(range(low, high + 1, by)))
        return set(range(low, self.largest + 1, by)) | set(range(self.smallest, high + 1, by))

    def _within(self, numbers: set[int]) -> set[int]:
        if min(numbers) < self.smallest:
            raise ValueError(f"{min(numbers)} is smaller than {self.smallest}")
        return numbers

    def read(self, text: str) -> set[int]:
        """What the field stands for. Raises KeyError, ValueError."""
        if text == "?" and self in (_DAY, _WEEKDAY):
            return self.numbers("*")
        if self is not _WEEKDAY:
            return set().union(*map(self.numbers, text.split(",")))
        nth: set[int] = set()
        others: set[int] = set()
        for item in text.split(","):
            if special := _NTH_WEEKDAY.fullmatch(item):
                nth |= self.numbers(special[1] or special[2])
            elif item != "*":
                others |= self.numbers(item)
        if nth and others - nth and len(others | nth) < 7:
            raise ValueError("either all weekdays are the nth of a month, or none is")
        return nth | others


# A word or a number, alone or up to another one, each or each so many.
_ITEM = re.compile(r"(\*|\w+)(?:-(\w+))?(?:/(\d+))?", re.ASCII)
# The second Monday of a month, and its last Friday.
_NTH_WEEKDAY = re.compile(r"(\w+|[a-z]{3}-[a-z]{3})#0*[1-5]|l(\d+)", re.ASCII)
_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_WEEKDAYS = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")
_DAY = _Field(1, 31)
_MONTH = _Field(1, 12, {name: number for number, name in enumerate(_MONTHS, start=1)})
_WEEKDAY = _Field(0, 6, {name: number for number, name in enumerate(_WEEKDAYS)})
_FIELDS = (_Field(0, 59), _Field(0, 23), _DAY, _MONTH, _WEEKDAY)
_NAMED = {"@midnight", "@hourly", "@daily", "@weekly", "@monthly", "@yearly", "@annually"}


def is_cron(text: str) -> bool:
    """Whether a text is a cron expression of five fields, or a name for one such as @midnight."""
    if text.lower() in _NAMED:
        return True
    texts = text.lower().split()
    if len(texts) != len(_FIELDS):
        return False
    try:
        _, _, days, months, _ = (kind.read(each) for kind, each in zip(_FIELDS, texts, strict=True))
    except (KeyError, ValueError):
        return False
    return months != {2} or days not in ({30}, {31})
