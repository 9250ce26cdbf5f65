"""What changed in Postgres is seen in counters, then in the rows of the tables that moved."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import psycopg
import pytest

from ecommerce_dagster.bruin.connections import PostgresConnection
from ecommerce_dagster.embedded_postgres import PostgresServer
from ecommerce_dagster.ingestion.changes import differing, look, marks


@pytest.fixture
def source(server: PostgresServer) -> Iterator[tuple[PostgresConnection, psycopg.Connection]]:
    with psycopg.connect(server.dsn, autocommit=True) as connection:
        connection.execute("DROP DATABASE IF EXISTS changes WITH (FORCE)")
        connection.execute("CREATE DATABASE changes")
    place = PostgresConnection(server.host, server.port, "changes", server.user, server.password)
    dsn = replace(server, database="changes").dsn
    with psycopg.connect(dsn, autocommit=True) as connection:
        connection.execute("SET TimeZone = 'UTC'")
        yield place, connection


def flushed(connection: psycopg.Connection) -> None:
    """Let Postgres show what it counted."""
    connection.execute("SELECT pg_stat_force_next_flush()")


def test_a_partitioned_table_counts_what_its_partitions_do(
    source: tuple[PostgresConnection, psycopg.Connection],
) -> None:
    place, connection = source
    connection.execute("CREATE TABLE log (at timestamptz, n int) PARTITION BY RANGE (at)")
    connection.execute(
        "CREATE TABLE log_1 PARTITION OF log FOR VALUES FROM ('2025-01-01') TO ('2026-01-01')"
    )
    before = look(place, ["public.log"])
    connection.execute("INSERT INTO log VALUES ('2025-03-01', 1), ('2025-03-02', 1)")
    flushed(connection)
    after = look(place, ["public.log"])

    assert after["public.log"].inserted - before["public.log"].inserted == 2
    assert len(marks(place, "public.log", "at")) == 2


def test_a_view_and_a_name_that_is_none_have_no_counters(
    source: tuple[PostgresConnection, psycopg.Connection],
) -> None:
    place, connection = source
    connection.execute("CREATE VIEW here AS SELECT 1 AS n")

    assert look(place, ["public.here", "public.nowhere"]) == {}


def test_names_are_taken_as_they_are(
    source: tuple[PostgresConnection, psycopg.Connection],
) -> None:
    place, connection = source
    connection.execute('CREATE TABLE "My ""Table" ("At" timestamptz)')
    connection.execute("""INSERT INTO "My ""Table" VALUES ('2025-03-01 12:34:56')""")

    assert list(look(place, ['public.My "Table'])) == ['public.My "Table']
    (moment,) = marks(place, 'public.My "Table', "At", "minute")
    assert moment.isoformat() == "2025-03-01T12:34:00+00:00"


def test_rows_that_are_written_anew_differ_although_their_values_do_not(
    source: tuple[PostgresConnection, psycopg.Connection],
) -> None:
    place, connection = source
    connection.execute("CREATE TABLE t AS SELECT 1 AS n, timestamptz '2025-03-01' AS at")
    before = marks(place, "public.t", "at")
    assert not differing(before, marks(place, "public.t", "at"))
    connection.execute("UPDATE t SET n = n")

    assert differing(before, marks(place, "public.t", "at")) == set(before)
