"""Pipelines whose tables are in a DuckLake with its catalogue in PostgreSQL."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import dagster as dg
import psycopg
import pytest
import yaml
from warehouse.lakes import lake_in

from ecommerce_dagster.bruin.config_file import read_connections
from ecommerce_dagster.bruin.problems import ProblemLog
from ecommerce_dagster.shop.embedded_postgres import PostgresServer
from ecommerce_dagster.warehouses.ducklake.attach import LAKE, open_lake
from orchestration.helpers import (
    LAKE_CONFIG,
    ROOT,
    NewShop,
    Shop,
    Tiny,
    failures,
    run_all,
    tables_of,
)
from orchestration.object_store import object_store

BY_TIME = """
materialization:
  {type: table, strategy: time_interval, incremental_key: ts, time_granularity: timestamp}
"""
SECRET = "hunter2-of-the-store"


@pytest.fixture
def catalog(server: PostgresServer) -> PostgresServer:
    """A database that is nothing but a catalogue."""
    place = replace(server, database="lakes")
    with psycopg.connect(server.dsn, autocommit=True) as admin:
        admin.execute("DROP DATABASE IF EXISTS lakes WITH (FORCE)")
        admin.execute("CREATE DATABASE lakes")
    return place


def lakehouse(catalog: PostgresServer, storage: dict[str, object]) -> dict[str, object]:
    return {
        "name": "duckdb-default",
        "lakehouse": {
            "format": "ducklake",
            "catalog": {
                "type": "postgres",
                "host": catalog.host,
                "port": catalog.port,
                "database": catalog.database,
                "auth": {"username": catalog.user, "password": "${LAKE_PASSWORD}"},
            },
            "storage": storage,
        },
    }


def lake_rows(config: Path, sql: str, **variables: str) -> list[tuple[object, ...]]:
    found = read_connections(config, None, ProblemLog()).get("duckdb-default")
    lake = found.duckdb(variables).lakehouse
    assert lake is not None
    with open_lake(lake, read_only=True) as connection:
        return connection.execute(sql).fetchall()


def test_the_shops_tables_are_those_of_a_file(
    new_shop: NewShop, day: Shop, catalog: PostgresServer, tmp_path: Path
) -> None:
    """The asset files are the same; only the connection differs."""
    shop = new_shop(like=day)
    config = yaml.safe_load((ROOT / ".bruin.yml").read_text())
    connections = config["environments"]["default"]["connections"]
    connections["duckdb"] = [lakehouse(catalog, {"path": str(tmp_path / "data")})]
    file = tmp_path / "lake.yml"
    file.write_text(yaml.safe_dump(config))
    password = {"LAKE_PASSWORD": catalog.password}
    arguments = ("--config-file", str(file))

    outcome = shop.invoke("run", *arguments, **password)

    assert outcome.succeeded, outcome.text
    assert "188 of 188 checks passed" in outcome.text
    lake = read_connections(file, None, ProblemLog()).get("duckdb-default")
    place = lake.duckdb(password).lakehouse
    assert place is not None
    with open_lake(place, read_only=True) as connection:
        assert tables_of(connection) == day.tables()


@pytest.fixture
def bucket() -> Iterator[str]:
    """The address of a store that speaks S3, with the bucket `lake` in it."""
    with object_store("lake") as address:
        yield address


def test_rows_may_be_in_s3_and_secrets_are_nowhere(
    tiny: Tiny, catalog: PostgresServer, bucket: str
) -> None:
    auth = {"access_key": "me", "secret_key": "${STORE_SECRET}"}
    storage = {"path": "s3://lake/tables", "region": "us-east-1", "endpoint": bucket, "auth": auth}
    config = {
        "environments": {"default": {"connections": {"duckdb": [lakehouse(catalog, storage)]}}}
    }
    file = tiny.write(".bruin.yml", yaml.safe_dump(config))
    secrets = {"LAKE_PASSWORD": catalog.password, "STORE_SECRET": SECRET}
    tiny.write("pipeline/pipeline.yml", "name: tiny\nschedule: daily\nstart_date: '2024-01-01'\n")
    tiny.sql(
        "main.t",
        "SELECT '{{ start_timestamp }}'::TIMESTAMP AS ts, range AS n FROM range(20)",
        BY_TIME,
        table=False,
    )
    for day in ("2024-01-01", "2024-01-02", "2024-01-02"):
        outcome = tiny.ecommerce("run", "--start-date", day, **secrets)
        assert outcome.succeeded, outcome.text
    refused = tiny.ecommerce("run", **{**secrets, "LAKE_PASSWORD": f"not-{SECRET}"})
    assert "password authentication failed" in refused.text
    tiny.sql("main.u", "SELECT nothing", table=True)
    failed = tiny.ecommerce("run", "main.u", **secrets)
    assert not failed.succeeded

    found = lake_rows(
        file, "SELECT ts::VARCHAR, count(*) FROM main.t GROUP BY 1 ORDER BY 1", **secrets
    )
    assert found == [("2024-01-01 00:00:00", 20), ("2024-01-02 00:00:00", 20)]
    ((about,),) = lake_rows(
        file,
        f"SELECT commit_extra_info FROM {LAKE}.snapshots() "
        "WHERE commit_message = 'build main.t' ORDER BY snapshot_id LIMIT 1",
        **secrets,
    )
    assert {**json.loads(str(about)), "run_id": ""} == {
        "asset": "main.t", "run_id": "", "pipeline": "tiny", "interval": "2024-01-01",
    }  # fmt: skip
    with psycopg.connect(catalog.dsn) as session:
        tables = session.execute(
            "SELECT relname FROM pg_class WHERE relname LIKE 'ducklake%' AND relkind = 'r'"
        ).fetchall()
        stored = "".join(
            str(session.execute(f"SELECT * FROM {name}".encode()).fetchall()) for (name,) in tables
        )
    texts = [outcome.text, refused.text, failed.text, stored]
    texts += [
        path.read_bytes().decode(errors="replace")
        for path in tiny.folder.rglob("*")
        if path.is_file()
    ]
    assert not any(secret in text for text in texts for secret in secrets.values())


def test_the_upkeep_is_a_job_with_a_schedule(tiny: Tiny, instance: dg.DagsterInstance) -> None:
    tiny.write(".bruin.yml", LAKE_CONFIG)
    tiny.sql("main.t", "SELECT 1 AS n")
    definitions = tiny.definitions()
    assert run_all(definitions, instance).success
    schedule = definitions.resolve_schedule_def("tiny_maintenance_schedule")
    assert (schedule.cron_schedule, schedule.execution_timezone) == ("15 4 * * *", "UTC")
    job = definitions.resolve_job_def("tiny_maintenance")
    assert job.execute_in_process(instance=instance).success


def test_a_pipeline_with_a_file_has_no_upkeep(tiny: Tiny) -> None:
    tiny.sql("main.t", "SELECT 1 AS n")
    jobs = {job.name for job in tiny.definitions().resolve_all_job_defs()}
    assert jobs == {"tiny", "__ASSET_JOB"}


def test_a_failed_check_leaves_the_table_and_shows_the_rows(
    tiny: Tiny, instance: dg.DagsterInstance
) -> None:
    tiny.write(".bruin.yml", LAKE_CONFIG)
    header = "columns: [{name: n, checks: [{name: positive}]}]"
    tiny.sql("main.t", "SELECT 1 AS n", header)
    assert run_all(tiny.definitions(), instance).success
    tiny.sql("main.t", "SELECT -1 AS n", header)
    failed = run_all(tiny.definitions(), instance)
    assert "n: positive: 1 of 1 rows" in str(failures(failed))
    assert tiny.ecommerce("query", "FROM main.t", "-o", "csv").stdout == "n\n1\n"


def test_tables_go_from_a_lake_to_a_file_and_to_another_table_of_the_lake(
    tiny: Tiny, instance: dg.DagsterInstance
) -> None:
    config = yaml.safe_load(LAKE_CONFIG)
    duckdb = config["environments"]["default"]["connections"]["duckdb"]
    duckdb.append({"name": "file", "path": "warehouse.duckdb"})
    tiny.write(".bruin.yml", yaml.safe_dump(config))
    tiny.sql("main.t", "SELECT range AS n FROM range(20)")
    for name, target in (("main.inside", "duckdb-default"), ("main.outside", "file")):
        tiny.write(
            f"pipeline/assets/{name}.asset.yml",
            f"name: {name}\ntype: ingestr\nconnection: {target}\ndepends: [main.t]\nparameters:\n"
            "  source_connection: duckdb-default\n  source_table: main.t\n",
        )
    ran = run_all(tiny.definitions(), instance)
    assert ran.success, failures(ran)
    assert tiny.query("SELECT sum(n) FROM main.outside") == [(190,)]
    told = tiny.ecommerce("query", "SELECT sum(n) AS n FROM main.inside", "-o", "csv")
    assert told.stdout == "n\n190\n"


def test_validate_knows_the_tables_that_others_made_in_the_lake(tiny: Tiny) -> None:
    tiny.write(".bruin.yml", LAKE_CONFIG)
    tiny.sql("main.t", "SELECT * FROM main.theirs")
    missing = tiny.ecommerce("validate")
    assert "the table 'main.theirs' is made by no asset" in missing.text
    with open_lake(lake_in(tiny.folder)) as connection:
        connection.execute("CREATE TABLE main.theirs AS SELECT 1 AS n")
    known = tiny.ecommerce("validate")
    assert "main.theirs" not in known.text
