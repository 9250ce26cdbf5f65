"""A pipeline on a Postgres that changes: days, moves, deletes and columns, down to the marts."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import dagster as dg
import duckdb
import psycopg
import pytest

from ecommerce_dagster import BruinTranslator
from ecommerce_dagster.orchestration.build import definitions_of, load_project
from ecommerce_dagster.runtime.run_tags import RANGE_END_TAG, RANGE_START_TAG
from ecommerce_dagster.shop.embedded_postgres import PostgresServer
from orchestration.helpers import Tiny, checks_recorded, failures, materialized, run_all, tables

_CONNECTIONS = """
default_environment: default
environments:
  default:
    connections:
      duckdb:
        - {{name: duckdb-default, path: warehouse.duckdb}}
      postgres:
        - {{name: pg, host: '{0.host}', port: {0.port}, database: {0.database},
            username: {0.user}, password: '{0.password}'}}
"""
_RAW = """
name: raw.{name}
type: ingestr
parameters: {{source_connection: pg, source_table: public.{name}, {how}}}
columns: [{{name: id, primary_key: true}}]
{rest}
"""
_ORDERS = "incremental_strategy: delete+insert, incremental_key: day"
_CUSTOMERS = "incremental_strategy: merge, incremental_key: changed"
_BY_DAY = """
depends: [raw.orders]
columns:
  - {name: id, primary_key: true, checks: [{name: unique}, {name: not_null}]}
  - {name: amount, checks: [{name: positive}]}
