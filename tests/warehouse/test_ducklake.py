"""A DuckLake as a warehouse: what is different from a DuckDB file."""

from __future__ import annotations

import itertools
import json
import multiprocessing
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import duckdb
import psycopg
import pytest

from ecommerce_dagster.bruin.model.interval import Interval
from ecommerce_dagster.bruin.model.lakehouse import CatalogFile, Lakehouse
from ecommerce_dagster.bruin.model.postgres_connection import PostgresConnection
from ecommerce_dagster.shop.embedded_postgres import PostgresServer
from ecommerce_dagster.warehouses.duckdb.database import WarehouseError
from ecommerce_dagster.warehouses.ducklake import locking
from ecommerce_dagster.warehouses.ducklake.attach import LAKE, open_lake
from ecommerce_dagster.warehouses.ducklake.locking import LakeLocking, locks_for
from ecommerce_dagster.warehouses.ducklake.maintenance import maintain
from warehouse.helpers import TABLE, asset_of, day
from warehouse.lakes import build, rows

BY_TIME = """
materialization:
  {type: table, strategy: time_interval, incremental_key: ts, time_granularity: timestamp}
"""
MERGE = """
materialization: {type: table, strategy: merge}
columns:
  - {name: id, primary_key: true}
  - {name: v, update_on_merge: true}
"""
_numbers = itertools.count(1)


@pytest.fixture
def lake(server: PostgresServer, tmp_path: Path) -> Lakehouse:
    """A DuckLake that does not exist yet."""
    catalog = PostgresConnection(
        server.host, server.port, server.database, server.user, server.password
    )
    return Lakehouse(catalog, str(tmp_path / "data"), f"lake_{next(_numbers)}")


def refused(lake: Lakehouse, **options: Any) -> str:
    with pytest.raises(WarehouseError) as error, open_lake(lake, **options):
        pass
    return str(error.value)


class TestOpening:
    def test_what_one_session_writes_the_next_one_reads(self, lake: Lakehouse) -> None:
        with open_lake(lake) as connection:
            connection.execute("CREATE SCHEMA mart")
            connection.execute("CREATE TABLE mart.t AS SELECT 1 AS n")
        with open_lake(lake, read_only=True) as connection:
            assert connection.execute("FROM mart.t").fetchall() == [(1,)]
            with pytest.raises(duckdb.InvalidInputException, match="read-only"):
                connection.execute("INSERT INTO mart.t VALUES (2)")

    def test_there_must_be_one_to_read(self, lake: Lakehouse) -> None:
        assert "does not exist yet; run the pipeline first" in refused(lake, read_only=True)

    def test_a_file_may_be_the_catalogue(self, tmp_path: Path) -> None:
        file = CatalogFile("duckdb", str(tmp_path / "deep" / "lake.db"))
        lake = Lakehouse(file, str(tmp_path / "data"))
        assert (
            refused(lake, read_only=True)
            == f"{file.path} does not exist yet; run the pipeline first"
        )
        with open_lake(lake) as connection:
            connection.execute("CREATE TABLE t AS SELECT 1 AS n")
        assert rows(lake, "FROM t") == [(1,)]

    def test_the_rows_of_a_catalogue_are_in_one_place(self, lake: Lakehouse) -> None:
        with open_lake(lake):
            pass
        message = refused(replace(lake, data_path="/elsewhere"))
        assert f"is of rows in {lake.data_path}/; name that path" in message


class TestSecrets:
    def test_a_session_does_not_tell_the_password(self, lake: Lakehouse) -> None:
        assert isinstance(lake.catalog, PostgresConnection)
        with open_lake(lake) as connection:
            told = connection.execute("FROM duckdb_databases()").fetchall()
            told += connection.execute("FROM duckdb_secrets()").fetchall()
            assert lake.catalog.password not in str(told)

    @pytest.mark.parametrize("change", [{"port": 1}, {"password": "hunter2"}, {"database": "no"}])
    def test_no_refusal_tells_it(self, lake: Lakehouse, change: dict[str, Any]) -> None:
        assert isinstance(lake.catalog, PostgresConnection)
        message = refused(replace(lake, catalog=replace(lake.catalog, **change)))
        assert "the catalogue of the DuckLake at 127.0.0.1:" in message
        assert lake.catalog.password not in message
        assert "hunter2" not in message


