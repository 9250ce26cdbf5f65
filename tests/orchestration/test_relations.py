"""Rows whose parent is gone are found, also in partitions that nobody loads again."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import dagster as dg
import psycopg
import pytest

from ecommerce_dagster.shop.embedded_postgres import PostgresServer
from orchestration.helpers import Tiny, failures
from orchestration.watcher import Watcher

CHILD = """
depends: [{raw}, {parent}]
materialization:
  type: table
  strategy: time_interval
  incremental_key: day_of
  time_granularity: timestamp
columns:
  - name: parent
    foreign_key: {{table: {parent}, column: id}}
    checks: [{{name: relationships}}]
"""
RANGE = ("dagster/asset_partition_range_start", "dagster/asset_partition_range_end")
IN_WINDOW = "WHERE day_of >= '{{ start_datetime }}' AND day_of <= '{{ end_datetime }}'"


@pytest.fixture
def watcher(tiny: Tiny, server: PostgresServer, instance: dg.DagsterInstance) -> Watcher:
    with psycopg.connect(server.dsn, autocommit=True) as connection:
        connection.execute("DROP DATABASE IF EXISTS relations WITH (FORCE)")
        connection.execute("CREATE DATABASE relations")
    watcher = Watcher(tiny, replace(server, database="relations"), instance)
    watcher.execute(
        "CREATE TABLE people AS SELECT id, timestamptz '2025-03-01' AS day_of FROM generate_series(1, 3) id",
        "CREATE TABLE days AS SELECT id, timestamptz '2025-03-01' + id * interval '1 day' AS day_of"
        " FROM generate_series(1, 3) id",
        "CREATE TABLE items AS SELECT id AS parent, timestamptz '2025-03-05' + id * interval '1 day'"
        " AS day_of FROM generate_series(1, 3) id",
    )
    watcher.load("people", incremental_strategy="merge", incremental_key="day_of", primary_key="id")
    watcher.by_day("days", key="day_of")
    watcher.by_day("items", key="day_of")
    for parent in ("people", "days"):
        header = CHILD.format(raw="raw.items", parent=f"raw.{parent}")
        tiny.sql(
            f"stg.of_{parent}",
            f"SELECT parent, day_of FROM raw.items {IN_WINDOW}",
            header,
            table=False,
        )
    return watcher


@pytest.fixture
def built(watcher: Watcher) -> Watcher:
    """Everything is built, and seen."""
    month = dict(zip(RANGE, ("2025-03-01", "2025-03-31"), strict=True))
    assert failures(watcher.build(tags=month)) == {}
    assert watcher.asked()
    return watcher


def requests(watcher: Watcher) -> Sequence[dg.RunRequest]:
    found = watcher.tick()
    assert not isinstance(found, str), found
    return found


def test_orphans_of_a_table_without_partitions_are_found_in_a_run_of_that_table(
    built: Watcher,
) -> None:
    built.execute("DELETE FROM people WHERE id = 2")
    (request,) = requests(built)
    result = built.run(request)

    assert {key.to_user_string() for key in request.asset_selection or ()} == {"raw/people"}
    assert "parent: relationships" in str(failures(result))
    assert built.tiny.query("SELECT id FROM raw.people ORDER BY id") == [(1,), (3,)]


def test_a_check_alone_waits_for_the_parent_that_the_run_builds(
    watcher: Watcher,
) -> None:
    # Steps that do not wait for each other run in the order of their names: the child comes first.
    watcher.tiny.sql("stg.z_people", "SELECT id FROM raw.people", "depends: [raw.people]")
    query = f"SELECT parent, day_of FROM raw.items {IN_WINDOW}"
    header = CHILD.format(raw="raw.items", parent="stg.z_people")
    watcher.tiny.sql("stg.a_items", query, header, table=False)
    month = dict(zip(RANGE, ("2025-03-01", "2025-03-31"), strict=True))
    assert failures(watcher.build(tags=month)) == {}
    assert watcher.asked()
    watcher.execute("DELETE FROM people WHERE id = 2")
    (request,) = requests(watcher)

    assert "parent: relationships" in str(failures(watcher.run(request)).get("stg__a_items"))


def test_orphans_in_other_partitions_are_found_by_the_last_run_of_a_change(
    built: Watcher,
) -> None:
    built.execute("DELETE FROM days WHERE id = 2")
    (request,) = requests(built)

    assert "parent: relationships" in str(failures(built.run(request)))


def test_parents_and_children_that_go_together_pass_in_whichever_order(built: Watcher) -> None:
    built.execute("DELETE FROM days WHERE id = 2", "DELETE FROM items WHERE parent = 2")
    first, last = requests(built)

    assert built.run(first).success
    assert built.run(last).success


def test_a_run_over_partitions_that_builds_the_parent_looks_at_all_children(
    built: Watcher,
) -> None:
    built.execute("DELETE FROM days WHERE id = 2")
    day = dict.fromkeys(RANGE, "2025-03-03")

    assert "parent: relationships" in str(failures(built.build(tags=day)))


def test_a_table_that_was_never_built_is_not_checked(watcher: Watcher) -> None:
    watcher.execute("TRUNCATE items, days")
    (request,) = requests(watcher)

    assert watcher.run(request).success
