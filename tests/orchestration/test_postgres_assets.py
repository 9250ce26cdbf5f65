"""Assets whose tables live in PostgreSQL, and pipelines over both databases, through the commands
and the runs that people use."""

from __future__ import annotations

import itertools
import json
import signal
import subprocess
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import dagster as dg
import duckdb
import psycopg
import pytest

from ecommerce_dagster.shop.embedded_postgres import PostgresServer
from orchestration.helpers import Tiny, clean_environment, eventually, run_all, script

_numbers = itertools.count(1)
CONFIG = """
default_environment: default
environments:
  default: &default
    connections: &connections
      duckdb:
        - {{name: duckdb-default, path: warehouse.duckdb}}
        - {{name: other-file, path: other.duckdb}}
      postgres:
        - name: pg-default
          host: {host}
          port: {port}
          username: {user}
          password: {password}
          database: {database}
  dev:
    schema_prefix: dev_
    connections: *connections
"""
TABLE = "materialization: {type: table}"


class Mixed(Tiny):
    """A pipeline with a DuckDB file and a PostgreSQL database of its own."""

    def __init__(self, folder: Path, server: PostgresServer) -> None:
        super().__init__(folder)
        self.server = server
        self.write(
            "pipeline/pipeline.yml", "name: mixed\ndefault_connections: {postgres: pg-default}\n"
        )
        self.write(
            ".bruin.yml",
            CONFIG.format(
                host=server.host,
                port=server.port,
                user=server.user,
                password=server.password,
                database=server.database,
            ),
        )

    def asset(self, name: str, kind: str, header: str = "", query: str = "") -> Path:
        """A SQL file, or with another type than SQL a YAML file."""
        if kind.endswith(".sql"):
            text = f"/* @bruin\nname: {name}\ntype: {kind}\n{header}\n@bruin */\n\n{query}\n"
            return self.write(f"pipeline/assets/{name}.sql", text)
        return self.write(
            f"pipeline/assets/{name}.asset.yml", f"name: {name}\ntype: {kind}\n{header}\n"
        )

    def pg(self, *statements: str) -> list[tuple[Any, ...]]:
        """The rows of the last statement, asked of PostgreSQL."""
        with psycopg.connect(self.server.dsn, autocommit=True) as connection:
            connection.execute("SET TimeZone = 'UTC'")
            for statement in statements:
                cursor = connection.execute(statement.encode())
            return cursor.fetchall() if cursor.description else []

    @property
    def address(self) -> str:
        """The database, as messages say it."""
        return f"PostgreSQL at {self.server.host}:{self.server.port}/{self.server.database}"

    def run(self, *arguments: str) -> dict[str, Any]:
        """The JSON of a run that need not succeed."""
        outcome = self.ecommerce("run", "--output", "json", *arguments)
        assert self.server.password not in outcome.text
        found: dict[str, Any] = json.loads(outcome.stdout)
        assert found["success"] == outcome.succeeded
        return found

    def ran(self, *arguments: str) -> dict[str, Any]:
        found = self.run(*arguments)
        assert found["success"], found
        return found

    def error(self, name: str, *arguments: str) -> str:
        """What the run of an asset fails with; file names instead of paths."""
        found = self.run(name, *arguments)["assets"][name]
        assert found["status"] == "failed"
        return str(found["error"]).replace(f"{self.directory}/assets/", "")


def with_database(server: PostgresServer, folder: Path) -> Mixed:
    name = f"mixed_{next(_numbers)}"
    with psycopg.connect(server.dsn, autocommit=True) as admin:
        admin.execute(f"CREATE DATABASE {name}".encode())
    return Mixed(folder, replace(server, database=name))


@pytest.fixture
def mixed(tmp_path: Path, server: PostgresServer) -> Mixed:
    return with_database(server, tmp_path)


