"""Edges between the assets of files and those of other code, and of other pipelines."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import dagster as dg
import duckdb
import psycopg
import pytest

from ecommerce_dagster import build_defs
from ecommerce_dagster.shop.embedded_postgres import PostgresServer
from orchestration.helpers import Tiny, checks_recorded, config_with_source, failures, materialized

RATES = """
name: ext.rates
type: duckdb.source
meta: {dagster_asset_key: finance/rates}
"""
CHECKED = f"{RATES}columns:\n  - {{name: rate, type: double, checks: [{{name: positive}}]}}\n"
READS_RATES = "SELECT 2 * rate AS doubled FROM ext.rates"
RATE = "CREATE SCHEMA IF NOT EXISTS ext; CREATE OR REPLACE TABLE ext.rates AS SELECT {} AS rate"


def rates(value: float = 1.5) -> dg.AssetsDefinition:
    """The asset of other code that makes the table ext.rates."""

    @dg.asset(key=["finance", "rates"], required_resource_keys={"duckdb_default"})
    def made(context) -> None:  # type: ignore[no-untyped-def]
        with context.resources.duckdb_default.get_connection() as connection:
            connection.execute(RATE.format(value))

    return made


def together(*found: dg.Definitions | dg.AssetsDefinition) -> dg.Definitions:
    return dg.Definitions.merge(
        *(one if isinstance(one, dg.Definitions) else dg.Definitions(assets=[one]) for one in found)
    )


def keys(definitions: dg.Definitions) -> list[str]:
    return sorted(s.key.to_user_string() for s in definitions.resolve_all_asset_specs())


def upstream(definitions: dg.Definitions, key: str) -> set[str]:
    graph = definitions.resolve_asset_graph()
    parents = graph.get(dg.AssetKey.from_user_string(key)).parent_keys
    return {parent.to_user_string() for parent in parents}


def run(
    definitions: dg.Definitions, instance: dg.DagsterInstance, job: str | None = None, **how: Any
) -> dg.ExecuteInProcessResult:
    found = (
        definitions.resolve_job_def(job)
        if job
        else definitions.resolve_implicit_global_asset_job_def()
    )
    return found.execute_in_process(instance=instance, raise_on_error=False, **how)


class TestASourceThatOtherCodeMakes:
    @pytest.fixture
    def pipeline(self, tiny: Tiny) -> Tiny:
        tiny.write("pipeline/assets/rates.asset.yml", RATES)
        tiny.sql("mart.prices", READS_RATES, "depends: [ext.rates]")
        return tiny

    def test_is_her_asset_and_no_second_one(
        self, pipeline: Tiny, instance: dg.DagsterInstance
    ) -> None:
        both = together(rates(), pipeline.definitions())
        assert keys(both) == ["finance/rates", "mart/prices"]
        assert upstream(both, "mart/prices") == {"finance/rates"}
        result = run(both, instance)
        assert materialized(result) == ["finance/rates", "mart/prices"]
        assert pipeline.query("FROM mart.prices") == [(3.0,)]

    def test_that_fails_keeps_its_readers_from_running(
        self, pipeline: Tiny, instance: dg.DagsterInstance
    ) -> None:
        @dg.asset(key=["finance", "rates"])
        def made() -> None:
            raise ValueError("no rates today")

        result = run(together(made, pipeline.definitions()), instance)
        assert set(failures(result)) == {"finance__rates"}
        assert materialized(result) == []

    def test_needs_no_definition_of_hers(
        self, pipeline: Tiny, instance: dg.DagsterInstance
    ) -> None:
        both = pipeline.definitions()
        assert upstream(both, "mart/prices") == {"finance/rates"}
        assert set(failures(run(both, instance, job="tiny"))) == {"mart__prices"}

    def test_is_where_the_columns_come_from(
        self, pipeline: Tiny, instance: dg.DagsterInstance
    ) -> None:
        result = run(together(rates(), pipeline.definitions()), instance)
        [event] = result.asset_materializations_for_node("mart__prices")
        found = event.metadata["dagster/column_lineage"].value.deps_by_column["doubled"]
        assert [(dep.asset_key.to_user_string(), dep.column_name) for dep in found] == [
            ("finance/rates", "rate")
        ]

    @pytest.mark.parametrize(("rate", "built"), [(1.5, ["mart/prices"]), (-1.0, [])])
    def test_its_checks_are_those_of_her_asset_and_block_its_readers(
        self, pipeline: Tiny, instance: dg.DagsterInstance, rate: float, built: list[str]
    ) -> None:
        pipeline.write("pipeline/assets/rates.asset.yml", CHECKED)
        both = together(rates(rate), pipeline.definitions())
        assert keys(both) == ["finance/rates", "mart/prices"]
        result = run(both, instance)
        assert materialized(result) == ["finance/rates", *built]
        [(name, check)] = checks_recorded(result).items()
        assert (name, check.passed) == ("finance/rates:rate__positive", rate > 0)
        # The job of the pipeline checks the table as well, and does not make it.
        assert materialized(run(both, instance, job="tiny")) == built

    def test_validate_knows_it(self, pipeline: Tiny) -> None:
        outcome = pipeline.ecommerce("validate")
        assert outcome.succeeded, outcome.text
        assert "rates" not in outcome.text

    def test_a_run_of_the_command_says_in_a_line_that_it_does_not_wait(
        self, pipeline: Tiny
    ) -> None:
        write(pipeline, RATE.format(4.0))
        outcome = pipeline.ecommerce("run")
        assert outcome.succeeded, outcome.text
        [note] = [line for line in outcome.text.splitlines() if "finance/rates" in line]
        assert note.endswith(
            "not waited for, since other code or another pipeline makes it: finance/rates"
        )
        assert pipeline.query("FROM mart.prices") == [(8.0,)]

    @pytest.mark.parametrize("arguments", [(), ("--only", "checks"), ("ext.rates",)])
    def test_a_run_of_the_command_checks_it(
        self, pipeline: Tiny, arguments: tuple[str, ...]
    ) -> None:
        pipeline.write("pipeline/assets/rates.asset.yml", CHECKED)
        write(pipeline, RATE.format(-1.0))
        outcome = pipeline.ecommerce("run", *arguments)
        assert outcome.code == 1
        assert "rate: positive: 1 of 1 rows break the rule" in outcome.text
        assert not pipeline.query("SELECT 1 FROM duckdb_tables() WHERE schema_name = 'mart'")

    def test_a_run_of_the_command_without_checks_leaves_it_out(self, pipeline: Tiny) -> None:
        pipeline.write("pipeline/assets/rates.asset.yml", CHECKED)
        write(pipeline, RATE.format(-1.0))
        outcome = pipeline.ecommerce("run", "--only", "main", "--output", "json")
        assert outcome.succeeded, outcome.text
        found = json.loads(outcome.stdout)["assets"]
        assert {name: one["status"] for name, one in found.items()} == {
            "ext.rates": "skipped",
            "mart.prices": "success",
        }
        assert found["ext.rates"]["error"] == "other code makes it: in Dagster it is finance/rates"

    def test_that_is_our_own_asset_is_refused(self, pipeline: Tiny) -> None:
        pipeline.sql("finance.rates", "SELECT 1 AS rate")
        outcome = pipeline.ecommerce("validate")
        assert outcome.code == 1
        assert "has the asset key finance/rates" in outcome.text


def write(pipeline: Tiny, sql: str) -> None:
    with duckdb.connect(str(pipeline.warehouse)) as connection:
        connection.execute(sql)


class TestASourceOfAnyKind:
    def test_hers_may_have_partitions(self, tiny: Tiny, instance: dg.DagsterInstance) -> None:
        tiny.write("pipeline/pipeline.yml", "name: tiny\nschedule: daily\nstart_date: 2025-01-01\n")
        tiny.write(
            "pipeline/assets/days.asset.yml",
            "name: ext.days\ntype: duckdb.source\nmeta: {dagster_asset_key: theirs}\n"
            "columns: [{name: day, type: date}]\n",
        )
        query = "SELECT day FROM ext.days WHERE day BETWEEN '{{ start_date }}' AND '{{ end_date }}'"
        tiny.sql("stg.days", query, f"depends: [ext.days]{BY_DAY}", table=False)
        tiny.sql("mart.number", "SELECT count(*) AS n FROM ext.days", "depends: [ext.days]")
        days = dg.DailyPartitionsDefinition("2025-01-01", timezone="UTC", end_offset=1)

        @dg.asset(partitions_def=days, required_resource_keys={"duckdb_default"})
        def theirs(context) -> None:  # type: ignore[no-untyped-def]
            with context.resources.duckdb_default.get_connection() as connection:
                connection.execute("CREATE SCHEMA IF NOT EXISTS ext")
                connection.execute("CREATE TABLE IF NOT EXISTS ext.days (day DATE)")
                connection.execute("INSERT INTO ext.days VALUES (?)", [context.partition_key])

        both = together(tiny.definitions(), theirs)
        for number, day in enumerate(("2025-01-03", "2025-01-04"), start=1):
            result = run(both, instance, partition_key=day)
            assert materialized(result)[0] == "theirs"
            assert tiny.query("FROM mart.number") == [(number,)]
        assert tiny.query("SELECT count(*) FROM stg.days") == [(2,)]

    def test_hers_may_be_a_spec_that_nothing_runs(
        self, tiny: Tiny, instance: dg.DagsterInstance
    ) -> None:
        tiny.write("pipeline/assets/rates.asset.yml", CHECKED)
        tiny.sql("mart.prices", READS_RATES, "depends: [ext.rates]")
        write(tiny, RATE.format(2.0))
        spec = dg.AssetSpec(["finance", "rates"], description="From elsewhere.")
        both = dg.Definitions.merge(dg.Definitions(assets=[spec]), tiny.definitions())
        described = {s.key.to_user_string(): s.description for s in both.resolve_all_asset_specs()}
        assert described["finance/rates"] == "From elsewhere."
        result = run(both, instance, job="tiny")
        assert materialized(result) == ["mart/prices"]
        assert set(checks_recorded(result)) == {"finance/rates:rate__positive"}

    def test_its_readers_follow_hers_when_they_are_eager(
        self, tiny: Tiny, instance: dg.DagsterInstance
    ) -> None:
        tiny.write("pipeline/assets/rates.asset.yml", RATES)
        tiny.sql("mart.prices", READS_RATES, "depends: [ext.rates]\nmeta: {automation: eager}")
        both = together(rates(), tiny.definitions())
        assert run(both, instance).success
        first = dg.evaluate_automation_conditions(both, instance)
        hers = both.resolve_implicit_global_asset_job_def().get_subset(
            asset_selection={dg.AssetKey(["finance", "rates"])}
        )
        assert hers.execute_in_process(instance=instance).success
        second = dg.evaluate_automation_conditions(both, instance, cursor=first.cursor)
        assert second.total_requested == 1
        assert second.get_num_requested(dg.AssetKey(["mart", "prices"])) == 1

    def test_its_table_may_be_in_postgres(
        self, tiny: Tiny, server: PostgresServer, instance: dg.DagsterInstance
    ) -> None:
        config = config_with_source(server.host, server.port, server.password)
        tiny.write(".bruin.yml", config.replace("database: shop", f"database: {server.database}"))
        tiny.write(
            "pipeline/assets/rates.asset.yml",
            CHECKED.replace("duckdb.source", "pg.source\nconnection: pg"),
        )
        tiny.write(
            "pipeline/assets/prices.sql",
            "/* @bruin\nname: mart.prices\ntype: pg.sql\nconnection: pg\ndepends: [ext.rates]\n"
            f"materialization: {{type: table}}\n@bruin */\n{READS_RATES}\n",
        )

        @dg.asset(key=["finance", "rates"])
        def made() -> None:
            with psycopg.connect(server.dsn) as connection:
                connection.execute("CREATE SCHEMA IF NOT EXISTS ext")
                connection.execute("DROP TABLE IF EXISTS ext.rates")
                connection.execute("CREATE TABLE ext.rates AS SELECT 1.5::float8 AS rate")

        result = run(together(tiny.definitions(), made), instance)
        assert materialized(result) == ["finance/rates", "mart/prices"]
        assert checks_recorded(result)["finance/rates:rate__positive"].passed
        with psycopg.connect(server.dsn) as connection:
            assert connection.execute("SELECT * FROM mart.prices").fetchall() == [(3.0,)]


class TestADependencyOnAKey:
    def test_is_an_edge_and_the_order_of_a_run(
        self, tiny: Tiny, instance: dg.DagsterInstance
    ) -> None:
        tiny.sql("mart.prices", READS_RATES, "depends: [{uri: 'dagster://finance/rates'}]")
        both = together(tiny.definitions(), rates())
        assert keys(both) == ["finance/rates", "mart/prices"]
        assert materialized(run(both, instance)) == ["finance/rates", "mart/prices"]

    def test_is_nothing_that_validate_complains_of(self, tiny: Tiny) -> None:
        tiny.sql("mart.prices", "SELECT 1 AS n", "depends: [{uri: 'dagster://finance/rates'}]")
        outcome = tiny.ecommerce("validate")
        assert outcome.succeeded
        assert "finance" not in outcome.text

    def test_is_named_by_a_run_of_the_command(self, tiny: Tiny) -> None:
        tiny.sql("mart.prices", "SELECT 1 AS n", "depends: [{uri: 'dagster://finance/rates'}]")
        outcome = tiny.ecommerce("run")
        assert outcome.succeeded
        assert outcome.text.count("finance/rates") == 1

    def test_may_be_for_show_alone(self, tiny: Tiny) -> None:
        header = "depends: [{uri: 'dagster://finance/rates', mode: symbolic}]"
        tiny.sql("mart.prices", "SELECT 1 AS n", header)
        assert upstream(tiny.definitions(), "mart/prices") == set()
        assert "finance" not in tiny.ecommerce("run").text

    def test_twice_is_one_edge(self, tiny: Tiny) -> None:
        tiny.write("pipeline/assets/rates.asset.yml", RATES)
        header = "depends: [ext.rates, {uri: 'dagster://finance/rates'}]"
        tiny.sql("mart.prices", READS_RATES, header)
        assert upstream(tiny.definitions(), "mart/prices") == {"finance/rates"}


BY_DAY = """
materialization: {type: table, strategy: time_interval, incremental_key: day, time_granularity: date}
columns: [{name: day, type: date}]
"""


class TestHersDownstreamOfOurs:
    def test_by_its_key_and_with_partitions(self, tiny: Tiny, instance: dg.DagsterInstance) -> None:
        tiny.write("pipeline/pipeline.yml", "name: tiny\nschedule: daily\nstart_date: 2025-01-01\n")
        tiny.sql("raw.days", "SELECT DATE '{{ start_date }}' AS day", BY_DAY, table=False)
        days = dg.DailyPartitionsDefinition("2025-01-01", timezone="UTC", end_offset=1)

        @dg.asset(deps=[dg.AssetKey(["raw", "days"])], partitions_def=days)
        def counted(context) -> Any:  # type: ignore[no-untyped-def]
            found = tiny.query(
                f"SELECT count(*) FROM raw.days WHERE day = '{context.partition_key}'"
            )
            return dg.MaterializeResult(metadata={"rows": found[0][0]})

        @dg.asset(deps=[counted, dg.AssetKey(["raw", "days"])])
        def total() -> None:
            assert tiny.query("SELECT count(*) FROM raw.days") == [(1,)]

        both = together(tiny.definitions(), counted, total)
        result = run(both, instance, partition_key="2025-01-03")
        assert materialized(result) == ["raw/days", "counted", "total"]
        [event] = result.asset_materializations_for_node("counted")
        assert (event.partition, event.metadata["rows"].value) == ("2025-01-03", 1)


class TestTwoPipelines:
    @pytest.fixture(params=["by name", "by uri"])
    def folder(self, tiny: Tiny, request: pytest.FixtureRequest) -> Path:
        """One that makes raw.orders, and one that reads it."""
        depends = "[raw.orders]" if request.param == "by name" else "[{uri: 'shop://orders'}]"
        tiny.sql("raw.orders", "SELECT 7 AS n", "uri: shop://orders")
        (tiny.folder / "pipelines").mkdir()
        shutil.move(tiny.directory, tiny.folder / "pipelines" / "z_loads")
        tiny.write("pipelines/a_reads/pipeline.yml", "name: reads\n")
        tiny.write(
            "pipelines/a_reads/assets/mart/seen.sql",
            f"/* @bruin\ntype: duckdb.sql\nmaterialization: {{type: table}}\ndepends: {depends}\n"
            "@bruin */\nSELECT n FROM raw.orders\n",
        )
        return tiny.folder / "pipelines"

    @pytest.mark.parametrize("how", ["one build_defs", "two build_defs"])
    def test_see_each_others_tables(
        self, tiny: Tiny, folder: Path, instance: dg.DagsterInstance, how: str
    ) -> None:
        both = (
            build_defs(folder)
            if how == "one build_defs"
            else together(build_defs(folder / "a_reads"), build_defs(folder / "z_loads"))
        )
        assert keys(both) == ["mart/seen", "raw/orders"]
        assert upstream(both, "mart/seen") == {"raw/orders"}
        assert materialized(run(both, instance)) == ["raw/orders", "mart/seen"]
        assert tiny.query("FROM mart.seen") == [(7,)]

    def test_the_command_runs_one_of_them_and_says_so(self, tiny: Tiny, folder: Path) -> None:
        tiny.directory = folder / "z_loads"
        assert tiny.ecommerce("run").succeeded
        tiny.directory = folder / "a_reads"
        outcome = tiny.ecommerce("run")
        assert outcome.succeeded, outcome.text
        assert "another pipeline makes it: raw.orders" in outcome.text
        assert tiny.query("FROM mart.seen") == [(7,)]
        assert tiny.ecommerce("validate").succeeded


def test_a_name_that_no_pipeline_has_is_an_error_as_before(tiny: Tiny) -> None:
    tiny.write("other/pipeline.yml", "name: other\n")
    tiny.write("other/assets/orders.asset.yml", "name: raw.orders\ntype: empty\n")
    tiny.sql("mart.t", "SELECT 1 AS n", "depends: [raw.order]")
    outcome = tiny.ecommerce("validate")
    assert outcome.code == 1
    assert "the dependency 'raw.order' does not exist" in outcome.text
