"""Checks of what only DuckDB has: its types, its bitmaps, its SQL."""

from __future__ import annotations

import pytest
from contract.checked import ROWS, check, custom

from warehouse.helpers import TABLE, Warehouse


class TestUnique:
    @pytest.fixture(autouse=True, params=["small table", "large table"])
    def _size(self, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
        """Small tables are counted in one scan, large ones in the cheapest way."""
        if request.param == "large table":
            monkeypatch.setattr("ecommerce_dagster.warehouses.duckdb.count_failures._ROW_GROUP", -1)

    @pytest.mark.parametrize(
        "kind",
        ["TINYINT", "SMALLINT", "INTEGER", "BIGINT", "UTINYINT", "USMALLINT", "UINTEGER",
         "UBIGINT", "HUGEINT", "UHUGEINT"],
    )  # fmt: skip
    def test_on_every_integer_type(self, w: Warehouse, kind: str) -> None:
        rows = [f"{n}::{kind}" for n in (1, 2, 2, 5, 5, 5, 100)]
        assert check(w, "unique", *rows).failed_rows == 3
        assert check(w, "unique", *sorted({*rows})).passed

    @pytest.mark.parametrize(
        ("kind", "low", "high"),
        [
            ("TINYINT", -(2**7), 2**7 - 1),
            ("UTINYINT", 0, 2**8 - 1),
            ("UINTEGER", 0, 2**32 - 1),
            ("UBIGINT", 0, 2**64 - 1),
            ("HUGEINT", -(2**127) + 1, 2**127 - 1),
        ],
    )
    def test_at_both_ends_of_a_type(self, w: Warehouse, kind: str, low: int, high: int) -> None:
        for numbers, surplus in (
            ([low, low + 1, low + 1, low + 2], 1),
            ([high - 2, high - 1, high, high, high], 2),
            ([low, high, low, high, 1], 2),
            ([low, high], 0),
        ):
            rows = [f"'{number}'::{kind}" for number in numbers]
            assert check(w, "unique", *rows).failed_rows == surplus

    def test_on_negative_numbers_of_one_byte(self, w: Warehouse) -> None:
        rows = [f"({n})::TINYINT" for n in (-5, -5, -1, 0, 5)]
        assert check(w, "unique", *rows).failed_rows == 1

    def test_on_numbers_that_a_bitmap_cannot_hold(
        self, w: Warehouse, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        # DuckDB refuses a bitmap of more than 10^9; a table of 5 * 10^7 rows may ask for one.
        monkeypatch.setattr(
            "ecommerce_dagster.warehouses.duckdb.count_failures._BITMAP_SPARSENESS", 10**9
        )
        assert check(w, "unique", "1", "2000000000", "2000000000").failed_rows == 1

    @pytest.mark.parametrize(
        ("one", "other"),
        [
            ("INTERVAL 10000000 YEAR", "INTERVAL 1 DAY"),
            ("{'a': 1}", "{'a': 2}"),
            ("MAP {'a': 1}", "MAP {'b': 1}"),
            ("'1'::JSON", "'2'::JSON"),
        ],
    )
    def test_on_types_of_duckdb(self, w: Warehouse, one: str, other: str) -> None:
        twice = check(w, "unique", one, other, other, "NULL", "NULL")
        assert (twice.failed_rows, twice.error) == (1, None)
        assert check(w, "unique", one, other, "NULL", "NULL").passed


class TestCustomChecks:
    def test_a_number_of_any_size_is_compared(self, w: Warehouse) -> None:
        assert custom(w, "SELECT 3::HUGEINT", value=3).passed
        assert not custom(w, "SELECT 3::HUGEINT", value=4).passed

    @pytest.mark.parametrize(
        "query",
        [
            "FROM mart.t WHERE n < 2",
            "WITH few AS (FROM mart.t WHERE n < 2) SELECT n, n FROM few",
            "PIVOT (SELECT n % 2 AS odd, n % 3 AS third FROM mart.t WHERE n < 3 AND n <> 1)"
            " ON odd USING count(*)",
        ],
    )
    def test_rows_of_queries_of_duckdb_are_counted(self, w: Warehouse, query: str) -> None:
        assert custom(w, query, count=2).passed
        result = custom(w, query, count=3)
        assert result.message == "custom check 'my check' returned 2; expected 3"
        assert (len(result.sample), result.failed_rows) == (2, None)

    def test_what_was_counted_is_shown(self, w: Warehouse) -> None:
        result = custom(w, "SELECT count() FROM mart.t WHERE n > 2")
        assert (result.failed_rows, result.sample) == (2, ({"n": 3}, {"n": 4}))

    @pytest.mark.parametrize(
        "query",
        [
            "SELECT count(*) FROM mart.t GROUP BY ALL HAVING count(*) > 1",
            "FROM (SELECT count(*) FROM mart.t)",
            "PIVOT (SELECT n, 1 AS one FROM mart.t WHERE n = 1) ON one USING sum(n) GROUP BY ()",
        ],
    )
    def test_other_queries_have_no_rows_to_show(self, w: Warehouse, query: str) -> None:
        result = custom(w, query)
        assert not result.passed
        assert (result.sample, result.failed_rows) == ((), None)

    def test_errors_of_a_query_are_each_named(self, w: Warehouse) -> None:
        header = f"""{TABLE}
custom_checks:
  - {{name: a, query: SELECT error('first') FROM mart.t}}
  - {{name: b, query: SELECT 0}}
  - {{name: c, query: SELECT error('second'), blocking: false}}
"""
        built = w.run(header, ROWS)
        assert [(r.check.label, r.passed, r.message) for r in built.results] == [
            ("a", False, "could not be evaluated: Invalid Input Error: first"),
            ("b", True, "passed"),
            ("c", False, "could not be evaluated: Invalid Input Error: second"),
        ]
        assert (built.published, w.kind()) == (False, None)
        assert w.run(header.replace("FROM mart.t", ", blocking: false"), ROWS).published