def test_one_run_goes_through_both_databases(mixed: Mixed) -> None:
    mixed.pg("CREATE SCHEMA shop", "CREATE TABLE shop.orders (id int, price numeric(8,2))",
             "INSERT INTO shop.orders VALUES (1, 1.50), (2, 2.50), (3, NULL)")  # fmt: skip
    mixed.asset("shop.orders", "pg.source", "columns: [{name: id, checks: [{name: unique}]}]")
    mixed.asset(
        "core.orders", "pg.sql",
        f"{TABLE}\ndepends: [shop.orders]\ncolumns: [{{name: price, checks: [{{name: not_null}}]}}]",
        "SELECT id, coalesce(price, 0) AS price FROM shop.orders -- ours;",
    )  # fmt: skip
    mixed.asset(
        "raw.orders", "ingestr",
        "depends: [core.orders]\nparameters: {source_connection: pg-default,"
        " source_table: core.orders, destination: duckdb}",
    )  # fmt: skip
    mixed.asset(
        "mart.total", "duckdb.sql",
        f"{TABLE}\ndepends: [raw.orders]\ncustom_checks: [{{name: adds up, value: 4,"
        " query: SELECT sum(total) FROM mart.total}]",
        "SELECT sum(price) AS total FROM raw.orders",
    )  # fmt: skip
    found = mixed.ran()
    assert {name: (a["status"], a["rows"]) for name, a in found["assets"].items()} == {
        "shop.orders": ("success", 3),
        "core.orders": ("success", 3),
        "raw.orders": ("success", 3),
        "mart.total": ("success", 1),
    }
    assert [check["status"] for check in found["checks"]] == ["passed"] * 3
    assert mixed.query("SELECT total::DOUBLE FROM mart.total") == [(4.0,)]
    shown = json.loads(mixed.ecommerce("query", "-c", "pg-default", "-q",
                                       "SELECT * FROM core.orders ORDER BY id", "--output", "json").stdout)  # fmt: skip
    assert shown[0] == {"id": 1, "price": 1.5}
    assert "pg-default: works" in mixed.ecommerce("connections", "test").text
    described = json.loads(mixed.ecommerce("show", "--output", "json").stdout)
    assert {a["name"]: a["connection"] for a in described["assets"]} == {
        "shop.orders": "pg-default", "core.orders": "pg-default",
        "raw.orders": "duckdb-default", "mart.total": "duckdb-default",
    }  # fmt: skip


def test_a_failing_check_keeps_the_old_table_and_what_is_below_waits(mixed: Mixed) -> None:
    header = f"{TABLE}\ncolumns: [{{name: n, checks: [{{name: positive}}]}}]"
    mixed.asset("core.t", "pg.sql", header, "SELECT 1 AS n")
    mixed.asset("core.below", "pg.sql", f"{TABLE}\ndepends: [core.t]", "SELECT n FROM core.t")
    mixed.ran()
    mixed.asset("core.t", "pg.sql", header, "SELECT -1 AS n UNION ALL SELECT 5")
    found = mixed.run()
    assert {n: a["status"] for n, a in found["assets"].items()} == {
        "core.t": "failed", "core.below": "upstream_failed",
    }  # fmt: skip
    (check,) = found["checks"]
    assert (check["status"], check["failed_rows"]) == ("failed", 1)
    assert mixed.pg("SELECT * FROM core.t") == [(1,)]
    only = mixed.run("--only", "checks")
    assert [check["status"] for check in only["checks"]] == ["passed"]


def test_dagster_shows_a_table_of_postgres_as_one_of_duckdb(
    mixed: Mixed, instance: dg.DagsterInstance
) -> None:
    for name, kind in (("core.t", "pg.sql"), ("mart.t", "duckdb.sql")):
        mixed.asset(name, kind, f"{TABLE}\ncolumns: [{{name: n, type: bigint}}]", "SELECT 1 AS n")
    definitions = mixed.definitions()
    result = run_all(definitions, instance)
    assert result.success
    found = {
        event.asset_key.to_user_string(): event.step_materialization_data.materialization.metadata
        for event in result.get_asset_materialization_events()
    }
    assert found["core/t"].keys() == found["mart/t"].keys()
    assert found["core/t"]["dagster/row_count"].value == 1
    columns = found["core/t"]["dagster/column_schema"].value.columns
    assert [(column.name, column.type) for column in columns] == [("n", "bigint")]
    graph = definitions.resolve_asset_graph()
    node = graph.get(dg.AssetKey(["core", "t"]))
    assert node.kinds == {"postgres", "sql"}
    assert node.metadata["dagster/storage_kind"] == "postgres"


