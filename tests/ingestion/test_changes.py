"""What changed in Postgres is seen in counters, then in the rows of the tables that moved."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime

import psycopg
import pytest

from ecommerce_dagster.bruin.model.postgres_connection import PostgresConnection
from ecommerce_dagster.shop.embedded_postgres import PostgresServer
from ecommerce_dagster.sources.postgres.changes import (
    Fingerprints,
    Table,
    changed_periods,
    fingerprints,
    question,
    read_tables,
    watching,
)
from ecommerce_dagster.sources.postgres.describe import Source

Place = tuple[PostgresConnection, psycopg.Connection]


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


def tables(place: PostgresConnection, *names: str) -> dict[str, Table]:
    """Each source as it is seen, by its name."""
    with watching(place) as postgres, question(postgres, 10):
        return read_tables(postgres, {name: Source(place, name) for name in names})


def rows(
    place: PostgresConnection, name: str, key: str | None = None, unit: str = "day"
) -> Fingerprints:
    table = tables(place, name)[name]
    with watching(place) as postgres, question(postgres, 10):
        return fingerprints(postgres, Source(place, name), table, key, unit)


def flushed(connection: psycopg.Connection) -> None:
    """Let Postgres show what it counted."""
    connection.execute("SELECT pg_stat_force_next_flush()")


def test_a_partitioned_table_counts_what_its_partitions_do(source: Place) -> None:
    place, connection = source
    connection.execute("CREATE TABLE log (at timestamptz, n int) PARTITION BY RANGE (at)")
    connection.execute(
        "CREATE TABLE log_1 PARTITION OF log FOR VALUES FROM ('2025-01-01') TO ('2026-01-01')"
    )
    before = tables(place, "public.log")["public.log"].counters
    connection.execute("INSERT INTO log VALUES ('2025-03-01', 1), ('2025-03-02', 1)")
    flushed(connection)
    after = tables(place, "public.log")["public.log"].counters

    assert before is not None
    assert after is not None
    assert after.inserted - before.inserted == 2
    assert len(rows(place, "public.log", "at")) == 2


def test_what_has_no_counters_is_known_and_what_is_not_there_is_not(source: Place) -> None:
    place, connection = source
    connection.execute("CREATE VIEW here AS SELECT 1 AS n")
    connection.execute("CREATE MATERIALIZED VIEW kept AS SELECT 1 AS n")
    found = tables(place, "here", "kept", "query:SELECT 1 AS n", "nowhere")

    assert found["query:SELECT 1 AS n"] == Table(None, has_numbers=False)
    assert found["here"] == replace(found["query:SELECT 1 AS n"], columns=found["here"].columns)
    assert found["here"].columns == {"1": ("n", "integer", False)}
    assert found["kept"].counters is not None
    assert not found["kept"].has_numbers
    assert "nowhere" not in found


def test_a_foreign_table_has_no_counters_nor_has_a_table_with_one_as_its_partition(
    source: Place,
) -> None:
    place, connection = source
    connection.execute("CREATE FOREIGN DATA WRAPPER w")
    connection.execute("CREATE SERVER s FOREIGN DATA WRAPPER w")
    connection.execute("CREATE TABLE p (n int) PARTITION BY RANGE (n)")
    connection.execute("CREATE TABLE here PARTITION OF p FOR VALUES FROM (0) TO (10)")
    connection.execute(
        "CREATE FOREIGN TABLE there PARTITION OF p FOR VALUES FROM (10) TO (20) SERVER s"
    )

    found = tables(place, "p", "there")
    assert {name: table.counters for name, table in found.items()} == {"p": None, "there": None}
    assert not any(table.has_numbers for table in found.values())


@pytest.mark.parametrize("name", ['"My ""Table"', 'public."My ""Table"', '"public"."My ""Table"'])
def test_names_in_quotes_are_taken_as_they_are(source: Place, name: str) -> None:
    place, connection = source
    connection.execute('CREATE TABLE "My ""Table" ("At" timestamptz)')
    connection.execute("""INSERT INTO "My ""Table" VALUES ('2025-03-01 12:34:56')""")

    (moment,) = rows(place, name, "at", "minute")
    assert moment == datetime(2025, 3, 1, 12, 34, tzinfo=UTC).timestamp()


def test_rows_that_are_written_anew_differ_although_their_values_do_not(source: Place) -> None:
    place, connection = source
    connection.execute("CREATE TABLE t AS SELECT 1 AS n, timestamptz '2025-03-01' AS at")
    before = rows(place, "public.t", "at")
    assert not changed_periods(before, rows(place, "public.t", "at"))
    connection.execute("UPDATE t SET n = n")

    assert changed_periods(before, rows(place, "public.t", "at")) == set(before)


@pytest.mark.parametrize("kind", ["VIEW", "MATERIALIZED VIEW"])
def test_the_rows_of_a_view_differ_when_their_values_do(source: Place, kind: str) -> None:
    place, connection = source
    connection.execute("CREATE TABLE t AS SELECT 1 AS n, date '2025-03-01' AS at")
    connection.execute(f"CREATE {kind} v AS TABLE t")
    refresh = f"REFRESH {kind} v" if kind != "VIEW" else "SELECT 1"
    before = rows(place, "v", "at")
    connection.execute("UPDATE t SET n = n")
    connection.execute(refresh.encode())
    assert not changed_periods(before, rows(place, "v", "at"))
    connection.execute("UPDATE t SET n = n + 1")
    connection.execute(refresh.encode())

    assert changed_periods(before, rows(place, "v", "at")) == set(before)


def test_keys_that_are_no_times_of_ours_are_one_period_or_one_that_is_far_away(
    source: Place,
) -> None:
    place, connection = source
    connection.execute(
        "CREATE TABLE t AS SELECT moment::timestamptz AS at FROM unnest(ARRAY["
        "NULL, 'infinity', '-infinity', '0044-03-15 BC', '20000-01-01']) AS moment"
    )
    found = rows(place, "t", "at")

    assert {None} < set(found)
    assert found[None].startswith("3 ")
    assert len(found) == 3


def test_a_role_that_prefers_one_snapshot_for_all_statements_sees_what_was_committed_in_between(
    source: Place,
) -> None:
    place, connection = source
    connection.execute("CREATE TABLE t (n int)")
    connection.execute(
        "ALTER DATABASE changes SET default_transaction_isolation = 'repeatable read'"
    )
    with watching(place) as postgres, question(postgres, 10):
        found = read_tables(postgres, {"t": Source(place, "t")})
        connection.execute("INSERT INTO t VALUES (1)")
        (mark,) = fingerprints(postgres, Source(place, "t"), found["t"]).values()

    assert mark.startswith("1 ")
