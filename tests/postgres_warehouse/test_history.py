"""Slowly changing dimensions: the same versions as DuckDB's."""

from __future__ import annotations

from typing import Any, cast

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from warehouse.test_history import (
    BY_COLUMN,
    BY_TIME,
    History,
    Row,
    Version,
    _query,
    _sorted,
    _versions,
    every_history,
    oracle,
    rows_of_a_source,
)

from ecommerce_dagster.warehouse.sql_asset import AssetError
from postgres_warehouse.helpers import Warehouse, values

FIRST_RUN = 1_000


class TestHistory:
    @every_history
    @settings(
        deadline=None,
        max_examples=20,
        suppress_health_check=[HealthCheck.function_scoped_fixture],
    )
    @given(snapshots=st.lists(rows_of_a_source, min_size=1, max_size=4))
    def test_any_snapshots(self, w: Warehouse, header: str, snapshots: list[list[Row]]) -> None:
        by_time, keyed = header == BY_TIME, header != BY_COLUMN
        w.sql("DROP SCHEMA IF EXISTS mart CASCADE", "DROP TABLE IF EXISTS clock",
              "CREATE TABLE clock (moment timestamptz)")  # fmt: skip
        expected: list[Version] = []
        for number, snapshot in enumerate(snapshots):
            query = _query(snapshot)
            w.run(header, query)
            now = FIRST_RUN + number
            expected = oracle(expected, snapshot, now, by_time=by_time, keyed=keyed)
            assert _sorted(_versions(cast(Any, w))) == _sorted(expected)
        before = w.rows()
        w.run(header, query)
        assert w.rows() == before

    def test_columns_and_rows_written(self, w: Warehouse) -> None:
        history = History(cast(Any, w))
        history.load(BY_COLUMN, "id, v", "1, 'a'", "2, 'b'", "3, 'c'")
        assert list(w.types().values())[2:] == ["timestamp with time zone"] * 2 + ["boolean"]
        built = w.run(BY_COLUMN, values("id, v", "1, 'A'", "2, 'b'"))
        assert built.loaded.rows_written == 3  # 1 closed and opened, 3 closed
        assert built.loaded.schema_changes == ()

    def test_a_new_column_is_null_before_and_its_values_are_changes(self, w: Warehouse) -> None:
        history = History(cast(Any, w))
        history.load(BY_COLUMN, "id", "1", "2")
        w.run(BY_COLUMN, values("id, v", "1, 'a'", "2, NULL"))
        assert w.sql("SELECT id, v, _is_current FROM mart.t ORDER BY id, _valid_from") == [
            (1, None, False), (1, "a", True), (2, None, True)
        ]  # fmt: skip

    @every_history
    def test_full_refresh_starts_from_nothing(self, w: Warehouse, header: str) -> None:
        history = History(cast(Any, w))
        history.load(header, "id, ts", "1, NULL::timestamp")
        history.load(header, "id, ts", "2, NULL::timestamp", full_refresh=True)
        assert [row[0] for row in w.rows()] == [2]

    def test_full_refresh_makes_a_history_of_any_table(self, w: Warehouse) -> None:
        w.run("materialization: {type: table}", values("id, v", "1, 'a'"))
        History(cast(Any, w)).load(BY_COLUMN, "id, v", "1, 'a'", full_refresh=True)
        assert list(w.types()) == ["id", "v", "_valid_from", "_valid_until", "_is_current"]

    def test_what_is_no_history_is_refused(self, w: Warehouse) -> None:
        history = History(cast(Any, w))
        w.run("materialization: {type: table}", "SELECT 1 AS id")
        with pytest.raises(
            AssetError, match="has no column _valid_from, _valid_until, _is_current"
        ):
            history.load(BY_COLUMN, "id", "1")
        with pytest.raises(AssetError, match="_valid_from, which the strategy fills itself"):
            history.load(BY_COLUMN, "id, _valid_from", "1, 2")
        with pytest.raises(AssetError, match="the column ts is integer; as the incremental_key"):
            history.load(BY_TIME, "id, ts", "1, 2", full_refresh=True)

    def test_many_rows_are_joined_by_hash(self, w: Warehouse) -> None:
        w.sql("CREATE TABLE clock (moment timestamptz)")
        for text in ("a", "b"):  # row by row this would take minutes
            w.run(BY_COLUMN, f"SELECT n AS id, '{text}' AS v FROM generate_series(1, 100000) n")
        assert w.sql("SELECT count(*) FROM mart.t") == [(200000,)]
