"""Running the checks of an asset in DuckDB: what is counted, and the rows that are shown."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import duckdb

from ecommerce_dagster.bruin.models import Asset, CustomCheck
from ecommerce_dagster.warehouse import script
from ecommerce_dagster.warehouse.check_counts import counts_of
from ecommerce_dagster.warehouse.checks import (
    SAMPLE_ROWS,
    Check,
    CheckCannotRun,
    CheckResult,
    bad_rows_sql,
    failed_to_run,
)
from ecommerce_dagster.warehouse.custom_checks import Number, custom_result, number_in


def evaluate(
    connection: duckdb.DuckDBPyConnection,
    asset: Asset,
    checks: Sequence[Check],
    render: Callable[[str], str],
    *,
    one_by_one: bool = False,
) -> list[CheckResult]:
    """The results of `checks` on what the connection's transaction sees, in their order.

    Column checks share statements unless `one_by_one`. A check that cannot be evaluated is a
    result with an error; unless its failure ended the transaction, which raises CheckCannotRun.
    """
    columns = [check for check in checks if check.column is not None]
    results = {} if one_by_one else _together(connection, asset, columns)
    for check in checks:
        if check.column is None:
            results[check.id] = _custom_result(connection, check, render)
        elif check.id not in results:
            results[check.id] = _alone(connection, asset, check)
    return [results[check.id] for check in checks]


def _together(
    connection: duckdb.DuckDBPyConnection, asset: Asset, checks: Sequence[Check]
) -> dict[str, CheckResult]:
    """The results of column checks by id; none when one of them spoils the shared statements."""
    if not checks:
        return {}
    try:
        counts = counts_of(connection, asset, checks)
    except duckdb.Error as error:
        _require_transaction(connection, None, error)
        return {}
    return {
        check.id: _column_result(connection, asset, check, *counts[check.id]) for check in checks
    }


def _alone(connection: duckdb.DuckDBPyConnection, asset: Asset, check: Check) -> CheckResult:
    try:
        counts = counts_of(connection, asset, [check])
    except duckdb.Error as error:
        _require_transaction(connection, check, error)
        return failed_to_run(check, str(error))
    return _column_result(connection, asset, check, *counts[check.id])


def _require_transaction(
    connection: duckdb.DuckDBPyConnection, check: Check | None, error: Exception
) -> None:
    """Raise CheckCannotRun when `error` ended the transaction: names that do not exist leave it
    alive, values that cannot be computed do not. Who interrupts a check means the whole build."""
    if isinstance(error, duckdb.InterruptException):
        raise error
    try:
        connection.execute("SELECT 1")
    except duckdb.Error:
        raise CheckCannotRun(check, str(error)) from error


def _column_result(
    connection: duckdb.DuckDBPyConnection, asset: Asset, check: Check, count: int, total: int
) -> CheckResult:
    looked_at = check.among.words if check.among else "all"
    query = bad_rows_sql(asset, check) or ""
    if count == 0:
        return CheckResult(check, True, "passed", 0, total, query, which_rows=looked_at)
    share = f"{count:,} of {total:,} rows break the rule: {check.words}"
    sample = _sample(connection, query, check)
    return CheckResult(check, False, share, count, total, query, sample, which_rows=looked_at)


def _custom_result(
    connection: duckdb.DuckDBPyConnection, check: Check, render: Callable[[str], str]
) -> CheckResult:
    rule = check.rule
    assert isinstance(rule, CustomCheck)
    try:
        query = render(rule.query)
        found = _answer(connection, rule, script.stage(connection, "_check", query))
    except (duckdb.Error, script.ScriptError, ValueError) as error:
        _require_transaction(connection, check, error)
        return failed_to_run(check, str(error))
    return custom_result(
        check, found, query, lambda rows: _sample(connection, rows, check), "duckdb"
    )


def _answer(connection: duckdb.DuckDBPyConnection, rule: CustomCheck, rows: str) -> Number:
    """The number that a custom check compares. Raises ValueError when there is none."""
    if rule.count is None:
        return number_in(connection.execute(f"SELECT * FROM {rows} LIMIT 2").fetchall())
    return number_in(connection.execute(f"SELECT count(*) FROM {rows}").fetchall())


def _sample(
    connection: duckdb.DuckDBPyConnection, query: str, check: Check
) -> tuple[dict[str, Any], ...]:
    """Some of the bad rows; none when they cannot be shown, which is no reason to fail."""
    try:
        rows = script.stage(connection, "_bad_rows", query)
        cursor = connection.execute(f"SELECT * FROM {rows} LIMIT {SAMPLE_ROWS}")
        names = [column[0] for column in cursor.description or []]
        return tuple(dict(zip(names, row, strict=True)) for row in cursor.fetchall())
    except (duckdb.Error, script.ScriptError, OverflowError) as error:
        _require_transaction(connection, check, error)
        return ()
