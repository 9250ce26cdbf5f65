"""What is loaded from Postgres is watched, or said not to be; trouble with one source stops no other."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import dagster as dg
import psycopg
import pytest

from ecommerce_dagster.shop.embedded_postgres import PostgresServer
from ecommerce_dagster.warehouses.postgres.connect import SourceError
from orchestration.helpers import Tiny
from orchestration.watcher import PIPELINE, Watcher, later

DAYS = (
    "SELECT n, timestamptz '2025-03-01' + n * interval '1 day' AS at FROM generate_series(0, 2) n"
)
ALL = {"2025-03-01 to 2025-03-03"}
SECOND = "UPDATE t SET n = n + 10 WHERE at = '2025-03-02'"


@pytest.fixture
def watcher(tiny: Tiny, server: PostgresServer, instance: dg.DagsterInstance) -> Watcher:
    with psycopg.connect(server.dsn, autocommit=True) as connection:
        connection.execute("DROP DATABASE IF EXISTS watching WITH (FORCE)")
        connection.execute("CREATE DATABASE watching")
    watcher = Watcher(tiny, replace(server, database="watching"), instance)
    watcher.execute(f"CREATE TABLE t AS {DAYS}")
    return watcher


SOURCES = {
    "a name in quotes": ('"My Table"', f'CREATE TABLE "My Table" AS {DAYS}', '"My Table"'),
    "a name and its schema in quotes": ('"public"."t"', "", "t"),
    "a template": ("{{ var.there }}", "", "t"),
    "a partitioned table": (
        "p",
        "CREATE TABLE p (n int, at timestamptz) PARTITION BY RANGE (n);"
        "CREATE TABLE p1 PARTITION OF p DEFAULT; INSERT INTO p TABLE t",
        "p",
    ),
    "an unlogged table": ("u", f"CREATE UNLOGGED TABLE u AS {DAYS}", "u"),
}


@pytest.mark.parametrize("source", SOURCES)
def test_a_change_is_noticed_in(watcher: Watcher, source: str) -> None:
    named, made, table = SOURCES[source]
    watcher.pipeline(PIPELINE + "variables:\n  there: {type: string, default: public.t}\n")
    if made:
        watcher.execute(*made.split(";"))
    watcher.by_day("x", named)
    assert watcher.asked() == ALL
    watcher.execute(f"UPDATE {table} SET n = n + 10 WHERE at = '2025-03-02'")

    assert watcher.asked() == {"2025-03-02"}
    assert watcher.tick() == "nothing changed in 1 table"


def test_the_name_of_a_key_may_be_in_another_case(watcher: Watcher) -> None:
    watcher.by_day("t", key="At")
    assert watcher.asked() == ALL
    watcher.execute(SECOND)

    assert watcher.asked() == {"2025-03-02"}


@pytest.mark.parametrize("key", ["date", "timestamp"])
def test_a_key_may_be_a(watcher: Watcher, key: str) -> None:
    watcher.execute(f"ALTER TABLE t ALTER at TYPE {key} USING at AT TIME ZONE 'UTC'")
    watcher.by_day("t")
    assert watcher.asked() == ALL
    watcher.execute(SECOND)

    assert watcher.asked() == {"2025-03-02"}


SELDOM = {
    "a view": ("v", "CREATE VIEW v AS TABLE t"),
    "a query": ("query:SELECT * FROM t", ""),
    "a query with placeholders": (
        "query:SELECT * FROM t WHERE at BETWEEN :interval_start AND :interval_end",
        "",
    ),
}


@pytest.mark.parametrize("source", SELDOM)
def test_a_change_is_noticed_within_minutes_in(watcher: Watcher, source: str) -> None:
    named, made = SELDOM[source]
    if made:
        watcher.execute(made)
    watcher.by_day("x", named)
    assert watcher.asked() == ALL
    watcher.execute(SECOND)

    assert watcher.tick() == "read every 5 minutes: raw.x"
    with later(6):
        assert watcher.asked() == {"2025-03-02"}
        assert watcher.tick() == "read every 5 minutes: raw.x"
    with later(12):
        assert watcher.tick() == "no row changed in 1 table"


def test_a_materialized_view_changes_when_it_is_refreshed(watcher: Watcher) -> None:
    watcher.execute("CREATE MATERIALIZED VIEW m AS TABLE t")
    watcher.by_day("m")
    assert watcher.asked() == ALL
    watcher.execute(SECOND)
    assert watcher.tick() == "nothing changed in 1 table"
    watcher.execute("REFRESH MATERIALIZED VIEW m")

    assert watcher.asked() == {"2025-03-02"}


def test_a_database_that_counts_nothing_is_read_every_few_minutes(watcher: Watcher) -> None:
    watcher.alone("ALTER DATABASE watching SET track_counts = off")
    watcher.by_day("t")
    assert watcher.asked() == ALL
    watcher.execute(SECOND)

    assert watcher.tick() == "read every 5 minutes: raw.t"
    with later(6):
        assert watcher.asked() == {"2025-03-02"}


def test_rows_in_no_partition_are_counted(watcher: Watcher) -> None:
    watcher.execute(
        "INSERT INTO t VALUES (7, '2024-12-31'), (8, NULL), (9, 'infinity'), (10, '9999-01-01')"
    )
    watcher.by_day("t")
    assert watcher.asked() == ALL

    assert watcher.tick() == "nothing changed in 1 table; 4 rows of raw.t in no partition"


def test_a_row_of_tomorrow_is_asked_for_when_its_day_has_come(watcher: Watcher) -> None:
    watcher.execute("INSERT INTO t VALUES (7, now() + interval '1 day')")
    watcher.by_day("t")
    assert watcher.asked() == ALL
    watcher.tick()
    tomorrow = datetime.now(UTC) + timedelta(days=1)
    with later(60 * 24), dg.partition_loading_context(effective_dt=tomorrow):
        assert watcher.asked() == {tomorrow.date().isoformat()}


def test_what_is_not_watched_is_said_everywhere(watcher: Watcher) -> None:
    watcher.by_day("t")
    watcher.load("x", "query:SELECT '{{ start_date }}' AS day")
    why = (
        "its parameters are others for each interval; write :interval_start and :interval_end in "
        "a query instead"
    )
    assert watcher.asked() == ALL
    sensor = watcher.tiny.definitions().resolve_sensor_def("tiny_pg_changes")
    outcome = watcher.tiny.ecommerce("validate")

    assert watcher.tick() == f"nothing changed in 1 table; not watched: raw.x ({why})"
    assert f"Not watched: raw.x ({why})" in str(sensor.description)
    assert f"the sensor does not watch the source of 'raw.x': {why}" in outcome.text
    assert "raw.t" not in outcome.text


def refused(watcher: Watcher) -> None:
    watcher.execute(
        "DROP ROLE IF EXISTS reader", "CREATE ROLE reader LOGIN PASSWORD 'reader'",
        "GRANT SELECT ON t TO reader",
    )  # fmt: skip
    watcher.connect(watcher.server, user="reader", password="reader")


TROUBLES = {
    "no permission": ("CREATE TABLE x AS TABLE t", "permission denied for table x"),
    "a table that is not there": ("", "public.x does not exist"),
    "a key that is not there": ("CREATE TABLE x AS SELECT n FROM t", "has no column 'at'"),
    "a key that is not a time": ("CREATE TABLE x AS SELECT n, n AS at FROM t", "cannot cast"),
    "a text that is not a time": ("CREATE TABLE x AS SELECT n, 'x' AS at FROM t", "invalid input"),
    "a view that fails": ("CREATE VIEW x AS SELECT 1 / (n - n) AS n, at FROM t", "division by"),
}


@pytest.mark.parametrize("trouble", TROUBLES)
def test_the_others_are_followed_beside(watcher: Watcher, trouble: str) -> None:
    made, said = TROUBLES[trouble]
    if made:
        watcher.execute(made)
    if trouble == "no permission":
        refused(watcher)
    watcher.by_day("t")
    watcher.by_day("x")
    assert watcher.asked() == ALL
    watcher.execute(SECOND)
    assert watcher.asked() == {"2025-03-02"}

    reason = watcher.tick()
    assert isinstance(reason, str)
    assert reason.startswith("nothing changed in 1 table; could not be looked at: raw.x (")
    assert said in reason


def test_a_table_that_is_locked_is_left_for_later(watcher: Watcher) -> None:
    watcher.execute("CREATE TABLE x AS TABLE t")
    watcher.by_day("t")
    watcher.by_day("x")
    with psycopg.connect(watcher.server.dsn) as other:
        other.execute("LOCK TABLE x IN ACCESS EXCLUSIVE MODE")
        assert watcher.asked() == ALL
        other.execute("UPDATE x SET n = 5 WHERE at = '2025-03-01'")
        assert "raw.x (" in (reason := str(watcher.tick()))
        assert "canceling statement due to lock timeout" in reason

    assert watcher.asked() == ALL


def test_a_source_that_stays_unreadable_makes_the_tick_fail_until_it_is_mended(
    watcher: Watcher,
) -> None:
    watcher.by_day("t")
    watcher.by_day("x")
    assert watcher.asked() == ALL
    for _ in range(2):
        assert "public.x does not exist" in str(watcher.tick())
    with pytest.raises(
        SourceError, match=r"not followed for 3 ticks or more: raw.x \(public.x does not exist\)"
    ):
        watcher.tick()

    # What changes beside is requested all the same.
    watcher.execute(SECOND)
    assert watcher.asked() == {"2025-03-02"}
    watcher.execute("CREATE TABLE x AS TABLE t")
    assert watcher.asked() == ALL
    assert watcher.tick() == "nothing changed in 2 tables"


def test_a_database_that_stays_unreachable_makes_the_tick_fail(watcher: Watcher) -> None:
    watcher.by_day("t")
    assert watcher.asked() == ALL
    there, away = watcher.server, replace(watcher.server, port=1)
    watcher.connect(away)
    for _ in range(3):
        assert "127.0.0.1:1" in str(watcher.tick())
    with pytest.raises(SourceError, match=r"127.0.0.1:1"):
        watcher.tick()
    watcher.connect(there)

    watcher.execute(SECOND)
    assert watcher.asked() == {"2025-03-02"}


def test_a_row_whose_key_is_changed_leaves_none_behind(watcher: Watcher) -> None:
    watcher.execute("ALTER TABLE t ADD PRIMARY KEY (n)")
    watcher.load("t", incremental_strategy="merge", incremental_key="at", primary_key="n")
    watcher.build()
    assert watcher.asked() == {"raw/t"}
    watcher.execute("UPDATE t SET n = 77 WHERE n = 1")

    (request,) = watcher.tick()
    assert isinstance(request, dg.RunRequest)
    watcher.build(tags=dict(request.tags))
    assert watcher.tiny.query("SELECT n FROM raw.t ORDER BY n") == [(0,), (2,), (77,)]


def test_rows_whose_counters_come_later_are_noticed_once(watcher: Watcher) -> None:
    watcher.by_day("t")
    watcher.execute("CREATE TABLE other AS TABLE t")
    assert watcher.asked() == ALL
    with psycopg.connect(watcher.server.dsn) as slow:
        # Not counted before the session is idle for a second, or ends.
        slow.execute("SELECT 1")
        slow.commit()
        slow.execute("DELETE FROM t WHERE n = 1")
        slow.commit()
        first = watcher.asked()

    assert first | watcher.asked() == {"2025-03-02"}
    assert "in 1 table" in str(watcher.tick())


# How columns change, and whether rows that are loaded are others then.
ALTERED = {
    "a new column with a default": ("ADD c int DEFAULT 5", True),
    "a new column with a default that differs by row": ("ADD c float DEFAULT random()", True),
    "a new column with a default that is not the default any more": (
        "ADD c int DEFAULT 5, ALTER m DROP DEFAULT",
        True,
    ),
    "a generated column": ("ADD c int GENERATED ALWAYS AS (n + 1) STORED", True),
    "a column with another name": ("RENAME n TO number", True),
    "another type, and the rows rewritten": ("ALTER n TYPE text", True),
    "another type of the same rows": ("ALTER label TYPE text", True),
    "a new column without a default": ("ADD c int", False),
    "a default for rows to come": ("ALTER n SET DEFAULT 5", False),
    "one column less": ("DROP COLUMN m", False),
}


@pytest.mark.parametrize("kind", ["a table", "a partitioned table", "without days"])
def test_columns_that_change_are_noticed(watcher: Watcher, kind: str) -> None:
    """A table for each change: the tick asks for those whose loaded rows are others, and for all
    of their days."""
    tables = {f"x{number}": altered for number, altered in enumerate(ALTERED)}
    columns = "(n int, at timestamptz, m int DEFAULT 1, label varchar(9))"
    for table in tables:
        if kind == "a partitioned table":
            watcher.execute(
                f"CREATE TABLE {table} {columns} PARTITION BY RANGE (at)",
                f"CREATE TABLE {table}_1 PARTITION OF {table} DEFAULT",
            )
        else:
            watcher.execute(f"CREATE TABLE {table} {columns}")
        watcher.execute(f"INSERT INTO {table} {DAYS}")
        watcher.load(table) if kind == "without days" else watcher.by_day(table)
    assert requested(watcher) == set(tables)
    for table, altered in tables.items():
        watcher.execute(f"ALTER TABLE {table} {ALTERED[altered][0]}")

    asked = {tables[table] for table in requested(watcher, () if kind == "without days" else ALL)}
    assert asked == {altered for altered, (_, is_news) in ALTERED.items() if is_news}
    assert watcher.tick() == "nothing changed in 10 tables"
    for table in tables:
        watcher.alone(f"VACUUM FULL {table}")
    assert watcher.tick() == "no row changed in 10 tables"


def requested(watcher: Watcher, days: Collection[str] = ()) -> set[str]:
    """The tables that a tick asks for, for exactly these `days` where they have some."""
    requests = watcher.tick()
    assert not isinstance(requests, str), requests
    found = {key.path[-1] for request in requests for key in request.asset_selection or ()}
    ranges = [
        tuple(request.tags.get(f"dagster/asset_partition_range_{end}") for end in ("start", "end"))
        for request in requests
    ]
    if days:
        assert {f"{first} to {last}" for first, last in ranges} == set(days)
    return found


def test_a_column_that_comes_with_a_value_has_it_in_all_days(watcher: Watcher) -> None:
    watcher.by_day("t")
    (request,) = watcher.tick()
    assert isinstance(request, dg.RunRequest)
    watcher.run(request)
    watcher.execute("ALTER TABLE t ADD c int DEFAULT 5")
    (request,) = watcher.tick()
    assert isinstance(request, dg.RunRequest)
    watcher.run(request)

    assert watcher.tiny.query("SELECT c FROM raw.t") == [(5,)] * 3
