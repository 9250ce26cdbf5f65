"""From files to definitions: what Dagster shows, and what a project can change about it."""

from __future__ import annotations

import inspect
import json
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from ecommerce_dagster import BruinTranslator, build_defs, local
from ecommerce_dagster.orchestration.resources import PostgresResource, WarehouseResource
from orchestration.helpers import ROOT, Shop, Tiny, materialized, run_all

GLOSSARY = """
entities:
  Order:
    attributes:
      ID:
        name: order_id
        type: integer
        description: What tells orders apart.
        checks:
          - name: not_null
"""
ORDERS = """
description: Orders as they came.
owner: someone@example.com
tags: [mart, two words]
columns:
  - extends: Order.ID
"""


def spec_of(definitions: dg.Definitions, name: str) -> dg.AssetSpec:
    key = dg.AssetKey(name.split("."))
    return next(s for s in definitions.resolve_all_asset_specs() if s.key == key)


@pytest.fixture
def orders(tiny: Tiny) -> Tiny:
    tiny.write("glossary.yml", GLOSSARY)
    tiny.sql("mart.orders", "SELECT 1 AS order_id", ORDERS)
    return tiny


class TestWhatDagsterShows:
    def test_the_description_holds_the_prose_and_the_query(self, orders: Tiny) -> None:
        description = spec_of(orders.definitions(), "mart.orders").description or ""
        assert description.startswith("Orders as they came.")
        assert "```sql\nSELECT 1 AS order_id\n```" in description

    def test_owner_tags_kinds_and_group_come_from_the_file(self, orders: Tiny) -> None:
        spec = spec_of(orders.definitions(), "mart.orders")
        assert spec.owners == ["someone@example.com"]
        assert spec.group_name == "mart"
        assert spec.kinds == {"duckdb", "sql"}
        assert spec.tags["mart"] == ""
        assert "two_words" in spec.tags

    def test_a_team_owns_what_names_no_address(self) -> None:
        spec = spec_of(build_defs(local.PIPELINE), "mart.sales_daily")
        assert spec.owners == ["team:Data Team"]
        assert {"mart", "dagster/kind/duckdb", "dagster/kind/sql"} <= set(spec.tags)

    def test_ingested_tables_show_both_ends(self) -> None:
        spec = spec_of(build_defs(local.PIPELINE), "raw.customers")
        assert {"postgres", "duckdb"} <= spec.kinds

    def test_columns_have_the_tags_and_domains_of_the_file(self, orders: Tiny) -> None:
        odd = ["pii", "two words!", "ü", "x" * 70, "a.b-c", "tail\n", "glossary"]
        orders.sql(
            "mart.tagged",
            "SELECT 1 AS order_id",
            f"columns: [{{extends: Order.ID, tags: {json.dumps(odd)}, domains: [my sales]}}]",
        )
        spec = spec_of(orders.definitions(), "mart.tagged")
        [column] = spec.metadata["dagster/column_schema"].columns
        assert column.tags == {
            "pii": "", "two_words": "", "_": "", "x" * 63: "", "a.b-c": "", "tail": "",
            "glossary": "Order.ID", "domain/my_sales": "",
        }  # fmt: skip
        # Dagster takes each of them for a tag.
        assert dg.AssetSpec("t", tags=column.tags).tags == column.tags

    def test_columns_and_table_name_are_known_before_the_first_run(self, orders: Tiny) -> None:
        metadata = spec_of(orders.definitions(), "mart.orders").metadata
        assert metadata["dagster/table_name"] == "mart.orders"
        [column] = metadata["dagster/column_schema"].columns
        assert (column.name, column.description) == ("order_id", "What tells orders apart.")
        assert not column.constraints.nullable

    def test_what_is_no_table_is_not_said_to_be_stored(self) -> None:
        metadata = spec_of(build_defs(local.PIPELINE), "report.sales").metadata
        assert not {"dagster/table_name", "dagster/storage_kind"} & set(metadata)

    def test_a_materialization_shows_rows_columns_and_sql(self, day: Shop) -> None:
        events = day.events(dg.DagsterEventType.ASSET_MATERIALIZATION)
        found = {
            event.asset_key.to_user_string(): event.materialization.metadata
            for event in events
            if event.partition is None
        }
        assert found["stg/customers"]["dagster/row_count"].value == 100
        columns = found["stg/customers"]["dagster/column_schema"].value.columns
        assert [c.name for c in columns][:3] == ["customer_id", "email", "full_name"]
        assert columns[0].type.upper() == "BIGINT"
        assert "without surrounding blanks" in columns[1].description
        assert "TRIM(email)" in found["stg/customers"]["sql"].value
        assert found["raw/customers"]["dagster/row_count"].value == 100
        assert set(found) == {
            s.key.to_user_string() for s in build_defs(local.PIPELINE).resolve_all_asset_specs()
        }


