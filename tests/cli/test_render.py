"""`ecommerce render`: what it prints is what a run does."""

from __future__ import annotations

import json
import re
import subprocess
from typing import Any

import duckdb
import pytest
from orchestration.helpers import Tiny

from ecommerce_dagster.runtime import render
from ecommerce_dagster.runtime.git_commit import commit_of

EVENTS = "SELECT * FROM (VALUES (1, 'a', DATE '2024-01-01'), (2, 'b', DATE '2024-01-02')) AS v(id, kind, d)"
KEY = "columns: [{name: id, type: int, primary_key: true}, {name: kind, type: varchar, update_on_merge: true}]"


def rendered(tiny: Tiny, *arguments: str) -> dict[str, Any]:
    outcome = tiny.ecommerce("render", *arguments, "--output", "json")
    assert outcome.succeeded, outcome.text
    found: dict[str, Any] = json.loads(outcome.stdout)
    return found


@pytest.mark.parametrize(
    "header",
    [
        "materialization: {type: table}",
        "materialization: {type: view}",
        "materialization: {type: table, strategy: append}",
        "materialization: {type: table, strategy: truncate+insert}",
        "materialization: {type: table, strategy: delete+insert, incremental_key: d}",
        f"materialization: {{type: table, strategy: merge}}\n{KEY}",
        "materialization: {type: table, strategy: time_interval, incremental_key: d, "
        "time_granularity: date}",
        f"materialization: {{type: table, strategy: scd2_by_column}}\n{KEY}",
    ],
)
def test_the_printed_statements_do_what_two_runs_do(tiny: Tiny, header: str) -> None:
    tiny.sql("raw.events", EVENTS)
    tiny.sql(
        "mart.t",
        "SELECT id, kind, d FROM raw.events WHERE d >= '{{ start_date }}' -- all",
        f"depends: [raw.events]\n{header}\nhooks: {{pre: [{{query: CREATE TABLE IF NOT EXISTS "
        'h (x INT)}}], post: [{{query: "INSERT INTO h VALUES (1);"}}]}}'.replace("}}", "}").replace(
            "{{", "{"
        ),
        table=False,
    )
    dates = ("--start-date", "2024-01-01", "--end-date", "2024-01-02")
    found = rendered(tiny, "mart.t", *dates)
    assert found["notes"] == []
    later = found["statements"]
    with duckdb.connect() as connection:
        connection.execute(f"CREATE SCHEMA raw; CREATE TABLE raw.events AS {EVENTS}")
        for statement in (*(found["first_run"] or later), *later):
            connection.execute(statement)
        printed = connection.execute("SELECT id, kind, d FROM mart.t ORDER BY ALL").fetchall()
        hooked = connection.execute("SELECT count(*) FROM h").fetchall()
    for _ in range(2):
        outcome = tiny.ecommerce("run", *dates)
        assert outcome.succeeded, outcome.text
    assert tiny.query("SELECT id, kind, d FROM mart.t ORDER BY ALL") == printed
    assert tiny.query("SELECT count(*) FROM h") == hooked == [(2,)]


def test_a_full_refresh_is_a_first_run(tiny: Tiny) -> None:
    tiny.sql(
        "t",
        "SELECT 1 AS id, {{ full_refresh }} AS x",
        f"materialization: {{type: table, strategy: merge}}\n{KEY}",
        table=False,
    )
    found = rendered(tiny, "t", "--full-refresh")
    assert found["first_run"] is None
    assert found["statements"][0].endswith("SELECT 1 AS id, True AS x")
    assert found["statements"][1].startswith('CREATE OR REPLACE TABLE "t"')
    assert rendered(tiny, "t")["statements"][1].startswith("CREATE OR REPLACE TEMP TABLE")


def test_nothing_is_executed(tiny: Tiny) -> None:
    out = tiny.folder / "out.csv"
    tiny.sql("t", f"COPY (SELECT 1) TO '{out}'", table=False)
    found = rendered(tiny, "t")
    assert found["statements"] == [f"COPY (SELECT 1) TO '{out}'"]
    assert not out.exists()
    assert not tiny.warehouse.exists()


def test_checks_are_printed_with_their_ids(tiny: Tiny) -> None:
    tiny.sql(
        "t",
        "SELECT 1 AS id",
        "columns: [{name: id, checks: [{name: min, value: 5, blocking: false}]}]\n"
        'custom_checks: [{name: Is Few, query: "SELECT count(*) FROM {{ this }}", value: 1}]',
    )
    assert rendered(tiny, "t")["checks"] == [
        {"id": "t:id:min", "blocking": False, "sql": 'SELECT * FROM "t"\nWHERE "id" < 5'},
        {"id": "t:custom-check:is_few", "blocking": True, "sql": "SELECT count(*) FROM t"},
    ]


def test_a_query_over_unknown_columns_gets_the_declared_ones(tiny: Tiny) -> None:
    tiny.write("pipeline/assets/x.asset.yml", "name: x\ntype: duckdb.source\n")
    tiny.sql("t", "SELECT lower(a) AS b FROM read_csv('x.csv')", "columns: [{name: b, type: text}]")
    found = rendered(tiny, "t")
    assert found["statements"][0] == (
        "CREATE OR REPLACE TEMP VIEW \"_query\" AS\nSELECT lower(a) AS b FROM read_csv('x.csv')"
    )
    assert found["statements"][-1].startswith('CREATE OR REPLACE TABLE "t" AS')
    assert "the query does not bind without the warehouse" in found["notes"][0]
    assert "declared columns" in found["notes"][0]


