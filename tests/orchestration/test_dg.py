"""The component in somebody else's project, through `dg` as she types it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import dagster as dg
import duckdb
import pytest

from ecommerce_dagster import BruinPipelineComponent, build_defs
from ecommerce_dagster.bruin.starter import write_pipeline
from orchestration.helpers import clean_environment, script

# What `create-dagster project her` writes, as far as `dg` reads it.
PROJECT = {
    "pyproject.toml": """\
[project]
name = "her"
version = "0.1.0"
[tool.dg]
directory_type = "project"
[tool.dg.project]
root_module = "her"
registry_modules = ["her.components.*"]
""",
    "src/her/__init__.py": "",
    "src/her/components/__init__.py": "",
    "src/her/defs/__init__.py": "",
    "src/her/definitions.py": """\
from pathlib import Path
import dagster as dg

@dg.definitions
def defs():
    return dg.load_from_defs_folder(path_within_project=Path(__file__).parent)
""",
}
HERS = """\
import dagster as dg

@dg.asset(deps=[dg.AssetKey(["mart", "sales_orders_daily"])])
def letter(): ...

@dg.op
def alone(): ...

@dg.job
def own(): alone()
"""
# `dg` loads nothing else from a module with definitions.
EXECUTOR = """\
import dagster as dg

@dg.definitions
def defs(): return dg.Definitions(executor=dg.in_process_executor)
"""
COMPONENT = "ecommerce_dagster.BruinPipelineComponent"


class Project:
    """A folder with a dg project, and what `dg` says in it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.defs = folder / "src" / "her" / "defs"
        for name, text in PROJECT.items():
            self.write(name, text)

    def write(self, name: str, text: str) -> Path:
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        return path

    def component(self, name: str, attributes: str) -> Path:
        text = f"type: {COMPONENT}\nattributes:\n{attributes}"
        return self.write(f"src/her/defs/{name}/defs.yaml", text)

    def dg(self, *arguments: str, code: int = 0, **variables: str) -> str:
        """What `dg ...` prints; it ends with `code`."""
        home = self.folder / "dagster"
        home.mkdir(exist_ok=True)
        done = subprocess.run(
            [script("dg"), *arguments],
            cwd=self.folder,
            env=clean_environment(
                **{"DAGSTER_HOME": str(home), "DG_CLI_CONFIG": os.devnull, **variables},
                PYTHONPATH="src",
            ),
            text=True,
            capture_output=True,
            check=False,
        )
        assert done.returncode == code, done.stdout + done.stderr
        return done.stdout + done.stderr * (code != 0)

    def load(self, monkeypatch: pytest.MonkeyPatch) -> dg.Definitions:
        """The definitions of the project, in this process."""
        for name in [name for name in sys.modules if name.partition(".")[0] == "her"]:
            monkeypatch.delitem(sys.modules, name)
        monkeypatch.syspath_prepend(str(self.folder / "src"))
        return dg.load_from_defs_folder(path_within_project=self.defs)

    def rows(self, query: str) -> list[tuple[object, ...]]:
        with duckdb.connect(str(self.folder / "warehouse.duckdb"), read_only=True) as connection:
            return connection.execute(query).fetchall()


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return Project(tmp_path)


def test_dg_lists_the_component_with_what_it_is(project: Project) -> None:
    listed = project.dg("list", "components", "--package", "ecommerce_dagster", "--json")
    [found] = json.loads(listed)["items"]
    assert found["key"] == COMPONENT
    assert found["summary"].startswith("A folder of Bruin-style files as assets and asset checks")


def test_each_attribute_has_a_description() -> None:
    schema = BruinPipelineComponent.get_model_cls().model_json_schema()  # type: ignore[union-attr]
    described = {name: field.get("description") for name, field in schema["properties"].items()}
    assert described.keys() == BruinPipelineComponent.model_fields.keys()
    assert all(described.values()), described


def test_two_new_pipelines_run_in_one_project_beside_her_own_assets(project: Project) -> None:
    project.write("src/her/defs/hers.py", HERS)
    project.write("src/her/defs/executor.py", EXECUTOR)
    for name in ("sales", "marketing"):
        project.dg("scaffold", "defs", COMPONENT, name)
    project.dg("launch", "--assets", "*")
    expected = [(2, 3)]
    for name in ("sales", "marketing"):
        table = f"mart.{name}_orders_daily"
        assert project.rows(f"SELECT count(*), sum(orders) FROM {table}") == expected
    with dg.DagsterInstance.from_config(str(project.folder / "dagster")) as instance:
        assert dg.AssetKey("letter") in instance.all_asset_keys()


def test_a_folder_that_exists_can_be_scaffolded(project: Project) -> None:
    write_pipeline(project.folder / "pipelines" / "sales", project.folder)
    project.dg("scaffold", "defs", COMPONENT, "ours", "--pipeline-dir", "pipelines/sales")
    found = sorted(path.name for path in (project.defs / "ours").rglob("*"))
    assert found == ["defs.yaml"]
    listed = project.dg("list", "defs", "--json")
    assert {each["asset_key"] for each in json.loads(listed)["assets"]} == {
        "raw/sales_orders",
        "mart/sales_orders_daily",
    }


def test_an_attribute_that_there_is_not_is_an_error_with_its_line(project: Project) -> None:
    project.component("sales", "  pipeline_dirs: pipelines/sales\n")
    said = project.dg("check", "yaml", code=1)
    assert "src/her/defs/sales/defs.yaml:3" in said
    assert "pipeline_dirs" in said


