"""A DuckLake as a warehouse: what is different from a DuckDB file."""

from __future__ import annotations

import itertools
import multiprocessing
from dataclasses import replace
from pathlib import Path
from typing import Any

import duckdb
import pytest

from ecommerce_dagster.bruin.connections import PostgresConnection
from ecommerce_dagster.bruin.lakehouse import CatalogFile, Lakehouse
from ecommerce_dagster.embedded_postgres import PostgresServer
from ecommerce_dagster.warehouse.database import WarehouseError
from ecommerce_dagster.warehouse.ducklake import open_lake

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

    def test_many_processes_may_be_the_first(self, lake: Lakehouse) -> None:
        with multiprocessing.get_context("spawn").Pool(4) as pool:
            assert pool.map(_make_a_table, [(lake, n) for n in range(4)]) == [None] * 4
        with open_lake(lake, read_only=True) as connection:
            assert connection.execute("SELECT count(*) FROM duckdb_tables()").fetchall() == [(4,)]

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
        with open_lake(lake, read_only=True) as connection:
            assert connection.execute("FROM t").fetchall() == [(1,)]

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


def _make_a_table(job: tuple[Lakehouse, int]) -> None:
    lake, number = job
    with open_lake(lake) as connection:
        connection.execute(f"CREATE TABLE t{number} AS SELECT 1 AS n")
