"""Running checks in PostgreSQL: counting the bad rows of a table in as few scans as possible.

Each check runs in a savepoint: one that fails while it runs takes no other with it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import psycopg

from ecommerce_dagster.bruin.models import CustomCheck
from ecommerce_dagster.bruin.templates import RenderError
from ecommerce_dagster.postgres_warehouse.catalog import Catalog, Table
from ecommerce_dagster.postgres_warehouse.check_sql import ColumnRules
from ecommerce_dagster.postgres_warehouse.script import only_query
from ecommerce_dagster.postgres_warehouse.session import ask, said
from ecommerce_dagster.warehouse.checks import (
    SAMPLE_ROWS,
    Check,
    CheckResult,
    failed_to_run,
    whole,
)
from ecommerce_dagster.warehouse.load import LoadError
from ecommerce_dagster.warehouse.script import ScriptError

Number = int | float | Decimal


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
    wanted = rule.value if rule.count is None else rule.count
    try:
        query = only_query(render(rule.query)).text
        with catalog.session.transaction():
            found = _answer(catalog, rule, query)
    except psycopg.Error as error:
        return _failed(catalog, check, error)
    except (RenderError, ScriptError, ValueError) as error:
        return failed_to_run(check, str(error))
    if whole(found) == wanted:
        return CheckResult(check, True, "passed", bad_rows_sql=query)
    rows_query = _rows_behind(query, rule)
    message = f"custom check '{rule.name}' has returned {found} instead of the expected {wanted}"
    rows = sample(catalog, rows_query) if rows_query else ()
    failed = int(found) if rows_query and wanted == 0 else None
    return CheckResult(check, False, message, failed, None, rows_query or query, rows)


def _failed(catalog: Catalog, check: Check, error: psycopg.Error) -> CheckResult:
    """The result of a check that failed while it ran. Raises the error of a lost connection."""
    if catalog.session.closed:
        raise error
    return failed_to_run(check, said(error))


def _answer(catalog: Catalog, rule: CustomCheck, query: str) -> Number:
    """The number that a custom check compares. Raises ValueError when there is none."""
    if rule.count is not None:
        return int(ask(catalog.session, f"SELECT count(*) FROM (\n{query}\n) AS rows")[0][0])
    found = ask(catalog.session, f"SELECT * FROM (\n{query}\n) AS rows LIMIT 2")
    if len(found) != 1 or len(found[0]) != 1:
        shape = "no row" if not found else "more than one row"
        shape = f"{len(found[0])} columns" if len(found) == 1 else shape
        raise ValueError(f"the query must return one row with one column; it returned {shape}")
    return _number(found[0][0])


def _number(cell: Any) -> Number:
    if cell is None:
        raise ValueError("the query returned NULL; wrap its answer in coalesce(..., 0)")
    if isinstance(cell, bool):
        return int(cell)
    if isinstance(cell, int | float | Decimal):
        return cell
    try:
        return float(cell) if isinstance(cell, str) and not cell.isdecimal() else int(cell)
    except (TypeError, ValueError):
        raise ValueError(f"the query returned {str(cell)[:60]!r}, which is no number") from None


def _rows_behind(query: str, rule: CustomCheck) -> str | None:
    """The rows that a failed custom check is about.

    A check with `count` selects them itself; `SELECT count(*) FROM ... WHERE ...` is turned into
    `SELECT * ...`. Anything else has no rows to show.
    """
    import sqlglot
    from sqlglot import exp

    if rule.count is not None:
        return query
    try:
        parsed = sqlglot.parse_one(query, read="postgres")
    except sqlglot.errors.SqlglotError:
        return None
    if not isinstance(parsed, exp.Select) or parsed.args.get("group") or parsed.args.get("having"):
        return None
    projections = parsed.expressions
    if len(projections) != 1 or not isinstance(projections[0].unalias(), exp.Count):
        return None
    if not isinstance(projections[0].unalias().this, exp.Star | exp.Literal):
        return None
    return str(parsed.select("*", append=False).sql(dialect="postgres", pretty=True))


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