def test_every_day_is_a_partition_and_can_be_rebuilt(mixed: Mixed) -> None:
    mixed.write(
        "pipeline/pipeline.yml",
        "name: mixed\nschedule: daily\nstart_date: 2025-01-01\n"
        "default_connections: {postgres: pg-default}\n",
    )
    mixed.pg("CREATE TABLE events AS SELECT TIMESTAMP '2025-01-01 12:00' + n * interval '1 day' AS at,"
             " n FROM generate_series(0, 2) n")  # fmt: skip
    mixed.asset(
        "core.events", "pg.sql",
        "materialization: {type: table, strategy: time_interval, incremental_key: at,"
        " time_granularity: timestamp}",
        "SELECT at, n FROM public.events\n{% if not full_refresh %}"
        "WHERE at BETWEEN '{{ start_timestamp }}' AND '{{ end_timestamp }}'{% endif %}",
    )  # fmt: skip
    mixed.ran()
    assert mixed.pg("SELECT n FROM core.events ORDER BY n") == [(0,), (1,), (2,)]
    mixed.pg("UPDATE events SET n = n + 10")
    mixed.ran("--start-date", "2025-01-02", "--end-date", "2025-01-02")
    assert mixed.pg("SELECT n FROM core.events ORDER BY n") == [(0,), (2,), (11,)]


def test_a_prefix_moves_schemas_of_postgres_too(mixed: Mixed) -> None:
    mixed.asset("core.t", "pg.sql", TABLE, "SELECT 1 AS n")
    mixed.asset("core.v", "pg.sql", "materialization: {type: view}\ndepends: [core.t]",
                "SELECT n FROM core.t")  # fmt: skip
    mixed.ran("--environment", "dev")
    assert mixed.pg("SELECT * FROM dev_core.v") == [(1,)]
    assert mixed.pg("SELECT to_regclass('core.t')") == [(None,)]


def test_a_seed_a_script_and_hooks_run_in_postgres(mixed: Mixed) -> None:
    mixed.write("pipeline/assets/codes.csv", "code,n\n007,1\n,2\n")
    mixed.asset("core.codes", "pg.seed",
                "parameters: {path: codes.csv}\ncolumns: [{name: code, type: text}, {name: n, type: int}]")  # fmt: skip
    mixed.asset(
        "core.script", "pg.sql",
        "depends: [core.codes]\nhooks: {pre: [{query: CREATE TABLE core.log (what text)}]}",
        "INSERT INTO core.log SELECT code FROM core.codes; INSERT INTO core.log VALUES ('x;y')",
    )  # fmt: skip
    mixed.ran()
    assert mixed.pg("SELECT code, n FROM core.codes ORDER BY n") == [("007", 1), (None, 2)]
    assert mixed.pg("SELECT count(*) FROM core.log") == [(3,)]
    mixed.write("pipeline/assets/codes.csv", "code,n\n007,x\n")
    assert mixed.error("core.codes") == (
        "codes.csv:2: the column n holds x, which does not fit its type INTEGER; "
        "the type is declared in core.codes.asset.yml:4"
    )


def test_mistakes_and_strategies_that_postgres_lacks_are_named(mixed: Mixed) -> None:
    mixed.asset("core.t", "pg.sql", TABLE, "SELECT 1 AS n,\n  nope")
    assert mixed.error("core.t") == 'core.t.sql:8: column "nope" does not exist'
    mixed.asset("core.t", "pg.sql", "materialization: {type: table, strategy: appendd}", "SELECT 1")
    outcome = mixed.ecommerce("validate")
    assert "unknown strategy 'appendd'" in outcome.text
    assert not outcome.succeeded


SOURCES = {"duckdb": "other-file", "postgres": "pg-default"}


def changed(mixed: Mixed, source: str, *statements: str) -> None:
    """Execute statements in a source."""
    if source == "postgres":
        mixed.pg(*statements)
        return
    with duckdb.connect(str(mixed.folder / "other.duckdb")) as connection:
        for statement in statements:
            connection.execute(statement)


