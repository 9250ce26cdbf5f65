"""A pipeline that loads from PostgreSQL, for what can go wrong between the two."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import psycopg
from orchestration.helpers import Outcome, Tiny, config_with_source

from ecommerce_dagster.shop.embedded_postgres import PostgresServer


def connect(pipeline: Tiny, server: PostgresServer) -> None:
    """Make a database the source of a pipeline."""
    pipeline.write(
        ".bruin.yml",
        config_with_source(server.host, server.port, server.password, server.user, server.database),
    )


def ingest(pipeline: Tiny, table: str, more: str = "", **parameters: str) -> str:
    """An asset main.TABLE that loads public.TABLE with its names. The path of its file."""
    given = {
        "source_connection": "pg",
        "source_table": f"public.{table}",
        "schema_naming": "direct",
        **parameters,
    }
    lines = "".join(f"  {key}: {value}\n" for key, value in given.items())
    path = f"pipeline/assets/main.{table}.asset.yml"
    pipeline.write(path, f"name: main.{table}\ntype: ingestr\n{more}\nparameters:\n{lines}")
    return path


@contextmanager
def database(server: PostgresServer, name: str) -> Iterator[tuple[PostgresServer, Any]]:
    """A new database of a server, and a session in it that commits by itself."""
    with psycopg.connect(server.dsn, autocommit=True) as other:
        other.execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)".encode())
        other.execute(f"CREATE DATABASE {name}".encode())
    place = replace(server, database=name)
    with psycopg.connect(place.dsn, autocommit=True) as session:
        yield place, session


def assert_fails(outcome: Outcome, *parts: str) -> None:
    """A command fails as it should: a message with these parts, no traceback."""
    assert outcome.code == 1, outcome.text
    assert "Traceback" not in outcome.text
    for part in parts:
        assert part in outcome.text
