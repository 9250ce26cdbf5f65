"""Which refusals of DuckDB are reported as problems, and how."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from ecommerce_dagster.bruin.model.asset import Asset
from ecommerce_dagster.bruin.problems import Problem, ProblemLog
from ecommerce_dagster.bruin.yaml.located import Position
from ecommerce_dagster.sql.sql_text import SqlText
from ecommerce_dagster.sql.used_tables import key_of
from ecommerce_dagster.validation.bind_errors import BindError
from ecommerce_dagster.validation.dry_run import DryRun


@dataclass(frozen=True)
class PendingError:
    """A problem, unless what seems to be missing turns out to be made."""

    problem: Problem
    table: str | None
    exists: Callable[[str], bool]


class Diagnostics:
    """Reports the refusals of one asset's SQL, if they are such that a run would meet too.

    Whether something does not exist is known when all assets are bound: `suspicions`.
    """

    def __init__(self, asset: Asset, dry_run: DryRun, log: ProblemLog) -> None:
        self.suspicions: list[PendingError] = []
        self._asset, self._dry_run, self._log = asset, dry_run, log

    def judge(self, text: SqlText, rendered: str, refusal: BindError, statement: str) -> None:
        """Report why a text of the file is refused."""
        fails = {"syntax": " does not parse", "shape": ""}.get(refusal.kind, " does not bind")
        run = " in a full refresh" if rendered == text.refreshed else ""
        at = text.place(rendered, refusal.line)
        self.report(at, text.rule, f"{text.name}{fails}{run}:", refusal, statement)

    def report(
        self, at: Position, rule: str, intro: str, refusal: BindError, statement: str
    ) -> None:
        """Report a refusal, if it is one that a run would meet too."""
        if not self._dry_run.is_certain(refusal, statement):
            return
        if refusal.kind != "object":
            self._log.error(*at, rule, f"{intro} {refusal.message}")
            return
        table = None
        if refusal.misses_table:
            missing = self._dry_run.missing(statement)
            named = refusal.message.removeprefix("Table with name ").split(" ")[0].strip('"')
            if missing is None:
                return
            table = next((m for m in missing if m.lower().endswith(named.lower())), None)
            if table is not None and key_of(table) == key_of(self._asset.name):
                return
        message = intro if table is not None else f"{intro} {refusal.message}"
        problem = Problem(at.path, at.line, message, rule)
        self.suspicions.append(PendingError(problem, table, self._dry_run.exists))