@pytest.mark.parametrize("destination", SOURCES)
@pytest.mark.parametrize("source", SOURCES)
def test_ingestr_copies_between_all_databases(mixed: Mixed, source: str, destination: str) -> None:
    mixed.write(
        "pipeline/pipeline.yml",
        "name: mixed\nschedule: daily\nstart_date: 2025-01-01\n"
        "default_connections: {postgres: pg-default}\n",
    )

    change = partial(changed, mixed, source)
    change("CREATE SCHEMA shop",
           "CREATE TABLE shop.t (id int, made timestamp, name text, price numeric(8,2))",
           "INSERT INTO shop.t VALUES (1, '2025-01-01 10:00', 'a', 1.5), (2, '2025-01-02 10:00', '', 2.5),"
           " (3, '2025-01-03 10:00', NULL, NULL)")  # fmt: skip
    for strategy in ("replace", "append", "merge", "delete+insert", "truncate+insert"):
        mixed.asset(
            f"raw.{strategy.replace('+', '_')}", "ingestr",
            f"parameters:\n  source_connection: {SOURCES[source]}\n  source_table: shop.t\n"
            f"  destination: {destination}\n  incremental_strategy: {strategy}\n"
            "  incremental_key: made\n  primary_key: id\n"
            "columns: [{name: id, type: integer, checks: [{name: not_null}]}]",
        )  # fmt: skip
    found = mixed.ran()
    assert {a["rows"] for a in found["assets"].values()} == {3}
    change(
        "UPDATE shop.t SET name = 'new'",
        "INSERT INTO shop.t VALUES (4, '2025-01-04 10:00', 'd', 4)",
    )
    mixed.ran("--start-date", "2025-01-02", "--end-date", "2025-01-03")

    def names(table: str) -> list[Any]:
        query = f"SELECT name FROM raw.{table} ORDER BY id, name"
        rows = mixed.query(query) if destination == "duckdb" else mixed.pg(query)
        return [row[0] for row in rows]

    assert names("replace") == ["new", "new", "new", "d"]
    assert names("truncate_insert") == ["new", "new", "new", "d"]
    assert names("append") == ["a", "", None, "d"]
    assert names("merge") == ["a", "", "new", "d"]
    assert names("delete_insert") == ["a", "new", "new"]
    query = "SELECT id, made::text, price FROM raw.merge WHERE id < 3 ORDER BY id"
    rows = mixed.query(query) if destination == "duckdb" else mixed.pg(query)
    assert [(i, at, float(price)) for i, at, price in rows] == [
        (1, "2025-01-01 10:00:00", 1.5), (2, "2025-01-02 10:00:00", 2.5),
    ]  # fmt: skip
    mixed.ran("--full-refresh")
    assert names("append") == ["new", "new", "new", "d"]


@pytest.mark.parametrize("destination", SOURCES)
@pytest.mark.parametrize("source", SOURCES)
def test_a_merge_reads_its_overlap_again_and_a_reconciliation_finds_the_rest(
    mixed: Mixed, source: str, destination: str
) -> None:
    mixed.asset(
        "raw.t", "ingestr",
        f"parameters:\n  source_connection: {SOURCES[source]}\n  source_table: shop.t\n"
        f"  destination: {destination}\n  incremental_strategy: merge\n  incremental_key: made\n"
        "columns: [{name: id, type: integer, primary_key: true}]\nmeta: {compare_keys: off}",
    )  # fmt: skip
    change = partial(changed, mixed, source)
    change("CREATE SCHEMA shop", "CREATE TABLE shop.t (id int, made timestamp)",
           "INSERT INTO shop.t VALUES (1, '2025-01-01'), (2, '2025-01-02 10:00')")  # fmt: skip
    mixed.ran()
    # By the time of the watermark, within the overlap, and too late for it; one is deleted.
    change("INSERT INTO shop.t VALUES (3, '2025-01-02 10:00'), (4, '2025-01-02 09:50'),"
           " (5, '2025-01-02 09:49')", "DELETE FROM shop.t WHERE id = 1")  # fmt: skip

    def ids() -> list[int]:
        query = "SELECT id FROM raw.t ORDER BY id"
        rows = mixed.query(query) if destination == "duckdb" else mixed.pg(query)
        return [row[0] for row in rows]

    mixed.ran()
    assert ids() == [1, 2, 3, 4]
    mixed.ran("--reconcile")
    assert ids() == [2, 3, 4, 5]


def test_a_destination_that_is_not_ours_is_left_out_by_name(mixed: Mixed) -> None:
    mixed.asset("core.t", "pg.sql", TABLE, "SELECT 1 AS n")
    mixed.asset("raw.t", "ingestr", "parameters: {source_connection: pg-default, source_table: core.t,"
                " destination: bigquery}")  # fmt: skip
    found = mixed.ran()
    assert found["assets"]["raw.t"]["status"] == "skipped"
    assert found["assets"]["raw.t"]["error"] == (
        "its destination is bigquery; supported: duckdb, postgres"
    )
    text = mixed.ecommerce("validate").text
    assert "raw.t.asset.yml\n  2  warning" in text


