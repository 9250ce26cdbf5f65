"""`unit_tests` of a SQL asset: its query over rows written in the file, in memory.

A test gives the rows of the tables that the query reads, and the rows that must come out.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import duckdb

from ecommerce_dagster.bruin.interval import Interval
from ecommerce_dagster.bruin.models import Asset
from ecommerce_dagster.bruin.project import Project
from ecommerce_dagster.bruin.templates import RunContext
from ecommerce_dagster.warehouse.database import open_warehouse
from ecommerce_dagster.warehouse.identifiers import literal, quoted, relation
from ecommerce_dagster.warehouse.load import ensure_schema
from ecommerce_dagster.warehouse.types import known_type

Row = Mapping[str, Any]


@dataclass(frozen=True)
class UnitTestResult:
    """The outcome of one test; `differences` is empty when it passed."""

    asset: Asset
    name: str
    differences: tuple[str, ...] = ()

    @property
    def passed(self) -> bool:
        return not self.differences


def run_unit_tests(project: Project, asset: Asset) -> Iterator[UnitTestResult]:
    """The result of each unit test of an asset. Never touches the warehouse."""
    for number, test in enumerate(asset.unit_tests, start=1):
        name = str(test.get("name") or f"test {number}")
        try:
            differences = tuple(_differences(project, asset, test))
        except (ValueError, duckdb.Error) as error:
            differences = (str(error),)
        yield UnitTestResult(asset, name, differences)


def _differences(project: Project, asset: Asset, test: Mapping[str, Any]) -> Iterator[str]:
    """What came out otherwise than the test says."""
    expected = test.get("expected") or {}
    if test.get("fixtures"):
        raise ValueError("fixtures are not supported; write the rows below `inputs`")
    with open_warehouse(":memory:") as connection:
        for given in test.get("inputs") or ():
            _create_input(connection, project, str(given["asset"]), given.get("rows") or [])
        query = project.render(asset.body, _context(project, test), asset).rstrip().rstrip(";")
        yield from _compared(connection, query, expected, "")
        for cte, wanted in (expected.get("ctes") or {}).items():
            rows = wanted if isinstance(wanted, Mapping) else {"rows": wanted}
            yield from _compared(connection, _query_of_cte(query, cte), rows, f"{cte}: ")


def _context(project: Project, test: Mapping[str, Any]) -> RunContext:
    variables = {**project.variables, **(test.get("variables") or {})}
    context = RunContext(pipeline=project.pipeline.name, variables=variables)
    if not test.get("execution_time"):
        return context
    moment = datetime.fromisoformat(str(test["execution_time"]))
    moment = moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
    day = moment.replace(hour=0, minute=0, second=0, microsecond=0)
    return replace(context, execution_date=moment, interval=Interval(day, day + timedelta(days=1)))


def _create_input(
    connection: duckdb.DuckDBPyConnection, project: Project, name: str, rows: Sequence[Row]
) -> None:
    """A table with these rows, in the declared types where the project declares some."""
    ensure_schema(connection, name)
    known = project.by_name.get(name)
    declared = {c.name: known_type(c.type) for c in known.columns if c.type} if known else {}
    names = list(dict.fromkeys([*declared, *(key for row in rows for key in row)]))
    if not names:
        raise ValueError(f"the input {name} has no rows and declares no columns")
    values = json.dumps([{key: row.get(key) for key in names} for row in rows], default=str)
    types = {key: declared.get(key) for key in names}
    structure = json.dumps([{key: kind or "JSON" for key, kind in types.items()}])
    selected = ", ".join(quoted(key) for key in names)
    typed = f"SELECT unnest(from_json({literal(values)}, {literal(structure)}), recursive := true)"
    if all(types.values()):
        connection.execute(f"CREATE TABLE {relation(name)} AS SELECT {selected} FROM ({typed})")
        return
    inferred = (
        "(SELECT unnest(from_json(rows, json_structure(rows)), recursive := true)"
        f" FROM (SELECT {literal(values)}::JSON AS rows))"
    )
    columns = ", ".join(
        f"CAST({quoted(key)} AS {kind}) AS {quoted(key)}" if kind else quoted(key)
        for key, kind in types.items()
    )
    connection.execute(f"CREATE TABLE {relation(name)} AS SELECT {columns} FROM {inferred}")


def _query_of_cte(query: str, cte: str) -> str:
    """The query with its last SELECT replaced by the rows of one of its CTEs."""
    import sqlglot
    from sqlglot import exp

    parsed = sqlglot.parse_one(query, read="duckdb")
    clause = parsed.args.get("with_") or parsed.args.get("with")
    if clause is None or cte not in {item.alias for item in clause.expressions}:
        raise ValueError(f"the query has no CTE '{cte}'")
    picked = exp.select("*").from_(exp.to_identifier(cte, quoted=True))
    picked.set("with_" if "with_" in parsed.args else "with", clause)
    return picked.sql(dialect="duckdb")


def _compared(
    connection: duckdb.DuckDBPyConnection, query: str, expected: Mapping[str, Any], prefix: str
) -> Iterator[str]:
    cursor = connection.execute(query)
    names = [str(column[0]) for column in cursor.description or []]
    found = [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]
    if expected.get("count") is not None and len(found) != int(expected["count"]):
        yield f"{prefix}{len(found)} rows instead of {expected['count']}"
    if expected.get("rows") is None:
        return
    wanted: Sequence[Row] = expected["rows"]
    columns = list(dict.fromkeys(key for row in wanted for key in row)) or names
    missing = [column for column in columns if column not in names]
    if missing:
        lacks, returns = ", ".join(missing), ", ".join(names)
        yield f"{prefix}the query returns no column {lacks}; it returns {returns}"
        return
    ours = [_key(row, columns) for row in found]
    theirs = [_key(row, columns) for row in wanted]
    subset = expected.get("match") == "subset"
    if expected.get("order") == "strict" and not subset and ours != theirs:
        for number, (has, should) in enumerate(zip(ours, theirs, strict=False), start=1):
            if has != should:
                instead = _shown(should, columns)
                yield f"{prefix}row {number} is {_shown(has, columns)} instead of {instead}"
    for row in (Counter(theirs) - Counter(ours)).elements():
        yield f"{prefix}- missing  {_shown(row, columns)}"
    if not subset:
        for row in (Counter(ours) - Counter(theirs)).elements():
            yield f"{prefix}+ surplus  {_shown(row, columns)}"


def _key(row: Row, columns: Sequence[str]) -> tuple[str | None, ...]:
    """A row as texts that can be compared, whatever types YAML and DuckDB gave its values."""
    return tuple(_text(row.get(column)) for column in columns)


def _text(value: Any) -> str | None:
    if value is None:
        return None
    if isinstance(value, bool):
        return "true" if value else "false"
    text = value.isoformat() if hasattr(value, "isoformat") else str(value)
    try:
        return f"{float(text):.12g}"
    except ValueError:
        return text.replace("T", " ").removesuffix("+00:00").removesuffix(" 00:00:00")


def _shown(row: Sequence[str | None], columns: Sequence[str]) -> str:
    return ", ".join(f"{column}={value}" for column, value in zip(columns, row, strict=True))
