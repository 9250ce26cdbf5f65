"""What cannot run here stops nothing else: it is left out, or fails on its own, and a line says why."""

from __future__ import annotations

import re

import dagster as dg
import pytest

from ecommerce_dagster import build_defs
from ecommerce_dagster.orchestration.build import load_project
from orchestration.helpers import Tiny, failures, materialized, run_all

CONFIG = """
default_environment: default
environments:
  default:
    connections:
      duckdb: [{name: duckdb-default, path: warehouse.duckdb}]
      google_cloud_platform: [{name: gcp, project_id: p}]
"""
SQL = (
    "/* @bruin\nname: {}\ntype: {}\nmaterialization: {{type: table}}\n{}@bruin */\nSELECT 1 AS n\n"
)
ROWS = '"""@bruin\nname: x.made\n{}@bruin"""\ndef materialize(): return [{{"n": 1}}]\n'
GCP = "its connection 'gcp' is of type google_cloud_platform"


@pytest.fixture
def mixed(tiny: Tiny) -> Tiny:
    """A pipeline with main.ok, and a connection that is none of ours."""
    tiny.write(".bruin.yml", CONFIG)
    tiny.sql("main.ok", "SELECT 1 AS n")
    return tiny


@pytest.mark.parametrize(
    ("path", "text", "reason"),
    [
        ("made.py", ROWS.format("connection: gcp\nmaterialization: {type: table}\n"), GCP),
        ("made.py", ROWS.format("connection: gcp\ncolumns: [{name: n, checks: [{name: unique}]}]\n"), GCP),
        ("made.sql", SQL.format("x.made", "duckdb.sql", "connection: gcp\n"), GCP),
        ("made.sql", SQL.format("x.made", "sf.sql", ""), "the type sf.sql is for another platform"),
        ("made.sql", SQL.format("x.made", "redshift.sql", ""), "the type redshift.sql is for another platform"),
        ("made.asset.yml", "name: x.made\ntype: sqlite.seed\n", "the type sqlite.seed is for another platform"),
        ("made.asset.yml", "name: x.made\ntype: duckdb.seed\nconnection: gcp\nparameters: {path: a.csv}\n", GCP),
        ("made.asset.yml", "name: x.made\ntype: duckdb.source\nconnection: gcp\n", GCP),
        ("made.asset.yml", "name: x.made\ntype: duckdb.sensor.query\nconnection: gcp\nparameters: {query: SELECT 1}\n", GCP),
    ],
)  # fmt: skip
def test_an_asset_of_another_platform_is_left_out(
    mixed: Tiny, path: str, text: str, reason: str
) -> None:
    mixed.write(f"pipeline/assets/{path}", text)
    outcome = mixed.ecommerce("run")
    assert outcome.succeeded, outcome.stderr
    line = rf"warning: .*{path}:\d: 'x.made' is left out: {reason}; supported: duckdb, postgres"
    assert re.search(line, outcome.stderr)
    assert mixed.query("FROM main.ok") == [(1,)]
    assert mixed.ecommerce("validate").succeeded


def test_many_of_them_are_one_line(mixed: Tiny) -> None:
    for number in range(5):
        mixed.write(f"pipeline/assets/b{number}.sql", SQL.format(f"b.t{number}", "bq.sql", ""))
    outcome = mixed.ecommerce("run")
    assert outcome.succeeded
    assert outcome.stderr.count("left out") == 1
    assert "5 assets are left out (b.t0, b.t1, b.t2 and 2 more): the type bq.sql" in outcome.stderr


def test_checked_python_belongs_where_most_sql_does(mixed: Tiny) -> None:
    for number in range(2):
        mixed.write(f"pipeline/assets/b{number}.sql", SQL.format(f"b.t{number}", "bq.sql", ""))
    check = "custom_checks: [{name: some, query: 'SELECT COUNTIF(n > 0) FROM `p.x.made`'}]"
    mixed.write("pipeline/assets/made.py", f'"""@bruin\nname: x.made\n{check}\n@bruin"""\n')
    outcome = mixed.ecommerce("run")
    assert outcome.succeeded
    where = "its table is in google_cloud_platform, like those of most assets here"
    assert f"made.py:2: 'x.made' is left out: {where}; supported: duckdb" in outcome.stderr


