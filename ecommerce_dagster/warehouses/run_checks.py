"""The checks of an asset, whichever database is asked: what is counted, and the rows that are
shown. A check that cannot be evaluated is a result with an error: not verified is not passed."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, Protocol, TypeVar

from ecommerce_dagster.bruin.model.anomalies import AnomalyCheck
from ecommerce_dagster.bruin.model.asset import ColumnCheck, CustomCheck
from ecommerce_dagster.sql.anomalies import days_judged, run_judged
from ecommerce_dagster.sql.checks import (
    SAMPLE_ROWS,
    BadRows,
    Check,
    CheckResult,
    TimeUnit,
    failed_to_run,
)
from ecommerce_dagster.sql.comparison import Comparison
from ecommerce_dagster.sql.custom_checks import custom_result, number_in
from ecommerce_dagster.sql.measures import DAY, EPOCH, MOST_ROWS, MeasuredTable, number, values
from ecommerce_dagster.sql.statements import ScriptError
from ecommerce_dagster.warehouses.query import Answer

T = TypeVar("T")
# Databases know times that no calendar of Python has.
_FIRST, _LAST = (m.replace(tzinfo=UTC).timestamp() for m in (datetime.min, datetime.max))


class CheckedTable(Protocol):
    """The table of an asset, in a transaction. Its methods raise `errors` when the database refuses
    what it is asked; `dialect` is sqlglot's name of what it speaks."""

    @property
    def dialect(self) -> str: ...

    @property
    def errors(self) -> tuple[type[Exception], ...]: ...

    def counts(self, checks: Sequence[Check]) -> Mapping[str, tuple[int, int]]:
        """For each of these column checks, by its id, how many rows break it, and how many were
        looked at."""
        ...

    def bad_rows(self, check: Check) -> str:
        """The query for the rows that break a column check."""
        ...

    def measured(self) -> MeasuredTable:
        """The table for queries of measures."""
        ...

    def only_query(self, text: str) -> str:
        """A query of a file, as it can stand in another. Raises ScriptError."""
        ...

    def count(self, query: str) -> int:
        """How many rows a query returns."""
        ...

    def answer(self, query: str, limit: int) -> Answer:
        """What a query returns, at most `limit` rows."""
        ...

    def moments(self, query: str, check: Check, by: TimeUnit) -> Mapping[float, int]:
        """How many of the rows that a query for the bad rows of a check returns, as it counts them,
        there are in each unit of time (in seconds since 1970); none without such a column."""
        ...

    def error_message_or_reraise(self, check: Check | None, error: Exception) -> str:
        """What the error of a check (None for several) says. Raises it, or CheckCannotRun, when it
        ended more than that check."""
        ...


def run_checks(
    table: CheckedTable,
    checks: Sequence[Check],
    render: Callable[[str], str],
    *,
    one_by_one: bool = False,
) -> tuple[CheckResult, ...]:
    """The results of `checks` on what the transaction sees, in their order.

    Checks of columns, and those without a threshold, share statements unless `one_by_one`.
    """
    anomalies = [check for check in checks if isinstance(check.rule, AnomalyCheck)]
    columns = [check for check in checks if isinstance(check.rule, ColumnCheck)]
    results = {} if one_by_one or not columns else _together(table, columns)
    results |= _measured(table, anomalies, one_by_one=one_by_one)
    for check in checks:
        if check.id in results:
            continue
        if check.column is None:
            results[check.id] = _custom_result(table, check, render)
        else:
            results[check.id] = _alone(table, check)
    return tuple(results[check.id] for check in checks)


def sample(
    table: CheckedTable, query: str, check: Check | None = None
) -> tuple[dict[str, Any], ...]:
    """Some of the rows of a query; none when they cannot be shown, which is no reason to fail."""
    nothing: Answer = ([], [])
    names, rows = _unless_refused(table, check, lambda: table.answer(query, SAMPLE_ROWS), nothing)
    names = [f"{n}_{names[:i].count(n)}" if n in names[:i] else n for i, n in enumerate(names)]
    return tuple(dict(zip(names, row, strict=True)) for row in rows)


def _bad_rows(table: CheckedTable, check: Check, query: str) -> BadRows:
    """The rows of a query that finds bad ones: some of them, and from when all of them are."""
    rows, by = sample(table, query, check), check.by_time
    if by is None:
        return BadRows(rows)
    nothing: Mapping[float, int] = {}
    found = _unless_refused(table, check, lambda: table.moments(query, check, by), nothing)
    return BadRows(rows, {at: n for at, n in found.items() if _FIRST <= at <= _LAST})


