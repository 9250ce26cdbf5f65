"""A run that is asked to compares keys whole, also of tables where a load does not do it by itself."""

from __future__ import annotations

import pytest

from ecommerce_dagster.sources import request
from ecommerce_dagster.sources.postgres import ingest
from ingestion.helpers import QUERY, TABLE, World, days
from ingestion.test_snapshot import at

OFF = "meta: {compare_keys: off}"
MERGE = {"incremental_strategy": "merge", "incremental_key": "at", "primary_key": "id"}
WAYS = pytest.mark.parametrize("way", [TABLE, QUERY], ids=["table", "query"])


def source(w: World) -> None:
    w.sql("CREATE TABLE t (id int PRIMARY KEY, at timestamptz, v text)", "SET TimeZone = 'UTC'")
    w.sql("INSERT INTO t SELECT n, '2024-01-01Z'::timestamptz + n * interval '1 day', 'v' || n"
          " FROM generate_series(1, 5) n")  # fmt: skip


def is_equal(w: World) -> bool:
    return w.rows("FROM raw.t ORDER BY ALL") == w.sql("SELECT * FROM t ORDER BY 1, 2, 3")


@WAYS
def test_deleted_rows_are_found_and_counted(w: World, way: str) -> None:
    source(w)
    parameters = {**MERGE, "source_table": way}
    w.load(parameters, OFF)
    w.sql("DELETE FROM t WHERE id IN (2, 5)", "INSERT INTO t VALUES (6, '2024-02-01Z', 'new')")
    assert w.load(parameters, OFF).loaded.rows_deleted is None
    assert len(w.rows()) == 6
    built = w.load(parameters, OFF, reconcile=True)
    assert (built.loaded.rows_written, built.loaded.rows_deleted) == (0, 2)
    assert is_equal(w)
    assert w.load(parameters, OFF, reconcile=True).loaded.rows_deleted == 0


@WAYS
def test_rows_that_no_overlap_covered_are_found_too(w: World, way: str) -> None:
    source(w)
    parameters = {**MERGE, "source_table": way}
    w.load(parameters, OFF)
    w.sql(
        "INSERT INTO t VALUES (6, '2020-01-01Z', 'came late')",
        "UPDATE t SET v = 'changed late', at = at + interval '1 s' WHERE id = 1",
        "UPDATE t SET v = 'set back', at = '2019-01-01Z' WHERE id = 2",
        "UPDATE t SET v = 'no time', at = NULL WHERE id = 3",
    )
    w.load(parameters, OFF)
    assert not is_equal(w)
    built = w.load(parameters, OFF, reconcile=True)
    assert (built.loaded.rows_written, built.loaded.rows_deleted) == (3, 0)
    assert is_equal(w)


def test_a_key_of_several_columns_is_compared_whole(w: World) -> None:
    w.sql("CREATE TABLE t (a int, b text, c numeric, v int)")
    w.sql(
        "INSERT INTO t SELECT a, b, 1.5, 0 FROM generate_series(1, 3) a, unnest('{x,y,Y}'::text[]) b"
    )
    w.sql("INSERT INTO t VALUES (NULL, 'x', NULL, 0), (NULL, 'y', NULL, 0)")
    parameters = {"incremental_strategy": "merge", "primary_key": "B, a, c"}
    w.load(parameters)
    w.sql("DELETE FROM t WHERE (a, b) IN ((1, 'x'), (2, 'Y')) OR a IS NULL AND b = 'y'")
    assert w.load(parameters, reconcile=True).loaded.rows_deleted == 3
    assert w.rows("SELECT a, b FROM raw.t ORDER BY ALL") == w.sql(
        'SELECT a, b FROM t ORDER BY a, b COLLATE "C"'
    )


def test_the_key_may_be_the_incremental_key_too(w: World) -> None:
    source(w)
    parameters = {**MERGE, "primary_key": "at, id"}
    w.load(parameters)
    w.sql("DELETE FROM t WHERE id = 1", "INSERT INTO t VALUES (9, '2020-01-01Z', 'late')")
    built = w.load(parameters, reconcile=True)
    assert (built.loaded.rows_written, built.loaded.rows_deleted) == (1, 1)
    assert is_equal(w)


