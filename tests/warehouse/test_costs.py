"""What checking a table costs, counted in statements. It may not grow unnoticed."""

from __future__ import annotations

from typing import Any

import duckdb
import pytest

from ecommerce_dagster.sql.checks import checks_of
from ecommerce_dagster.warehouses.duckdb.transaction import check_only
from warehouse.helpers import asset_of


class Counting:
    """A connection to DuckDB that keeps what it is asked."""

    def __init__(self, connection: duckdb.DuckDBPyConnection) -> None:
        self.connection, self.statements = connection, []

    def execute(self, query: str, *arguments: Any) -> duckdb.DuckDBPyConnection:
        self.statements.append(query)
        return self.connection.execute(query, *arguments)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.connection, name)


def checked(rules: str, query: str = "SELECT 1 AS a, 'x' AS b, 2 AS c") -> list[str]:
    """The statements that checking a table takes."""
    connection = duckdb.connect()
    connection.execute("CREATE SCHEMA mart")
    connection.execute(f"CREATE TABLE mart.t AS {query}")
    asset = asset_of(f"columns: [{rules}]")
    counting = Counting(connection)
    results = check_only(counting, asset, checks_of(asset), str)  # type: ignore[arg-type]
    assert all(result.passed for result in results)
    return counting.statements


def rules(**checks: str) -> list[str]:
    """The statements for these checks on these columns."""
    return checked(", ".join(f"{{name: {n}, checks: [{c}]}}" for n, c in checks.items()))


NOT_NULL, POSITIVE = "{name: not_null}", "{name: positive}"
LISTED, PATTERN = "{name: accepted_values, value: ['1', x]}", "{name: pattern, value: '.'}"


@pytest.fixture
def _large(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every table counts as one of many row groups."""
    monkeypatch.setattr("ecommerce_dagster.warehouses.duckdb.count_failures._ROW_GROUP", -1)


def test_all_rules_of_a_small_table_are_one_scan() -> None:
    found = rules(a=f"{NOT_NULL}, {LISTED}, {{name: unique}}", b=PATTERN, c="{name: unique}")

    # Is it there, begin, its types, count, check, commit.
    assert len(found) == 6
    read = [each for each in found if not each.startswith("DESCRIBE")]
    assert sum('FROM "mart"."t"' in statement for statement in read) == 2


@pytest.mark.usefixtures("_large")
def test_all_rules_that_statistics_answer_are_one_statement() -> None:
    few = rules(a=NOT_NULL)

    assert len(rules(a=f"{NOT_NULL}, {POSITIVE}", b=NOT_NULL, c=f"{NOT_NULL}, {POSITIVE}")) == len(
        few
    )


@pytest.mark.usefixtures("_large")
def test_all_rules_that_have_to_read_are_one_more() -> None:
    few = rules(a=NOT_NULL)

    assert (
        len(rules(a=f"{NOT_NULL}, {LISTED}, {PATTERN}", b=f"{LISTED}, {PATTERN}")) == len(few) + 1
    )


@pytest.mark.usefixtures("_large")
def test_unique_integers_are_two_statements_each_and_their_values_are_never_sorted_out() -> None:
    found = rules(a="{name: unique}", c="{name: unique}")

    assert sum("bitstring_agg" in statement for statement in found) == 2
    assert not any('DISTINCT "' in statement for statement in found)


@pytest.mark.usefixtures("_large")
def test_keys_that_all_have_parents_are_not_looked_for_one_by_one() -> None:
    key = "{name: a, foreign_key: {table: mart.t, column: c}, checks: [{name: relationships}]}"
    found = checked(key, "SELECT 1 AS a, 'x' AS b, unnest([1, 2]) AS c")

    assert sum("bitstring_agg" in statement for statement in found) == 1
    assert not any("NOT IN" in statement for statement in found)