def test_the_functions_of_assets_are_not_inspected_one_by_one(
    tiny: Tiny, monkeypatch: pytest.MonkeyPatch
) -> None:
    inspected: list[str] = []
    look = inspect._signature_from_function  # type: ignore[attr-defined]

    def counting(kind: Any, function: Any, **options: Any) -> Any:
        inspected.append(function.__qualname__)
        return look(kind, function, **options)

    monkeypatch.setattr(inspect, "_signature_from_function", counting)
    for name in "abc":
        tiny.sql(f"main.{name}", "SELECT 1 AS n")

    assert tiny.definitions().resolve_all_asset_specs()
    assert not [name for name in inspected if "build_asset" in name]


class TestTheCodeVersion:
    def test_it_is_the_same_for_the_same_files(self, orders: Tiny) -> None:
        first, second = (spec_of(orders.definitions(), "mart.orders") for _ in range(2))
        assert first.code_version == second.code_version is not None

    @pytest.mark.parametrize(
        ("before", "after"),
        [
            ("- name: not_null", "- name: positive"),
            ("type: integer", "type: string"),
            ("tells orders apart", "identifies an order"),
        ],
    )
    def test_it_changes_with_the_glossary_entries_it_extends(
        self, orders: Tiny, before: str, after: str
    ) -> None:
        first = spec_of(orders.definitions(), "mart.orders").code_version
        orders.write("glossary.yml", GLOSSARY.replace(before, after))
        assert spec_of(orders.definitions(), "mart.orders").code_version != first

    def test_it_does_not_change_with_other_glossary_entries(self, orders: Tiny) -> None:
        first = spec_of(orders.definitions(), "mart.orders").code_version
        orders.write("glossary.yml", GLOSSARY + "      Note:\n        name: note\n")
        assert spec_of(orders.definitions(), "mart.orders").code_version == first

    def test_it_changes_with_the_query(self, orders: Tiny) -> None:
        first = spec_of(orders.definitions(), "mart.orders").code_version
        orders.sql("mart.orders", "SELECT 2 AS order_id", ORDERS)
        assert spec_of(orders.definitions(), "mart.orders").code_version != first


class TestAFileAddedByHand:
    def test_it_appears_and_runs_without_any_python(
        self, orders: Tiny, instance: dg.DagsterInstance
    ) -> None:
        orders.write(
            "pipeline/assets/mart/report.sql",
            "/* @bruin\n"
            "type: duckdb.sql\n"
            "materialization:\n"
            "  type: table\n"
            "depends:\n"
            "  - mart.orders\n"
            "columns:\n"
            "  - extends: Order.ID\n"
            "  - name: doubled\n"
            "@bruin */\n"
            "SELECT order_id, order_id * 2 AS doubled FROM mart.orders\n",
        )
        definitions = orders.definitions()
        spec = spec_of(definitions, "mart.report")
        assert [dep.asset_key.to_user_string() for dep in spec.deps] == ["mart/orders"]
        result = run_all(definitions, instance)
        assert result.success
        assert orders.query("FROM mart.report") == [(1, 2)]
        recorded = {
            (e.asset_key.path[-1], e.check_name) for e in result.get_asset_check_evaluations()
        }
        assert ("report", "order_id__not_null") in recorded


class Renaming(BruinTranslator):
    """What a team might do: a group and a tag of its own, and a note on every check."""

    def get_asset_spec(self, asset: Any, project: Any) -> dg.AssetSpec:
        spec = super().get_asset_spec(asset, project)
        return spec.replace_attributes(group_name="team_a").merge_attributes(tags={"team": "a"})

    def get_asset_check_spec(self, check: Any, project: Any) -> dg.AssetCheckSpec:
        return super().get_asset_check_spec(check, project)._replace(description="Ask team A.")


