"""One run sees one moment of the source, whatever others do to it meanwhile."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest

from ecommerce_dagster.sources import request
from ecommerce_dagster.sources.postgres import ingest
from ecommerce_dagster.sources.postgres import into_postgres as postgres_ingest
from ecommerce_dagster.warehouses.duckdb import target as duckdb_target
from ingestion.helpers import World


def at(
    monkeypatch: pytest.MonkeyPatch, step: Callable[..., Any], w: World, *statements: str
) -> None:
    """Let somebody else change the source just before a step of every run."""

    def interrupted(*args: Any, **kwargs: Any) -> Any:
        with w.session() as other:
            for statement in statements:
                other.execute(statement.encode())
        return step(*args, **kwargs)

    modules = (ingest, request, duckdb_target, postgres_ingest)
    owner = next(module for module in modules if hasattr(module, step.__name__))
    monkeypatch.setattr(owner, step.__name__, interrupted)


STEPS = pytest.mark.parametrize(
    "step",
    [
        ingest.types_of,
        ingest.relation_of,
        duckdb_target.load_table,
        ingest.refuse_garbled,
    ],
)


@STEPS
@pytest.mark.parametrize("kind", ["numeric", "numeric(40,30)", "int[]"])
def test_the_type_is_that_of_the_values_that_are_read(
    w: World, monkeypatch: pytest.MonkeyPatch, step: Callable[..., Any], kind: str
) -> None:
    larger = "'{{1,2}}'" if kind == "int[]" else "0.123456789012345678901234567891"
    w.sql(f"CREATE TABLE t (v {kind})", "INSERT INTO t VALUES (NULL)")
    at(monkeypatch, step, w, f"INSERT INTO t VALUES ({larger})")
    w.load()
    assert w.rows() == [(None,)]


@STEPS
def test_nan_that_comes_meanwhile_neither_arrives_nor_stops_the_load(
    w: World, monkeypatch: pytest.MonkeyPatch, step: Callable[..., Any]
) -> None:
    w.sql("CREATE TABLE t (v numeric(5,1))", "INSERT INTO t VALUES (0)")
    at(monkeypatch, step, w, "INSERT INTO t VALUES ('NaN')")
    w.load()
    assert len(w.rows()) == 1


def test_nan_that_goes_meanwhile_stops_the_load_all_the_same(
    w: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    w.sql("CREATE TABLE t (v numeric(5,1))", "INSERT INTO t VALUES ('NaN')")
    at(monkeypatch, ingest.refuse_garbled, w, "DELETE FROM t")
    assert "NaN in 1 row" in w.failure()


def test_the_source_is_only_read_and_seen_as_of_one_moment(w: World) -> None:
    names = ("transaction_read_only", "transaction_isolation")
    cells = ", ".join(f"current_setting('{name}') AS {name}" for name in names)
    w.load({"source_table": f"query:SELECT {cells}"})
    assert w.rows() == [("on", "repeatable read")]


REWRITES = pytest.mark.parametrize(
    "rewrite",
    [
        ["ALTER TABLE t ALTER v TYPE text"],
        ["ALTER TABLE t ALTER v TYPE numeric(20,10)", "INSERT INTO t VALUES (0.123)"],
        ["TRUNCATE t"],
        ["BEGIN", "TRUNCATE t", "INSERT INTO t VALUES (2)", "COMMIT"],
        ["BEGIN", "CREATE TABLE new AS TABLE t", "DROP TABLE t", "ALTER TABLE new RENAME TO t",
         "COMMIT"],
    ],
    ids=["alter", "widen", "truncate", "truncate and insert", "swap"],
)  # fmt: skip


@REWRITES
@pytest.mark.parametrize("table", ["public.t", "query:SELECT * FROM t"], ids=["table", "query"])
def test_a_table_that_is_rewritten_meanwhile_is_not_taken_for_an_empty_one(
    w: World, monkeypatch: pytest.MonkeyPatch, table: str, rewrite: list[str]
) -> None:
    w.sql("CREATE TABLE t (v numeric(5,1))", "INSERT INTO t VALUES (1.5)")
    w.load({"source_table": table})
    at(monkeypatch, ingest.types_of, w, *rewrite)
    assert w.failure({"source_table": table}).endswith("; run it again")
    assert len(w.rows()) == 1
    monkeypatch.undo()
    w.load({"source_table": table})


@pytest.mark.parametrize("p", ["_in_postgres"], indirect=True)
@REWRITES
def test_nor_is_it_when_it_is_loaded_into_postgres(
    p: World, monkeypatch: pytest.MonkeyPatch, rewrite: list[str]
) -> None:
    p.sql("CREATE TABLE t (v numeric(5,1))", "INSERT INTO t VALUES (1.5)")
    p.load()
    at(monkeypatch, postgres_ingest.stage_rows, p, *rewrite)
    assert p.failure().endswith("t was rewritten while it was read; run it again")
    assert len(p.rows()) == 1


@pytest.mark.parametrize("p", ["_in_postgres"], indirect=True)
def test_rows_that_come_while_they_are_loaded_into_postgres_wait_for_the_next_run(
    p: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    merge = {"incremental_strategy": "merge", "primary_key": "id"}
    p.sql("CREATE TABLE t (id int)", "INSERT INTO t VALUES (1), (2)")
    p.load(merge)
    at(monkeypatch, postgres_ingest.stage_rows, p, "DELETE FROM t WHERE id = 1",
       "INSERT INTO t VALUES ((SELECT max(id) + 1 FROM t))")  # fmt: skip
    loaded = p.load(merge).loaded
    assert (loaded.rows_deleted, p.rows()) == (0, [(1,), (2,)])


def test_nor_is_a_partition_below_a_view(w: World, monkeypatch: pytest.MonkeyPatch) -> None:
    w.sql("CREATE TABLE parent (v numeric(5,1)) PARTITION BY RANGE (v)")
    w.sql("CREATE TABLE t PARTITION OF parent DEFAULT", "INSERT INTO parent VALUES (1.5)")
    w.sql("CREATE VIEW seen AS SELECT * FROM parent")
    at(monkeypatch, ingest.types_of, w, "TRUNCATE t")
    for table in ("parent", "seen"):
        message = w.failure({"source_table": f"public.{table}"})
        assert message == "t was rewritten while it was read; run it again"


def test_a_type_that_is_relaxed_meanwhile_is_read_as_it_was_or_not_at_all(
    w: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    w.sql("CREATE TABLE t (v numeric(30,2))", "INSERT INTO t VALUES (1234567890123456789.12)")
    relaxed = ["ALTER TABLE t ALTER v TYPE numeric", "INSERT INTO t VALUES (1.23456789)"]
    at(monkeypatch, ingest.types_of, w, *relaxed)
    w.load()
    assert w.rows() == [(Decimal("1234567890123456789.12"),)]
    w.sql("DROP TABLE t", "CREATE TABLE t (v numeric(30,2))")
    message = w.failure("source_table: 'query:SELECT * FROM t'")
    assert message == "the type of v of the query was changed; run it again"


@pytest.mark.parametrize(
    "change",
    ["CREATE INDEX ON t (v)", "REINDEX TABLE t", "VACUUM t", "ANALYZE t", "DELETE FROM t"],
)
def test_what_rewrites_nothing_stops_nothing(
    w: World, monkeypatch: pytest.MonkeyPatch, change: str
) -> None:
    w.sql("CREATE TABLE t (v int PRIMARY KEY)", "INSERT INTO t VALUES (1)")
    at(monkeypatch, ingest.types_of, w, change)
    w.load()
    assert w.rows() == [(1,)]


def test_a_table_that_is_being_filled_anew_is_waited_for(w: World) -> None:
    w.sql("CREATE TABLE t (v int)", "INSERT INTO t VALUES (1)")
    with w.session() as other:
        other.execute("BEGIN")
        other.execute("TRUNCATE t")
        other.execute("INSERT INTO t VALUES (2), (3)")
        threading.Timer(0.3, lambda: other.execute("COMMIT")).start()
        w.load()
    assert w.rows() == [(2,), (3,)]


def test_a_table_that_is_read_in_parallel_is_of_one_moment(w: World) -> None:
    """Somebody moves amounts between its first and its last rows all the time; the sum stays."""
    w.sql("CREATE TABLE t (id int PRIMARY KEY, v int, pad text)")
    w.sql("INSERT INTO t SELECT i, 100, repeat('x', 400) FROM generate_series(1, 60000) i")
    w.sql("ANALYZE t")
    done = threading.Event()

    def swap() -> None:
        with w.session() as other:
            while not done.is_set():
                other.execute(
                    "UPDATE t SET v = CASE WHEN v = 100 THEN CASE WHEN id % 2 = 0 THEN 150 ELSE 50"
                    " END ELSE 100 END WHERE id BETWEEN 1 AND 2 OR id BETWEEN 59999 AND 60000"
                )

    thread = threading.Thread(target=swap)
    thread.start()
    try:
        time.sleep(0.05)
        for _ in range(3):
            w.load()
            assert w.rows("SELECT count(*), sum(v)::BIGINT FROM raw.t") == [(60000, 6000000)]
    finally:
        done.set()
        thread.join()
