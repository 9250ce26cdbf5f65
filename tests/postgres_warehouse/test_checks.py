"""Checks of what only PostgreSQL has: its types, and errors that end a transaction."""

from __future__ import annotations

import pytest
from contract.checked import check, custom

from postgres_warehouse.helpers import Warehouse


def test_spaces_at_the_end_of_a_char_are_no_part_of_it(w: Warehouse) -> None:
    rule = "accepted_values, value: [ab]"
    assert check(w, rule, "'ab '::char(5)", "NULL").passed
    result = check(w, f"{rule}, blocking: false", "'abc'::char(5)")
    assert (result.failed_rows, result.error) == (1, None)
    assert len(w.sql(str(result.bad_rows_sql))) == 1


@pytest.mark.parametrize(
    ("one", "other"),
    [("""'{"a": 1}'::jsonb""", "'1'::jsonb"), ("ROW(1, 'a')::pair", "ROW(2, 'a')::pair")],
)
def test_unique_on_types_of_postgres(w: Warehouse, one: str, other: str) -> None:
    w.sql("CREATE TYPE pair AS (a int, b text)")
    twice = check(w, "unique", one, other, other, "NULL", "NULL")
    assert (twice.failed_rows, twice.error) == (1, None)
    assert check(w, "unique", one, other, "NULL", "NULL").passed


def test_unique_where_nothing_is_equal_cannot_run(w: Warehouse) -> None:
    result = check(w, "unique", "'1'::json", "'2'::json")
    assert "could not identify an equality operator for type json" in result.message


def test_a_division_by_zero_is_an_error(w: Warehouse) -> None:
    result = custom(w, "SELECT 1 / (SELECT 0)")
    assert (result.passed, result.rejects) == (False, True)
    assert "division by zero" in str(result.error)


def test_a_column_that_no_row_is_counted_by_does_not_fail_a_count(w: Warehouse) -> None:
    w.sql("CREATE VIEW v AS SELECT n, CAST(s AS integer) AS i FROM (VALUES (1, 'x')) t(n, s)")
    result = custom(w, "SELECT count(*) FROM v")
    assert (result.passed, result.error, w.kind()) == (False, None, None)