class Rekeying(BruinTranslator):
    """Keys with a prefix, given to the spec and not by the method for it."""

    def get_asset_spec(self, asset: Any, project: Any) -> dg.AssetSpec:
        spec = super().get_asset_spec(asset, project)
        return spec.replace_attributes(key=spec.key.with_prefix("shop"))


class TestWhatAProjectCanChange:
    def test_a_translator_changes_how_assets_and_checks_look(
        self, orders: Tiny, instance: dg.DagsterInstance
    ) -> None:
        definitions = orders.definitions(translator=Renaming())
        spec = spec_of(definitions, "mart.orders")
        assert (spec.group_name, spec.tags["team"]) == ("team_a", "a")
        [asset] = definitions.assets or []
        [check] = asset.check_specs  # type: ignore[union-attr]
        assert check.description == "Ask team A."
        assert run_all(definitions, instance).success

    def test_a_translator_that_makes_the_whole_spec_may_change_the_key(
        self, orders: Tiny, instance: dg.DagsterInstance
    ) -> None:
        orders.sql("mart.last", "SELECT order_id FROM mart.orders", "depends: [mart.orders]")
        definitions = orders.definitions(translator=Rekeying())
        job = definitions.resolve_job_def("tiny")
        result = job.execute_in_process(instance=instance)
        assert materialized(result) == ["shop/mart/orders", "shop/mart/last"]

    def test_a_connection_can_be_replaced_by_a_resource(
        self, orders: Tiny, instance: dg.DagsterInstance
    ) -> None:
        elsewhere = WarehouseResource(database=str(orders.folder / "elsewhere.duckdb"))
        definitions = orders.definitions(resources={"duckdb_default": elsewhere})
        assert run_all(definitions, instance).success
        assert not orders.warehouse.exists()
        with elsewhere.get_connection() as connection:
            assert connection.execute("FROM mart.orders").fetchall() == [(1,)]

    @pytest.mark.parametrize(
        ("resources", "said"),
        [
            ({"duckdb_defualt": 1}, "the resource 'duckdb_defualt' replaces no connection; did you mean 'duckdb_default'?"),
            ({"duckdb-default": 1}, "the resource 'duckdb-default' replaces no connection; did you mean 'duckdb_default'?"),
            ({"io_manager": 1}, "the resource 'io_manager' replaces no connection; known: duckdb_default"),
            ({"duckdb_default": None}, "the resource 'duckdb_default' is a NoneType; the connection 'duckdb-default' of type duckdb needs one with get_connection(), as WarehouseResource has"),
            ({"duckdb_default": PostgresResource(connection="pg", config_file=".bruin.yml")}, "the resource 'duckdb_default' is a PostgresResource; the connection 'duckdb-default' of type duckdb needs one with get_connection(), as WarehouseResource has"),
        ],
    )  # fmt: skip
    def test_a_resource_that_stands_in_for_no_connection_is_refused(
        self, orders: Tiny, resources: dict[str, Any], said: str
    ) -> None:
        with pytest.raises(dg.DagsterInvalidDefinitionError) as refused:
            orders.definitions(resources=resources)
        assert str(refused.value) == said

    def test_a_resource_may_be_made_or_configured_in_the_run(
        self, orders: Tiny, instance: dg.DagsterInstance
    ) -> None:
        elsewhere = str(orders.folder / "elsewhere.duckdb")
        made = dg.ResourceDefinition(lambda _: WarehouseResource(database=elsewhere))
        definitions = orders.definitions(resources={"duckdb_default": made})
        assert run_all(definitions, instance).success
        assert not orders.warehouse.exists()
        orders.definitions(
            resources={"duckdb_default": WarehouseResource.configure_at_launch()}
        ).get_repository_def()

    def test_the_warehouse_is_shared_with_assets_written_in_python(
        self, orders: Tiny, instance: dg.DagsterInstance
    ) -> None:
        @dg.asset(deps=[dg.AssetKey(["mart", "orders"])], required_resource_keys={"duckdb_default"})
        def exported(context) -> None:  # type: ignore[no-untyped-def]
            with context.resources.duckdb_default.get_connection() as connection:
                connection.execute(
                    "CREATE TABLE export AS SELECT order_id + 1 AS x FROM mart.orders"
                )

        ours = orders.definitions()
        both = dg.Definitions.merge(ours, dg.Definitions(assets=[exported]))
        assert run_all(both, instance).success
        assert orders.query("FROM export") == [(2,)]

    def test_another_environment_means_other_connections(
        self, orders: Tiny, instance: dg.DagsterInstance
    ) -> None:
        config = (orders.folder / ".bruin.yml").read_text()
        staging = config.split("environments:\n")[1].replace("  default:", "  staging:", 1)
        staging = staging.replace("warehouse.duckdb", "staging.duckdb")
        orders.write(".bruin.yml", config + staging)
        assert run_all(orders.definitions(environment="staging"), instance).success
        assert (orders.folder / "staging.duckdb").exists()
        assert not orders.warehouse.exists()

    def test_variables_of_the_pipeline_can_be_set(
        self, tiny: Tiny, instance: dg.DagsterInstance
    ) -> None:
        tiny.write(
            "pipeline/pipeline.yml",
            "name: tiny\nvariables: {limit: {type: integer, default: 1}}\n",
        )
        tiny.sql("main.t", "SELECT range AS n FROM range({{ var.limit }})")
        assert run_all(tiny.definitions(variables={"limit": 3}), instance).success
        assert tiny.query("SELECT count(*) FROM main.t") == [(3,)]