def test_python_rows_are_loaded_into_postgres(mixed: Mixed) -> None:
    def python(rows: str, strategy: str = "merge") -> None:
        mixed.write(
            "pipeline/assets/core.people.py",
            f'"""@bruin\nname: core.people\nconnection: pg-default\n'
            f"materialization: {{type: table, strategy: {strategy}}}\n"
            "columns: [{name: id, type: integer, primary_key: true}, {name: tags}, {name: born, type: date}]\n"
            f'@bruin"""\n\n\ndef materialize():\n    return {rows}\n',
        )

    python('[{"id": 1, "tags": ["a"], "born": "2001-02-03"}, {"id": 2, "tags": [], "born": None}]')
    mixed.ran()
    assert mixed.pg("SELECT id, tags, born::text FROM core.people ORDER BY id") == [
        (1, ["a"], "2001-02-03"), (2, [], None),
    ]  # fmt: skip
    python('[{"id": 2, "tags": ["b"], "born": None}, {"id": 3, "tags": None, "born": None}]')
    mixed.ran()
    assert mixed.pg("SELECT id, tags FROM core.people ORDER BY id") == [
        (1, ["a"]), (2, ["b"]), (3, None),
    ]  # fmt: skip
    python("[]", "create+replace")
    mixed.ran()
    assert mixed.pg("SELECT count(*), count(born) FROM core.people") == [(0, 0)]
    python('[{"id": "x", "tags": None, "born": None}]')
    assert "the column id holds x, which does not fit its type INTEGER" in mixed.error(
        "core.people"
    )


def test_an_asset_that_takes_too_long_is_ended_in_the_server_too(mixed: Mixed) -> None:
    mixed.asset("core.slow", "pg.sql", f"timeout: 1s\n{TABLE}", "SELECT pg_sleep(60)::text AS n")
    assert mixed.error("core.slow") == 'core.slow.sql:2: asset "core.slow" timed out after 1s'
    assert mixed.pg("SELECT to_regclass('core.slow')") == [(None,)]
    assert mixed.pg("SELECT count(*) FROM pg_stat_activity WHERE query LIKE '%pg_sleep(60)%'"
                    " AND datname = current_database() AND pid <> pg_backend_pid()") == [(0,)]  # fmt: skip


@pytest.mark.parametrize("always", [True, False])
def test_a_connection_that_is_lost_in_a_check(mixed: Mixed, always: bool) -> None:
    """A table that is public by then is recorded; the run fails, and what is downstream waits."""
    header = f"{TABLE}\n" + "meta: {publish: always}\n" * always
    mixed.asset("core.t", "pg.sql", header, "SELECT 1 AS n")
    mixed.asset("core.below", "pg.sql", f"{TABLE}\ndepends: [core.t]", "SELECT n FROM core.t")
    mixed.ran()
    cut = "SELECT count(*) - 1 FROM (SELECT pg_terminate_backend(pg_backend_pid())) AS s"
    check = f"custom_checks: [{{name: cut, query: '{cut}'}}]"
    mixed.asset("core.t", "pg.sql", header + check, "SELECT 2 AS n")
    found = mixed.run()
    lost = "terminating connection due to administrator command"

    assert {name: a["status"] for name, a in found["assets"].items()} == {
        "core.t": "failed", "core.below": "upstream_failed",
    }  # fmt: skip
    assert mixed.pg("SELECT n FROM core.t") == [(2 if always else 1,)]
    # Only what is public has rows to tell of, and checks that were asked.
    error, rows = (found["assets"]["core.t"][name] for name in ("error", "rows"))
    (asked,) = found["checks"]
    if always:
        assert (rows, asked["status"]) == (1, "error")
        assert asked["message"] == f"could not be evaluated: {lost}"
        assert error == (
            "core.t: 1 blocking check failed; the new rows are published\n"
            f"  cut: could not be evaluated: {lost}"
        )
    else:
        assert (rows, asked["status"]) == (None, "skipped")
        assert error.endswith(f"core.t.sql:2: {mixed.address}: {lost}")


def test_of_a_source_without_checks_nobody_is_asked(mixed: Mixed) -> None:
    mixed.write(
        ".bruin.yml",
        (mixed.folder / ".bruin.yml").read_text().replace("host: 127", "host: 0.0.0.0 #"),
    )
    mixed.asset("shop.orders", "pg.source")
    assert mixed.ran()["assets"]["shop.orders"]["status"] == "success"


