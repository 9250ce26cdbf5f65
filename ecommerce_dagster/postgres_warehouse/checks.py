"""Running checks in PostgreSQL: counting the bad rows of a table in as few scans as possible.

Each check runs in a savepoint: one that fails while it runs takes no other with it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import psycopg

from ecommerce_dagster.bruin.models import CustomCheck
from ecommerce_dagster.bruin.templates import RenderError
from ecommerce_dagster.postgres_warehouse.catalog import Catalog, Table
from ecommerce_dagster.postgres_warehouse.check_sql import ColumnRules
from ecommerce_dagster.postgres_warehouse.script import DIALECT
from ecommerce_dagster.postgres_warehouse.session import ask, said
from ecommerce_dagster.warehouse.checks import (
    SAMPLE_ROWS,
    Check,
    CheckResult,
    failed_to_run,
)
from ecommerce_dagster.warehouse.custom_checks import Number, custom_result, number_in
from ecommerce_dagster.warehouse.loaded import LoadError
from ecommerce_dagster.warehouse.script import ScriptError
from ecommerce_dagster.warehouse.statements import only_query


def evaluate(
    catalog: Catalog, table: Table, checks: Sequence[Check], render: Callable[[str], str]
) -> tuple[CheckResult, ...]:
    """The results of `checks` on what the transaction sees, in their order.

    A check that cannot be evaluated is a result with an error.
    """
    columns = _ColumnChecks(catalog, ColumnRules(catalog, table, catalog.columns(table.sql)))
    results = columns.together([check for check in checks if check.column is not None])
    for check in checks:
        if check.column is None:
            results[check.id] = _custom_result(catalog, check, render)
        elif check.id not in results:
            results[check.id] = columns.alone(check)
    return tuple(results[check.id] for check in checks)


@dataclass(frozen=True)
class _ColumnChecks:
    """The column checks of one table."""

    catalog: Catalog
    rules: ColumnRules

    def together(self, checks: Sequence[Check]) -> dict[str, CheckResult]:
        """The results, by id, of checks that one scan can answer; none when one of them fails."""
        shared = [c for c in checks if c.rule.name not in {"unique", "relationships"}]
        if not shared:
            return {}
        try:
            with self.catalog.session.transaction():
                filters = [
                    f"count(*) FILTER (WHERE {self.rules.broken(check)})" for check in shared
                ]
                query = f"SELECT count(*), {', '.join(filters)} FROM {self.rules.table.sql}"
                ((total, *counts),) = ask(self.catalog.session, query)
        except psycopg.Error:
            # Which of them it was, each alone will tell.
            return {}
        return {
            check.id: self._result(check, count, total)
            for check, count in zip(shared, counts, strict=True)
        }

    def alone(self, check: Check) -> CheckResult:
        try:
            with self.catalog.session.transaction():
                all_rows = f"SELECT count(*) FROM {self.rules.table.sql}"
                query = f"SELECT ({all_rows}), ({self.rules.count(check)})"
                ((total, count),) = ask(self.catalog.session, query)
        except psycopg.Error as error:
            return _failed(self.catalog, check, error)
        except LoadError as error:
            return failed_to_run(check, str(error))
        return self._result(check, int(count), total)

    def _result(self, check: Check, count: int, total: int) -> CheckResult:
        if count == 0:
            return CheckResult(check, True, "passed", 0, total)
        query = self.rules.bad_rows(check)
        share = f"{count:,} of {total:,} rows break the rule: {check.words}"
        rows = sample(self.catalog, query)
        return CheckResult(check, False, share, count, total, query, rows)


def _custom_result(catalog: Catalog, check: Check, render: Callable[[str], str]) -> CheckResult:
    rule = check.rule
    assert isinstance(rule, CustomCheck)
    try:
        query = only_query(render(rule.query), DIALECT).text
        with catalog.session.transaction():
            found = _answer(catalog, rule, query)
    except psycopg.Error as error:
        return _failed(catalog, check, error)
    except (RenderError, ScriptError, ValueError) as error:
        return failed_to_run(check, str(error))
    return custom_result(check, found, query, lambda rows: sample(catalog, rows), DIALECT)


def _failed(catalog: Catalog, check: Check, error: psycopg.Error) -> CheckResult:
    """The result of a check that failed while it ran. Raises the error of a lost connection."""
    if catalog.session.closed:
        raise error
    return failed_to_run(check, said(error))


def _answer(catalog: Catalog, rule: CustomCheck, query: str) -> Number:
    """The number that a custom check compares. Raises ValueError when there is none."""
    rows = f"(\n{query}\n) AS rows"
    if rule.count is None:
        return number_in(ask(catalog.session, f"SELECT * FROM {rows} LIMIT 2"))
    return number_in(ask(catalog.session, f"SELECT count(*) FROM {rows}"))


def sample(catalog: Catalog, query: str) -> tuple[dict[str, Any], ...]:
    """Some of the bad rows; none when they cannot be shown, which is no reason to fail."""
    try:
        with catalog.session.transaction():
            rows = f"SELECT * FROM (\n{query}\n) AS rows LIMIT {SAMPLE_ROWS}"
            cursor = catalog.session.execute(rows.encode())
            names = _distinct([column.name for column in cursor.description or ()])
            return tuple(dict(zip(names, row, strict=True)) for row in cursor.fetchall())
    except psycopg.Error:
        return ()


def _distinct(names: Sequence[str]) -> list[str]:
    """The names, those that were there before with a number."""
    return [f"{n}_{names[:i].count(n)}" if n in names[:i] else n for i, n in enumerate(names)]
