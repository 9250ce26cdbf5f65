"""What checks say of odd values, as docs/checks.md says it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

from contract.helpers import TABLE, Warehouse, asset_of, only
from ecommerce_dagster.bruin.problems import ProblemLog
from ecommerce_dagster.sql.checks import CheckResult
from ecommerce_dagster.sql.rules import RULES, lint_checks

PAGE = Path(__file__).parents[2] / "docs" / "checks.md"
_CODE = re.compile(r"`([^`]*)`")


def tables() -> list[list[list[str]]]:
    """The rows of each table of the page, without its head."""
    found = re.findall(r"^(?:\|.*\n)+", PAGE.read_text(), re.MULTILINE)
    rows = [[line.strip("|").split("|") for line in table.splitlines()[2:]] for table in found]
    return [[[cell.strip() for cell in row] for row in table] for table in rows]


VALUES, UNANSWERABLE, USELESS, CUSTOM = tables()


def codes(cell: str) -> list[str]:
    """What stands in the backticks of a cell."""
    found = ["" if code == "''" else code for code in _CODE.findall(cell)]
    return [re.sub(r"\\u(\w{4})", lambda x: chr(int(x[1], 16)), code) for code in found]


def header(rule: str, kind: str, more: str = "") -> str:
    return (
        f"{TABLE}\ncolumns: [{{name: n}}, {{name: x, type: '{kind}', "
        f"checks: [{{name: {rule}, blocking: false}}]{more}}}]"
    )


def result_of(w: Warehouse, rule: str, kind: str, values: list[str], more: str = "") -> CheckResult:
    (result,) = w.run(header(rule, kind, more), query(kind, values)).results
    return result


def query(kind: str, values: list[str]) -> str:
    """A query for numbered rows with these values."""
    texts = ["NULL" if v == "NULL" else "'" + v.replace("'", "''") + "'" for v in values]
    return " UNION ALL ".join(
        f"SELECT {n} AS n, CAST({text} AS {kind}) AS x" for n, text in enumerate(texts)
    )


@pytest.mark.parametrize("row", VALUES, ids=" ".join)
def test_odd_values_pass_or_do_not_pass_as_the_page_says(w: Warehouse, row: list[str]) -> None:
    (rule, *parents), (kind,), good, bad = map(codes, row)
    more = ""
    if rule == "relationships":
        more = ", foreign_key: {table: mart.parent, column: x}"
        w.run(f"name: mart.parent\n{TABLE}", query(kind, parents))
    if rule == "unique":
        passing, failing = (result_of(w, rule, kind, values) for values in (good, bad))
        assert (passing.failed_rows, failing.failed_rows) == (0, len(bad) - 1)
        return
    result = result_of(w, rule, kind, [*good, *bad], more)
    assert result.error is None
    found = {row[0] for row in w.sql(f"SELECT n FROM ({result.bad_rows_sql}) AS bad")}
    assert [value for n, value in enumerate([*good, *bad]) if n in found] == bad
    assert (result.failed_rows, result.passed) == (len(bad), not bad)


@only("postgres")
@pytest.mark.parametrize("row", [row for row in VALUES if "`NaN`" in row[3]], ids=" ".join)
def test_nan_in_a_numeric_breaks_what_it_breaks_in_a_double(w: Warehouse, row: list[str]) -> None:
    rule = codes(row[0])[0]
    if rule == "unique":
        assert result_of(w, rule, "numeric", ["NaN", "NaN", "1"]).failed_rows == 1
        return
    bad = [value for value in codes(row[3]) if value == "NaN" or "Infinity" not in value]
    assert result_of(w, rule, "numeric", bad).failed_rows == len(bad)


@pytest.mark.parametrize(("kind", "parents"), [("integer", "text"), ("text", "integer")])
def test_keys_that_are_texts_and_numbers_are_not_compared(
    w: Warehouse, kind: str, parents: str
) -> None:
    w.run(f"name: mart.parent\n{TABLE}", query(parents, ["1"]))
    result = result_of(
        w, "relationships", kind, ["1"], ", foreign_key: {table: mart.parent, column: x}"
    )
    assert (result.passed, result.failed_rows) == (False, None)
    assert result.message.startswith("could not be evaluated: ")


def test_every_check_has_a_row() -> None:
    assert {codes(row[0])[0].partition(",")[0] for row in VALUES} == set(RULES) - {"regex"}


@pytest.mark.parametrize("row", UNANSWERABLE, ids=" ".join)
def test_what_means_nothing_for_a_column_is_not_passed(w: Warehouse, row: list[str]) -> None:
    (rule,), (kind,) = map(codes, row)
    value = {"boolean": "true"}.get(kind, "1")
    result = result_of(w, rule, kind, [value])
    assert (result.passed, result.failed_rows) == (False, None)
    assert result.message.startswith("could not be evaluated: ")


@pytest.mark.parametrize("row", USELESS, ids=" ".join)
def test_a_bound_that_no_value_is_beyond_is_an_error(row: list[str]) -> None:
    log = ProblemLog()
    lint_checks(asset_of(header(codes(row[0])[0], "double")), log)
    (problem,) = log.problems
    assert problem.severity == "error"
    assert "which no value is beyond" in problem.message


@pytest.mark.parametrize("row", CUSTOM, ids=" ".join)
def test_custom_checks_compare_numbers(w: Warehouse, row: list[str]) -> None:
    (sql,), (value,), answer = *map(codes, row[:2]), row[2]
    check = {"name": "c", "query": sql, "value": int(value), "blocking": False}
    file = f"{TABLE}\n{yaml.safe_dump({'custom_checks': [check]})}"
    (result,) = w.run(file, "SELECT 1 AS x").results
    said = "passes" if result.passed else "cannot be answered" if result.error else "fails"
    assert said == answer