class TestManyWriters:
    def test_processes_make_the_lake_and_fill_partitions_of_one_table_at_once(
        self, lake: Lakehouse
    ) -> None:
        """Each day by each of them, so that days are deleted while others are inserted."""
        days = [f"2024-01-{number:02}" for number in range(1, 5)]
        jobs = [(lake, days[n:] + days[:n]) for n in range(2)]
        with multiprocessing.get_context("spawn").Pool(2) as pool:
            pool.map(_fill_days, jobs, chunksize=1)
        found = rows(lake, "SELECT ts::DATE::VARCHAR, count(*) FROM mart.t GROUP BY 1 ORDER BY 1")
        assert found == [(day, 24) for day in days]
        last = rows(
            lake,
            f"SELECT author, commit_message, commit_extra_info FROM {LAKE}.snapshots()"
            " ORDER BY snapshot_id DESC LIMIT 1",
        )
        author, message, about = last[0]
        assert (author, message) == ("ecommerce_dagster", "build mart.t")
        assert json.loads(about) == {"asset": "mart.t", "run_id": "r1"}

    def test_a_key_that_two_merge_at_once_is_there_once(
        self, lake: Lakehouse, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """DuckLake sees no conflict in two inserts."""
        query = "SELECT range AS id, range AS v FROM range({})"
        build(lake, MERGE, query.format(0))
        monkeypatch.setattr(locking, "say", lambda *about: time.sleep(0.5))
        _at_once(lambda n: build(lake, MERGE, query.format(50)), 2)
        assert rows(lake, "SELECT count(*) FROM mart.t") == [(50,)]

    def test_tables_of_a_new_schema_are_made_at_once(self, lake: Lakehouse) -> None:
        _at_once(lambda n: build(lake, f"name: mart.t{n}\n{TABLE}", "SELECT 1 AS n"), 2)
        assert rows(lake, "SELECT count(*) FROM duckdb_tables()") == [(2,)]

    def test_a_conflict_is_tried_again_from_the_beginning(
        self, lake: Lakehouse, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Somebody who takes no turns alters the table during the first try."""
        build(lake, TABLE, "SELECT 1 AS n")
        header = "materialization: {type: table, strategy: append}"
        tried: list[int] = []

        def disturb(connection: duckdb.DuckDBPyConnection, *args: Any) -> None:
            tried.append(1)
            if len(tried) == 1:
                with open_lake(lake) as other:
                    other.execute("DELETE FROM mart.t; INSERT INTO mart.t VALUES (7)")

        monkeypatch.setattr(locking, "say", disturb)
        query = "SELECT max(n) + 1 AS n FROM mart.t"
        assert build(lake, header, query).published
        assert len(tried) == 2
        assert rows(lake, "FROM mart.t ORDER BY n") == [(7,), (8,)]

    def test_who_loses_every_time_is_told_to_try_later(
        self, lake: Lakehouse, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        build(lake, TABLE, "SELECT 1 AS n")

        def disturb(connection: duckdb.DuckDBPyConnection, *args: Any) -> None:
            with open_lake(lake) as other:
                other.execute("DELETE FROM mart.t; INSERT INTO mart.t VALUES (7)")

        monkeypatch.setattr(locking, "say", disturb)
        monkeypatch.setattr(locking, "_MOST_TRIES", 2)
        lost = "others wrote to the DuckLake at the same time, 2 times in a row; try it again"
        with pytest.raises(WarehouseError, match=f"^build mart.t: {lost}$"):
            build(
                lake,
                "materialization: {type: table, strategy: append}",
                "SELECT max(n) + 1 AS n FROM mart.t",
            )
        assert rows(lake, "FROM mart.t") == [(7,)]

    def test_upkeep_takes_nothing_away_from_who_reads(self, lake: Lakehouse) -> None:
        build(lake, TABLE, "SELECT 1 AS n")
        append = "materialization: {type: table, strategy: append}"
        build(lake, append, "SELECT 2 AS n")
        with open_lake(lake) as reader:
            reader.execute("BEGIN")
            assert reader.execute("SELECT count(*) FROM mart.t").fetchall() == [(2,)]
            assert maintain(lake).merged == 2
            assert reader.execute("SELECT sum(n) FROM mart.t").fetchall() == [(3,)]
            reader.execute("INSERT INTO mart.t VALUES (3)")
            reader.execute("COMMIT")
        assert rows(lake, "SELECT sum(n) FROM mart.t") == [(6,)]

    def test_who_waits_for_the_same_table_is_told(self, lake: Lakehouse) -> None:
        told: list[str] = []
        locking = LakeLocking(lake, on_wait=told.append)
        asset = asset_of(TABLE)
        with locking(asset):
            other = threading.Thread(target=lambda: locking(asset).__enter__())
            other.start()
            while not told:
                time.sleep(0.01)
            assert told == ["waiting for another run to finish with mart.t"]
        other.join()

    def test_a_build_that_lost_its_turn_is_not_published(
        self, lake: Lakehouse, server: PostgresServer
    ) -> None:
        """Somebody else may have it by now."""

        def end_sessions(template: str) -> str:
            _end_sessions(server, "pg_locks WHERE locktype = 'advisory'")
            return template

        with pytest.raises(WarehouseError, match="the catalogue of the DuckLake .* be reached"):
            build(lake, TABLE, "SELECT 1 AS n", render=end_sessions)
        assert rows(lake, "FROM duckdb_tables()") == []


def test_a_catalogue_that_goes_away_is_an_error_for_the_user(
    lake: Lakehouse, server: PostgresServer
) -> None:
    with pytest.raises(WarehouseError, match="^the DuckLake at 127.0.0.1:.*: TransactionContext"):
        with open_lake(lake) as connection:
            connection.execute("BEGIN")
            connection.execute("CREATE TABLE t AS SELECT 1 AS n")
            _end_sessions(server, "pg_stat_activity WHERE datname = current_database()")
            connection.execute("COMMIT")
    assert rows(lake, "FROM duckdb_tables()") == []


@pytest.mark.parametrize(
    ("one", "other", "meet"),
    [
        (None, None, True),
        (None, day("2024-01-01"), True),
        (day("2024-01-01"), day("2024-01-01"), True),
        (day("2024-01-01"), day("2024-01-02"), False),
        (day("2024-01-01", 7), day("2024-01-07"), True),
        (day("2024-01-01", 7), day("2024-01-08", 20), False),
        (day("2024-01-01", 400), day("2024-01-08"), True),
        (day("2024-01-01", 400), day("2026-01-08"), True),
    ],
)
def test_who_waits_for_whom(one: Interval | None, other: Interval | None, meet: bool) -> None:
    mine, theirs = ({lock.name: lock for lock in locks_for("T", w)} for w in (one, other))
    both = mine.keys() & theirs.keys()
    assert any(not (mine[name].shared and theirs[name].shared) for name in both) is meet


def _end_sessions(server: PostgresServer, found: str) -> None:
    with psycopg.connect(server.dsn, autocommit=True) as admin:
        query = f"SELECT pg_terminate_backend(pid) FROM {found} AND pid <> pg_backend_pid()"
        admin.execute(query.encode())


def _at_once(work: Callable[[int], object], times: int) -> None:
    with ThreadPoolExecutor(times) as pool:
        list(pool.map(work, range(times)))


def _fill_days(job: tuple[Lakehouse, list[str]]) -> None:
    lake, days = job
    hours = "range('{}'::TIMESTAMP, '{}'::TIMESTAMP, INTERVAL 1 HOUR)"
    with open_lake(lake) as session:
        for text in days:
            window = day(text)
            query = f"SELECT range AS ts FROM {hours.format(window.start, window.end)}"
            build(lake, BY_TIME, query, window, session=session)
