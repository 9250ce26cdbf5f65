"""Loads by windows of time: what the window holds is replaced, the rest stays."""

from __future__ import annotations

from datetime import UTC, date, datetime

import pytest

from contract.helpers import Warehouse, day, each_sql, everywhere, values
from ecommerce_dagster.bruin.model.interval import Interval
from ecommerce_dagster.warehouses.sql_asset import AssetError

pytestmark = each_sql

BY_TIME = """
materialization:
  {type: table, strategy: time_interval, incremental_key: ts, time_granularity: timestamp}
"""
BY_DATE = BY_TIME.replace("granularity: timestamp", "granularity: date")
SIX_HOURLY = values("ts", *(f"TIMESTAMPTZ '2024-01-01 {h:02}:00:00+00'" for h in range(0, 24, 6)))
FILTERED = """SELECT * FROM events
WHERE ts >= '{{ start_timestamp }}' AND ts <= '{{ end_timestamp }}'"""


@pytest.fixture
def events(w: Warehouse) -> Warehouse:
    """Three days, with an event in the last microsecond of the second one."""
    w.sql(
        "CREATE TABLE events AS SELECT ts, 'v' || row_number() OVER () AS v FROM (VALUES"
        " (TIMESTAMPTZ '2024-01-01 00:00:00+00'), ('2024-01-01 12:00:00+00'),"
        " ('2024-01-02 00:00:00+00'), ('2024-01-02 23:59:59.999999+00'),"
        " ('2024-01-03 00:00:00+00')) AS e(ts)"
    )
    return w


@everywhere
@pytest.mark.parametrize("header", [BY_TIME, BY_DATE])
def test_runs_by_day_hold_what_one_run_holds(events: Warehouse, header: str) -> None:
    for number in (1, 2, 3):
        events.run(header, FILTERED, interval=day(f"2024-01-0{number}"), strict_window=True)
    assert events.rows() == events.rows("events")
    events.run(header, FILTERED, interval=day("2024-01-01", days=3), strict_window=True)
    assert events.rows() == events.rows("events")


@pytest.mark.parametrize("header", [BY_TIME, BY_DATE])
def test_a_rerun_is_exact(events: Warehouse, header: str) -> None:
    events.run(header, FILTERED, interval=day("2024-01-01", days=3))
    events.sql("UPDATE events SET v = 'changed' WHERE ts = '2024-01-02 23:59:59.999999+00'")
    events.sql("DELETE FROM events WHERE ts = '2024-01-02 00:00:00+00'")
    for _ in range(3):
        built = events.run(header, FILTERED, interval=day("2024-01-02"), strict_window=True)
        assert built.loaded.rows_written == 1
        assert events.rows() == events.rows("events")


@everywhere
@pytest.mark.parametrize("header", [BY_TIME, BY_DATE])
def test_a_row_that_moved_into_the_window_is_only_there(events: Warehouse, header: str) -> None:
    header += "columns: [{name: V, primary_key: true}]"
    events.run(header, FILTERED, interval=day("2024-01-01", days=3))
    events.sql("UPDATE events SET ts = '2024-01-02 09:00:00+00' WHERE v IN ('v1', 'v5')")
    built = events.run(header, FILTERED, interval=day("2024-01-02"), strict_window=True)
    assert (built.loaded.rows_written, built.loaded.rows_moved) == (4, 2)
    assert events.rows() == events.rows("events")
    again = events.run(header, FILTERED, interval=day("2024-01-02"), strict_window=True)
    assert again.loaded.rows_moved == 0


def test_a_row_is_known_by_the_whole_of_its_primary_key(w: Warehouse) -> None:
    keys = "columns: [{name: a, primary_key: true}, {name: b, primary_key: true}]"
    rows = ("'2024-01-01'::DATE, 1, 1", "'2024-01-01', 1, NULL", "'2024-01-01', 2, 1")
    w.run(BY_DATE + keys, values("ts, a, b", *rows))
    moved = ("'2024-01-02'::DATE, 1, 1", "'2024-01-02', 1, NULL", "'2024-01-02', 3, 1")
    w.run(BY_DATE + keys, values("ts, a, b", *moved), interval=day("2024-01-02"))
    # A key that is not whole tells nothing.
    assert [(str(d)[-1], a, b) for d, a, b in w.rows()] == [
        ("1", 1, None), ("1", 2, 1), ("2", 1, None), ("2", 1, 1), ("2", 3, 1),
    ]  # fmt: skip


def test_without_a_primary_key_nobody_can_tell_that_a_row_moved(events: Warehouse) -> None:
    events.run(BY_TIME, FILTERED, interval=day("2024-01-01", days=3))
    events.sql("UPDATE events SET ts = '2024-01-02 09:00:00+00' WHERE v = 'v1'")
    built = events.run(BY_TIME, FILTERED, interval=day("2024-01-02"), strict_window=True)
    assert built.loaded.rows_moved is None
    assert [v for _, v in events.rows()].count("v1") == 2


