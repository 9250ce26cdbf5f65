"""Hubs, links and satellites: what DuckDB's tests state, in PostgreSQL."""

from __future__ import annotations

from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from warehouse import test_datavault as in_duckdb

from ecommerce_dagster.bruin.problems import ProblemLog
from ecommerce_dagster.postgres_warehouse import lint_postgres_materialization
from postgres_warehouse.helpers import Warehouse, asset_of, values


class TestEveryTable(in_duckdb.TestEveryTable):
    @in_duckdb.every_table
    def test_what_another_strategy_made_is_taken_over(self, w: Warehouse, header: str) -> None:
        query = values("hk, ld, v", "'a', 1, 10")
        w.run("materialization: {type: table}", query)
        w.run(header, values("hk, ld, v", "'a', 1, 10", "'b', 1, 10"))
        assert w.rows() == [("a", 1, 10), ("b", 1, 10)]


class TestHubsAndLinks(in_duckdb.TestHubsAndLinks):
    def test_full_refresh_takes_each_key_once(self, w: Warehouse) -> None:
        for full_refresh in (False, True):
            w.run(in_duckdb.HUB, values("hk, v", "1, 'x'", "1, 'y'"), full_refresh=full_refresh)
            assert w.rows() == [(1, "x")]

    def test_many_keys_are_joined_by_hash(self, w: Warehouse) -> None:
        for end in (100_000, 100_001):  # row by row this would take minutes
            w.run(in_duckdb.HUB, f"SELECT n AS hk FROM generate_series(1, {end}) n")
        assert w.sql("SELECT count(*) FROM mart.t") == [(100_001,)]


class TestSatellites(in_duckdb.TestSatellites):
    def test_many_keys_are_joined_by_hash(self, w: Warehouse) -> None:
        for day in (1, 2):
            query = f"SELECT n AS hk, n % 7 AS v, {day} AS ld FROM generate_series(1, 100000) n"
            w.run(in_duckdb.SATELLITE, query)
        assert w.sql("SELECT count(*) FROM mart.t") == [(100_000,)]

    def test_columns_of_any_name_and_type(self, w: Warehouse) -> None:
        header = in_duckdb.SATELLITE.replace("name: hk", 'name: "H k"')
        for day, note in enumerate(("x", "x", "y")):
            w.run(
                header,
                f"""SELECT 'a' AS "H k", {day} AS ld, '{{"n": 1}}'::jsonb AS "rowid",
                ARRAY['{note}'] AS "select" """,
            )
        assert [row[1] for row in w.rows()] == [0, 2]


class TestLint:
    @in_duckdb.every_table
    def test_they_are_available(self, header: str) -> None:
        log = ProblemLog()
        lint_postgres_materialization(asset_of(header), log)
        assert log.errors == ()

    def test_one_without_a_key_is_reported(self) -> None:
        log = ProblemLog()
        lint_postgres_materialization(
            asset_of(in_duckdb.HUB.replace(", primary_key: true", "")), log
        )
        (problem,) = log.errors
        assert "'datavault_hub' needs a column with `primary_key: true`" in problem.message


@settings(
    deadline=None, max_examples=10, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    st.lists(in_duckdb.sayings, min_size=1, max_size=12),
    st.sets(st.integers(1, 6)),
    st.randoms(),
)
def test_any_split_into_runs_makes_the_same_satellite(
    w: Warehouse, rows: list[in_duckdb.Saying], ends: set[int], random: Any
) -> None:
    w.sql("DROP SCHEMA IF EXISTS mart CASCADE")
    in_duckdb.require_same_satellite(w, rows, ends, random)