class TestTheComponent:
    @pytest.fixture
    def project(self, orders: Tiny) -> Path:
        """Somebody else's dg project, with our pipeline in a folder of it."""
        orders.write(
            "pyproject.toml",
            '[project]\nname = "other"\nversion = "0"\n'
            '[tool.dg]\ndirectory_type = "project"\n[tool.dg.project]\nroot_module = "other"\n',
        )
        orders.write("other/__init__.py", "")
        orders.write("other/defs/__init__.py", "")
        orders.write(
            "other/defs/sales/defs.yaml",
            "type: ecommerce_dagster.component.BruinPipelineComponent\n"
            "attributes:\n  pipeline_dir: pipeline\n",
        )
        return orders.folder

    def test_a_defs_yaml_loads_the_pipeline(
        self, project: Path, monkeypatch: pytest.MonkeyPatch, instance: dg.DagsterInstance
    ) -> None:
        monkeypatch.syspath_prepend(str(project))
        definitions = dg.load_from_defs_folder(path_within_project=project / "other" / "defs")
        assert spec_of(definitions, "mart.orders").group_name == "mart"
        graph = definitions.resolve_asset_graph()
        assert {key.name for key in graph.asset_check_keys} == {"order_id__not_null"}
        job = definitions.resolve_implicit_global_asset_job_def()
        result = job.execute_in_process(instance=instance)
        assert materialized(result) == ["mart/orders"]


class TestTheJobAndItsSchedule:
    def test_the_pipeline_is_one_job_with_a_daily_schedule_in_utc(self) -> None:
        definitions = build_defs(local.PIPELINE)
        schedule = definitions.resolve_schedule_def("orders_performance_schedule")
        assert schedule.cron_schedule == "0 0 * * *"
        assert schedule.execution_timezone == "UTC"
        assert schedule.job_name == "orders_performance"
        assert schedule.default_status == dg.DefaultScheduleStatus.STOPPED

    def test_runs_use_one_process(self) -> None:
        job = build_defs(local.PIPELINE).resolve_job_def("orders_performance")
        assert job.executor_def is dg.in_process_executor

    def test_other_jobs_of_a_code_location_keep_their_executor(self) -> None:
        @dg.job
        def hers() -> None:
            pass

        her_own = dg.Definitions(jobs=[hers], executor=dg.multiprocess_executor)
        merged = dg.Definitions.merge(build_defs(local.PIPELINE), her_own)
        assert merged.resolve_job_def("hers").executor_def is dg.multiprocess_executor
        ours = merged.resolve_job_def("orders_performance")
        assert ours.executor_def is dg.in_process_executor

    def test_an_executor_can_be_given(self) -> None:
        definitions = build_defs(local.PIPELINE, executor=dg.multiprocess_executor)
        job = definitions.resolve_job_def("orders_performance")
        assert job.executor_def is dg.multiprocess_executor


def test_the_code_location_of_this_checkout_is_its_pipeline(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from ecommerce_dagster.definitions import defs

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ECOMMERCE_HOME", str(ROOT / "nowhere"))
        patch.setenv("DUCKDB_PATH", "unused.duckdb")
        keys = {spec.key for spec in defs().resolve_all_asset_specs()}
    assert len([key for key in keys if key.path[0] != "report"]) == 26
    assert len(keys) == 27
