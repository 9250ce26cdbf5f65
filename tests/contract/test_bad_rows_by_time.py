"""From when the rows are that break a rule: in the message, and by day or hour."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from contract.helpers import TABLE, Warehouse, each_sql, values
from ecommerce_dagster.sql.checks import CheckResult, TimeUnit

HEADER = f"""{TABLE}
columns:
  - {{name: id, checks: [{{name: unique}}]}}
  - {{name: n, checks: [{{name: positive}}, {{name: max, value: 99}}]}}
custom_checks:
  - {{name: none, query: "SELECT count(*) FROM mart.t WHERE n < 1"}}
  - {{name: rows, query: "SELECT * FROM mart.t WHERE n < 1", count: 0}}
  - {{name: odd, query: "SELECT count(*) FROM (SELECT 7 AS happened) AS o"}}
  - {{name: total, query: "SELECT sum(n) FROM mart.t"}}
"""
ROWS = (
    "1, 5, {} '2025-03-05 01:00:00'",
    "2, 0, {} '2025-03-05 01:59:59'",
    "3, -1, {} '2025-03-05 23:59:59'",
    "3, -2, {} '2025-03-06 00:00:00'",
)


def found(w: Warehouse, kind: str, unit: str = "day", *more: str) -> dict[str, CheckResult]:
    w.by_time = TimeUnit("Happened", unit)
    rows = [row.format(kind) for row in (*ROWS, *more)]
    return w.checks(HEADER, values("id, n, happened", *rows))


def by_text(result: CheckResult) -> dict[str, int]:
    moments = sorted(result.bad_rows.moments.items())
    return {f"{datetime.fromtimestamp(at, UTC):%d %H:%M}": rows for at, rows in moments}


@pytest.mark.parametrize("kind", ["TIMESTAMP", "TIMESTAMPTZ", "DATE", "TEXT"])
def test_the_message_and_the_result_say_the_days(w: Warehouse, kind: str) -> None:
    results = found(w, kind)
    of_days = "3 of 4 rows (2 of 2025-03-05, 1 of 2025-03-06) break the rule"
    assert results["n: positive"].message == f"{of_days}: Each n is above 0."
    assert by_text(results["n: positive"]) == {"05 00:00": 2, "06 00:00": 1}
    # Of two that share a value one is counted: the later one.
    assert results["id: unique"].message.startswith("1 of 4 rows (1 of 2025-03-06) break")
    for name in ("none", "rows"):
        assert "returned 3 (2 of 2025-03-05, 1 of 2025-03-06); expected 0" in results[name].message
        assert by_text(results[name]) == {"05 00:00": 2, "06 00:00": 1}
    # What passes, and what has no rows or no times, says what it said without.
    assert (results["n: max"].message, results["n: max"].bad_rows.moments) == ("passed", {})
    assert results["odd"].message == "custom check 'odd' returned 1; expected 0"
    assert results["total"].message == "custom check 'total' returned 2; expected 0"


@each_sql
def test_hours_and_rows_without_a_time(w: Warehouse) -> None:
    more = ["4, 0, NULL", "5, 0, 'infinity'", *(f"{n}, 0, '2025-04-{n}'" for n in range(10, 16))]
    result = found(w, "TIMESTAMP", "hour", *more)["n: positive"]
    assert result.message.startswith(
        "11 of 12 rows (1 of 2025-03-05 01:00, 1 of 2025-03-05 23:00, 1 of 2025-03-06 00:00,"
        " 6 of 6 other hours, 2 with no hour in Happened) break the rule"
    )
    assert by_text(result)["05 01:00"] == 1


@each_sql
def test_nothing_is_asked_of_a_column_that_holds_no_time_or_is_not_there(w: Warehouse) -> None:
    w.by_time = TimeUnit("n", "day")
    query = values("id, n", "20250305, 0", "20250305, 20250305")
    messages = {label: one.message for label, one in w.checks(HEADER, query).items()}
    assert messages["n: positive"] == "1 of 2 rows break the rule: Each n is above 0."
    w.by_time = TimeUnit("missing", "day")
    assert messages == {label: one.message for label, one in w.checks(HEADER, query).items()}
