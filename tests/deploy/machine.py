"""What the processes of docker-compose.yml need on this machine, and what they make of it.

What differs from Docker is what its network and its volumes would give: hosts, ports and folders.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import dagster as dg
import psycopg
from orchestration.helpers import ROOT, Shop, eventually, free_port, tables_of
from orchestration.object_store import object_store

from deploy.stack import Stack
from ecommerce_dagster.embedded_postgres import EmbeddedPostgres, PostgresServer
from ecommerce_dagster.orchestration.resources import declared_connection
from ecommerce_dagster.warehouse.ducklake import open_lake

PASSWORD = "p@ss/word:1"
BUCKET = "lake"


@contextmanager
def stack(folder: Path, source: Shop, **variables: str) -> Iterator[Stack]:
    """Everything that the services need on this machine. At the end nothing is left of them."""
    (folder / "dagster").mkdir(parents=True)
    shutil.copy(ROOT / "deploy" / "dagster.yaml", folder / "dagster")
    with ExitStack() as undo:
        server = undo.enter_context(EmbeddedPostgres(folder / "postgres"))
        with psycopg.connect(server.dsn, autocommit=True) as connection:
            connection.execute(f"CREATE ROLE dagster LOGIN PASSWORD '{PASSWORD}'")
            connection.execute("CREATE DATABASE dagster OWNER dagster")
        dagster = PostgresServer(server.host, server.port, "dagster", PASSWORD, "dagster")
        endpoint = undo.enter_context(object_store(BUCKET))
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
                "DAGSTER_CODE_HOST": "127.0.0.1",
                "DAGSTER_CODE_PORT": str(code),
                "ECOMMERCE_HOME": str(folder / "home"),
            },
            ports={"4000": str(code), "3000": str(free_port())},
            dagster=dagster,
        )
        undo.callback(started.stop)
        yield started


def ended(stack: Stack, run_id: str, seconds: float) -> dg.DagsterRunStatus:
    """How a run ends."""
    status = dg.DagsterRunStatus.NOT_STARTED

    def is_finished() -> bool:
        nonlocal status
        run = instance.get_run_by_id(run_id)
        assert run is not None
        status = run.status
        return run.is_finished

    with stack.instance() as instance:
        eventually(is_finished, seconds, pause=1)
    return status


def lake_tables(stack: Stack) -> dict[str, tuple[int, int]]:
    """Each table of the lake with its number of rows and a hash of what they hold."""
    variables = stack.environment_of("worker")
    declared = declared_connection(str(ROOT / ".bruin.yml"), "lake", "duckdb-default")
    lake = declared.duckdb(variables).lakehouse
    assert lake is not None
    with open_lake(lake, read_only=True) as connection:
        return tables_of(connection)
