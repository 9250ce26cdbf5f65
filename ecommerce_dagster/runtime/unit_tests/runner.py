"""`unit_tests` of a SQL asset: its query over rows written in the file, in memory.

A test gives the rows of the tables that the query reads, and says what must come out.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import duckdb

from ecommerce_dagster.bruin.model.asset import Asset
from ecommerce_dagster.bruin.model.interval import Interval
from ecommerce_dagster.bruin.model.platforms import dialect_of
from ecommerce_dagster.bruin.problems import did_you_mean
from ecommerce_dagster.bruin.project import Project
from ecommerce_dagster.bruin.templates.render import RunContext
from ecommerce_dagster.bruin.yaml.located import Position
from ecommerce_dagster.errors import UnlocatedError
from ecommerce_dagster.runtime.unit_tests.inputs import Inputs, create_inputs, inputs_of
from ecommerce_dagster.runtime.unit_tests.rows import Expected, differences
from ecommerce_dagster.sql.parser_log import without_remarks
from ecommerce_dagster.warehouses.duckdb.database import open_warehouse

_STATEMENT = re.compile(r"\b(create|insert|update|delete|merge|truncate|drop)\b", re.IGNORECASE)
_KEYS = {"name", "description", "inputs", "fixtures", "variables", "execution_time", "expected"}


@dataclass(frozen=True)
class UnitTestResult:
    """The outcome of one test; `differences` is empty when it passed."""

    asset: Asset
    name: str
    at: Position
    differences: tuple[str, ...] = ()

    @property
    def passed(self) -> bool:
        return not self.differences


def run_unit_tests(project: Project, asset: Asset) -> Iterator[UnitTestResult]:
    """The result of each unit test of an asset. Never touches the warehouse."""
    for number, test in enumerate(asset.unit_tests):
        name = str(test.get("name") or f"test {number + 1}")
        try:
            found = tuple(_differences(project, asset, test))
        except (UnlocatedError, ValueError, duckdb.Error) as error:
            found = (str(error).strip(),)
        yield UnitTestResult(asset, name, asset.at("unit_tests", number), found)


def _differences(project: Project, asset: Asset, test: Mapping[str, Any]) -> Iterator[str]:
    """What came out otherwise than the test says."""
    for key in test:
        if key not in _KEYS:
            raise ValueError(f"unknown key '{key}' in a unit test; {did_you_mean(key, _KEYS)}")
    expected = Expected.of(test.get("expected"))
    with query_over(project, asset, test, inputs_of(project, test)) as (connection, query):
        try:
            yield from differences(connection, query, expected)
            for cte, wanted in expected.ctes.items():
                for difference in differences(connection, _query_of_cte(query, cte), wanted):
                    yield f"{cte}: {difference}"
        except duckdb.CatalogException as error:
            hint = "its rows are given below `inputs`"
            yield f"{str(error).splitlines()[0]} A table that the query reads is missing; {hint}"


@contextmanager
def query_over(
    project: Project, asset: Asset, test: Mapping[str, Any], inputs: Inputs
) -> Iterator[tuple[duckdb.DuckDBPyConnection, str]]:
    """A database in memory with the rows of `inputs`, and the query of an asset for it, rendered
    with the `variables` and the `execution_time` of a test.

    Raises ValueError, UnlocatedError or duckdb.Error.
    """
    dialect = dialect_of(asset.type)
    if dialect is None:
        raise ValueError(f"unit tests are for queries; this asset is of the type {asset.type}")
    context = _context(project, test)
    query = project.render(asset.body, context, asset).rstrip().rstrip(";")
    query = _rows_only(query, dialect)
    if dialect != "duckdb":
        query = _for_duckdb(query, dialect)
    with open_warehouse(":memory:") as connection:
        create_inputs(connection, project, inputs, query)
        if test.get("execution_time") and context.execution_date:
            _stop_the_clock(connection, context.execution_date)
        yield connection, query


def _context(project: Project, test: Mapping[str, Any]) -> RunContext:
    """What the query can know: the interval is the day of `execution_time`, if there is one."""
    variables = {**project.variables, **(test.get("variables") or {})}
    context = RunContext(pipeline=project.pipeline.name, variables=variables)
    if not test.get("execution_time"):
        return context
    try:
        moment = datetime.fromisoformat(str(test["execution_time"]))
    except ValueError:
        raise ValueError(f"execution_time: '{test['execution_time']}' is not a time") from None
    moment = moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
    day = moment.replace(hour=0, minute=0, second=0, microsecond=0)
    return replace(context, execution_date=moment, interval=Interval(day, day + timedelta(days=1)))


def _stop_the_clock(connection: duckdb.DuckDBPyConnection, now: datetime) -> None:
    """Let SQL's own functions say that it is `now`."""
    instant = f"TIMESTAMPTZ '{now.isoformat(sep=' ')}'"
    local, day = f"CAST({instant} AS TIMESTAMP)", f"CAST({instant} AS DATE)"
    clocks = {
        instant: ("now", "current_timestamp", "get_current_timestamp", "transaction_timestamp"),
        local: ("localtimestamp", "current_localtimestamp"),
        day: ("current_date", "today"),
    }
    for value, names in clocks.items():
        for name in names:
            connection.execute(f"CREATE MACRO {name}() AS {value}")


@without_remarks()
def _rows_only(query: str, dialect: str) -> str:
    """The SELECT inside of a CREATE TABLE, CREATE VIEW or INSERT; a query as it is written."""
    if _STATEMENT.search(query) is None:
        return query
    import sqlglot
    from sqlglot import exp

    try:
        statement = sqlglot.parse_one(query, read=dialect)
    except sqlglot.errors.SqlglotError:
        return query
    if isinstance(statement, exp.Query):
        return query
    rows = statement.args.get("expression")
    if not isinstance(statement, exp.Create | exp.Insert) or not isinstance(rows, exp.Query):
        raise ValueError("unit tests are for what returns rows; this asset has no SELECT to test")
    clause = statement.args.get("with_") or statement.args.get("with")
    if clause is not None:
        rows.set("with_" if "with_" in statement.args else "with", clause)
    return rows.unnest().sql(dialect=dialect)


@without_remarks()
def _for_duckdb(query: str, dialect: str) -> str:
    """A query for another database in DuckDB's words, as far as they differ."""
    import sqlglot

    try:
        return sqlglot.transpile(query, read=dialect, write="duckdb")[0]
    except sqlglot.errors.SqlglotError:
        return query


@without_remarks()
def _query_of_cte(query: str, cte: str) -> str:
    """The query with its last SELECT replaced by the rows of one of its CTEs."""
    import sqlglot
    from sqlglot import exp

    try:
        parsed = sqlglot.parse_one(query, read="duckdb")
    except sqlglot.errors.SqlglotError:
        raise ValueError("the CTEs of this query cannot be told apart") from None
    clause = parsed.args.get("with_") or parsed.args.get("with")
    names = {item.alias for item in clause.expressions} if clause is not None else set()
    if clause is None or cte not in names:
        raise ValueError(f"the query has no CTE '{cte}'; {did_you_mean(cte, names)}")
    picked = exp.select("*").from_(exp.to_identifier(cte, quoted=True))
    picked.set("with_" if "with_" in parsed.args else "with", clause)
    return picked.sql(dialect="duckdb")