def test_an_empty_source_empties_the_table(w: World) -> None:
    source(w)
    w.load(MERGE)
    w.sql("DELETE FROM t")
    assert w.load(MERGE, reconcile=True).loaded.rows_deleted == 5
    assert w.rows() == []


def test_a_source_that_is_truncated_while_it_is_read_is_not_taken_for_an_empty_one(
    w: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    source(w)
    w.load(MERGE)
    at(monkeypatch, request.from_largest, w, "TRUNCATE t")
    assert w.failure(MERGE, reconcile=True).endswith(
        "was rewritten while it was read; run it again"
    )
    assert len(w.rows()) == 5


def test_rows_and_keys_are_of_one_moment(w: World, monkeypatch: pytest.MonkeyPatch) -> None:
    source(w)
    w.load(MERGE)
    before = w.rows()
    later = ["DELETE FROM t WHERE id = 1", "INSERT INTO t VALUES (9, '2030-01-01Z', 'new')"]
    at(monkeypatch, ingest.compared, w, *later)
    assert w.load(MERGE, reconcile=True).loaded.rows_deleted == 0
    assert w.rows() == before
    monkeypatch.undo()
    w.load(MERGE, reconcile=True)
    assert is_equal(w)


@pytest.mark.parametrize("word", ["refresh_restricted", "full_refresh_restricted"])
def test_a_table_that_keeps_its_history_keeps_rows_that_are_gone(w: World, word: str) -> None:
    source(w)
    w.load(MERGE, f"{word}: true")
    w.sql("DELETE FROM t")
    assert w.load(MERGE, f"{word}: true", reconcile=True).loaded.rows_deleted is None
    assert len(w.rows()) == 5


def test_a_limit_does_not_make_rows_gone(w: World) -> None:
    source(w)
    w.load(MERGE)
    w.sql("DELETE FROM t WHERE id = 3")
    built = w.load({**MERGE, "sql_limit": 1}, reconcile=True)
    assert built.loaded.rows_deleted == 1
    assert is_equal(w)


def test_nor_does_an_interval_of_the_query(w: World) -> None:
    source(w)
    query = "query:SELECT * FROM t WHERE at BETWEEN :interval_start AND :interval_end"
    parameters = {**MERGE, "source_table": query}
    w.load(parameters)
    w.sql("DELETE FROM t WHERE id = 3")
    built = w.load(parameters, interval=days("2024-01-02"), reconcile=True)
    assert built.loaded.rows_deleted == 1
    assert is_equal(w)


def test_a_declared_type_of_the_key_is_no_difference(w: World) -> None:
    source(w)
    rest = "columns: [{name: id, type: varchar, primary_key: true}, {name: at, type: timestamp}]"
    w.load(MERGE, rest)
    w.sql("DELETE FROM t WHERE id = 3")
    built = w.load(MERGE, rest, reconcile=True)
    assert (built.loaded.rows_written, built.loaded.rows_deleted) == (0, 1)
    assert w.rows("SELECT id FROM raw.t ORDER BY id") == [("1",), ("2",), ("4",), ("5",)]


def test_of_rows_with_one_key_the_newest_is_compared(w: World) -> None:
    source(w)
    w.sql(
        "CREATE VIEW twice AS SELECT * FROM t UNION ALL SELECT id, at - interval '1 y', 'x' FROM t"
    )
    parameters = {**MERGE, "source_table": "public.twice"}
    w.load(parameters)
    built = w.load(parameters, reconcile=True)
    assert (built.loaded.rows_written, built.loaded.rows_deleted) == (0, 0)
    assert is_equal(w)


def test_other_strategies_do_what_they_always_do(w: World) -> None:
    source(w)
    by_day = {"incremental_strategy": "delete+insert", "incremental_key": "at"}
    w.load(by_day)
    w.sql("DELETE FROM t")
    w.load(by_day, interval=days("2024-01-02"), reconcile=True)
    assert len(w.rows()) == 4