def test_a_script_runs_whatever_its_connection(mixed: Tiny) -> None:
    mixed.write("pipeline/assets/made.py", '"""@bruin\nname: x.made\nconnection: gcp\n@bruin"""\n')
    outcome = mixed.ecommerce("run")
    assert outcome.succeeded
    assert "left out" not in outcome.stderr


def test_what_depends_on_it_fails_alone_and_says_why(
    mixed: Tiny, instance: dg.DagsterInstance
) -> None:
    mixed.write("pipeline/assets/b.sql", SQL.format("b.t", "bq.sql", ""))
    mixed.sql("main.below", "FROM b.t", "depends: [b.t]")
    result = run_all(build_defs(mixed.directory), instance)
    assert materialized(result) == ["main/ok"]
    [(_, message)] = failures(result).items()
    assert "Table with name" in message
    assert "It depends on b.t, which is left out here: the type bq.sql is for another" in message


WRITER = """from pathlib import Path
Path(__file__).with_name("rows.csv").write_text("n\\n7\\n")
"""


@pytest.mark.parametrize("depends", ["depends: [x.writer]\n", ""])
def test_a_seed_whose_file_is_written_in_the_run(
    tiny: Tiny, instance: dg.DagsterInstance, depends: str
) -> None:
    tiny.write("pipeline/assets/a.py", f'"""@bruin\nname: x.writer\n@bruin"""\n{WRITER}')
    seed = f"name: main.seed\ntype: duckdb.seed\n{depends}parameters: {{path: rows.csv}}\n"
    tiny.write("pipeline/assets/seed.asset.yml", seed)
    tiny.sql("main.below", "SELECT n + 1 AS m FROM main.seed", "depends: [main.seed]")
    validated = tiny.ecommerce("validate")
    assert validated.succeeded
    assert "the file 'rows.csv' does not exist yet; 'x.writer' must write it" in validated.stdout
    run_all(tiny.definitions(), instance)
    assert run_all(tiny.definitions(), instance).success
    assert tiny.query("FROM main.below") == [(8,)]


def test_a_seed_whose_file_nobody_writes_is_an_error(tiny: Tiny) -> None:
    seed = "name: main.seed\ntype: duckdb.seed\nparameters: {path: rows.csv}\n"
    tiny.write("pipeline/assets/seed.asset.yml", seed)
    tiny.write("pipeline/assets/a.py", '"""@bruin\nname: x.other\n@bruin"""\nprint("rows")\n')
    outcome = tiny.ecommerce("validate")
    assert outcome.code == 1
    assert "the file 'rows.csv' does not exist" in outcome.stdout


@pytest.mark.parametrize(
    "text", ["id: old\n", "id: '{{ var.x }}'\nvariables: {x: {default: old}}\n"]
)
def test_a_pipeline_without_a_name_is_called_by_its_id(tiny: Tiny, text: str) -> None:
    tiny.write("pipeline/pipeline.yml", text)
    assert load_project(tiny.directory).pipeline.name == "old"


@pytest.mark.parametrize(
    ("kinds", "defaults", "expected"),
    [
        (["pg.sql", "pg.sql", "duckdb.sql"], "", "postgres-default"),
        (["duckdb.sql", "bq.sql"], "", "duckdb-default"),
        (["bq.sql", "bq.sql", "pg.sql"], "google_cloud_platform: gcp", "gcp"),
        (["pg.sql"], "pg: mine", "mine"),
        ([], "snowflake: sf", "sf"),
        ([], "postgres: a, duckdb: b", "b"),
        ([], "", "duckdb-default"),
    ],
)
def test_python_without_a_connection_belongs_where_most_sql_does(
    tiny: Tiny, kinds: list[str], defaults: str, expected: str
) -> None:
    tiny.write("pipeline/pipeline.yml", f"name: tiny\ndefault_connections: {{{defaults}}}\n")
    for number, kind in enumerate(kinds):
        tiny.write(f"pipeline/assets/t{number}.sql", SQL.format(f"m.t{number}", kind, ""))
    tiny.write("pipeline/assets/made.py", ROWS.format("materialization: {type: table}\n"))
    project = load_project(tiny.directory)
    assert project.connection_name(project.by_name["x.made"]) == expected