class TestRender:
    """`ecommerce render` of tables in PostgreSQL."""

    HEADER = (
        f"{TABLE}\ncolumns: [{{name: id, type: int, checks: [{{name: pattern, value: '[0-9]'}}]}}]\n"
        "hooks: {post: [{query: 'ANALYZE core.t'}]}"
    )
    CHECK = """-- core.t:id:pattern
SELECT * FROM "core"."t"
WHERE CAST("id" AS text) !~ '^(?:[0-9])$';
"""

    def test_the_statements_are_those_of_the_server(self, mixed: Mixed) -> None:
        mixed.pg("CREATE TABLE src AS SELECT 1::bigint AS id, 'x' AS v")
        mixed.asset("core.t", "pg.sql", self.HEADER, "SELECT * FROM src")
        text = mixed.ecommerce("render", "core.t", "--start-date", "2024-01-05").stdout
        assert text.startswith("-- core.t (pg.sql), 2024-01-05\n-- All of it is one transaction")
        assert "\n\nCREATE TEMP TABLE" in text
        later, first = text.split("-- When the table does not exist yet")
        assert 'DELETE FROM "core"."t";\n' in later
        assert 'INSERT INTO "core"."t" ("id", "v")' in later
        assert 'CREATE TABLE "core"."t" AS\nSELECT "id", "v"' in first
        assert first.count("ANALYZE core.t;") == later.count("ANALYZE core.t;") == 1
        assert self.CHECK in later

    def test_without_the_server_they_are_those_of_the_files(self, mixed: Mixed) -> None:
        config = mixed.folder / ".bruin.yml"
        config.write_text(config.read_text().replace(f"port: {mixed.server.port}", "port: 1"))
        mixed.asset("core.t", "pg.sql", self.HEADER, "SELECT id, v FROM src")
        text = mixed.ecommerce("render", "core.t").stdout
        assert "cannot be reached" in text
        assert "; the columns are those that the files name\n" in text
        assert 'INSERT INTO "core"."t" ("id", "v")' in text
        assert self.CHECK in text

    def test_columns_that_nobody_knows_leave_the_query_alone(self, mixed: Mixed) -> None:
        mixed.asset("core.t", "pg.sql", TABLE, "SELECT * FROM nope")
        found = json.loads(mixed.ecommerce("render", "core.t", "--output", "json").stdout)
        assert found["statements"] == ["SELECT * FROM nope"]
        assert found["notes"] == [
            'PostgreSQL: relation "nope" does not exist',
            "what stands around the query is not known: neither the query nor the file names the "
            "columns",
        ]


@pytest.fixture(scope="module")
def shared(server: PostgresServer, tmp_path_factory: pytest.TempPathFactory) -> Mixed:
    """One database for all queries: nothing can be changed in it."""
    mixed = with_database(server, tmp_path_factory.mktemp("shared"))
    mixed.pg(
        "CREATE TABLE kept (n int)",
        "CREATE SEQUENCE counted",
        "CREATE VIEW reloading AS SELECT pg_reload_conf()",
        "CREATE PROCEDURE answers(INOUT n int) LANGUAGE sql AS 'SELECT 1'",
        "CREATE FUNCTION makes() RETURNS int LANGUAGE plpgsql AS"
        " $$ BEGIN CREATE TABLE evil(); RETURN 1; END $$",
        "CREATE FUNCTION hides() RETURNS oid LANGUAGE plpgsql AS"
        " $$ BEGIN RETURN lo_create(4713); END $$",
    )
    return mixed