"""
_INTERVAL = "{type: table, strategy: time_interval, incremental_key: day, time_granularity: date}"
ORDERS, STAGED = dg.AssetKey(["raw", "orders"]), dg.AssetKey(["stg", "orders"])
DAYS = [f"2024-03-0{n}" for n in range(1, 6)]
_numbers = itertools.count(1)


class Feed(Tiny):
    """raw.orders and stg.orders by day, raw.customers by watermark, and a mart of each."""

    def __init__(self, folder: Path, server: PostgresServer) -> None:
        super().__init__(folder)
        self.postgres = psycopg.connect(server.dsn, autocommit=True, prepare_threshold=None)
        self.write(".bruin.yml", _CONNECTIONS.format(server))
        daily = "name: tiny\nschedule: daily\nstart_date: '2024-03-01'\n"
        self.write("pipeline/pipeline.yml", daily)
        self.raw("orders", _ORDERS)
        self.raw("customers", _CUSTOMERS)
        window = "WHERE day BETWEEN '{{ start_timestamp }}' AND '{{ end_timestamp }}'"
        if_dates = f"{{% if not full_refresh %}}{window}{{% endif %}}"
        self.sql("stg.orders", f"SELECT * FROM raw.orders {if_dates}",
                 f"{_BY_DAY}materialization: {_INTERVAL}", table=False)  # fmt: skip
        self.sql("mart.sales", "SELECT * FROM stg.orders", "depends: [stg.orders]")
        self.sql("mart.people", "SELECT * FROM raw.customers", "depends: [raw.customers]")
        self.source(
            "CREATE TABLE orders (id int PRIMARY KEY, day timestamptz, amount int)",
            "CREATE TABLE customers (id int PRIMARY KEY, changed timestamptz, name text)",
            "INSERT INTO orders SELECT n, '2024-03-01Z'::timestamptz + n * interval '11 hours', n"
            " FROM generate_series(1, 10) n",
            "INSERT INTO customers SELECT n, '2024-03-01Z'::timestamptz + n * interval '1 day', 'c'"
            " FROM generate_series(1, 4) n",
        )

    def raw(self, name: str, how: str, rest: str = "") -> None:
        text = _RAW.format(name=name, how=how, rest=rest)
        self.write(f"pipeline/assets/raw.{name}.asset.yml", text)

    def source(self, *statements: str) -> None:
        for statement in statements:
            self.postgres.execute(statement.encode())

    def run(
        self, first: str = "", last: str = "", *, instance: Any = None, **tags: str
    ) -> dg.ExecuteInProcessResult:
        """One run of all assets: of these days, else of everything there is."""
        project = load_project(self.directory)
        definitions = definitions_of(project, partitioned=bool(first))
        tags = {f"bruin/{name}": value for name, value in tags.items()}
        if first:
            tags |= {RANGE_START_TAG: first, RANGE_END_TAG: last or first}
        with ExitStack() as stack:
            instance = instance or stack.enter_context(dg.DagsterInstance.ephemeral())
            return run_all(definitions, instance, tags=tags)

    def succeed(self, first: str = "", last: str = "", **options: Any) -> None:
        result = self.run(first, last, **options)
        assert result.success, failures(result)

    def state(self) -> dict[str, tuple[int, int]]:
        return tables(self.warehouse)

    def as_rebuilt(self) -> dict[str, tuple[int, int]]:
        """What every table is when it is made anew."""
        self.succeed(full_refresh="true")
        return self.state()


@pytest.fixture
def feed(tmp_path: Path, server: PostgresServer) -> Iterator[Feed]:
    place = replace(server, database=f"feed_{next(_numbers)}")
    with psycopg.connect(server.dsn, autocommit=True) as admin:
        admin.execute(f"CREATE DATABASE {place.database}".encode())
    made = Feed(tmp_path, place)
    yield made
    made.postgres.close()


def metadata(result: dg.ExecuteInProcessResult, asset: dg.AssetKey) -> dict[str, Any]:
    """What is shown beside the asset that a run built. A range has an event for each partition."""
    found = [e for e in result.get_asset_materialization_events() if e.asset_key == asset]
    told = found[-1].step_materialization_data.materialization.metadata
    return {name: value.value for name, value in told.items()}


class TestDays:
    def test_any_order_of_days_and_one_run_of_all_give_the_same_tables(self, feed: Feed) -> None:
        feed.succeed(DAYS[0], DAYS[-1])
        at_once = feed.state()
        assert at_once["stg.orders"][0] == 10
        for _ in range(2):
            feed.succeed(DAYS[1])
        assert feed.state() == at_once
        feed.source("UPDATE orders SET amount = amount + 1")
        feed.succeed(DAYS[2], DAYS[4])
        feed.source("UPDATE orders SET amount = amount - 1")
        for first, last in ((3, 4), (0, 2)):
            feed.succeed(DAYS[first], DAYS[last])
        assert feed.state() == at_once == feed.as_rebuilt()

    def test_a_range_is_one_run_with_one_statement_and_records_its_partitions(
        self, feed: Feed, instance: dg.DagsterInstance
    ) -> None:
        feed.succeed(DAYS[1], DAYS[3], instance=instance)
        for key in (ORDERS, STAGED):
            assert instance.get_materialized_partitions(key) == set(DAYS[1:4])
        result = feed.run(DAYS[0], DAYS[4], instance=instance)
        for key in (ORDERS, STAGED):
            statements = metadata(result, key)["sql"]
            assert statements.count("INSERT INTO") == 1
            assert statements.count("DELETE FROM") == 2  # of the window; what moved into it
            assert instance.get_materialized_partitions(key) == set(DAYS)

    def test_a_row_that_moved_is_in_one_place_in_every_table(self, feed: Feed) -> None:
        feed.succeed(DAYS[0], DAYS[-1])
        feed.source("UPDATE orders SET day = '2024-03-04 12:00Z' WHERE id IN (1, 9)")
        feed.succeed(DAYS[3])
        assert feed.query("SELECT count(*), count(DISTINCT id) FROM mart.sales") == [(10, 10)]
        assert feed.state() == feed.as_rebuilt()

    def test_the_file_may_let_each_run_reach_back(self, feed: Feed) -> None:
        feed.raw("orders", _ORDERS, "interval_modifiers: {start: -1d}")
        result = feed.run(DAYS[2])
        assert metadata(result, ORDERS)["rows_written"] == 4
        assert [id for (id,) in feed.query("SELECT id FROM raw.orders ORDER BY id")] == [3, 4, 5, 6]


class Weekly(BruinTranslator):
    """Weeks instead of the pipeline's days."""

    def get_asset_spec(self, asset: Any, project: Any) -> dg.AssetSpec:
        spec = super().get_asset_spec(asset, project)
        weeks = dg.WeeklyPartitionsDefinition("2024-02-25", end_offset=1)
        return spec.replace_attributes(partitions_def=weeks) if spec.partitions_def else spec


