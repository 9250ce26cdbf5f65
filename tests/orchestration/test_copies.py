"""Copies of a pipeline in one code location, and keys and attributes that a translator gives."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import dagster as dg
import psycopg
import pytest

from ecommerce_dagster import BruinTranslator, ProjectError, build_defs
from ecommerce_dagster.shop.embedded_postgres import PostgresServer
from orchestration.helpers import COUNT_AT_ONCE, Tiny, checks_recorded, materialized, query

DAYS = "name: sales\nschedule: daily\nstart_date: '2025-03-01'\n"
ORDERS = """
name: raw.orders
type: ingestr
parameters:
  source_connection: pg
  source_table: public.orders
  incremental_strategy: delete+insert
  incremental_key: at
columns: [{name: id, type: integer, checks: [{name: positive}]}]
"""
PEOPLE = """
name: raw.people
type: ingestr
parameters: {source_connection: pg, source_table: public.people, incremental_strategy: merge}
columns: [{name: id, type: integer, primary_key: true}]
"""
TOTAL = "SELECT count(*) AS orders, (SELECT count(*) FROM raw.people) AS people FROM raw.orders"


def write_config(tiny: Tiny, server: PostgresServer) -> None:
    """Two environments, each with a warehouse and a source of its own."""
    environments = {
        name: {
            "connections": {
                "duckdb": [{"name": "duckdb-default", "path": f"{name}.duckdb"}],
                "postgres": [
                    {
                        "name": "pg",
                        "host": server.host,
                        "port": server.port,
                        "username": server.user,
                        "password": server.password,
                        "database": name,
                    }
                ],
            }
        }
        for name in ("dev", "prod")
    }
    text = json.dumps({"default_environment": "dev", "environments": environments})
    tiny.write(".bruin.yml", text)


def execute(server: PostgresServer, database: str, *statements: str) -> None:
    dsn = psycopg.conninfo.make_conninfo(server.dsn, dbname=database)
    with psycopg.connect(dsn) as connection:
        for statement in (*statements, COUNT_AT_ONCE):
            connection.execute(statement.encode())


@pytest.fixture
def copies(tiny: Tiny, server: PostgresServer) -> Tiny:
    write_config(tiny, server)
    with psycopg.connect(server.dsn, autocommit=True) as connection:
        for name in ("dev", "prod"):
            connection.execute(f"DROP DATABASE IF EXISTS {name}".encode())
            connection.execute(f"CREATE DATABASE {name}".encode())
    for number, name in enumerate(("dev", "prod"), start=1):
        execute(
            server,
            name,
            "CREATE TABLE orders (id int, at timestamp)",
            "CREATE TABLE people (id int PRIMARY KEY)",
            f"INSERT INTO orders SELECT i, '2025-03-02' FROM generate_series(1, {number}) i",
            "INSERT INTO people VALUES (1)",
        )
    tiny.write("pipeline/pipeline.yml", DAYS)
    tiny.write("pipeline/assets/orders.asset.yml", ORDERS)
    tiny.write("pipeline/assets/people.asset.yml", PEOPLE)
    tiny.sql(
        "mart.total",
        TOTAL,
        "depends: [raw.orders, raw.people]\nmeta: {automation: eager}\n"
        "columns: [{name: orders, type: integer, checks: [{name: positive}]}]",
    )
    return tiny


def both(tiny: Tiny) -> dg.Definitions:
    return dg.Definitions.merge(
        *(build_defs(tiny.directory, environment=name, key_prefix=name) for name in ("dev", "prod"))
    )


def tick(
    definitions: dg.Definitions, instance: dg.DagsterInstance, sensor: str, cursor: str | None
) -> Any:
    """What a sensor says in a tick."""
    found = definitions.resolve_sensor_def(sensor)
    resources = {key: (definitions.resources or {})[key] for key in found.required_resource_keys}
    with dg.build_sensor_context(
        instance, cursor=cursor, resources=resources, definitions=definitions
    ) as context:
        return found.evaluate_tick(context)


def run_request(
    definitions: dg.Definitions, instance: dg.DagsterInstance, job: str, request: dg.RunRequest
) -> dg.ExecuteInProcessResult:
    """The run that a sensor asked for."""
    found = definitions.resolve_job_def(job).get_subset(
        asset_selection=set(request.asset_selection or ()),
        asset_check_selection=set(request.asset_check_keys or ()),
    )
    return found.execute_in_process(
        instance=instance,
        tags={**request.tags, "dagster/run_key": request.run_key or ""},
        raise_on_error=False,
    )


def total(tiny: Tiny, name: str) -> list[tuple[Any, ...]]:
    return query(tiny.folder / f"{name}.duckdb", "FROM mart.total")


class TestTwoCopies:
    def test_every_name_has_the_prefix(self, copies: Tiny) -> None:
        definitions = both(copies)
        keys = {s.key.to_user_string() for s in definitions.resolve_all_asset_specs()}
        own = ("raw/orders", "raw/people", "mart/total")
        assert keys == {f"{name}/{key}" for name in ("dev", "prod") for key in own}
        names = {
            *(job.name for job in definitions.jobs or ()),
            *(one.name for one in definitions.schedules or ()),
            *(one.name for one in definitions.sensors or ()),
        }
        endings = (
            "sales", "sales_schedule", "sales_reconcile", "sales_reconcile_schedule",
            "sales_pg_changes", "sales_automation",
        )  # fmt: skip
        assert names == {f"{name}_{ending}" for name in ("dev", "prod") for ending in endings}
        assert set(definitions.resources or ()) == {
            f"{name}_{key}" for name in ("dev", "prod") for key in ("duckdb_default", "pg")
        }
        definitions.get_repository_def()

    def test_the_edges_stay_in_the_copy(self, copies: Tiny) -> None:
        graph = both(copies).resolve_asset_graph()
        for name in ("dev", "prod"):
            parents = graph.get(dg.AssetKey([name, "mart", "total"])).parent_keys
            assert {key.path[0] for key in parents} == {name}

    def test_a_job_builds_its_own(self, copies: Tiny, instance: dg.DagsterInstance) -> None:
        definitions = both(copies)
        result = definitions.resolve_job_def("prod_sales").execute_in_process(
            instance=instance,
            tags={
                "dagster/asset_partition_range_start": "2025-03-01",
                "dagster/asset_partition_range_end": "2025-03-03",
            },
        )
        assert set(materialized(result)) == {
            "prod/raw/orders",
            "prod/raw/people",
            "prod/mart/total",
        }
        assert set(checks_recorded(result)) == {
            "prod/raw/orders:id__positive",
            "prod/mart/total:orders__positive",
        }
        assert total(copies, "prod") == [(2, 1)]
        assert not (copies.folder / "dev.duckdb").exists()
        [event] = result.asset_materializations_for_node("prod__mart__total")
        lineage = event.metadata["dagster/column_lineage"].value.deps_by_column
        assert {dep.asset_key.path[0] for dep in lineage["orders"]} <= {"prod"}

    def test_one_run_over_both(self, copies: Tiny, instance: dg.DagsterInstance) -> None:
        job = both(copies).resolve_implicit_global_asset_job_def()
        result = job.execute_in_process(instance=instance, partition_key="2025-03-02")
        assert len(materialized(result)) == 6
        assert (total(copies, "dev"), total(copies, "prod")) == ([(1, 1)], [(2, 1)])

    def test_each_sensor_follows_its_own_source(
        self, copies: Tiny, server: PostgresServer, instance: dg.DagsterInstance
    ) -> None:
        definitions, cursors = both(copies), dict[str, str | None]()
        for name, rows in (("dev", 1), ("prod", 2)):
            found = tick(definitions, instance, f"{name}_sales_pg_changes", None)
            cursors[name] = found.cursor
            [request] = found.run_requests or ()
            assert {key.path[0] for key in request.asset_selection or ()} == {name}
            assert {key.asset_key.path[0] for key in request.asset_check_keys or ()} == {name}
            assert run_request(definitions, instance, f"{name}_sales", request).success
            assert total(copies, name) == [(rows, 1)]
        execute(server, "prod", "INSERT INTO orders VALUES (9, '2025-03-04')")
        quiet = tick(definitions, instance, "dev_sales_pg_changes", cursors["dev"])
        assert not quiet.run_requests
        assert "changed in 2 tables" in str(quiet.skip_message)
        found = tick(definitions, instance, "prod_sales_pg_changes", cursors["prod"])
        [request] = found.run_requests or ()
        assert request.tags["dagster/asset_partition_range_start"] == "2025-03-04"
        assert run_request(definitions, instance, "prod_sales", request).success
        assert (total(copies, "dev"), total(copies, "prod")) == ([(1, 1)], [(3, 1)])
        filled = instance.get_materialized_partitions(dg.AssetKey(["prod", "raw", "orders"]))
        assert "2025-03-04" in filled

    def test_schedule_and_reconciliation_are_of_the_copy(
        self, copies: Tiny, server: PostgresServer, instance: dg.DagsterInstance
    ) -> None:
        definitions = both(copies)
        schedule = definitions.resolve_schedule_def("prod_sales_schedule")
        assert schedule.job_name == "prod_sales"
        keys = {
            name: definitions.resolve_job_def(f"{name}_sales_reconcile").asset_layer
            for name in ("dev", "prod")
        }
        assert {
            name: {key.to_user_string() for key in layer.selected_asset_keys}
            for name, layer in keys.items()
        } == {name: {f"{name}/raw/people", f"{name}/mart/total"} for name in keys}

    def test_a_rejected_build_is_told_of_the_copy(
        self, copies: Tiny, server: PostgresServer, instance: dg.DagsterInstance
    ) -> None:
        execute(server, "dev", "INSERT INTO orders VALUES (-1, '2025-03-02')")
        job = both(copies).resolve_implicit_global_asset_job_def()
        result = job.execute_in_process(
            instance=instance, partition_key="2025-03-02", raise_on_error=False
        )
        assert not checks_recorded(result)["dev/raw/orders:id__positive"].passed
        assert set(materialized(result)) == {
            "dev/raw/people", "prod/raw/orders", "prod/raw/people", "prod/mart/total"
        }  # fmt: skip
        [told] = result.filter_events(
            lambda event: event.event_type == dg.DagsterEventType.ASSET_OBSERVATION
        )
        assert told.asset_key == dg.AssetKey(["dev", "raw", "orders"])

    def test_a_resource_is_replaced_by_the_key_of_its_connection(
        self, copies: Tiny, instance: dg.DagsterInstance
    ) -> None:
        from ecommerce_dagster.orchestration.resources import WarehouseResource

        elsewhere = WarehouseResource(database=str(copies.folder / "elsewhere.duckdb"))
        definitions = build_defs(
            copies.directory, key_prefix="dev", resources={"duckdb_default": elsewhere}
        )
        result = definitions.resolve_implicit_global_asset_job_def().execute_in_process(
            instance=instance, partition_key="2025-03-02"
        )
        assert result.success
        assert total(copies, "elsewhere") == [(1, 1)]


class TestKeysOfATranslator:
    class Tenant(BruinTranslator):
        def __init__(self, tenant: str) -> None:
            self.tenant = tenant

        def get_asset_key(self, asset: Any, project: Any) -> dg.AssetKey:
            return dg.AssetKey(["tenants", f"{self.tenant}-x", *asset.name.split(".")])

    @pytest.fixture
    def chain(self, tiny: Tiny) -> Tiny:
        rule = "columns: [{name: n, checks: [{name: positive}]}]"
        tiny.sql("raw.t", "SELECT 1 AS n", rule)
        tiny.sql("mart.t", "SELECT n FROM raw.t", f"depends: [raw.t]\n{rule}")
        return tiny

    def test_are_used_everywhere(self, chain: Tiny, instance: dg.DagsterInstance) -> None:
        definitions = chain.definitions(translator=self.Tenant("acme"))
        result = definitions.resolve_job_def("tiny").execute_in_process(instance=instance)
        assert materialized(result) == ["tenants/acme-x/raw/t", "tenants/acme-x/mart/t"]
        assert set(checks_recorded(result)) == {
            "tenants/acme-x/raw/t:n__positive",
            "tenants/acme-x/mart/t:n__positive",
        }
        [event] = result.asset_materializations_for_node("tenants__acme_x__mart__t")
        [dep] = event.metadata["dagster/column_lineage"].value.deps_by_column["n"]
        assert dep.asset_key.to_user_string() == "tenants/acme-x/raw/t"

    def test_join_pipelines_of_one_folder(self, chain: Tiny, instance: dg.DagsterInstance) -> None:
        chain.write("other/pipeline.yml", "name: other\n")
        chain.write(
            "other/assets/last.sql",
            "/* @bruin\nname: last.t\ntype: duckdb.sql\nmaterialization: {type: table}\n"
            "depends: [mart.t]\n@bruin */\nSELECT n FROM mart.t\n",
        )
        definitions = build_defs(chain.folder, translator=self.Tenant("acme"))
        job = definitions.resolve_implicit_global_asset_job_def()
        assert materialized(job.execute_in_process(instance=instance)) == [
            "tenants/acme-x/raw/t", "tenants/acme-x/mart/t", "tenants/acme-x/last/t"
        ]  # fmt: skip

    def test_may_tell_equal_names_of_two_pipelines_apart(
        self, chain: Tiny, instance: dg.DagsterInstance
    ) -> None:
        class ByPipeline(BruinTranslator):
            def get_asset_key(self, asset: Any, project: Any) -> dg.AssetKey:
                return dg.AssetKey([project.pipeline.name, *asset.name.split(".")])

        chain.write("other/pipeline.yml", "name: other\ndefault_connections: {duckdb: second}\n")
        chain.write("other/assets/t.sql", (chain.directory / "assets/raw.t.sql").read_text())
        config = (chain.folder / ".bruin.yml").read_text()
        chain.write(
            ".bruin.yml", f"{config}        - name: second\n          path: second.duckdb\n"
        )
        with pytest.raises(ProjectError, match="has the asset key raw/t"):
            build_defs(chain.folder)
        definitions = build_defs(chain.folder, translator=ByPipeline())
        result = definitions.resolve_implicit_global_asset_job_def().execute_in_process(
            instance=instance
        )
        assert set(materialized(result)) == {"tiny/raw/t", "tiny/mart/t", "other/raw/t"}

    def test_that_two_assets_share_are_refused_by_file(self, chain: Tiny) -> None:
        class Same(BruinTranslator):
            def get_asset_key(self, asset: Any, project: Any) -> dg.AssetKey:
                return dg.AssetKey("t")

        message = r"raw.t.sql:2.*'raw.t' has the asset key t, as 'mart.t' in .*mart.t.sql; rename one|mart.t.sql:2.*has the asset key t, as 'raw.t'"
        with pytest.raises(ProjectError, match=message):
            chain.definitions(translator=Same())


class TestAttributes:
    def test_are_overridden_one_at_a_time(self, tiny: Tiny, instance: dg.DagsterInstance) -> None:
        class Ours(BruinTranslator):
            def get_group_name(self, asset: Any, project: Any) -> str:
                return f"team_{project.pipeline.name}"

            def get_owners(self, asset: Any, project: Any) -> list[str]:
                return ["team:ours"]

            def get_tags(self, asset: Any, project: Any) -> Mapping[str, str]:
                return {**super().get_tags(asset, project), "tier": "1"}

            def get_description(self, asset: Any, project: Any) -> str:
                return f"{asset.name}, of ours"

            def get_kinds(self, asset: Any, project: Any) -> set[str]:
                return {"sql"}

            def get_metadata(self, asset: Any, project: Any) -> Mapping[str, Any]:
                return {**super().get_metadata(asset, project), "wiki": "https://wiki/x"}

        tiny.sql("mart.t", "SELECT 1 AS n", "tags: [mart]")
        definitions = tiny.definitions(translator=Ours())
        [spec] = definitions.resolve_all_asset_specs()
        assert (spec.group_name, spec.owners, spec.kinds) == ("team_tiny", ["team:ours"], {"sql"})
        assert (spec.tags["mart"], spec.tags["tier"]) == ("", "1")
        assert spec.description == "mart.t, of ours"
        assert spec.metadata["wiki"] == "https://wiki/x"
        assert spec.metadata["bruin/type"] == "duckdb.sql"
        assert definitions.resolve_job_def("tiny").execute_in_process(instance=instance).success


class TestNamesThatCollide:
    def write(self, tiny: Tiny, folder: str, name: str) -> None:
        tiny.write(f"pipelines/{folder}/pipeline.yml", f"name: {name}\nschedule: daily\n")
        tiny.write(
            f"pipelines/{folder}/assets/t.asset.yml",
            f"name: {folder}.t\ntype: ingestr\nparameters: {{source_connection: pg, source_table: t, "
            "incremental_strategy: merge}\ncolumns: [{name: id, type: integer, primary_key: true}]\n",
        )

    def test_are_told_with_both_files(self, tiny: Tiny) -> None:
        write_source(tiny)
        self.write(tiny, "a", "sales")
        self.write(tiny, "b", "sales_reconcile")
        with pytest.raises(dg.DagsterInvalidDefinitionError) as refused:
            build_defs(tiny.folder / "pipelines")
        said = str(refused.value)
        assert "b/pipeline.yml:1" in said
        assert "'sales_reconcile' has a job sales_reconcile, as 'sales' in" in said
        assert "a/pipeline.yml; give one pipeline another name" in said

    def test_with_a_prefix_as_well(self, tiny: Tiny) -> None:
        write_source(tiny)
        self.write(tiny, "a", "sales")
        self.write(tiny, "b", "Sales")
        with pytest.raises(ProjectError, match="has the job name dev_sales, as 'sales' in"):
            build_defs(tiny.folder / "pipelines", key_prefix="dev")


def write_source(tiny: Tiny) -> None:
    config = (tiny.folder / ".bruin.yml").read_text()
    tiny.write(
        ".bruin.yml",
        f"{config}      postgres:\n        - {{name: pg, host: '::1', username: u, password: p, "
        "database: d}\n",
    )


def test_checks_of_an_asset_of_other_code_are_of_each_copy(
    tiny: Tiny, instance: dg.DagsterInstance
) -> None:
    tiny.rates()

    @dg.asset(key=["finance", "rates"], required_resource_keys={"a_duckdb_default"})
    def rates(context) -> None:  # type: ignore[no-untyped-def]
        with context.resources.a_duckdb_default.get_connection() as connection:
            connection.execute("CREATE SCHEMA ext; CREATE TABLE ext.rates AS SELECT 1.0 AS rate")

    definitions = dg.Definitions.merge(
        dg.Definitions(assets=[rates]),
        *(build_defs(tiny.directory, key_prefix=name) for name in ("a", "b")),
    )
    result = definitions.resolve_implicit_global_asset_job_def().execute_in_process(
        instance=instance
    )
    assert set(checks_recorded(result)) == {
        "finance/rates:a_rate__positive",
        "finance/rates:b_rate__positive",
    }
    assert set(materialized(result)) == {"finance/rates", "a/mart/t", "b/mart/t"}


def load_components(
    tiny: Tiny, monkeypatch: pytest.MonkeyPatch, package: str, **attributes: str
) -> dg.Definitions:
    """A dg project with a component on the pipeline for each of these."""
    tiny.write(
        "pyproject.toml",
        f'[project]\nname = "{package}"\nversion = "0"\n'
        '[tool.dg]\ndirectory_type = "project"\n'
        f'[tool.dg.project]\nroot_module = "{package}"\n',
    )
    for path in (f"{package}/__init__.py", f"{package}/defs/__init__.py"):
        tiny.write(path, "")
    for name, own in attributes.items():
        tiny.write(
            f"{package}/defs/{name}/defs.yaml",
            "type: ecommerce_dagster.BruinPipelineComponent\n"
            f"attributes: {{pipeline_dir: pipeline, {own}}}\n",
        )
    monkeypatch.syspath_prepend(str(tiny.folder))
    return dg.load_from_defs_folder(path_within_project=Path(tiny.folder, package, "defs"))


class TestTheComponent:
    @pytest.fixture
    def chain(self, tiny: Tiny) -> Tiny:
        tiny.sql("raw.t", "SELECT 1 AS n")
        tiny.sql("mart.t", "FROM raw.t", "depends: [raw.t]")
        return tiny

    def test_has_a_prefix(self, chain: Tiny, monkeypatch: pytest.MonkeyPatch) -> None:
        copies = {name: f"key_prefix: {name}" for name in ("dev", "prod")}
        found = load_components(chain, monkeypatch, "with_copies", **copies)
        keys = {spec.key.to_user_string() for spec in found.resolve_all_asset_specs()}
        assert keys == {f"{name}/{key}/t" for name in copies for key in ("raw", "mart")}
        assert {job.name for job in found.jobs or ()} == {"dev_tiny", "prod_tiny"}

    def test_may_give_keys_by_its_translation(
        self, chain: Tiny, monkeypatch: pytest.MonkeyPatch, instance: dg.DagsterInstance
    ) -> None:
        own = "translation: {key_prefix: team}"
        found = load_components(chain, monkeypatch, "translated", sales=own)
        result = found.resolve_job_def("tiny").execute_in_process(instance=instance)
        assert materialized(result) == ["team/raw/t", "team/mart/t"]
