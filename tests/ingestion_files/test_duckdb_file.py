"""An ingestr asset that reads another DuckDB file."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import duckdb
import pytest

from ecommerce_dagster.bruin.model.connections import DuckDBConnection
from ecommerce_dagster.bruin.model.interval import Interval
from ecommerce_dagster.sources.duckdb_file import DuckDBIngestion
from ecommerce_dagster.warehouses.duckdb.database import open_warehouse
from ecommerce_dagster.warehouses.sql_asset import AssetError
from ingestion_files.helpers import Rows, asset_at, build, rows, types

ORDERS = """
    CREATE SCHEMA shop;
    CREATE TYPE shop.state AS ENUM ('new', 'paid');
    CREATE TABLE shop.orders (id INTEGER, made TIMESTAMP, price DECIMAL(10,2), state shop.state);
    INSERT INTO shop.orders VALUES
        (1, '2025-01-01 10:00', 1.5, 'new'), (2, '2025-01-02 00:00', 2.5, 'paid'),
        (3, '2025-01-02 23:59:59.999999', 3.5, 'paid');
    CREATE VIEW shop.paid AS FROM shop.orders WHERE state = 'paid';
    CREATE MACRO shop.doubled(n) AS n * 2;
    CREATE TABLE plain AS SELECT 7 AS n;
"""
DAY = Interval(datetime(2025, 1, 2, tzinfo=UTC), datetime(2025, 1, 3, tzinfo=UTC))
MERGE = "incremental_strategy: merge, incremental_key: made, primary_key: id"
APPEND = "incremental_strategy: append, incremental_key: made"
WINDOW = "incremental_strategy: delete+insert, incremental_key: made"


class Files:
    """A warehouse and a source beside it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.source, self.warehouse = str(folder / "source.db"), str(folder / "warehouse.db")
        self.change(ORDERS)

    def change(self, statements: str) -> None:
        with duckdb.connect(self.source) as connection:
            connection.execute(statements)

    def ingestion(
        self,
        table: str = "shop.orders",
        parameters: str = "",
        interval: Interval | None = None,
        *,
        path: str | None = None,
        full_refresh: bool = False,
    ) -> DuckDBIngestion:
        listed = "".join(f"  {one.strip()}\n" for one in parameters.split(", ") if one)
        text = f"name: raw.orders\ntype: ingestr\nparameters:\n  source_table: {table}\n{listed}"
        asset = asset_at(self.folder / "assets/orders.asset.yml", text)
        return DuckDBIngestion(asset, DuckDBConnection(path or self.source), interval, full_refresh)

    def load(
        self,
        table: str = "shop.orders",
        parameters: str = "",
        interval: Interval | None = None,
        *,
        path: str | None = None,
        full_refresh: bool = False,
    ) -> Rows:
        """The rows of the table after one run."""
        fill = self.ingestion(table, parameters, interval, path=path, full_refresh=full_refresh)
        with open_warehouse(self.warehouse) as connection:
            with fill.prepare(connection):
                assert build(connection, fill.asset, fill).published
            return rows(connection, "raw.orders")

    def ids(self, parameters: str, interval: Interval | None = None, **more: bool) -> list[int]:
        return [row[0] for row in self.load("shop.orders", parameters, interval, **more)]

    def fails(
        self, table: str = "shop.orders", parameters: str = "", path: str | None = None
    ) -> str:
        """The error of a run, with file names instead of paths."""
        with pytest.raises(AssetError) as caught:
            self.load(table, parameters, DAY, path=path)
        return re.sub(r"/\S*/", "", str(caught.value))


@pytest.fixture
def files(tmp_path: Path) -> Files:
    return Files(tmp_path)


def test_a_table_comes_whole_with_its_types(files: Files) -> None:
    assert files.load()[0][:1] == (1,)
    with duckdb.connect(files.warehouse) as connection:
        assert types(connection, "raw.orders") == {
            "id": "INTEGER", "made": "TIMESTAMP", "price": "DECIMAL(10,2)", "state": "VARCHAR",
        }  # fmt: skip
        assert len(rows(connection, "raw.orders")) == 3
    files.change("DELETE FROM shop.orders WHERE id = 1")
    assert files.ids("") == [2, 3]


def test_a_view_and_a_table_without_a_schema_are_sources_too(files: Files) -> None:
    assert [row[0] for row in files.load("shop.paid")] == [2, 3]
    assert files.load("plain") == [(7,)]