def test_the_sensor_asks_for_the_partitions_that_a_translator_gives(feed: Feed) -> None:
    definitions = feed.definitions(translator=Weekly())
    sensor = definitions.resolve_sensor_def("tiny_pg_changes")
    with dg.DagsterInstance.ephemeral() as instance:
        resources = {"pg": (definitions.resources or {})["pg"]}
        with dg.build_sensor_context(
            instance, resources=resources, definitions=definitions
        ) as context:
            requests = sensor.evaluate_tick(context).run_requests or []
        asked = {(r.tags[RANGE_START_TAG], r.tags[RANGE_END_TAG]) for r in requests}
        assert asked == {("2024-02-25", "2024-03-03")}
        for request in requests:
            ran = run_all(definitions, instance, request.asset_selection, tags=request.tags)
            assert ran.success, failures(ran)
        assert instance.get_materialized_partitions(STAGED) == {"2024-02-25", "2024-03-03"}
    assert feed.query("SELECT count(*) FROM stg.orders") == [(10,)]


class TestChecksOfAPartition:
    def test_rows_of_other_days_do_not_stop_a_day_and_a_double_key_does(self, feed: Feed) -> None:
        feed.succeed(DAYS[0], DAYS[4])
        with duckdb.connect(str(feed.warehouse)) as connection:
            connection.execute("UPDATE stg.orders SET amount = -1 WHERE id = 1")
        result = feed.run(DAYS[1])
        assert result.success
        found = checks_recorded(result)
        looked_at = {
            name.partition(":")[2]: check.metadata["which_rows"].value
            for name, check in found.items()
        }
        assert looked_at == {
            "id__unique": "all",
            "id__not_null": "2024-03-02 by day",
            "amount__positive": "2024-03-02 by day",
        }
        feed.source("UPDATE orders SET amount = -2 WHERE id IN (2, 3)")
        check = checks_recorded(feed.run(DAYS[1], DAYS[2]))["stg/orders:amount__positive"]
        found = check.metadata["result"].value
        assert found.startswith("1 of 4 rows (1 of 2024-03-02) break the rule")
        assert "day" in str(check.metadata["bad_rows_sql"].value)
        assert feed.query("SELECT amount FROM stg.orders WHERE id IN (1, 3) ORDER BY id") == [
            (-1,),
            (3,),
        ]

    def test_a_run_of_everything_looks_at_all_rows(self, feed: Feed) -> None:
        check = checks_recorded(feed.run())["stg/orders:amount__positive"]
        assert check.metadata["which_rows"].value == "all"


def leave_behind(feed: Feed) -> None:
    """A row that is gone, and one that came late."""
    feed.source("DELETE FROM customers WHERE id = 2")
    feed.source("INSERT INTO customers VALUES (9, '2020-01-01Z', 'late')")


def test_a_merge_follows_what_no_watermark_sees_down_to_the_marts(feed: Feed) -> None:
    feed.succeed()
    leave_behind(feed)
    found = metadata(feed.run(), dg.AssetKey(["raw", "customers"]))
    assert (found["rows_missed"], found["rows_deleted"]) == (1, 1)
    assert people(feed) == [1, 3, 4, 9]
    assert feed.state() == feed.as_rebuilt()


def test_a_query_that_is_another_in_some_runs_is_merged_and_not_compared(feed: Feed) -> None:
    feed.succeed()
    leave_behind(feed)
    file = feed.directory / "assets/raw.customers.asset.yml"
    written = file.read_text()
    for some in (
        "WHERE changed < '{{ start_date }}'",
        "{% if not full_refresh %} WHERE id = 1 {% endif %}",
    ):
        query = f'"query:SELECT * FROM customers {some}"'
        file.write_text(written.replace("public.customers", query))
        feed.succeed()
        assert people(feed) == [1, 2, 3, 4]