def _unless_refused(
    table: CheckedTable, check: Check | None, ask: Callable[[], T], otherwise: T
) -> T:
    """What the database answers; `otherwise` when it refuses. Raises what ends more than that."""
    faults: tuple[type[Exception], ...] = (*table.errors, ScriptError, OverflowError)
    try:
        return ask()
    except faults as error:
        table.error_message_or_reraise(check, error)
        return otherwise


def _together(table: CheckedTable, checks: Sequence[Check]) -> dict[str, CheckResult]:
    """The results of column checks by id; none when one of them spoils the shared statements: which
    of them it was, each alone will tell."""
    try:
        counts = table.counts(checks)
    except table.errors as error:
        table.error_message_or_reraise(None, error)
        return {}
    return {check.id: _column_result(table, check, *counts[check.id]) for check in checks}


def _alone(table: CheckedTable, check: Check) -> CheckResult:
    try:
        counts = table.counts([check])
    except table.errors as error:
        return failed_to_run(check, table.error_message_or_reraise(check, error))
    return _column_result(table, check, *counts[check.id])


def _column_result(table: CheckedTable, check: Check, count: int, total: int) -> CheckResult:
    looked_at = check.among.words if check.among else "all"
    query = table.bad_rows(check)
    if count == 0:
        return CheckResult(check, True, "passed", 0, total, query, which_rows=looked_at)
    rows = _bad_rows(table, check, query)
    when = rows.when(count, check.by_time)
    share = f"{count:,} of {total:,} rows{when} break the rule: {check.words}"
    return CheckResult(check, False, share, count, total, query, rows, which_rows=looked_at)


def _measured(
    table: CheckedTable, checks: Sequence[Check], *, one_by_one: bool
) -> dict[str, CheckResult]:
    """The results of checks without a threshold by id. Those that are compared with the same share
    a statement unless `one_by_one`, or when one of them spoils it."""
    alike: dict[tuple[Comparison, str], list[Check]] = {}
    for check in checks:
        assert check.compared is not None
        shared = replace(check.compared, past=()), check.id if one_by_one else ""
        alike.setdefault(shared, []).append(check)
    found: dict[str, CheckResult] = {}
    faults: tuple[type[Exception], ...] = (*table.errors, ScriptError)
    for (compared, _), each in alike.items():
        only = each[0] if len(each) == 1 else None
        try:
            found |= _compared(table, each, compared)
        except faults as error:
            message = table.error_message_or_reraise(only, error)
            again = {} if only else _measured(table, each, one_by_one=True)
            found |= {only.id: failed_to_run(only, message)} if only else again
    return found


def _compared(
    table: CheckedTable, checks: Sequence[Check], compared: Comparison
) -> dict[str, CheckResult]:
    measured = table.measured()
    if compared.key is not None and compared.days is None:
        _, ((newest,),) = table.answer(measured.newest_day(compared), 1)
        if newest is None:
            return {check.id: days_judged(check, compared, {}, {}) for check in checks}
        day = EPOCH + int(newest) * DAY
        compared = replace(compared, days=(day, day))
    _, rows = table.answer(measured.measures(checks, compared), MOST_ROWS)
    if compared.key is not None:
        totals = values(rows, 1)
        return {
            check.id: days_judged(check, compared, values(rows, n), totals)
            for n, check in enumerate(checks, start=2)
        }
    [(total, *cells)] = rows
    return {
        check.id: run_judged(check, check.compared or compared, number(cell), total)
        for check, cell in zip(checks, cells, strict=True)
    }


def _custom_result(table: CheckedTable, check: Check, render: Callable[[str], str]) -> CheckResult:
    rule = check.rule
    assert isinstance(rule, CustomCheck)
    # A template that cannot be rendered is a ValueError too.
    faults: tuple[type[Exception], ...] = (*table.errors, ScriptError, ValueError)
    try:
        query = table.only_query(render(rule.query))
        if rule.count is None:
            _, rows = table.answer(query, 2)
            found = number_in(rows)
        else:
            found = table.count(query)
    except faults as error:
        return failed_to_run(check, table.error_message_or_reraise(check, error))
    return custom_result(
        check, found, query, lambda rows: _bad_rows(table, check, rows), table.dialect
    )
