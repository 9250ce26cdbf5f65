"""The files of a pipeline change while the sensor remembers what they were."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import dagster as dg
import psycopg
import pytest

from ecommerce_dagster.shop.embedded_postgres import PostgresServer
from orchestration.helpers import Tiny, failures
from orchestration.watcher import Watcher

# Ten days ago, so that hours are few.
FIRST = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0) - timedelta(days=10)
DAILY = f"name: tiny\nschedule: daily\nstart_date: '{FIRST.date()}'\n"
STAGED = """
depends: [raw.t]
materialization:
  type: table
  strategy: time_interval
  incremental_key: at
  time_granularity: timestamp
"""
SELECT = (
    'SELECT n, "at" FROM raw.t {% if not full_refresh %} WHERE "at" >= \'{{ start_datetime }}\''
    " AND \"at\" <= '{{ end_datetime }}' {% endif %}"
)


def day(number: int, hours: int = 0) -> str:
    return (FIRST + timedelta(days=number, hours=hours)).isoformat()


def new_database(server: PostgresServer, name: str) -> PostgresServer:
    with psycopg.connect(server.dsn, autocommit=True) as connection:
        connection.execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)".encode())
        connection.execute(f"CREATE DATABASE {name}".encode())
    return replace(server, database=name)


@pytest.fixture
def watcher(tiny: Tiny, server: PostgresServer, instance: dg.DagsterInstance) -> Watcher:
    watcher = Watcher(tiny, new_database(server, "files"), instance)
    watcher.pipeline(DAILY)
    watcher.execute(
        "CREATE TABLE t (n int, at timestamptz)",
        f"INSERT INTO t VALUES (1, '{day(1)}'), (2, '{day(2, 5)}'), (3, '{day(3)}')",
    )
    watcher.by_day("t")
    tiny.sql("stg.t", SELECT, STAGED, table=False)
    settle(watcher)
    return watcher


def settle(watcher: Watcher, fails: bool = False) -> tuple[str, set[str]]:
    """Run what is requested until nothing is. The last reason, and all assets that were run."""
    built: set[str] = set()
    for _ in range(9):
        found = watcher.tick()
        if isinstance(found, str):
            return found, built
        for request in found:
            built |= {key.to_user_string() for key in request.asset_selection or ()}
            assert failures(watcher.run(request)) == {}
    raise AssertionError("it never ends")


def rows(watcher: Watcher, table: str) -> Sequence[tuple[int]]:
    return watcher.tiny.query(f"SELECT n FROM {table} ORDER BY n")


def fail_a_run(watcher: Watcher, statement: str) -> None:
    """A run that was requested for a change fails."""
    watcher.execute(statement)
    watcher.outcome = dg.DagsterRunStatus.FAILURE
    assert not isinstance(watcher.tick(), str)
    watcher.outcome = dg.DagsterRunStatus.SUCCESS


def test_another_schedule(watcher: Watcher) -> None:
    fail_a_run(watcher, "DELETE FROM t WHERE n = 3")
    watcher.pipeline(DAILY.replace("daily", "hourly"))
    reason, _ = settle(watcher)

    assert reason == "nothing changed in 1 table"
    assert rows(watcher, "raw.t") == rows(watcher, "stg.t") == [(1,), (2,)]


@pytest.mark.parametrize("days", [-3, 2])
def test_another_start_date(watcher: Watcher, days: int) -> None:
    watcher.execute(f"INSERT INTO t VALUES (9, '{day(-2)}')")
    settle(watcher)
    fail_a_run(watcher, "UPDATE t SET n = n + 10 WHERE n < 9")
    watcher.pipeline(DAILY.replace(str(FIRST.date()), day(days)[:10]))
    settle(watcher)

    # What is before the start stays as it was.
    expected = [(9,), (11,), (12,), (13,)] if days < 0 else [(1,), (12,), (13,)]
    assert rows(watcher, "raw.t") == rows(watcher, "stg.t") == expected


def test_an_earlier_start_date_takes_what_a_run_without_dates_left_before_the_old_one(
    watcher: Watcher,
) -> None:
    watcher.execute(f"INSERT INTO t VALUES (8, '{day(-1)}'), (9, '{day(-2)}')")
    watcher.build()
    assert rows(watcher, "raw.t") == [(1,), (2,), (3,), (8,), (9,)]
    watcher.execute("DELETE FROM t WHERE n = 9")
    watcher.pipeline(DAILY.replace(str(FIRST.date()), day(-3)[:10]))
    settle(watcher)

    assert rows(watcher, "raw.t") == rows(watcher, "stg.t") == [(1,), (2,), (3,), (8,)]
    assert settle(watcher) == ("nothing changed in 1 table", set())


def rename_raw(watcher: Watcher) -> None:
    """Call the asset raw.t raw.other, and let stg.t read it by this name."""
    asset = watcher.tiny.directory / "assets" / "t.asset.yml"
    asset.write_text(asset.read_text().replace("name: raw.t", "name: raw.other"))
    watcher.tiny.sql(
        "stg.t",
        SELECT.replace("raw.t", "raw.other"),
        STAGED.replace("raw.t", "raw.other"),
        table=False,
    )


def test_a_raw_asset_with_another_name(watcher: Watcher) -> None:
    fail_a_run(watcher, "UPDATE t SET n = 12 WHERE n = 2")
    rename_raw(watcher)
    settle(watcher)

    assert rows(watcher, "raw.other") == rows(watcher, "stg.t") == [(1,), (3,), (12,)]


@pytest.mark.parametrize(
    ("change", "left"),
    [
        ("DELETE FROM t WHERE n = 2", [(1,), (3,)]),
        (f"UPDATE t SET at = '{day(1)}' WHERE n = 3", [(1,), (2,), (3,)]),
        ("TRUNCATE t", []),
    ],
    ids=["deleted", "moved", "emptied"],
)
def test_a_day_that_lost_its_rows_while_the_raw_asset_got_another_name(
    watcher: Watcher, change: str, left: list[tuple[int]]
) -> None:
    rename_raw(watcher)
    watcher.execute(change)
    settle(watcher)

    assert rows(watcher, "raw.other") == rows(watcher, "stg.t") == left


IN_NO_PARTITION = {
    "none": "TABLE t LIMIT 0",
    "early": "SELECT n, timestamptz '2001-01-01' AS at FROM t",
    "without_a_time": "SELECT n, NULL::timestamptz AS at FROM t",
    "without_an_end": "SELECT n, timestamptz 'infinity' AS at FROM t",
    "to_come": "SELECT n, now() + interval '9 days' AS at FROM t",
}


def test_a_new_table_whose_rows_are_in_no_partition_is_there_for_what_reads_it(
    watcher: Watcher,
) -> None:
    for name, rows_of_it in IN_NO_PARTITION.items():
        watcher.execute(f"CREATE TABLE {name} AS {rows_of_it}")
        watcher.by_day(name)
    counted = ", ".join(f"(SELECT count(*) FROM raw.{name}) AS {name}" for name in IN_NO_PARTITION)
    watcher.tiny.sql(
        "mart.all",
        f"SELECT (SELECT count(*) FROM raw.t) AS n, {counted}",
        f"depends: [raw.t, {', '.join(f'raw.{name}' for name in IN_NO_PARTITION)}]",
    )
    # A mart that is built for another reason reads it too.
    watcher.execute("UPDATE t SET n = 13 WHERE n = 3")
    reason, built = settle(watcher)

    assert {f"raw/{name}" for name in IN_NO_PARTITION} <= built
    assert watcher.tiny.query("FROM mart.all") == [(3, 0, 0, 0, 0, 0)]
    assert reason.startswith("nothing changed in 6 tables")


def test_an_asset_that_is_removed(watcher: Watcher) -> None:
    watcher.execute("CREATE TABLE u AS TABLE t")
    watcher.by_day("u")
    settle(watcher)
    fail_a_run(watcher, "UPDATE u SET n = 12 WHERE n = 2")
    (watcher.tiny.directory / "assets" / "u.asset.yml").unlink()

    assert settle(watcher) == ("nothing changed in 1 table", set())


def test_an_asset_of_sql_that_is_new(watcher: Watcher) -> None:
    watcher.tiny.sql("mart.t", "SELECT sum(n) AS n FROM stg.t", "depends: [stg.t]")
    watcher.tiny.sql("mart.u", "SELECT n FROM mart.t", "depends: [mart.t]")
    _, built = settle(watcher)

    assert built == {"mart/t", "mart/u"}
    assert rows(watcher, "mart.u") == [(6,)]
    assert settle(watcher) == ("nothing changed in 1 table", set())


def test_an_asset_of_sql_by_days_with_another_name(watcher: Watcher) -> None:
    watcher.tiny.sql("stg.u", SELECT, STAGED, table=False)
    for file in watcher.tiny.directory.rglob("*.sql"):
        if "stg.t" in file.read_text():
            file.unlink()
    _, built = settle(watcher)

    assert built == {"stg/u"}
    assert rows(watcher, "stg.u") == [(1,), (2,), (3,)]


def test_an_asset_of_sql_that_comes_back(watcher: Watcher) -> None:
    watcher.tiny.sql("mart.t", "SELECT sum(n) AS n FROM stg.t", "depends: [stg.t]")
    settle(watcher)
    (file,) = [f for f in watcher.tiny.directory.rglob("*.sql") if "mart.t" in f.read_text()]
    text = file.read_text()
    file.unlink()
    watcher.execute("DELETE FROM t WHERE n = 3")
    settle(watcher)
    file.write_text(text)
    settle(watcher)

    assert rows(watcher, "mart.t") == [(3,)]


def test_another_database(watcher: Watcher) -> None:
    watcher.connect(new_database(watcher.server, "others"))
    watcher.execute(
        "CREATE TABLE t (n int, at timestamptz)",
        f"INSERT INTO t VALUES (1, '{day(1)}'), (7, '{day(7)}')",
    )
    settle(watcher)

    assert rows(watcher, "raw.t") == rows(watcher, "stg.t") == [(1,), (7,)]


def test_another_strategy(watcher: Watcher) -> None:
    watcher.load("t", incremental_strategy="merge", incremental_key="at", primary_key="n")
    watcher.execute("DELETE FROM t WHERE n = 3")
    settle(watcher)
    assert rows(watcher, "raw.t") == [(1,), (2,)]
    watcher.by_day("t")
    watcher.execute("DELETE FROM t WHERE n = 2")
    settle(watcher)
    assert rows(watcher, "raw.t") == rows(watcher, "stg.t") == [(1,)]


def test_rows_of_an_hour_that_has_none_any_more_go_although_days_are_asked_for(
    watcher: Watcher,
) -> None:
    watcher.execute("DELETE FROM t WHERE n = 2")
    watcher.pipeline(DAILY.replace("daily", "'30 */6 * * *'"))
    watcher.cursor = ""
    settle(watcher)

    assert rows(watcher, "raw.t") == [(1,), (3,)]