class TestReconciliation:
    @pytest.fixture
    def behind(self, feed: Feed) -> Feed:
        """What merges did not see that compare no keys."""
        feed.raw("customers", _CUSTOMERS, "meta: {compare_keys: off}")
        feed.succeed()
        leave_behind(feed)
        feed.succeed()
        assert people(feed) == [1, 2, 3, 4]
        return feed

    def test_the_command_follows_deletes_down_to_the_marts(self, behind: Feed) -> None:
        outcome = behind.ecommerce("run", "--reconcile", "raw.customers", "--downstream")
        assert outcome.succeeded, outcome.text
        assert people(behind) == [1, 3, 4, 9]
        assert behind.state() == behind.as_rebuilt()

    def test_the_job_does_the_same_and_counts_them(
        self, behind: Feed, instance: dg.DagsterInstance
    ) -> None:
        definitions = behind.definitions()
        job = definitions.resolve_job_def("tiny_reconcile")
        assert {key.to_user_string() for key in job.asset_layer.executable_asset_keys} == {
            "raw/customers",
            "mart/people",
        }
        result = job.execute_in_process(instance=instance, tags=job.tags)
        assert metadata(result, dg.AssetKey(["raw", "customers"]))["rows_deleted"] == 1
        assert people(behind) == [1, 3, 4, 9]

    def test_it_has_a_weekly_schedule_that_somebody_switches_on(self, feed: Feed) -> None:
        schedule = feed.definitions().resolve_schedule_def("tiny_reconcile_schedule")
        assert schedule.cron_schedule == "30 3 * * 0"
        assert schedule.default_status == dg.DefaultScheduleStatus.STOPPED

    def test_without_merged_tables_there_is_no_job(self, tiny: Tiny) -> None:
        tiny.sql("main.t", "SELECT 1 AS n")
        assert [job.name for job in tiny.definitions().jobs or []] == ["tiny"]

    def test_a_failed_check_keeps_what_would_be_deleted(self, behind: Feed) -> None:
        check = "{name: nobody leaves, value: 1, query: SELECT count(*) FROM raw.customers WHERE id = 2}"
        behind.raw("customers", _CUSTOMERS, f"custom_checks: [{check}]")
        (message,) = failures(behind.run(reconcile="true")).values()
        assert "nobody leaves" in message
        assert people(behind) == [1, 2, 3, 4]

    def test_a_query_that_is_another_for_each_interval_is_refused_by_its_line(
        self, behind: Feed
    ) -> None:
        query = "\"query:SELECT * FROM customers WHERE changed < '{{ end_date }}'\""
        file = behind.directory / "assets/raw.customers.asset.yml"
        file.write_text(file.read_text().replace("public.customers", query))
        (message,) = failures(behind.run(reconcile="true")).values()
        assert "raw.customers.asset.yml:4: source_table is another query" in message
        assert people(behind) == [1, 2, 3, 4]


class TestColumns:
    def test_an_added_column_appears_in_all_tables_below(self, feed: Feed) -> None:
        feed.succeed()
        feed.source("ALTER TABLE orders ADD COLUMN note text", "UPDATE orders SET note = 'n' || id")
        feed.source("ALTER TABLE customers ADD COLUMN tier int DEFAULT 1")
        feed.succeed(DAYS[1])
        notes = feed.query("SELECT id, note FROM mart.sales WHERE note IS NOT NULL ORDER BY id")
        assert notes == [(3, "n3"), (4, "n4")]
        assert feed.query("SELECT DISTINCT tier FROM mart.people") == [(1,)]
        feed.succeed(DAYS[0], DAYS[-1])
        assert feed.state() == feed.as_rebuilt()

    def test_the_materializations_report_it(self, feed: Feed) -> None:
        feed.succeed(DAYS[0], DAYS[4])
        feed.source("ALTER TABLE orders ADD COLUMN note text, ALTER amount TYPE bigint")
        result = feed.run(DAYS[0])
        for key in (ORDERS, STAGED):
            assert metadata(result, key)["schema_changes"] == (
                "- widened column amount from INTEGER to BIGINT\n- added column note VARCHAR"
            )

    def test_a_dropped_column_stays_with_nulls(self, feed: Feed) -> None:
        feed.succeed()
        feed.source("ALTER TABLE orders DROP COLUMN amount")
        feed.raw("orders", _ORDERS)
        feed.succeed(DAYS[1])
        assert feed.query("SELECT id FROM mart.sales WHERE amount IS NULL ORDER BY id") == [
            (3,),
            (4,),
        ]
        assert feed.query("SELECT sum(amount)::INT FROM mart.sales") == [(48,)]

    def test_an_incompatible_type_stops_its_asset_and_what_is_below_and_nothing_else(
        self, feed: Feed
    ) -> None:
        feed.succeed()
        before = feed.state()
        feed.source("ALTER TABLE orders ALTER amount TYPE text USING 'x'")
        feed.source("UPDATE customers SET name = 'changed', changed = now()")
        result = feed.run(DAYS[1])
        (message,) = failures(result).values()
        assert "the column amount of raw.orders is INTEGER and now comes as VARCHAR" in message
        assert materialized(result) == ["raw/customers", "mart/people"]
        after = feed.state()
        assert {name for name in before if before[name] != after[name]} == {
            "raw.customers", "mart.people",
        }  # fmt: skip


def people(feed: Feed) -> list[int]:
    return [id for (id,) in feed.query("SELECT id FROM mart.people ORDER BY id")]
