"""The minutes, hours and days in which a table has rows, and how many: from them Dagster is told which
partitions a run has filled."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime, timedelta

import pytest

from contract.helpers import Warehouse, day, each_sql, only
from ecommerce_dagster.bruin.model.interval import Interval

TIMES = (
    "0001-01-01 00:00:00",
    "1582-10-04 23:59:59.999999",
    "1960-02-29 00:00:00",
    "1969-12-31 23:59:59.999999",
    "1970-01-01 00:00:00",
    "2024-03-10 11:22:33.123456",
    "2024-03-10 11:22:59.9",
    "2024-03-11 00:00:00",
    "9999-12-31 23:59:59",
)
UNITS = ("minute", "hour", "day")
NOWHERE = ("infinity", "-infinity", None)  # of no partition
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def fill(w: Warehouse, kind: str, *times: str | None) -> None:
    """The table mart.t with these values of a type in the column happened."""
    cells = ", ".join("(NULL)" if time is None else f"('{time}')" for time in times)
    w.sql(
        "CREATE SCHEMA mart",
        f"CREATE TABLE mart.t (happened {kind})",
        *([f"INSERT INTO mart.t VALUES {cells}"] if times else []),
    )


def wanted(unit: str, *times: str, window: Interval | None = None) -> dict[float, int]:
    """How many of the times are in each period."""
    found: Counter[float] = Counter()
    for text in times:
        moment = datetime.fromisoformat(text)
        moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
        if window is None or window.start <= moment < window.end:
            seconds = (moment - EPOCH) // timedelta(seconds=1)
            found[seconds - seconds % {"minute": 60, "hour": 3600, "day": 86400}[unit]] += 1
    return dict(found)


@pytest.mark.parametrize("unit", UNITS)
@pytest.mark.parametrize("kind", ["timestamp", "timestamptz", "date", "varchar"])
def test_are_those_of_the_calendar(w: Warehouse, kind: str, unit: str) -> None:
    fill(w, kind, *TIMES, *NOWHERE)

    times = [text[:10] for text in TIMES] if kind == "date" else TIMES
    assert w.moments("HAPPENED", unit) == wanted(unit, *times)


@only("duckdb", "ducklake")
@pytest.mark.parametrize("unit", UNITS)
@pytest.mark.parametrize("kind", ["timestamp_s", "timestamp_ms", "timestamp_ns"])
def test_are_the_same_of_times_of_another_precision(w: Warehouse, kind: str, unit: str) -> None:
    times = [text[:19] for text in TIMES if "1900" < text < "2200"]
    fill(w, kind, *times, None)

    assert w.moments("happened", unit) == wanted(unit, *times)


@pytest.mark.parametrize("unit", UNITS)
@pytest.mark.parametrize("kind", ["timestamp", "timestamptz", "date", "varchar"])
def test_are_those_of_a_window(w: Warehouse, kind: str, unit: str) -> None:
    fill(w, kind, *TIMES, *NOWHERE)

    window = day("2024-03-10")
    times = [text[:10] for text in TIMES] if kind == "date" else TIMES
    assert w.moments("happened", unit, window) == wanted(unit, *times, window=window)
    assert w.moments("happened", unit, day("2024-03-12")) == {}


@each_sql
def test_of_a_window_within_a_period_are_the_rows_of_the_window_alone(w: Warehouse) -> None:
    fill(w, "timestamptz", *TIMES)
    start = datetime(2024, 3, 10, 11, 22, 50, tzinfo=UTC)
    window = Interval(start, start + timedelta(minutes=1))

    assert w.moments("happened", "hour", window) == wanted("hour", TIMES[6])


@each_sql
@pytest.mark.parametrize("unit", UNITS)
def test_of_text_the_offset_counts_and_what_is_no_time_is_nowhere(w: Warehouse, unit: str) -> None:
    times = ("2024-03-10 00:30:00+02:00", "2024-03-10T23:30:00-01:00", "2024-03-10T11:00:00Z")
    fill(w, "varchar", *times, "", "soon", "2024-02-30", "12", *NOWHERE)

    assert w.moments("happened", unit) == wanted(unit, *times)


def test_of_no_rows_are_none(w: Warehouse) -> None:
    fill(w, "timestamptz")

    assert w.moments("happened", "day") == {}
