"""`ecommerce validate` asks PostgreSQL about the queries that will run there."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from textwrap import dedent

import psycopg
import pytest
import yaml

from ecommerce_dagster.bruin.problems import ProblemLog
from ecommerce_dagster.runtime.validate import validated
from ecommerce_dagster.shop.embedded_postgres import PostgresServer

TABLE = "materialization: {type: table}"


@pytest.fixture(scope="module")
def place(server: PostgresServer) -> PostgresServer:
    own = replace(server, database="bound")
    with psycopg.connect(server.dsn, autocommit=True) as connection:
        connection.execute('CREATE DATABASE "bound"')
    with psycopg.connect(own.dsn, autocommit=True) as connection:
        connection.execute(
            "CREATE SCHEMA src; CREATE TABLE src.o (id int PRIMARY KEY, day date, price numeric);"
            "CREATE SCHEMA m; CREATE TABLE m.old (id int, gone text, v int)"
        )
    return own


class Files:
    def __init__(self, folder: Path, server: PostgresServer) -> None:
        self.folder = folder
        settings = {
            "host": server.host,
            "port": server.port,
            "username": server.user,
            "password": server.password,
            "database": server.database,
        }
        connections = {
            "postgres": [{"name": "postgres-default", **settings}],
            "duckdb": [{"name": "duckdb-default", "path": "w.duckdb"}],
        }
        self._write(
            ".bruin.yml",
            yaml.safe_dump({"environments": {"default": {"connections": connections}}}),
        )
        self._write("pipeline.yml", "name: p\n")
        self.sql("m.o", "SELECT id, day, price AS p FROM src.o", TABLE, "depends: [src.o]")
        self._write("assets/src.o.asset.yml", "name: src.o\ntype: pg.source\n")

    def _write(self, name: str, text: str) -> None:
        file = self.folder / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)

    def sql(self, name: str, query: str, *header: str, kind: str = "pg.sql") -> None:
        """An asset; its query begins two lines below its header."""
        lines = [f"name: {name}", f"type: {kind}", *map(dedent, header)]
        text = "\n".join(["/* @bruin", *lines, "@bruin */", query])
        self._write(f"assets/{name}.sql", text)

    def problems(self, **options: str) -> list[str]:
        log, notes = ProblemLog(), list[str]()
        validated(self.folder, log, note=notes.append, **options)  # type: ignore[arg-type]
        assert notes == []
        shown = (f"{p.path.name}:{p.line}: {p.message}" for p in (*log.errors, *log.warnings))
        return [text for text in shown if "not in `depends`" not in text]


@pytest.fixture
def files(tmp_path: Path, place: PostgresServer) -> Files:
    return Files(tmp_path, place)


@pytest.mark.parametrize(
    "statement",
    [
        "ROLLBACK", "abort", "PREPARE TRANSACTION 'x'", "VACUUM (FULL) m.o", "CREATE DATABASE x",
        "create unique index concurrently i on m.o (id)", "DROP INDEX CONCURRENTLY i",
        "REINDEX (VERBOSE) TABLE CONCURRENTLY m.o", "ALTER SYSTEM SET work_mem = '1MB'", "CLUSTER",
        "DISCARD ALL", "-- x\nROLLBACK /* y */ AND CHAIN",
    ],
)  # fmt: skip
def test_what_leaves_the_transaction_is_an_error(files: Files, statement: str) -> None:
    hook = f"hooks: {{post: [{{query: {json.dumps(statement)}}}]}}"
    files.sql("m.o", "SELECT id, day, price AS p FROM src.o", TABLE, "depends: [src.o]", hook)
    [found] = [text for text in files.problems() if "cannot be part of the transaction" in text]
    line = 6 + statement.count("\n")
    assert found.startswith(f"m.o.sql:{line}: ")


@pytest.mark.parametrize(
    "statement",
    [
        "BEGIN; SELECT 1; COMMIT", "SAVEPOINT s; ROLLBACK TO SAVEPOINT s", "ANALYZE m.o",
        "-- VACUUM\nSELECT 1", "SELECT $$; ROLLBACK; $$", "CREATE INDEX vacuum ON m.o (id)",
        "CHECKPOINT",
    ],
)  # fmt: skip
def test_what_only_seems_to_leave_it_is_none(files: Files, statement: str) -> None:
    hook = f"hooks: {{post: [{{query: {json.dumps(statement)}}}]}}"
    files.sql("m.o", "SELECT id, day, price AS p FROM src.o", TABLE, "depends: [src.o]", hook)
    assert [text for text in files.problems() if "transaction" in text] == []


def test_tables_need_not_be_there_yet_and_are_as_they_will_be(
    files: Files, place: PostgresServer
) -> None:
    keys = "columns: [{name: id, type: integer, primary_key: true}, {name: p, type: text}]"
    files.sql(
        "m.history",
        "SELECT id, p FROM m.o",
        "materialization: {type: table, strategy: scd2_by_column}",
        keys,
    )
    files.sql("m.old", "SELECT id, 1.5 AS v, p::text AS more FROM m.o", TABLE, "depends: [m.o]")
    files.sql(
        "m.counted",
        "",
        "materialization: {type: table, strategy: ddl}",
        "columns: [{name: n, type: bigserial}, {name: at, type: timestamptz}]",
    )
    files.sql(
        "m.view",
        "SELECT m.o.id, h.p || 'x' AS p, _valid_from - at AS since, more\n"
        "FROM m.o, m.history AS h, m.counted, m.old WHERE h.id = m.o.id -- m.o\n;",
        "materialization: {type: view}",
        """\
        custom_checks:
          - {name: one, query: SELECT count(*) FROM m.view WHERE since > '1 day'}
          - {name: many, query: 'SELECT *, f(id) FROM m.view;', count: 3}
        hooks:
          pre: [{query: CREATE FUNCTION f(int) RETURNS int LANGUAGE sql AS 'SELECT $1'}]""",
    )
    files.sql(
        "m.again",
        "SELECT id FROM m.o{% if not full_refresh %} WHERE id > (SELECT max(id) FROM {{ this }}){% endif %}",
        "materialization: {type: table, strategy: append}",
    )
    files.sql("m.script", "CREATE TEMP TABLE x (a int); INSERT INTO x VALUES (1); SELECT b FROM y")
    assert files.problems() == []
    with psycopg.connect(place.dsn) as connection:
        found = connection.execute("SELECT relname FROM pg_class WHERE relname IN ('o', 'view')")
        assert found.fetchall() == [("o",)]


def test_what_the_server_refuses_is_reported_where_it_stands(files: Files) -> None:
    files.sql("m.column", "SELECT\n  o.id,\n  o.price\nFROM m.o", TABLE)
    files.sql("m.type", "SELECT lower(id) AS x FROM m.o", TABLE)
    files.sql("m.alias", "SELECT i.id FROM m.o", TABLE)
    files.sql("m.missing", "SELECT 1 AS n FROM m.oo", TABLE)
    files.sql("m.stranger", "SELECT 1 AS n FROM far.away", TABLE)
    files.sql("m.syntax", "SELECT 1 FORM m.o", TABLE)
    files.sql("m.script", "SELECT 1;\nINSRT INTO m.o VALUES (1)")
    files.sql(
        "m.unfit",
        "SELECT 'x' AS t, id, day FROM m.o",
        TABLE,
        """\
        columns:
          - {name: t, checks: [{name: unique}, {name: pattern, value: x}, {name: positive}]}
          - {name: id, checks: [{name: min, value: 1}, {name: max, value: many}]}
          - name: day
            checks: [{name: min, value: "2024-01-01"}, {name: not_null}]
            meta: {anomalies: "freshness, average"}""",
    )
    files.sql("m.real", "SELECT nope FROM src.o", TABLE)
    files.sql("duck.t", "SELECT 1 AS n", TABLE, kind="duckdb.sql")
    files.sql("m.duck", "SELECT n FROM duck.t", TABLE)
    files.sql(
        "m.checked",
        "SELECT id FROM m.o",
        TABLE,
        "columns: [{name: idd, checks: [{name: unique}]}]",
        "custom_checks: [{name: a, query: SELECT idd FROM m.checked}, {name: b, query: 'SELECT 1, 2'}]",
    )
    assert files.problems() == [
        'm.alias.sql:6: the query does not bind: missing FROM-clause entry for table "i"',
        "m.checked.sql:5: the query does not return the column 'idd'; did you mean 'id'?",
        "m.checked.sql:6: the custom check 'a' does not bind: column \"idd\" does not exist; "
        'Perhaps you meant to reference the column "checked.id".',
        "m.checked.sql:6: the custom check 'b' must return one column; its query returns 2",
        "m.column.sql:8: the query does not bind: column o.price does not exist",
        "m.duck.sql:6: the query does not bind: the table 'duck.t' is in another database, that of "
        "'duckdb-default'",
        "m.missing.sql:6: the query does not bind: the table 'm.oo' is not in the database; "
        "did you mean 'm.o'?",
        'm.real.sql:6: the query does not bind: column "nope" does not exist',
        'm.script.sql:6: the query does not parse: syntax error at or near "INSRT"',
        'm.syntax.sql:6: the query does not parse: syntax error at or near "m"',
        "m.type.sql:6: the query does not bind: function lower(integer) does not exist",
        "m.unfit.sql:6: the check 'positive' of 't' cannot be answered: it compares text with 0; "
        "give the column the type of a number, or compare it with a text",
        "m.unfit.sql:7: the check 'max' of 'id' cannot be answered: it compares integer with "
        "'many'; write a number",
        "m.unfit.sql:10: the anomaly 'average' needs numbers; 'day' is date",
        "m.stranger.sql:6: the query does not bind: the table 'far.away' is not in the database; "
        "create it, or add an asset that makes it",
    ]


def test_fast_asks_nobody(files: Files) -> None:
    files.sql("m.column", "SELECT price FROM m.o", TABLE)
    assert files.problems(fast="yes") == []


LONG = "n" * 64
CUT = f"the name '{LONG}' has 64 bytes, and PostgreSQL keeps 63; give it a shorter one"


@pytest.mark.parametrize(
    ("query", "line"),
    [
        (f"SELECT id,\n1 AS {LONG}\nFROM m.o", 7),
        (f"SELECT id,\n1 AS {LONG.upper()}\nFROM src.o", 7),
        (f'-- 5" and more\nSELECT id, 1 AS "{LONG}"\nFROM m.o', 7),
        (f"WITH\n{LONG} AS (SELECT id FROM m.o)\nSELECT id FROM {LONG}", 7),
        (f"SELECT {LONG}.id\nFROM m.o\nAS {LONG}", 6),
        (f"{{# a #}}\nSELECT id\nFROM src.{LONG}", 8),
    ],
)
def test_a_name_that_would_be_cut_is_an_error_wherever_it_stands(
    files: Files, query: str, line: int
) -> None:
    files.sql("m.long", query, TABLE)
    message = CUT.replace(LONG, LONG.upper()) if LONG.upper() in query else CUT
    assert files.problems()[0] == f"m.long.sql:{line}: the query does not bind: {message}"


@pytest.mark.parametrize("part", ["hook", "check", "script"])
def test_also_in_hooks_checks_and_scripts(files: Files, part: str) -> None:
    header, query, kind = TABLE, "SELECT 1 AS id", ""
    if part == "hook":
        kind = f"hooks: {{pre: [{{query: 'CREATE TEMP TABLE x ({LONG} int)'}}]}}"
    elif part == "check":
        kind = f"custom_checks: [{{name: c, query: 'SELECT count(*) AS {LONG} FROM m.o'}}]"
    else:
        header, query = "", f"CREATE TABLE m.{LONG} (x int)"
    files.sql("m.long", query, header, kind)
    assert [text.partition(CUT)[1] for text in files.problems()] == [CUT]


def test_a_function_of_somebody_else_may_hold_a_long_name(
    files: Files, place: PostgresServer
) -> None:
    with psycopg.connect(place.dsn) as connection:
        connection.execute(
            "CREATE FUNCTION src.longer() RETURNS int LANGUAGE plpgsql IMMUTABLE"
            f" AS $$ DECLARE {LONG} int := 7; BEGIN RETURN {LONG}; END $$"
        )
    files.sql("m.long", "SELECT src.longer() AS x", TABLE)
    assert files.problems() == []
