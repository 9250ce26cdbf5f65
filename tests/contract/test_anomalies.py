"""What checks without a threshold measure, in one statement for all of a table."""

from __future__ import annotations

from datetime import UTC, date, datetime

import pytest

from contract.helpers import TABLE, Warehouse
from ecommerce_dagster.sql.comparison import Comparison, Point

HEADER = f"""{TABLE}
meta: {{anomalies: volume}}
columns:
  - {{name: placed_at, meta: {{anomalies: freshness}}}}
  - {{name: EMAIL, meta: {{anomalies: "null_percent, distinct_percent"}}}}
  - {{name: amount, meta: {{anomalies: average}}}}
  - {{name: n, checks: [{{name: unique}}]}}
"""
ROWS = (
    "1, '-infinity', 'e', 5.5",
    "2, '2026-03-01 23:59:59', 'a', 1.5",
    "3, '2026-03-01 23:59:59', 'a', 1.5",
    "4, '2026-03-02 00:00:00', NULL, NULL",
    "5, '2026-03-04 06:00:00', 'b', NULL",
    "6, '2026-03-04 12:00:00', 'b', 3.5",
    "7, '2026-03-04 12:00:00', NULL, 4",
    "8, 'infinity', 'd', 4.5",
)
EVENING = datetime(2026, 3, 4, 18, tzinfo=UTC)


def fill(w: Warehouse, kind: str, *rows: str) -> None:
    w.sql(
        "CREATE SCHEMA mart",
        f"CREATE TABLE mart.t (n INTEGER, Placed_at {kind}, Email TEXT, amount NUMERIC(9, 2))",
        *(f"INSERT INTO mart.t VALUES ({row})" for row in rows),
    )


def measured(w: Warehouse, compared: Comparison) -> dict[str, str | float]:
    """The values by the label of the check, or what is said when there are none."""
    results = [one for one in w.check_only(HEADER, compared) if one.check.compared]
    found = {one.check.label: one for one in results if one.check.rule.name != "unique"}
    assert all(one.passed for one in results), results
    return {
        label: one.message if one.measured is None else round(one.measured.value, 3)
        for label, one in found.items()
    }


@pytest.mark.parametrize("kind", ["TIMESTAMP", "TIMESTAMPTZ", "DATE", "VARCHAR(30)"])
def test_values_of_a_table_and_of_one_of_its_days(w: Warehouse, kind: str) -> None:
    fill(w, kind, *ROWS)
    hours = 18.0 if kind == "DATE" else 6.0
    assert measured(w, Comparison(EVENING)) == {
        "volume": 8,
        "placed_at: freshness": hours * 3600,
        "EMAIL: null_percent": 25,
        "EMAIL: distinct_percent": 66.667,
        "amount: average": 3.417,
    }
    a_day = Comparison(EVENING, "placed_at", (date(2026, 3, 4), date(2026, 3, 4)))
    assert measured(w, a_day) == {
        "volume": 3,
        "placed_at: freshness": (hours + 6) * 3600,
        "EMAIL: null_percent": 33.333,
        "EMAIL: distinct_percent": 50,
        "amount: average": 3.75,
    }
    # The day is not over: the newest one that is.
    assert measured(w, Comparison(EVENING, "PLACED_AT")) == {
        "volume": 1,
        "placed_at: freshness": 86_400,
        "EMAIL: null_percent": 100,
        "EMAIL: distinct_percent": "there is nothing to measure on 2026-03-02",
        "amount: average": "there is nothing to measure on 2026-03-02",
    }


def test_a_table_without_rows(w: Warehouse) -> None:
    fill(w, "TIMESTAMP")
    nothing = "there is nothing to measure"
    found = measured(w, Comparison(EVENING))
    assert found.pop("volume") == 0
    assert set(found.values()) == {nothing}
    found = measured(w, Comparison(EVENING, "placed_at"))
    assert set(found.values()) == {"there is no complete day with rows yet"}


def test_one_that_cannot_be_measured_fails_alone(w: Warehouse) -> None:
    fill(w, "TIMESTAMP", *ROWS)
    header = HEADER.replace("name: amount", "name: email").replace("name: EMAIL", "name: gone")
    past = (Point(EVENING.timestamp() - 86_400, 7.0),)
    results = w.check_only(header, Comparison(EVENING, past=past))
    passed = {one.check.label: one.passed for one in results}
    assert passed == {
        "n: unique": True,
        "volume": True,
        "placed_at: freshness": True,
        "gone: null_percent": False,
        "gone: distinct_percent": False,
        "email: average": False,
    }
    assert "could not be evaluated" in results[-1].message
