"""What the answer to a custom check means, whichever database gave it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from decimal import Decimal
from typing import Any

from ecommerce_dagster.bruin.model.asset import CustomCheck
from ecommerce_dagster.sql.checks import BadRows, Check, CheckResult, Number
from ecommerce_dagster.sql.parser_log import without_remarks

Look = Callable[[str], BadRows]


def custom_result(check: Check, found: Number, query: str, look: Look, dialect: str) -> CheckResult:
    """The result of a custom check whose query found a number; `look` fetches rows of another."""
    rule = check.rule
    assert isinstance(rule, CustomCheck)
    wanted = rule.value if rule.count is None else rule.count
    # The fraction counts, unlike in the original: what is not equal is not what was expected.
    if found == wanted:
        return CheckResult(
            check, True, "passed", 0 if wanted == 0 else None, bad_rows_sql=query, returned=found
        )
    rows_query = _rows_behind(query, rule, dialect)
    rows = look(rows_query) if rows_query else BadRows()
    failed = int(found) if rows_query and wanted == 0 else None
    when = rows.when(failed, check.by_time) if failed else ""
    message = f"custom check '{rule.name}' returned {found}{when}; expected {wanted}"
    return CheckResult(
        check, False, message, failed, None, rows_query or query, rows, returned=found
    )


def number_in(rows: Sequence[Sequence[Any]]) -> Number:
    """The number that a query returned, of which these are the first two rows. Raises ValueError
    when it is something else."""
    if len(rows) != 1 or len(rows[0]) != 1:
        shape = "no row" if not rows else "more than one row"
        shape = f"{len(rows[0])} columns" if len(rows) == 1 else shape
        raise ValueError(f"the query must return one row with one column; it returned {shape}")
    cell = rows[0][0]
    if cell is None:
        raise ValueError("the query returned NULL; wrap its answer in coalesce(..., 0)")
    if isinstance(cell, bool):
        return int(cell)
    if isinstance(cell, int | float | Decimal):
        return cell
    for number in (int, float) if isinstance(cell, str) else ():
        with suppress(ValueError):
            return number(cell)
    raise ValueError(f"the query returned {str(cell)[:60]!r}, which is not a number")


@without_remarks()
def _rows_behind(query: str, rule: CustomCheck, dialect: str) -> str | None:
    """The rows that a failed custom check is about.

    A check with `count` selects them itself; `SELECT count(*) FROM ... WHERE ...` is turned into
    `SELECT * ...`. Anything else has no rows to show.
    """
    import sqlglot
    from sqlglot import exp

    if rule.count is not None:
        return query
    try:
        statements = sqlglot.parse(query, read=dialect)
    except sqlglot.errors.SqlglotError:
        return None
    # A comment behind the last `;` is a statement of its own.
    parsed = statements[0] if statements else None
    if not isinstance(parsed, exp.Select) or parsed.args.get("group") or parsed.args.get("having"):
        return None
    projections = parsed.expressions
    if len(projections) != 1 or not isinstance(projections[0].unalias(), exp.Count):
        return None
    if not isinstance(projections[0].unalias().this, exp.Star | exp.Literal | None):
        return None
    return str(parsed.select("*", append=False).sql(dialect=dialect, pretty=True))