def test_a_query_speaks_of_its_own_database(files: Files) -> None:
    query = "query:SELECT shop.doubled(id) AS n FROM shop.paid, plain ORDER BY 1; -- twice"
    assert files.load(f"'{query}'") == [(4,), (6,)]


def test_a_query_gets_the_interval(files: Files) -> None:
    query = "query:SELECT id FROM shop.orders WHERE made BETWEEN :interval_start AND :interval_end"
    assert files.load(f"'{query}'", "", DAY) == [(2,), (3,)]
    assert files.load(f"'{query}'") == [(1,), (2,), (3,)]


def test_columns_can_be_left_out_and_rows_limited(files: Files) -> None:
    assert files.load("shop.orders", "sql_exclude_columns: 'made,state', sql_limit: 1")[0][0] == 1
    with duckdb.connect(files.warehouse) as connection:
        assert list(types(connection, "raw.orders")) == ["id", "price"]


def test_a_window_is_replaced_exactly(files: Files) -> None:
    assert files.ids(WINDOW) == [1, 2, 3]
    files.change(
        "DELETE FROM shop.orders WHERE id IN (1, 2);"
        "INSERT INTO shop.orders VALUES (4, '2025-01-02 12:00', 0, NULL),"
        " (5, '2025-01-03', 0, NULL)"
    )
    assert files.ids(WINDOW, DAY) == [1, 3, 4]
    assert files.ids(WINDOW) == [3, 4, 5]


def test_merge_takes_what_is_new_and_what_changed_at_the_edge(files: Files) -> None:
    files.load("shop.orders", MERGE)
    files.change(
        "UPDATE shop.orders SET price = 9 WHERE id IN (1, 3);"
        "INSERT INTO shop.orders VALUES (4, '2025-01-03', 4, 'new'), (5, NULL, 5, 'new')"
    )
    found = files.load("shop.orders", MERGE)
    assert [(row[0], int(row[2])) for row in found] == [(1, 1), (2, 2), (3, 9), (4, 4), (5, 5)]
    assert files.ids(MERGE, full_refresh=True) == [1, 2, 3, 4, 5]


def test_append_takes_what_comes_after(files: Files) -> None:
    files.load("shop.orders", APPEND)
    files.change(
        "INSERT INTO shop.orders VALUES (4, '2025-01-03', 4, 'new'), (0, '2024-01-01', 0, 'new')"
    )
    assert files.ids(APPEND) == [1, 2, 3, 4]
    assert files.ids(APPEND) == [1, 2, 3, 4]
    assert files.ids(APPEND, full_refresh=True) == [0, 1, 2, 3, 4]


def test_append_does_not_guess_about_rows_without_a_key(files: Files) -> None:
    files.change("INSERT INTO shop.orders VALUES (4, NULL, 4, 'new')")
    assert files.ids(APPEND) == [1, 2, 3, 4]
    assert files.ids(APPEND) == [1, 2, 3, 4]
    files.change("INSERT INTO shop.orders VALUES (5, 'infinity', 4, 'new')")
    assert files.fails("shop.orders", APPEND) == (
        "orders.asset.yml:4: the incremental_key made is NULL or infinite in 2 rows of the source and "
        "in 1 of raw.orders: 'append' cannot tell which are new; use 'merge', or another key"
    )


def test_a_query_can_be_merged_by_its_key(files: Files) -> None:
    query = "'query:SELECT id, made FROM shop.paid'"
    files.load(query, MERGE)
    files.change("INSERT INTO shop.orders VALUES (4, '2025-01-03', 4, 'paid')")
    assert [row[0] for row in files.load(query, MERGE)] == [2, 3, 4]


def test_truncate_and_insert_keeps_the_table(files: Files) -> None:
    files.load("shop.orders", "incremental_strategy: truncate+insert")
    files.change("DELETE FROM shop.orders WHERE id > 1")
    assert files.ids("incremental_strategy: truncate+insert") == [1]


def test_the_warehouse_itself_can_be_the_source(files: Files) -> None:
    with duckdb.connect(files.warehouse) as connection:
        connection.execute(ORDERS)
    assert len(files.load(path=files.warehouse)) == 3
    link = files.folder / "link.db"
    link.symlink_to(files.warehouse)
    assert files.load("'query:SELECT max(id) AS n FROM shop.orders'", path=str(link)) == [(3,)]


