"""What the processes of docker-compose.yml need on this machine, and what they make of it.

What differs from Docker is what its network and its volumes would give: hosts, ports and folders.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import dagster as dg
import psycopg
from orchestration.helpers import ROOT, Shop, eventually, free_port, tables_of
from orchestration.object_store import object_store

from deploy.broker import Broker
from deploy.stack import Outage, Stack
from ecommerce_dagster.bruin.model.lakehouse import Lakehouse
from ecommerce_dagster.orchestration.resources import declared_connection
from ecommerce_dagster.shop.embedded_postgres import EmbeddedPostgres, PostgresServer
from ecommerce_dagster.warehouses.ducklake.attach import open_lake

PASSWORD = "p@ss/word:1"
BUCKET = "lake"


@contextmanager
def stack(folder: Path, source: Shop, **variables: str) -> Iterator[Stack]:
    """Everything that the services need on this machine. At the end nothing is left of them."""
    (folder / "dagster").mkdir(parents=True)
    settings = (ROOT / "deploy" / "dagster.yaml").read_text()
    slow, quick = "poll_interval_seconds: 30", "poll_interval_seconds: 3"
    assert slow in settings
    (folder / "dagster" / "dagster.yaml").write_text(settings.replace(slow, quick))
    with ExitStack() as undo:
        database = EmbeddedPostgres(folder / "postgres")
        undo.push(database)
        server = database.__enter__()
        with psycopg.connect(server.dsn, autocommit=True) as connection:
            connection.execute(f"CREATE ROLE dagster LOGIN PASSWORD '{PASSWORD}'")
            connection.execute("CREATE DATABASE dagster OWNER dagster")
        dagster = PostgresServer(server.host, server.port, "dagster", PASSWORD, "dagster")
        outage = Outage()
        endpoint = undo.enter_context(object_store(BUCKET, outage.refuses))
        broker = undo.enter_context(Broker(folder / "broker", PASSWORD))
        shop = {name: source.environment[f"POSTGRES_{name}"] for name in ("USER", "PASSWORD", "DB")}
        code = free_port()
        started = Stack(
            folder=folder,
            variables={
                "POSTGRES_USER": shop["USER"],
                "POSTGRES_PASSWORD": shop["PASSWORD"],
                "POSTGRES_DB": shop["DB"],
                "DAGSTER_POSTGRES_PASSWORD": PASSWORD,
                "LAKE_PATH": f"s3://{BUCKET}/tables",
                "LAKE_S3_ENDPOINT": endpoint,
                "LAKE_S3_ACCESS_KEY": "lake",
                "LAKE_S3_SECRET_KEY": PASSWORD,
                "ECOMMERCE_WATCH": "0",
                **variables,
            },
            places={
                "POSTGRES_HOST": source.environment["POSTGRES_HOST"],
                "POSTGRES_PORT": source.environment["POSTGRES_PORT"],
                "DAGSTER_POSTGRES_HOST": server.host,
                "DAGSTER_POSTGRES_PORT": str(server.port),
                "LAKE_POSTGRES_HOST": server.host,
                "LAKE_POSTGRES_PORT": str(server.port),
                "ECOMMERCE_CELERY_BROKER": broker.url,
                "DAGSTER_CODE_HOST": "127.0.0.1",
                "DAGSTER_CODE_PORT": str(code),
                "ECOMMERCE_HOME": str(folder / "home"),
            },
            ports={"4000": str(code), "3000": str(free_port())},
            dagster=dagster,
            broker=broker,
            database=database,
            outage=outage,
        )
        undo.callback(started.stop)
        yield started


def ended(stack: Stack, run_id: str, seconds: float) -> list[dg.DagsterRun]:
    """A run and those that Dagster started after it because it had died, when the last has ended."""
    runs: list[dg.DagsterRun] = []

    def are_finished() -> bool:
        nonlocal runs
        group = instance.get_run_group(run_id)
        assert group is not None
        runs = sorted(group[1], key=lambda run: int(run.tags.get("dagster/retry_number", "0")))
        last = runs[-1]
        # Dagster says of a run that failed whether another one follows, a moment after it failed.
        is_last = last.tags.get("dagster/will_retry") == "false"
        return last.is_finished and (is_last or last.status != dg.DagsterRunStatus.FAILURE)

    with stack.instance() as instance:
        eventually(are_finished, seconds, pause=0.5)
    return runs


def lake_tables(stack: Stack) -> dict[str, tuple[int, int]]:
    """Each table of the lake with its number of rows and a hash of what they hold."""
    with open_lake(_lake(stack), read_only=True) as connection:
        return tables_of(connection)


def empty_lake(stack: Stack) -> None:
    """Drop all tables of the lake."""
    with open_lake(_lake(stack)) as connection:
        for table in tables_of(connection):
            connection.execute(f"DROP TABLE {table}")


def _lake(stack: Stack) -> Lakehouse:
    declared = declared_connection(str(ROOT / ".bruin.yml"), "lake", "duckdb-default")
    lake = declared.duckdb(stack.environment_of("worker")).lakehouse
    assert lake is not None
    return lake
