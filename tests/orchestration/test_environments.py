"""The same files in other environments, and pipelines side by side."""

from __future__ import annotations

from pathlib import Path

from ecommerce_dagster import build_defs
from orchestration.helpers import Tiny

CONFIG = """
environments:
  default:
    connections:
      duckdb: [{name: duckdb-default, path: w.duckdb}]
"""
PIPELINE = "name: %s\nschedule: daily\nstart_date: 2026-01-01\n"
TABLE = """/* @bruin
name: %s
type: duckdb.sql
materialization: {type: table}
@bruin */
SELECT 1 AS x
"""


def pipeline(root: Path, name: str, asset: str) -> None:
    (root / name / "assets").mkdir(parents=True)
    (root / name / "pipeline.yml").write_text(PIPELINE % name)
    (root / name / "assets" / "a.sql").write_text(TABLE % asset)


def test_pipelines_of_one_checkout_are_one_code_location(tmp_path: Path) -> None:
    (tmp_path / ".bruin.yml").write_text(CONFIG)
    pipeline(tmp_path, "one", "a.x")
    pipeline(tmp_path, "two", "b.x")

    repository = build_defs(tmp_path).get_repository_def()

    keys = {key.to_user_string() for key in repository.asset_graph.get_all_asset_keys()}
    assert keys == {"a/x", "b/x"}
    assert {"one", "two"} <= set(repository.job_names)


def test_a_schema_prefix_keeps_environments_apart(tiny: Tiny) -> None:
    tiny.sql("raw.a", "SELECT 1 AS x")
    tiny.sql("stg.b", "SELECT x + 1 AS x FROM raw.a", "depends: [raw.a]")
    config = next(path for path in tiny.folder.rglob(".bruin.yml"))
    text = config.read_text()
    config.write_text(
        text.replace("    connections:", "    schema_prefix: dev\n    connections:", 1)
    )

    assert tiny.ecommerce("run").succeeded

    found = tiny.query("SELECT table_schema, table_name FROM information_schema.tables ORDER BY 1")
    assert found == [("dev_raw", "a"), ("dev_stg", "b")]
    assert tiny.query("SELECT x FROM dev_stg.b") == [(2,)]


def test_a_path_that_is_not_known_makes_no_database(tiny: Tiny) -> None:
    tiny.sql("raw.a", "SELECT 1 AS x")
    config = next(path for path in tiny.folder.rglob(".bruin.yml"))
    config.write_text(CONFIG.replace("w.duckdb", "$NOBODY_SAYS"))
    before = {*tiny.folder.iterdir(), *Path.cwd().iterdir()}

    ran = tiny.ecommerce("run")

    assert ran.code == 1
    assert ".bruin.yml:5: the connection 'duckdb-default' needs NOBODY_SAYS" in ran.text
    assert {*tiny.folder.iterdir(), *Path.cwd().iterdir()} - before == {tiny.folder / "state"}