def test_a_query_that_reads_its_own_table_is_shown_as_it_goes_on(tiny: Tiny) -> None:
    tiny.sql(
        "t",
        "SELECT 1::INT AS id WHERE 1 > (SELECT coalesce(max(id), 0) FROM {{ this }})",
        "materialization: {type: table, strategy: append}\ncolumns: [{name: id, type: int}]",
        table=False,
    )
    found = rendered(tiny, "t")
    assert found["statements"][-1].startswith('INSERT INTO "t" ("id")')


@pytest.mark.parametrize(
    ("header", "body", "statements", "note"),
    [
        ("type: rs.sql\nmaterialization: {type: table}\nhooks: {pre: [{query: 'SELECT {{ 1 }}'}]}",
         "SELECT '{{ start_date }}' AS d", ["SELECT 1", "SELECT '2024-01-05' AS d"],
         "what stands around the query is not known: the type rs.sql is for another platform; supported: duckdb, postgres"),
        ("type: duckdb.sensor.query\nparameters: {query: \"SELECT '{{ end_date }}' > '2024'\"}", "",
         ["SELECT '2024-01-05' > '2024'"], None),
        ("type: ingestr\nparameters: {source_connection: pg, source_table: public.o, destination: "
         "duckdb, incremental_strategy: delete+insert, incremental_key: d}", "", [],
         "copies public.o of pg, delete+insert by d; its statements depend on the columns found "
         "there"),
        ("type: empty", "", [], None),
    ],
)  # fmt: skip
def test_other_types(
    tiny: Tiny, header: str, body: str, statements: list[str], note: str | None
) -> None:
    tiny.write(
        ".bruin.yml",
        "environments: {default: {connections: {duckdb: [{name: duckdb-default, path: w.db}], "
        "postgres: [{name: pg, host: h, username: u, database: d}, {name: postgres-default, "
        "host: h, username: u, database: d}]}}}\n",
    )
    tiny.write("pipeline/assets/t.sql", f"/* @bruin\nname: t\n{header}\n@bruin */\n{body}\n")
    found = rendered(tiny, "t", "--start-date", "2024-01-05")
    assert found["statements"] == statements
    assert found["notes"] == ([note] if note else [])


def test_templates_know_the_commit_of_their_checkout(tiny: Tiny) -> None:
    tiny.sql("t", "SELECT '{{ commit_hash }}' AS c", table=False)
    assert rendered(tiny, "t")["statements"] == ["SELECT '' AS c"]
    identity = ["-c", "user.name=x", "-c", "user.email=x@example.com"]
    for command in (["init", "-q"], [*identity, "commit", "-q", "--allow-empty", "-m", "x"]):
        subprocess.run(["git", "-C", str(tiny.directory), *command], check=True)
    commit_of.cache_clear()
    [statement] = rendered(tiny, "t")["statements"]
    assert re.fullmatch(r"SELECT '[0-9a-f]{40}' AS c", statement)


def test_the_text_is_a_script(tiny: Tiny) -> None:
    tiny.sql("t", "SELECT {{ var.n }} AS n -- one")
    tiny.write(
        "pipeline/pipeline.yml",
        "name: tiny\nvariables: {n: {default: 1}}\nvariants: {two: {n: 2}}\n",
    )
    outcome = tiny.ecommerce("render", "t", "--start-date", "2024-01-05", "--variant", "two")
    assert outcome.stdout.startswith("-- t (duckdb.sql), 2024-01-05\n\nCREATE OR REPLACE TEMP VIEW")
    assert "AS\nSELECT 2 AS n -- one\n;\n" in outcome.stdout
    with duckdb.connect() as connection:
        connection.execute(outcome.stdout)
        assert connection.execute("FROM t").fetchall() == [(2,)]


def test_a_query_that_does_not_end_is_given_up(tiny: Tiny, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(render, "_SECONDS", 0.2)
    endless = (
        "WITH RECURSIVE n AS (SELECT 1 AS i UNION ALL SELECT i FROM n) SELECT count(*) AS n FROM n"
    )
    tiny.sql("t", endless)
    outcome = tiny.ecommerce("render", "t")
    assert outcome.succeeded
    assert "it takes more than 0.2 seconds without any row" in outcome.stdout
    assert endless in outcome.stdout


def test_a_check_of_another_table_is_shown(tiny: Tiny) -> None:
    tiny.sql("a.parent", "SELECT 1 AS id", "columns: [{name: id, type: integer}]")
    key = "foreign_key: {table: a.parent, column: id}, checks: [{name: relationships}]"
    header = f"depends: [a.parent]\ncolumns: [{{name: id, type: integer, {key}}}]"
    tiny.sql("a.child", "SELECT id FROM a.parent", header)
    [check] = rendered(tiny, "a.child")["checks"]
    assert check["id"] == "a.child:id:relationships"
    assert 'NOT IN (SELECT parent."id" FROM "a"."parent"' in check["sql"]


@pytest.mark.parametrize(
    ("arguments", "code", "error"),
    [
        (("u",), 2, "there is no asset 'u'; known: t"),
        (("t", "--start-date", "x"), 2, "'x' is not a date"),
        (("t",), 1, "assets/t.sql:10: missing variable 'nothing'"),
    ],
)
def test_mistakes(tiny: Tiny, arguments: tuple[str, ...], code: int, error: str) -> None:
    tiny.sql("t", "SELECT 1,\n{{ nothing }}")
    outcome = tiny.ecommerce("render", *arguments)
    assert (outcome.code, outcome.stdout) == (code, "")
    assert error in outcome.stderr
