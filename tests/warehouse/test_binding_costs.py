"""What `ecommerce validate` costs, counted. It grows with the files, not with their square."""

from __future__ import annotations

import threading
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any

import duckdb
import pytest

from ecommerce_dagster.bruin import graph
from ecommerce_dagster.validation import dependency_lint, project, schema_only
from ecommerce_dagster.validation.schema_only import SchemaOnlyWarehouse
from warehouse.trials import Files

CHAIN = """columns:
  - {name: a, checks: [{name: not_null}, {name: relationships}], foreign_key: {table: UP, column: a}}
custom_checks:
  - {name: c, query: SELECT count(*) FROM UP, value: 0}
"""


class Counting:
    """A connection to DuckDB that keeps what it is asked, as its cursors do."""

    def __init__(self, connection: duckdb.DuckDBPyConnection, statements: list[str]) -> None:
        self.connection, self.statements = connection, statements

    def execute(self, query: str, *arguments: Any) -> duckdb.DuckDBPyConnection:
        self.statements.append(query)
        return self.connection.execute(query, *arguments)

    def sql(self, query: str) -> duckdb.DuckDBPyRelation:
        self.statements.append(query)
        return self.connection.sql(query)

    def cursor(self) -> Counting:
        return Counting(self.connection.cursor(), self.statements)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.connection, name)


def chain(folder: Path, length: int, checks: str = CHAIN) -> Files:
    """Tables of which each reads the one before."""
    files = Files(folder)
    files.sql("SELECT 1 AS a", name="mart.t0", depends="[]")
    for number in range(1, length):
        upstream = f"mart.t{number - 1}"
        name, header = f"mart.t{number}", checks.replace("UP", upstream)
        files.sql(f"SELECT a FROM {upstream}", header, name=name, depends=f"[{upstream}]")
    return files


def test_a_table_with_checks_takes_three_statements(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    connect, found = duckdb.connect, []

    def counted(*arguments: Any, **settings: Any) -> Any:
        found.append([])
        return Counting(connect(*arguments, **settings), found[-1])

    monkeypatch.setattr(duckdb, "connect", counted)
    columns = "columns: [{name: a, type: integer, checks: [{name: not_null}, {name: unique}]}]\n"
    for length in (10, 20):
        assert chain(tmp_path / str(length), length, columns).findings() == []
    short, long = found

    # Its query, the types of that, its table. Which tables all queries name is one question.
    assert len(long) - len(short) == 3 * 10


def test_what_a_check_asks_is_looked_for_upstream_only_where_the_file_does_not_say_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = 0

    def counted(start: Iterable[str], edges: graph.Edges) -> list[str]:
        nonlocal seen
        found = graph.reached(start, edges)
        seen += len(found)
        return found

    monkeypatch.setattr(project, "reached", counted)
    monkeypatch.setattr(dependency_lint, "reached", counted)
    assert chain(tmp_path, 30).findings() == []
    assert seen == 0


def test_one_thread_watches_the_time_of_all_assets(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    start, threads = threading.Thread.start, []

    def started(thread: threading.Thread) -> None:
        threads.append(thread)
        start(thread)

    monkeypatch.setattr(threading.Thread, "start", started)
    assert chain(tmp_path, 10).findings() == []
    assert len(threads) == 1


class TestOneSession:
    """Assets without scripts share a connection, and see nothing of each other in it."""

    def test_ten_of_them_take_as_many_connections_as_one(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        session, opened = SchemaOnlyWarehouse.session, []

        def counted(warehouse: SchemaOnlyWarehouse) -> duckdb.DuckDBPyConnection:
            opened.append(warehouse)
            return session(warehouse)

        monkeypatch.setattr(SchemaOnlyWarehouse, "session", counted)
        assert chain(tmp_path, 10).findings() == []
        assert len(opened) == 1

    @pytest.mark.parametrize("name", ["_bound", '"_BOUND"'])
    def test_a_query_does_not_read_what_the_query_before_is_called(
        self, tmp_path: Path, name: str
    ) -> None:
        files = chain(tmp_path, 2).sql(f"SELECT a FROM {name}", name="mart.u", depends="[mart.t1]")
        (found,) = (f for f in files.findings() if f.rule == "query-binds")
        assert (found.file, found.severity) == ("mart.u.sql", "warning")
        assert "the table '_bound' is made by no asset" in found.message.lower()

    def test_a_query_does_not_read_what_a_hook_of_another_asset_made_for_itself(
        self, tmp_path: Path
    ) -> None:
        header = "hooks: {pre: [{query: CREATE TEMP TABLE mine AS SELECT 1 AS a}]}\n"
        files = Files(tmp_path).sql("SELECT a FROM mine", header, name="mart.t", depends="[]")
        files.sql("SELECT a FROM mine", name="mart.u", depends="[mart.t]")
        found = [(f.file, f.rule) for f in files.findings() if f.rule != "unused-depends"]
        assert found == [("mart.u.sql", "query-binds")]


def test_views_over_views_are_refused_from_the_one_on_that_a_run_could_not_describe(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    limit = {"max_expression_depth": 40}
    duck = duckdb.connect(config=limit)
    duck.execute("CREATE VIEW t0 AS SELECT 1 AS a")
    files = Files(tmp_path).sql("SELECT 1 AS a", name="mart.t0", kind="view", depends="[]")
    deepest = 0
    for number in range(1, 30):
        query, depends = f"SELECT a FROM mart.t{number - 1}", f"[mart.t{number - 1}]"
        files.sql(query, name=f"mart.t{number}", kind="view", depends=depends)
        with suppress(duckdb.Error):
            duck.execute(f"CREATE VIEW t{number} AS SELECT a FROM t{number - 1}")
            duck.execute(f"DESCRIBE SELECT * FROM t{number}")
            deepest = number

    monkeypatch.setattr(schema_only, "_CONFIG", schema_only._CONFIG | limit)
    (found,) = files.findings()
    assert (found.file, found.rule) == (f"mart.t{deepest + 1}.sql", "query-binds")
