"""What is true of a history in PostgreSQL alone; what is true of all warehouses is in contract/."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from contract.test_history import BY_COLUMN, BY_COLUMN_AND_TIME, BY_TIME, CLOCK

from postgres_warehouse.helpers import Warehouse


def test_many_rows_are_joined_by_hash(w: Warehouse) -> None:
    w.sql("CREATE TABLE clock (moment timestamptz)")
    for text in ("a", "b"):  # row by row this would take minutes
        w.run(BY_COLUMN, f"SELECT n AS id, '{text}' AS v FROM generate_series(1, 100000) n")
    assert w.sql("SELECT count(*) FROM mart.t") == [(200000,)]


@pytest.mark.parametrize("header", [BY_COLUMN_AND_TIME, BY_TIME])
@pytest.mark.parametrize("kind", ["timestamp(0)", "timestamp(6)", "timestamptz(3)"])
def test_a_time_of_some_precision_is_a_time(w: Warehouse, header: str, kind: str) -> None:
    """By its type's name alone it was none, and each version began with its run."""
    for day in (1, 2):
        w.run(header.replace(CLOCK, ""), f"SELECT 1 AS id, '2001-01-0{day} 00:00Z'::{kind} AS ts")
    first, second = datetime(2001, 1, 1, tzinfo=UTC), datetime(2001, 1, 2, tzinfo=UTC)
    assert w.sql("SELECT _valid_from, least(_valid_until, '2100-01-01') FROM mart.t ORDER BY 1") == [
        (first, second), (second, datetime(2100, 1, 1, tzinfo=UTC))
    ]  # fmt: skip
