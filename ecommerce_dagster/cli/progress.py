"""What a run looks like in a terminal, or in a log file."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from typing import Self, TextIO

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from ecommerce_dagster.bruin.model.interval import Interval
from ecommerce_dagster.bruin.plurals import counted
from ecommerce_dagster.cli.outcome import AssetOutcome, CheckOutcome
from ecommerce_dagster.cli.profile import profile_table
from ecommerce_dagster.cli.tables import print_rows

_STYLES = {
    "success": ("PASS", "green"),
    "failed": ("FAIL", "red"),
    "upstream_failed": ("SKIP", "yellow"),
    "skipped": ("SKIP", "yellow"),
    "not_run": ("SKIP", "yellow"),
}


def console_of(stream: TextIO) -> Console:
    """A console that stays the terminal that it is: while a step runs, Dagster puts a file in the
    place of the standard streams."""
    try:
        stream.flush()
        own = os.fdopen(os.dup(stream.fileno()), "w", buffering=1, encoding=stream.encoding)
    except (OSError, ValueError):  # a stream without a file, as in tests
        return Console(file=stream)
    return Console(file=own)


class Reporter:
    """Prints a line for each asset as it ends; on a terminal with a bar below the lines."""

    def __init__(
        self, console: Console, names: Sequence[str], interval: Interval | None = None
    ) -> None:
        self._console = console
        self._width = max((len(name) for name in names), default=0)
        self._interval = interval
        self._began = time.monotonic()
        self._bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            console=console,
            transient=True,
            disable=not console.is_terminal,
        )
        self._task = self._bar.add_task("starting", total=len(names))

    def __enter__(self) -> Self:
        self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.stop()

    def started(self, name: str) -> None:
        self._bar.update(self._task, description=escape(name))

    def retrying(self, name: str, reason: str) -> None:
        self._print(f"[yellow]RETRY[/] {escape(name)}  {escape(reason.splitlines()[0])}")

    def waiting(self, message: str) -> None:
        self._print(f"[yellow]WAIT[/]  {escape(message)}")

    def note(self, message: str) -> None:
        self._print(f"[dim]NOTE[/]  {escape(message)}")

    def ended(self, outcome: AssetOutcome) -> None:
        self._line(outcome)
        self._bar.advance(self._task)

    def finish(self, outcomes: Sequence[AssetOutcome], problems: Sequence[str]) -> None:
        """The assets that did not run, why others failed, what went wrong after them, and the
        totals."""
        for outcome in outcomes:
            if outcome.status == "upstream_failed":
                self._line(outcome)
        for outcome in outcomes:
            if outcome.status == "failed":
                downstream = [o.name for o in outcomes if outcome.name in o.blocked_by]
                self._failure(outcome, downstream)
        for problem in problems:
            self._print("")
            self._print(f"[red]✗[/] {escape(problem)}")
        self._totals(outcomes)

    def profile(self, outcomes: Sequence[AssetOutcome]) -> None:
        """Where the time went."""
        self._print("")
        self._console.print(profile_table(outcomes, time.monotonic() - self._began))

    def _line(self, outcome: AssetOutcome) -> None:
        word, colour = _STYLES[outcome.status]
        rows = "" if outcome.rows is None else f"{outcome.rows:,} rows"
        evaluated = outcome.evaluated
        passed = len(evaluated) - len(outcome.failed_checks)
        checks = f"{passed}/{len(evaluated)} checks" if evaluated else ""
        tail = (
            f"upstream failed: {escape(', '.join(outcome.blocked_by) or 'something')}"
            if outcome.status == "upstream_failed"
            else f"{rows:>14}  {checks:>12}  {outcome.seconds or 0:6.2f} s"
        )
        self._print(f"[{colour}]{word}[/]  {escape(outcome.name):<{self._width}}  {tail}")

    def _failure(self, outcome: AssetOutcome, downstream: Sequence[str]) -> None:
        """Why an asset failed and what did not run because of it, as a tree."""
        checks = outcome.failed_checks
        leaves: list[tuple[str, CheckOutcome | None]] = [(_in_words(one), one) for one in checks]
        if outcome.error:
            # Of a rejected build the rest of the text says what the checks said.
            error = outcome.error.splitlines()[0] if checks else outcome.error
            leaves.append((escape(error), None))
        if downstream:
            leaves.append((f"not run because of it: {escape(', '.join(downstream))}", None))
        self._print("")
        self._print(f"[bold]{escape(outcome.name)}[/]")
        for index, (text, check) in enumerate(leaves):
            last = index == len(leaves) - 1
            first, *more = text.split("\n")
            self._print(f"{'└─' if last else '├─'} {first}")
            for line in more:
                self._print(f"{'  ' if last else '│ '} {line}")
            if check is not None:
                self._sample(check)

    def _sample(self, check: CheckOutcome) -> None:
        sample = check.metadata.get("bad_rows_sample")
        if sample is None:
            return
        names = [column.name for column in sample.schema.columns]
        rows = [[_shown(record.data.get(name)) for name in names] for record in sample.records]
        table = Table(box=None, padding=(0, 2), header_style="dim")
        column = check.check.column
        first = None if column is None else column.name
        print_rows(self._console, table, names, rows, first=first)

    def _totals(self, outcomes: Sequence[AssetOutcome]) -> None:
        counts = dict.fromkeys(_STYLES, 0)
        for outcome in outcomes:
            counts[outcome.status] += 1
        checks = [check for outcome in outcomes for check in outcome.evaluated]
        passed = sum(not check.failed for check in checks)
        when = f" for {self._interval}" if self._interval else ""
        skipped = f", {counts['upstream_failed']} skipped" if counts["upstream_failed"] else ""
        failed = f", {counts['failed']} failed" if counts["failed"] else ""
        built = f"{counts['success']} succeeded{failed}{skipped}"
        count = counted(len(checks), "check")
        checked = f"{passed} of {count} passed" if checks else "no checks"
        seconds = f"{time.monotonic() - self._began:.1f} s"
        self._print("")
        self._print(f"{counted(len(outcomes), 'asset')}{when}: {built}; {checked}; {seconds}")

    def _print(self, text: str) -> None:
        self._console.print(text, highlight=False, soft_wrap=True)


def _in_words(check: CheckOutcome) -> str:
    kind = "" if check.check.blocking else " (does not block)"
    return f"[red]✗[/] {escape(check.check.label)}{kind}: {escape(check.message)}"


def _shown(value: object) -> str:
    """A value as SQL calls it."""
    if isinstance(value, bool):
        return str(value).lower()
    return "NULL" if value is None else str(value)
