"""The same files in other environments, and pipelines side by side."""

from __future__ import annotations

from pathlib import Path

import dagster as dg
import pytest

from ecommerce_dagster import build_defs
from ecommerce_dagster.bruin.problems import ProjectError
from ecommerce_dagster.orchestration.resources import WarehouseResource
from orchestration.helpers import Tiny, clean_environment, findings, invoke, query, run_all, tables

CONFIG = """
environments:
  default:
    connections:
      duckdb: [{name: duckdb-default, path: w.duckdb}]
"""
DEV = """
  dev:
    schema_prefix: dev_
    connections:
      duckdb: [{name: duckdb-default, path: warehouse.duckdb}]
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


class TestPipelinesWithAConfigurationOfTheirOwn:
    @pytest.fixture
    def root(self, tmp_path: Path) -> Path:
        for name in ("one", "two"):
            pipeline(tmp_path, name, f"{name}.x")
            (tmp_path / name / ".bruin.yml").write_text(CONFIG)
        return tmp_path

    def test_one_name_for_two_databases_is_an_error_that_names_both_files(self, root: Path) -> None:
        message = (
            r"two/.bruin.yml:5: the connection 'duckdb-default' is another database than "
            r"'duckdb-default' in .*one/.bruin.yml:5, and both are the resource duckdb_default; rename one"
        )
        with pytest.raises(ProjectError, match=message):
            build_defs(root)
        assert not [*root.rglob("w.duckdb")]

    def test_validate_says_the_same(self, root: Path) -> None:
        told = invoke(clean_environment(ECOMMERCE_HOME=str(root / "state")), "validate", str(root))
        assert told.code == 1
        [found] = findings(told)
        assert "two/.bruin.yml:5: error: the connection 'duckdb-default' is another" in found

    def test_two_names_for_one_resource_are_too(self, root: Path) -> None:
        other = root / "two/.bruin.yml"
        other.write_text(CONFIG.replace("duckdb-default", "duckdb_default"))
        told = (root / "two/assets/a.sql").read_text()
        (root / "two/assets/a.sql").write_text(
            told.replace("type: duckdb", "connection: duckdb_default\ntype: duckdb")
        )
        with pytest.raises(
            ProjectError, match="'duckdb_default' is another database than 'duckdb-d"
        ):
            build_defs(root)

    def test_names_of_their_own_lead_each_into_its_database(
        self, root: Path, instance: dg.DagsterInstance
    ) -> None:
        (root / "two/.bruin.yml").write_text(CONFIG.replace("duckdb-default", "other"))
        (root / "two/pipeline.yml").write_text(
            PIPELINE % "two" + "default_connections: {duckdb: other}\n"
        )
        assert run_all(build_defs(root), instance).success
        for name in ("one", "two"):
            found = query(root / name / "w.duckdb", "SELECT schema_name FROM duckdb_tables()")
            assert found == [(name,)]

    def test_a_connection_that_one_of_them_does_not_use_is_that_of_the_other(
        self, root: Path, instance: dg.DagsterInstance
    ) -> None:
        two = CONFIG.replace("}]", "}, {name: other, path: other.duckdb}]")
        (root / "two/.bruin.yml").write_text(two)
        (root / "two/pipeline.yml").write_text(
            PIPELINE % "two" + "default_connections: {duckdb: other}\n"
        )
        assert run_all(build_defs(root), instance).success
        assert query(root / "one/w.duckdb", "SELECT schema_name FROM duckdb_tables()") == [("one",)]
        assert not (root / "two/w.duckdb").exists()

    def test_the_same_database_may_have_one_name_in_both(
        self, root: Path, instance: dg.DagsterInstance
    ) -> None:
        for name in ("one", "two"):
            shared = CONFIG.replace("w.duckdb", str(root / "w.duckdb"))
            (root / name / ".bruin.yml").write_text(shared)
        assert run_all(build_defs(root), instance).success
        found = query(root / "w.duckdb", "SELECT schema_name FROM duckdb_tables() ORDER BY 1")
        assert found == [("one",), ("two",)]

    def test_a_resource_may_stand_in_for_both(
        self, root: Path, instance: dg.DagsterInstance
    ) -> None:
        elsewhere = WarehouseResource(database=str(root / "elsewhere.duckdb"))
        definitions = build_defs(root, resources={"duckdb_default": elsewhere})
        assert run_all(definitions, instance).success
        assert not [*root.rglob("w.duckdb")]

    def test_two_pipelines_of_one_name_are_an_error_that_names_both(self, tmp_path: Path) -> None:
        (tmp_path / ".bruin.yml").write_text(CONFIG)
        pipeline(tmp_path, "one", "a.x")
        pipeline(tmp_path, "two", "b.x")
        (tmp_path / "two/pipeline.yml").write_text(PIPELINE % "One")
        message = (
            r"two/pipeline.yml:1: 'One' has the job name one, as 'one' in .*one/pipeline.yml; "
            "rename one"
        )
        with pytest.raises(ProjectError, match=message):
            build_defs(tmp_path)

    def test_two_assets_of_one_key_are_an_error_that_names_both(self, tmp_path: Path) -> None:
        (tmp_path / ".bruin.yml").write_text(CONFIG)
        pipeline(tmp_path, "one", "a.x")
        pipeline(tmp_path, "two", "a.x")
        with pytest.raises(ProjectError, match=r"two/assets/a.sql:2: .*one/assets/a.sql; rename"):
            build_defs(tmp_path)

    def test_definitions_that_somebody_merges_do_not_take_one_for_the_other(
        self, root: Path
    ) -> None:
        both = [build_defs(root / name) for name in ("one", "two")]
        with pytest.raises(dg.DagsterInvariantViolationError, match="same key 'duckdb_default'"):
            dg.Definitions.merge(*both)


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


def test_what_an_environment_has_not_is_read_under_its_plain_name(tiny: Tiny) -> None:
    unique = "columns: [{name: x, checks: [{name: unique}]}]"
    tiny.sql("raw.a", "SELECT 1 AS x", unique)
    key = "columns: [{name: x, foreign_key: {table: raw.a, column: x}}]"
    check = "custom_checks: [{name: as many, query: SELECT count(*) FROM raw.a, value: 1}]"
    tiny.sql("stg.b", "SELECT x FROM raw.a", f"depends: [raw.a]\n{key}\n{check}")
    tiny.sql("mart.c", "SELECT x + 1 AS y FROM stg.b", "depends: [stg.b]")
    config = next(path for path in tiny.folder.rglob(".bruin.yml"))
    config.write_text(f"{config.read_text()}{DEV}")
    assert tiny.ecommerce("run").succeeded
    before = tables(tiny.warehouse)
    tiny.sql("stg.b", "SELECT x AS x, 5 AS more FROM raw.a", f"depends: [raw.a]\n{key}\n{check}")

    built = tiny.ecommerce("run", "stg.b", "mart.c", "--environment", "dev")

    assert built.succeeded, built.text
    after = tables(tiny.warehouse)
    assert {name: after[name] for name in before} == before
    assert {*after} - {*before} == {"dev_stg.b", "dev_mart.c"}
    for name, read in (("stg.b", " raw.a"), ("mart.c", " dev_stg.b")):
        shown = tiny.ecommerce("render", name, "--environment", "dev").stdout
        assert f"FROM{read}" in shown
    asked = ("query", "SELECT b.*, a.x FROM stg.b, raw.a", "--output", "csv", "-e")
    assert tiny.ecommerce(*asked, "dev").stdout.split() == ["x,more,x", "1,5,1"]
    assert tiny.ecommerce(*asked, "default").stdout.split() == ["x,x", "1,1"]
    assert tiny.ecommerce("run", "-e", "dev").succeeded
    assert "FROM dev_raw.a" in tiny.ecommerce("render", "stg.b", "-e", "dev").stdout


def test_a_path_that_is_not_known_makes_no_database(tiny: Tiny) -> None:
    tiny.sql("raw.a", "SELECT 1 AS x")
    config = next(path for path in tiny.folder.rglob(".bruin.yml"))
    config.write_text(CONFIG.replace("w.duckdb", "$NOBODY_SAYS"))
    before = {*tiny.folder.iterdir(), *Path.cwd().iterdir()}

    ran = tiny.ecommerce("run")

    assert ran.code == 1
    assert ".bruin.yml:5: the connection 'duckdb-default' needs NOBODY_SAYS" in ran.text
    assert {*tiny.folder.iterdir(), *Path.cwd().iterdir()} - before == {tiny.folder / "state"}