def test_the_source_is_never_written_to(files: Files) -> None:
    with open_warehouse(files.warehouse) as connection, files.ingestion().prepare(connection):
        with pytest.raises(duckdb.Error, match="read-only"):
            connection.execute("CREATE TABLE _source.x AS SELECT 1")
    with open_warehouse(files.warehouse) as connection:
        files.ingestion().prepare(connection).close()
        assert connection.execute(
            "SELECT count(*) FROM duckdb_databases() WHERE database_name = '_source'"
        ).fetchall() == [(0,)]


@pytest.mark.parametrize(
    ("table", "parameters", "message"),
    [
        ("shop.order", "", "source.db has no table 'shop.order'; did you mean 'shop.orders'?"),
        ("shop.orders", "sql_exclude_columns: nope",
         "the source: it has no column nope (sql_exclude_columns); it has id, made, price, state"),
        ("shop.orders", "sql_exclude_columns: 'id,made,price,state'",
         "the source: every column is excluded (sql_exclude_columns)"),
        ("shop.orders", WINDOW.replace("key: made", "key: when"),
         "the source has no column 'when' (incremental_key); it has id, made, price, state"),
        ("shop.orders", WINDOW.replace("key: made", "key: id"),
         "the incremental_key id is INTEGER; an interval needs a date or a timestamp"),
    ],
)  # fmt: skip
def test_what_the_source_lacks_is_named(
    files: Files, table: str, parameters: str, message: str
) -> None:
    assert files.fails(table, parameters) == f"orders.asset.yml:4: {message}"


def test_a_wrong_query_is_explained_by_duckdb(files: Files) -> None:
    found = files.fails("'query:SELECT nope FROM shop.orders'")
    assert found.startswith('orders.asset.yml:4: Binder Error: Referenced column "nope" not found')


def test_a_key_of_another_type_is_no_watermark(files: Files) -> None:
    files.load("'query:SELECT * REPLACE (CAST(made AS VARCHAR) AS made) FROM shop.orders'", MERGE)
    assert files.fails("shop.orders", MERGE) == (
        "orders.asset.yml:4: the incremental_key made is TIMESTAMP in the source and VARCHAR in "
        "raw.orders: the two are not in the same order; take another key"
    )


def test_a_source_that_is_no_database_is_named(files: Files) -> None:
    (files.folder / "text.db").write_text("this is not a database " * 100)
    assert files.fails(path=str(files.folder / "gone.db")) == (
        "orders.asset.yml:4: the source gone.db does not exist; correct its path in .bruin.yml"
    )
    assert files.fails(path=str(files.folder / "text.db")).startswith(
        "orders.asset.yml:4: text.db cannot be read as a DuckDB database: IO Error: "
    )
    assert files.fails(path=":memory:") == (
        "orders.asset.yml:4: the source is ':memory:'; expected a file"
    )


@pytest.fixture
def holder(files: Files) -> Iterator[subprocess.Popen[str]]:
    """Another process that writes to the source."""
    code = f"import duckdb; c = duckdb.connect({files.source!r}); print(1, flush=True); input()"
    process = subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    with process:
        assert process.stdout is not None
        process.stdout.readline()
        yield process
        process.kill()


def test_a_source_that_another_process_writes_to_is_named_with_it(
    files: Files, holder: subprocess.Popen[str]
) -> None:
    assert files.fails() == (
        f"orders.asset.yml:4: process {holder.pid} has source.db open for writing; "
        "run it again when that has ended"
    )


def test_a_source_that_this_process_has_open_is_named(files: Files) -> None:
    with duckdb.connect(files.source):
        assert files.fails() == (
            "orders.asset.yml:4: source.db is open in this process already; "
            "run the assets that use it one by one"
        )


def test_a_new_table_has_snake_case_names_and_the_masks_of_the_source(files: Files) -> None:
    files.change(
        'CREATE TABLE people AS SELECT 1 AS "Id", \'a@b\' AS "eMail", TIMESTAMP \'2025-01-01\' AS "updatedAt"'
    )
    parameters = "incremental_strategy: merge, incremental_key: updatedAt, primary_key: id, mask: e_mail:stars"
    files.load("people", parameters)
    files.change("INSERT INTO people VALUES (2, 'c', '2025-01-02')")
    assert [row[:2] for row in files.load("people", parameters)] == [(1, "***"), (2, "*")]
    with duckdb.connect(files.warehouse) as connection:
        assert list(types(connection, "raw.orders")) == ["id", "e_mail", "updated_at"]