def test_a_mistake_in_a_file_is_told_with_its_line(project: Project) -> None:
    write_pipeline(project.folder / "sales", project.folder)
    project.component("sales", "  pipeline_dir: sales\n")
    model = project.folder / "sales" / "assets" / "mart" / "mart.sales_orders_daily.sql"
    model.write_text(model.read_text().replace("unique", "uniqe"))
    assert f"{model.name}:16: unknown check" in project.dg("check", "defs", code=1)


def test_a_dagster_home_that_cannot_be_written_to_stops_no_loading(project: Project) -> None:
    """Of `dg` itself a home that is not there asks for one; a code server does not."""
    write_pipeline(project.folder / "sales", project.folder)
    script = "from ecommerce_dagster import build_defs; print(*build_defs('sales').assets)"
    done = subprocess.run(
        [sys.executable, "-c", script],
        cwd=project.folder,
        env=clean_environment(DAGSTER_HOME="/proc/nothing"),
        text=True,
        capture_output=True,
        check=True,
    )
    assert "sales_orders_daily" in done.stdout


ALL = """\
  pipeline_dir: pipelines/sales
  config_file: .bruin.yml
  environment: default
  variables: {limit: 2}
  variant: big
  watch: true
  executor: multiprocess
  resources: "{{ resources }}"
  translation:
    group_name: sales
    metadata: {file: "{{ asset.path.name }}"}
"""
TEMPLATE = """\
import dagster as dg
from ecommerce_dagster.orchestration.resources import WarehouseResource

@dg.template_var
def resources():
    return {"duckdb_default": WarehouseResource(database="hers.duckdb")}
"""


@pytest.fixture
def full(project: Project) -> Project:
    """A pipeline with a variant and a variable, and a component that says everything."""
    folder = project.folder / "pipelines" / "sales"
    write_pipeline(folder, project.folder)
    with (folder / "pipeline.yml").open("a") as pipeline:
        pipeline.write(
            "variables:\n  limit: {type: integer, default: 1}\n  size: {type: string, default: s}\n"
            "variants:\n  big: {size: b}\n  small: {size: s}\n"
        )
    (folder / "assets" / "mart" / "mart.said.sql").write_text(
        "/* @bruin\nname: mart.said\ntype: duckdb.sql\nmaterialization: {type: table}\n@bruin */\n"
        "SELECT '{{ var.size }}' AS size, {{ var.limit }} AS lim\n"
    )
    project.component("sales", ALL + "\n" + "template_vars_module: .vars\n")
    project.write("src/her/defs/sales/vars.py", TEMPLATE)
    return project


def test_everything_can_be_said_in_yaml(
    full: Project,
    monkeypatch: pytest.MonkeyPatch,
    instance: dg.DagsterInstance,
) -> None:
    full.dg("check", "yaml")
    monkeypatch.chdir(full.folder)
    definitions = full.load(monkeypatch)
    job = definitions.resolve_job_def("sales")
    assert job.executor_def.name == "multiprocess"
    assert definitions.resolve_implicit_global_asset_job_def().execute_in_process(instance=instance)
    with duckdb.connect(str(full.folder / "hers.duckdb"), read_only=True) as connection:
        assert connection.execute("FROM mart.said").fetchall() == [("b", 2)]
    [spec] = [
        each for each in definitions.resolve_all_asset_specs() if each.key.path == ["mart", "said"]
    ]
    assert spec.group_name == "sales"
    assert spec.metadata["file"] == "mart.said.sql"
    schedule = definitions.resolve_schedule_def("sales_schedule")
    assert schedule.default_status == dg.DefaultScheduleStatus.RUNNING


def shown(definitions: dg.Definitions) -> object:
    """What Dagster shows of definitions, without where a component says that it stands."""
    repository = definitions.get_repository_def()
    return (
        sorted(
            (each.key, each.description, each.group_name, each.owners, each.kinds, each.deps)
            for each in definitions.resolve_all_asset_specs()
        ),
        sorted(definitions.resolve_asset_graph().asset_check_keys),
        sorted(repository.job_names),
        sorted((each.name, each.cron_schedule) for each in repository.schedule_defs),
        sorted((each.name, str(each.default_status)) for each in repository.sensor_defs),
        sorted(repository.get_top_level_resources()),
    )


def test_component_and_build_defs_come_to_the_same(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_pipeline(project.folder / "pipelines" / "sales", project.folder)
    project.component("sales", "  pipeline_dir: pipelines/sales\n  watch: true\n")
    loaded = project.load(monkeypatch)
    assert shown(loaded) == shown(build_defs(project.folder / "pipelines" / "sales", watch=True))


def test_build_defs_and_component_take_the_same() -> None:
    """Apart from what is called otherwise in YAML: a translator is a class."""
    arguments: Callable[..., object] = build_defs
    code = arguments.__code__  # type: ignore[attr-defined]
    of_function = set(code.co_varnames[: code.co_argcount + code.co_kwonlyargcount])
    assert of_function - {"translator"} == set(BruinPipelineComponent.model_fields) - {
        "translation"
    }


def test_her_own_resource_merges_with_the_pipeline_that_it_was_given_to(
    project: Project,
) -> None:
    from ecommerce_dagster.orchestration.resources import WarehouseResource

    for name in ("sales", "marketing"):
        write_pipeline(project.folder / name, project.folder)
    hers = {"duckdb_default": WarehouseResource(database="hers.duckdb")}
    merged = dg.Definitions.merge(
        dg.Definitions(resources=hers),
        build_defs(project.folder / "sales", resources=hers),
        build_defs(project.folder / "marketing", resources=hers),
    )
    dg.Definitions.validate_loadable(merged)