class TestQuery:
    """`ecommerce query` of a connection to PostgreSQL."""

    ENDLESS = "SELECT generate_series(1, 1000000000000) AS n"

    def test_no_more_rows_are_made_than_are_shown(self, shared: Mixed) -> None:
        outcome = shared.ecommerce(
            "query", "-c", "pg-default", "-q", self.ENDLESS, "--limit", "2", "--output", "csv"
        )
        assert outcome.stdout.split() == ["n", "1", "2"]
        assert "more than 2 rows" in outcome.stderr
        active = "SELECT count(*) FROM pg_stat_activity WHERE query LIKE 'SELECT generate_series%'"
        assert eventually(lambda: shared.pg(f"{active} AND state = 'active'") == [(0,)])

    @pytest.mark.parametrize(
        ("sql", "printed"),
        [
            ("SELECT 1 AS a, 2 AS a WHERE false", ["a,a"]),
            ("SELECT '100%' AS p, '%s' AS q;", ["p,q", "100%,%s"]),
            ("SHOW TimeZone", ["TimeZone", "UTC"]),
        ],
    )
    def test_any_statement_with_rows_is_answered(
        self, shared: Mixed, sql: str, printed: list[str]
    ) -> None:
        found = shared.ecommerce("query", "-c", "pg-default", "-q", sql, "--output", "csv")
        assert found.stdout.splitlines() == printed

    @pytest.mark.parametrize(
        ("sql", "error"),
        [
            ("CREATE TABLE evil()", "returns no rows; this command is read-only"),
            ("CREATE TABLE evil AS SELECT 1", "read-only"),
            ("INSERT INTO kept VALUES (1) RETURNING n", "INSERT can change something"),
            ("COMMIT; CREATE TABLE evil()", "one statement is needed here"),
            ("SELECT set_config('transaction_read_only', 'off', true)", "must be set before any"),
            ("DO $$ BEGIN COMMIT; CREATE TABLE evil(); END $$", "returns no rows"),
            ("COMMIT", "returns no rows"),
            (
                "SELECT lo_create(4711)",
                "lo_create has an effect that lasts; this command only reads",
            ),
            ("SELECT lo_from_bytea(4712, 'x')", "lo_from_bytea has an effect"),
            ("SELECT nextval('counted')", "nextval has an effect"),
            ("SELECT setval('counted', 9)", "setval has an effect"),
            ("SELECT pg_notify('c', 'x')", "pg_notify has an effect"),
            ("EXPLAIN ANALYZE SELECT pg_terminate_backend(0)", "pg_terminate_backend has an"),
            ("EXPLAIN (ANALYZE, COSTS) SELECT pg_reload_conf()", "pg_reload_conf has an effect"),
            ('WITH a AS (SELECT pg_catalog."pg_reload_conf" ()) TABLE a', "pg_reload_conf has an"),
            ('SELECT U&"pg\\005freload_conf"()', "pg_reload_conf has an effect"),
            ("SELECT * FROM reloading", "pg_reload_conf has an effect"),
            ("SELECT pg_logical_emit_message(false, 'a', 'b')", "pg_logical_emit_message has"),
            ("SELECT pg_stat_reset()", "pg_stat_reset has an effect"),
            ("CALL answers(1)", "CALL can change something; this command only reads"),
            ("EXPLAIN ANALYZE INSERT INTO kept VALUES (1)", "INSERT can change something"),
            ("COPY (SELECT 1) TO PROGRAM 'touch /tmp/evil'", "returns no rows"),
            ("SELECT makes()", "cannot execute CREATE TABLE in a read-only transaction"),
            ("SELECT * FROM dblink('x', 'y') AS t(a int)", "does not exist"),
        ],
    )
    def test_nothing_can_be_changed(self, shared: Mixed, sql: str, error: str) -> None:
        outcome = shared.ecommerce("query", "-c", "pg-default", "-q", sql)
        assert (outcome.code, outcome.stdout) == (1, "")
        assert error in outcome.stderr
        assert shared.pg("SELECT to_regclass('evil')") == [(None,)]
        assert shared.pg("SELECT count(*) FROM kept") == [(0,)]
        assert shared.pg("SELECT last_value, is_called FROM counted") == [(1, False)]
        assert shared.pg("SELECT count(*) FROM pg_largeobject_metadata") == [(0,)]

    def test_what_a_function_of_the_database_does_is_rolled_back(self, shared: Mixed) -> None:
        """Where the server lets a transaction that only reads make a large object."""
        shared.ecommerce("query", "-c", "pg-default", "-q", "SELECT hides()")
        assert shared.pg("SELECT count(*) FROM pg_largeobject_metadata") == [(0,)]

    @pytest.mark.parametrize(
        "sql",
        [
            "SELECT count(*) FROM pg_stat_database",
            "SELECT table_name FROM information_schema.tables LIMIT 1",
            "TABLE pg_am", "VALUES (1)", "(SELECT 1)", "EXPLAIN SELECT 1", "SHOW ALL",
            "/* a */ WITH a AS (SELECT 1 AS n) SELECT * FROM a; -- b",
        ],
    )  # fmt: skip
    def test_whatever_only_reads_is_answered(self, shared: Mixed, sql: str) -> None:
        assert shared.ecommerce("query", "-c", "pg-default", "-q", sql).succeeded