def test_a_primary_key_that_the_query_does_not_return_changes_nothing(events: Warehouse) -> None:
    header = BY_TIME + "columns: [{name: id, primary_key: true}]"
    for _ in range(2):
        events.run(header, FILTERED, interval=day("2024-01-01", days=3))
    assert events.rows() == events.rows("events")


@pytest.mark.parametrize("kind", ["timestamp", "timestamptz", "timestamp_ns"])
@pytest.mark.parametrize("header", [BY_TIME, BY_DATE])
def test_the_last_microsecond_belongs_to_the_window_and_the_next_does_not(
    w: Warehouse, header: str, kind: str
) -> None:
    if kind == "timestamp_ns" and w.name == "postgres":
        kind = "timestamp"  # It has nothing finer.
    everything = values(
        "ts",
        *(f"'{t}'::{kind}" for t in (
            "2023-12-31 23:59:59.999999", "2024-01-01 00:00:00", "2024-01-01 23:59:59.999999",
            "2024-01-02 00:00:00",
        )),
    )  # fmt: skip
    w.run(header, everything, interval=day("2024-01-01"))
    w.run(header, everything + " LIMIT 0", interval=day("2024-01-01"))
    assert [row[0] for row in w.sql("SELECT left(ts::text, 26) FROM mart.t ORDER BY 1")] == [
        "2023-12-31 23:59:59.999999",
        "2024-01-02 00:00:00" + ("+00" if kind == "timestamptz" else ""),
    ]


def test_a_date_column_by_date(w: Warehouse) -> None:
    dates = values("ts, v", "DATE '2024-01-01', 1", "DATE '2024-01-02', 2", "'2024-01-03', 3")
    w.run(BY_DATE, dates, interval=day("2024-01-01", days=3))
    w.run(BY_DATE, dates + " WHERE v = 2", interval=day("2024-01-02"), strict_window=True)
    assert w.rows() == [(date(2024, 1, n), n) for n in (1, 2, 3)]


def test_part_of_a_day_is_replaced_by_timestamp_and_the_day_by_date(w: Warehouse) -> None:
    six = datetime(2024, 1, 1, 6, tzinfo=UTC)
    hour = Interval(six, six.replace(hour=7))
    for header, left in ((BY_TIME, 3), (BY_DATE, 0)):
        w.run(header, SIX_HOURLY, full_refresh=True)
        w.run(header, "SELECT * FROM mart.t LIMIT 0", interval=hour)
        assert len(w.rows()) == left


@everywhere
@pytest.mark.parametrize("first", [True, False])
def test_rows_outside_of_the_window_are_refused_and_named(events: Warehouse, first: bool) -> None:
    if not first:
        events.run(BY_TIME, FILTERED, interval=day("2024-01-01"), strict_window=True)
    before = [] if first else events.rows()
    with pytest.raises(AssetError) as error:
        events.run(
            BY_TIME,
            "SELECT * FROM events UNION ALL SELECT NULL, 'no time'",
            interval=day("2024-01-02"),
            strict_window=True,
        )
    assert (
        "4 of 6 rows lie outside of 2024-01-02 by ts (for example 2024-01-01 00:00:00+00, "
        "2024-01-01 12:00:00+00, 2024-01-03 00:00:00+00, NULL)"
    ) in str(error.value)
    assert (events.rows() if events.kind() else []) == before


def test_outside_of_partitions_the_query_decides_as_in_the_original(events: Warehouse) -> None:
    events.run(BY_TIME, "SELECT * FROM events", interval=day("2024-01-02"))
    events.run(BY_TIME, "SELECT * FROM events", interval=day("2024-01-02"))
    assert len(events.rows()) == 2 + 2 * 3


def test_a_full_refresh_of_one_partition_keeps_the_others(events: Warehouse) -> None:
    events.run(BY_TIME, FILTERED, interval=day("2024-01-01", days=3))
    events.run(BY_TIME, FILTERED, interval=day("2024-01-02"), strict_window=True, full_refresh=True)
    assert events.rows() == events.rows("events")


def test_without_dates_it_is_about_yesterday_like_its_templates(w: Warehouse) -> None:
    w.sql("CREATE TABLE events AS SELECT now() - n * INTERVAL '1 day' AS ts, n"
          " FROM generate_series(0, 4) AS t(n)")  # fmt: skip
    w.run(BY_TIME, "SELECT * FROM events", interval=day("2000-01-01"))
    w.run(BY_TIME, FILTERED)
    w.run(BY_TIME, FILTERED)
    assert w.rows() == w.rows("events")


def test_its_key_must_come(w: Warehouse) -> None:
    with pytest.raises(AssetError, match="does not return ts, which the strategy needs"):
        w.run(BY_TIME, "SELECT 1 AS id", interval=day("2024-01-01"))
