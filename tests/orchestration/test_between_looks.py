"""Rows that come after a look of the sensor, are loaded, and are gone before its next look."""

from __future__ import annotations

from dataclasses import replace

import dagster as dg
import psycopg
import pytest

from ecommerce_dagster.orchestration import factory
from ecommerce_dagster.orchestration.build import definitions_of, load_project
from ecommerce_dagster.shop.embedded_postgres import PostgresServer
from orchestration.helpers import Tiny, failures, run_all
from orchestration.watcher import Watcher

DAYS = (
    "SELECT n, timestamptz '2025-03-01' + n * interval '1 day' AS at FROM generate_series(0, 2) n"
)
ROWS = [(0,), (1,), (2,)]
QUIET_TICK = {"nothing changed in 1 table", "no row changed in 1 table"}


@pytest.fixture
def watcher(tiny: Tiny, server: PostgresServer, instance: dg.DagsterInstance) -> Watcher:
    with psycopg.connect(server.dsn, autocommit=True) as connection:
        connection.execute("DROP DATABASE IF EXISTS between WITH (FORCE)")
        connection.execute("CREATE DATABASE between")
    watcher = Watcher(tiny, replace(server, database="between"), instance)
    watcher.execute(f"CREATE TABLE t AS {DAYS}")
    watcher.by_day("t")
    return watcher


def settled(watcher: Watcher) -> list[list[str]]:
    """Run what is requested until nothing is: the days of each tick."""
    days = []
    for _ in range(9):
        found = watcher.tick()
        if isinstance(found, str):
            assert found in QUIET_TICK
            return days
        days.append([request.tags["dagster/asset_partition_range_start"] for request in found])
        for request in found:
            assert failures(watcher.run(request)) == {}
    raise AssertionError(f"it never ends: {days}")


def rows(watcher: Watcher) -> list[tuple[int]]:
    return watcher.tiny.query("SELECT n FROM raw.t ORDER BY n")


CAME = {
    "a row": ("INSERT INTO t VALUES (9, '2025-03-02 05:00')", "DELETE FROM t WHERE n = 9"),
    "a row of a day without any": (
        "INSERT INTO t VALUES (9, '2025-03-20')",
        "DELETE FROM t WHERE n = 9",
    ),
    "a row that was elsewhere": (
        "UPDATE t SET at = '2025-03-20' WHERE n = 1",
        "UPDATE t SET at = '2025-03-02' WHERE n = 1",
    ),
}
MONTH = {
    "dagster/asset_partition_range_start": "2025-03-01",
    "dagster/asset_partition_range_end": "2025-03-31",
}


@pytest.mark.parametrize("how", ["all days", "without dates"])
@pytest.mark.parametrize("came", CAME)
def test_what_came_and_went_is_not_kept(watcher: Watcher, came: str, how: str) -> None:
    comes, goes = CAME[came]
    settled(watcher)
    watcher.execute(comes)
    if how == "all days":
        watcher.build(tags=MONTH)
    else:
        project = load_project(watcher.tiny.directory)
        run_all(definitions_of(project, partitioned=False), watcher.instance)
    watcher.execute(goes)

    assert len(settled(watcher)) <= 2
    assert rows(watcher) == ROWS


def test_the_run_that_a_look_requested_may_see_it(watcher: Watcher) -> None:
    settled(watcher)
    watcher.execute("UPDATE t SET n = 10 WHERE n = 1")
    (request,) = watcher.tick()
    assert isinstance(request, dg.RunRequest)
    watcher.execute("INSERT INTO t VALUES (9, '2025-03-02 05:00')")
    watcher.run(request)
    watcher.execute("DELETE FROM t WHERE n = 9")

    assert settled(watcher) == [["2025-03-02"]]
    assert rows(watcher) == [(0,), (2,), (10,)]


def test_the_look_may_be_before_the_run_ends(
    watcher: Watcher, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The counters have not moved since the look: the end of the run is news itself."""
    settled(watcher)
    watcher.execute("UPDATE t SET n = 10 WHERE n = 1")
    (request,) = watcher.tick()
    assert isinstance(request, dg.RunRequest)
    watcher.execute("INSERT INTO t VALUES (9, '2025-03-20')")
    seen = []

    def look_first(*values: object) -> None:
        watcher.execute("DELETE FROM t WHERE n = 9")
        seen.append(watcher.tick())

    real = factory._record_partitions

    def recorded(*values: object) -> int | None:
        look_first()
        return real(*values)  # type: ignore[arg-type]

    monkeypatch.setattr(factory, "_record_partitions", recorded)
    watcher.build(tags=MONTH)
    monkeypatch.undo()

    assert seen == ["no row changed in 1 table"]
    assert settled(watcher) == [["2025-03-20"]]
    assert rows(watcher) == [(0,), (2,), (10,)]


def test_loads_that_see_what_the_look_saw_are_no_news(watcher: Watcher) -> None:
    assert len(settled(watcher)) == 1
    watcher.build(tags=MONTH)
    assert settled(watcher) == []
    watcher.execute("UPDATE t SET n = 10 WHERE n = 1")
    assert settled(watcher) == [["2025-03-02"]]
    watcher.build(tags=MONTH)
    watcher.execute("UPDATE t SET n = 12 WHERE n = 2")
    assert settled(watcher) == [["2025-03-03"]]


def test_a_load_that_takes_fewer_rows_than_there_are_is_asked_for_once_more_only(
    watcher: Watcher,
) -> None:
    watcher.execute("INSERT INTO t VALUES (1, '2025-03-02')")
    watcher.load("t", incremental_strategy="delete+insert", incremental_key="at", primary_key="n")
    assert len(settled(watcher)) <= 2
    for n in (20, 30):
        watcher.execute(f"UPDATE t SET n = {n} WHERE at = '2025-03-03'")
        assert settled(watcher) == [["2025-03-03"]]