class TestTime:
    """What ends with a run that takes too long, is killed or is interrupted."""

    BUSY = (
        "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()"
        " AND state = 'active' AND pid <> pg_backend_pid()"
    )
    SLOW = "SELECT pg_sleep(600)::text AS n"

    def busy(self, mixed: Mixed) -> bool:
        return mixed.pg(self.BUSY) != [(0,)]

    def started(self, mixed: Mixed, *names: str) -> subprocess.Popen[str]:
        """`ecommerce run` in a process, at work in PostgreSQL."""
        process = subprocess.Popen(
            [script("ecommerce"), "run", *names, "--pipeline", str(mixed.directory)],
            env=clean_environment(ECOMMERCE_HOME=str(mixed.folder / "state")),
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
        assert eventually(lambda: self.busy(mixed) or process.poll() is not None, 60)
        return process

    @pytest.mark.parametrize("why", ["a lock", "a slow query"])
    def test_a_source_that_hangs_is_let_go_when_the_time_is_over(
        self, mixed: Mixed, why: str
    ) -> None:
        mixed.pg("CREATE TABLE src AS SELECT 'x' AS n")
        table = "src" if why == "a lock" else f"query:{self.SLOW}"
        mixed.asset(
            "core.t", "ingestr",
            "timeout: 1s\nparameters: {source_connection: pg-default, destination: postgres, "
            f'source_table: "{table}"}}',
        )  # fmt: skip
        with psycopg.connect(mixed.server.dsn) as other:
            other.execute("LOCK TABLE src" if why == "a lock" else "SELECT 1")
            message = 'core.t.asset.yml:1: asset "core.t" timed out after 1s'
            assert mixed.error("core.t") == message
        assert eventually(lambda: not self.busy(mixed))

    @pytest.mark.parametrize("kind", ["pg.sql", "ingestr"])
    def test_ctrl_c_ends_the_query_and_the_table_keeps_its_rows(
        self, mixed: Mixed, kind: str
    ) -> None:
        mixed.pg("CREATE SCHEMA core", "CREATE TABLE core.t AS SELECT 'old' AS n")
        if kind == "pg.sql":
            mixed.asset("core.t", kind, f"retries: 2\n{TABLE}", self.SLOW)
        else:
            mixed.asset(
                "core.t", kind,
                "retries: 2\nparameters: {source_connection: pg-default, destination: postgres, "
                f'source_table: "query:{self.SLOW}"}}',
            )  # fmt: skip
        process = self.started(mixed)
        process.send_signal(signal.SIGINT)
        stdout, stderr = process.communicate(timeout=60)
        assert process.returncode == 130, stdout + stderr
        assert "Traceback" not in stdout + stderr
        assert stderr.splitlines()[-1].startswith("Interrupted. ")
        assert eventually(lambda: not self.busy(mixed))
        assert mixed.pg("SELECT n FROM core.t") == [("old",)]

    def test_kill_9_ends_the_query_too(self, mixed: Mixed) -> None:
        mixed.pg("CREATE SCHEMA core", "CREATE TABLE core.t AS SELECT 'old' AS n")
        mixed.asset("core.t", "pg.sql", TABLE, self.SLOW)
        process = self.started(mixed)
        process.kill()
        process.communicate()
        assert eventually(lambda: not self.busy(mixed), 30)
        assert mixed.pg("SELECT n FROM core.t") == [("old",)]

    def test_two_runs_at_once_on_one_table_both_count(self, mixed: Mixed) -> None:
        append = "materialization: {type: table, strategy: append}"
        mixed.asset("core.t", "pg.sql", append, "SELECT 1 AS n, pg_sleep(1)::text AS s")
        first, second = self.started(mixed), self.started(mixed)
        for process in (first, second):
            stdout, stderr = process.communicate(timeout=120)
            assert process.returncode == 0, stdout + stderr
        assert mixed.pg("SELECT n FROM core.t") == [(1,), (1,)]


def test_names_with_capitals_dashes_and_quotes_stay_what_they_are(mixed: Mixed) -> None:
    source = '"My-Schema"."Src ""q"""'
    mixed.pg('CREATE SCHEMA "My-Schema"', f'CREATE TABLE {source} AS SELECT 1 AS "Id",'
             """'x' AS "a ""b"" c", 2 AS "select" """)  # fmt: skip
    merge = (
        "materialization: {type: table, strategy: merge}\ncolumns:\n"
        "  - {name: Id, primary_key: true, checks: [{name: unique}, {name: positive}]}\n"
        "  - {name: 'a \"b\" c', update_on_merge: true, checks: [{name: not_null}]}\n"
        "  - {name: select, checks: [{name: max, value: 2}]}"
    )
    mixed.asset("My-Schema.The-Table", "pg.sql", merge, f"SELECT * FROM {source}")
    for _ in range(2):
        found = mixed.ran()
        assert [check["status"] for check in found["checks"]] == ["passed"] * 4
    mixed.pg(f"""UPDATE {source} SET "a ""b"" c" = 'y'""")
    mixed.ran()
    assert mixed.pg('SELECT * FROM "My-Schema"."the-table"') == [(1, "y", 2)]
