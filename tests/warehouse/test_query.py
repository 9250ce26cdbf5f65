"""A query of somebody who only looks changes no file, and reads none but those of the warehouse."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import duckdb
import pytest

from ecommerce_dagster.bruin.model.lakehouse import CatalogFile, Lakehouse
from ecommerce_dagster.warehouses.duckdb.database import open_warehouse
from ecommerce_dagster.warehouses.ducklake.attach import open_lake
from ecommerce_dagster.warehouses.query import QueryError, answer_of, lock

FILES = "(SELECT 1 AS n) TO '{out}'"
CHANGING = [
    f"COPY {FILES}",
    f"copy /* x */ {FILES} (FORMAT parquet)",
    f"EXPLAIN ANALYZE COPY {FILES}",
    f"EXPLAIN (ANALYZE) COPY {FILES}",
    f"/* a */ EXPLAIN -- b\n ANALYZE\tCOPY {FILES}",
    f"PREPARE p AS COPY {FILES}; EXECUTE p",
    f"SELECT 1; COPY {FILES}",
    "PIVOT t ON n; COPY (PIVOT t ON n) TO '{out}'",
    "EXPLAIN ANALYZE COPY (PIVOT t ON n) TO '{out}'",
    "EXPORT DATABASE '{out}'",
    "ATTACH '{out}' AS x",
    "CALL enable_logging(storage = 'file', storage_path = '{out}')",
    "FROM enable_logging(storage = 'file', storage_path = '{out}')",
    "SELECT * FROM query('FROM enable_logging(storage = ''file'', storage_path = ''{out}'')')",
    "SELECT * FROM \"query\" ('FROM enable_' || 'logging(storage_path = ''{out}'')')",
    "SET profiling_output = '{out}'; SET enable_profiling = 'json'; SELECT 1",
    "PRAGMA profiling_output = '{out}'",
    "SET enable_external_access = true",
    "SET GLOBAL lock_configuration = false",
    "RESET lock_configuration",
    "CREATE PERSISTENT SECRET x (TYPE s3, KEY_ID 'a')",
    "INSTALL json",
    "LOAD '{out}'",
    "CHECKPOINT",
    "CREATE TABLE evil AS SELECT 1",
    "INSERT INTO t VALUES (2)",
    "DROP TABLE t",
    "BEGIN; DELETE FROM t; COMMIT",
    "USE memory; CREATE TABLE x AS SELECT 1",
    "IMPORT DATABASE '{out}'",
    "CALL ducklake_merge_adjacent_files('_lake')",
    "FROM ducklake_merge_adjacent_files('_lake')",
    "FROM ducklake_cleanup_old_files('_lake', cleanup_all => true)",
    "FROM ducklake_delete_orphaned_files('_lake', cleanup_all => true)",
    "EXPLAIN ANALYZE FROM \"ducklake_expire_snapshots\" ('_lake', older_than => now())",
    "CALL _lake.set_option('parquet_version', '2')",
]
OTHERS = [
    "FROM read_csv('{folder}/secret.csv')",
    "FROM '{folder}/secret.csv'",
    "FROM read_text('/etc/hostname')",
    "FROM glob('{folder}/*')",
    "FROM sniff_csv('{folder}/secret.csv')",
]
READING = [
    "FROM t",
    "SELECT * FROM t ORDER BY n",
    "WITH a AS (FROM t) FROM a; -- end",
    "PIVOT t ON n",
    "SUMMARIZE t",
    "DESCRIBE t",
    "SHOW TABLES",
    "PRAGMA table_info('t')",
    "EXPLAIN ANALYZE FROM t",
    "SELECT 1; SELECT 2",
    "SELECT 'COPY t TO ''x''' AS s",
    "FROM duckdb_tables()",
]


@dataclass
class Place:
    """A warehouse in a session that only reads, and the folder that all of it is in."""

    folder: Path
    duck: duckdb.DuckDBPyConnection
    # Where a query could write, if anywhere: of a lake into the folder of its rows.
    out: Path

    def refused(self, sql: str) -> str:
        """Why a query is refused; empty when it is not."""
        try:
            answer_of(self.duck, sql.format(out=self.out, folder=self.folder), None)
        except QueryError as error:
            return str(error)
        return ""


@pytest.fixture(scope="module", params=["file", "lake"])
def place(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Place]:
    folder, is_lake = tmp_path_factory.mktemp("place"), request.param == "lake"
    rows = folder / "rows"
    lake = Lakehouse(CatalogFile("duckdb", str(folder / "lake.db")), f"{rows}/")
    opened = partial(open_lake, lake) if is_lake else partial(open_warehouse, f"{folder}/w.duckdb")
    with opened() as duck:
        duck.execute("CREATE TABLE t AS SELECT 1 AS n; INSERT INTO t VALUES (1)")
        duck.execute("CREATE TABLE gone AS FROM t; DROP TABLE gone")
    rows.mkdir(exist_ok=True)
    (rows / "lost.parquet").touch()
    os.utime(rows / "lost.parquet", (0, 0))
    (folder / "secret.csv").write_text("a\n1\n")
    with opened(read_only=True) as duck:
        lock(duck, [f"{rows}/"] if is_lake else [])
        yield Place(folder, duck, (rows if is_lake else folder) / "out")


def files(folder: Path) -> dict[str, tuple[int, int]]:
    """All files but the locks, with their times and sizes."""
    found = (Path(path, name) for path, _, names in os.walk(folder) for name in names)
    states = {str(file): file.stat() for file in found if file.suffix != ".lock"}
    return {name: (state.st_mtime_ns, state.st_size) for name, state in states.items()}


def test_no_file_is_changed(place: Place) -> None:
    before = files(place.folder)
    assert [sql for sql in CHANGING if not place.refused(sql)] == []
    assert files(place.folder) == before
    assert answer_of(place.duck, "SELECT count(*) FROM t", None)[1] == [(2,)]


def test_no_other_file_is_read(place: Place) -> None:
    reasons = {sql: place.refused(sql) for sql in OTHERS}
    words = "this command reads the tables of the warehouse"
    assert [sql for sql, reason in reasons.items() if words not in reason] == []


@pytest.mark.parametrize("sql", READING)
def test_whatever_only_reads_is_answered(place: Place, sql: str) -> None:
    assert answer_of(place.duck, sql, None)[1]
