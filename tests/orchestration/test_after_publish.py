"""What follows the commit of a table can fail nothing: the table is there, so it is recorded."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from ecommerce_dagster.shop.embedded_postgres import PostgresServer
from orchestration.helpers import checks_recorded, materialized, run_all
from orchestration.test_postgres_assets import Mixed

PACKAGE = "ecommerce_dagster"
HEADER = """
materialization:
  {type: table, strategy: time_interval, incremental_key: ts, time_granularity: date}
columns: [{name: n, checks: [{name: not_null}, {name: positive, blocking: false}]}]
"""
QUERY = "SELECT '2024-01-02' AS ts, 1 AS n UNION ALL SELECT '2024-01-03', -1"


class DayByDay(Mixed):
    """A table that is rebuilt by days, whose key is text."""

    def __init__(self, folder: Path, server: PostgresServer, kind: str) -> None:
        super().__init__(folder, server)
        self.in_postgres = kind == "pg.sql"
        self.write(
            "pipeline/pipeline.yml",
            "name: mixed\nschedule: daily\nstart_date: '2024-01-01'\n"
            "default_connections: {postgres: pg-default}\n",
        )
        self.asset("mart.t", kind, HEADER, QUERY)


@pytest.fixture(params=["duckdb.sql", "pg.sql"])
def day_by_day(
    request: pytest.FixtureRequest, tmp_path: Path, database: PostgresServer
) -> Iterator[DayByDay]:
    found = DayByDay(tmp_path, database, request.param)
    yield found
    found.pg("DROP SCHEMA IF EXISTS mart CASCADE")


def run(pipeline: DayByDay, instance: dg.DagsterInstance) -> dg.ExecuteInProcessResult:
    result = run_all(pipeline.definitions(), instance)
    assert result.success
    assert materialized(result).count("mart/t") >= 1
    assert len(checks_recorded(result)) == 2
    return result


def warnings_of(result: dg.ExecuteInProcessResult, instance: dg.DagsterInstance) -> str:
    logs = instance.event_log_storage.get_logs_for_run(result.run_id)
    return "\n".join(entry.user_message for entry in logs if entry.level == 30)


def test_a_table_with_a_key_of_text_is_recorded_with_its_days(
    day_by_day: DayByDay, instance: dg.DagsterInstance
) -> None:
    result = run(day_by_day, instance)
    days = instance.get_materialized_partitions(dg.AssetKey(["mart", "t"]))
    assert days == {"2024-01-02", "2024-01-03"}
    assert warnings_of(result, instance) == ""


@pytest.mark.parametrize(
    ("what", "told"),
    [
        ("orchestration.factory.rows_by_partition", "the record of the partitions that have rows"),
        ("orchestration.factory.record_partitions", "the record of the partitions that have rows"),
        ("warehouses.duckdb.warehouse.DuckDBWarehouse.moments", "the record of the partitions"),
        ("warehouses.postgres.warehouse.PostgresWarehouse.moments", "the record of the partitions"),
        ("orchestration.results.rows_shown", "the preview is missing"),
        ("orchestration.results.built_schema", "the description of the columns is missing"),
        ("orchestration.results.column_lineage", "where the columns come from is missing"),
        ("orchestration.results.lineage_in_words", "where the columns come from is missing"),
        ("orchestration.results.project_lineage", "where the columns come from is missing"),
        ("warehouses.duckdb.table_facts._size", ""),
        ("warehouses.duckdb.table_facts._first_rows", ""),
        ("warehouses.postgres.warehouse.sample", ""),
    ],
)
def test_whatever_of_it_fails_is_a_warning(
    day_by_day: DayByDay,
    instance: dg.DagsterInstance,
    monkeypatch: pytest.MonkeyPatch,
    what: str,
    told: str,
) -> None:
    def fail(*values: object, **named: object) -> None:
        raise RuntimeError("out of luck")

    monkeypatch.setattr(f"{PACKAGE}.{what}", fail)
    found = warnings_of(run(day_by_day, instance), instance)
    other = "DuckDB" in what if day_by_day.in_postgres else "postgres" in what
    if told and not other:
        assert told in found
        assert "RuntimeError: out of luck" in found


@pytest.mark.parametrize(
    "where", ["orchestration.resources.open_place", "warehouses.postgres.session.connected"]
)
def test_a_connection_that_cannot_be_closed_is_a_warning(
    day_by_day: DayByDay, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    module, _, name = where.rpartition(".")
    real: Callable[..., Any] = getattr(__import__(f"{PACKAGE}.{module}", fromlist=[name]), name)

    @contextmanager
    def that_does_not_close(*values: Any, **named: Any) -> Iterator[Any]:
        with real(*values, **named) as connection:
            yield connection
        raise OSError("the disk is gone")

    monkeypatch.setattr(f"{PACKAGE}.{where}", that_does_not_close)
    found = warnings_of(run(day_by_day, instance), instance)
    if ("postgres" in where) == day_by_day.in_postgres:
        assert "mart.t: what follows a build went wrong: the disk is gone" in found
