"""Any history of changes and runs ends with the tables that one rebuild would make.

FUZZ=100 tries a hundred times as many histories.
"""

from __future__ import annotations

import os
import random
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ecommerce_dagster.bruin.model.interval import Interval
from ingestion.helpers import World

FACTOR = int(os.environ.get("FUZZ", "1"))
START = datetime(2024, 3, 1, tzinfo=UTC)
DAYS = 3
BY_DAY = {"incremental_strategy": "delete+insert", "incremental_key": "day", "primary_key": "id"}
MERGE = {"incremental_strategy": "merge", "incremental_key": "changed", "primary_key": "id"}
HISTORY = settings(
    max_examples=6 * FACTOR,
    derandomize=FACTOR == 1,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)

days = st.integers(0, DAYS - 1)
# Moments of a day: its first, its last, and one between.
moments = st.sampled_from([0, 43_200_000_000, 86_399_999_999])
ranges = st.tuples(days, days).map(sorted)
# id, day, moment, value, and by how many seconds the transaction is late: within the overlap of ten
# minutes, or beyond it.
late = st.sampled_from([0, 0, 300, 500, 500, 4000])
puts = st.tuples(st.just("put"), st.integers(1, 4), days, moments, st.integers(0, 9), late)
deletes = st.tuples(st.just("delete"), st.integers(1, 4))


@dataclass
class Source:
    """The table t in Postgres, a clock, and the days in which something has changed."""

    w: World
    clock: datetime = START
    dirty: set[int] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.w.clear()
        self.w.sql(
            "CREATE TABLE t (id int PRIMARY KEY, day timestamptz, changed timestamptz, v int)",
            "SET TimeZone = 'UTC'",
        )

    def change(self, kind: str, id: int, *new: int) -> None:
        old = self.w.postgres.execute("DELETE FROM t WHERE id = %s RETURNING day", [id]).fetchone()
        self.dirty |= {(old[0] - START).days} if old else set()
        self.clock += timedelta(seconds=60)
        if kind == "delete":
            return
        day, moment, v, seconds = new
        when = START + timedelta(days=day, microseconds=moment)
        changed = self.clock - timedelta(seconds=seconds)
        row = [id, when, changed, v]
        self.w.postgres.execute("INSERT INTO t VALUES (%s, %s, %s, %s)", row)
        self.dirty.add(day)

    def rows(self) -> list[Any]:
        return self.w.sql("SELECT * FROM t ORDER BY id")


def window(first: int, last: int) -> Interval:
    return Interval(START + timedelta(days=first), START + timedelta(days=last + 1))


def run(w: World, first: int, last: int) -> None:
    """Load and stage some days. No row is in two of them afterwards."""
    w.load(BY_DAY, interval=window(first, last))
    w.stage(interval=window(first, last))
    for table in ("raw.t", "stg.t"):
        assert w.rows(f"SELECT id FROM {table} GROUP BY id HAVING count(*) > 1") == [], table


runs = st.tuples(st.just("run"), st.one_of(days.map(lambda day: [day, day]), ranges))


@HISTORY
@given(
    history=st.lists(st.one_of(puts, puts, deletes, runs, runs), min_size=10, max_size=30),
    order=st.randoms(use_true_random=False),
)
def test_days_that_changed_and_are_run_in_any_order_are_the_source(
    w: World, history: list[tuple[Any, ...]], order: Any
) -> None:
    source = Source(w)
    for id in range(1, 5):
        source.change("put", id, id % DAYS, 0, id, 0)
    w.load(BY_DAY)
    w.stage()
    for kind, *step in history:
        if kind != "run":
            source.change(kind, *step)
            continue
        ((first, last),) = step
        run(w, first, last)
        source.dirty -= set(range(first, last + 1))
    rest = sorted(source.dirty)
    order.shuffle(rest)
    for day in rest:
        run(w, day, day)
    for table in ("raw.t", "stg.t"):
        assert w.rows(f"FROM {table} ORDER BY id") == source.rows(), table


@pytest.mark.parametrize("seed", range(FACTOR))
def test_a_day_that_is_run_five_times_and_days_in_any_order_are_one_big_run(
    w: World, seed: int
) -> None:
    source, chance = Source(w), random.Random(seed)
    for id in range(1, 60):
        source.change("put", id, chance.randrange(DAYS), chance.choice([0, 86_399_999_999]), id, 0)

    def state() -> list[tuple[Any, ...]]:
        hashes = ", ".join(
            f"(SELECT md5(string_agg(t::VARCHAR, '|' ORDER BY id)) FROM {table} AS t)"
            for table in ("raw.t", "stg.t")
        )
        return w.rows(f"SELECT {hashes}")

    run(w, 0, DAYS - 1)
    at_once = state()
    for day in chance.sample([day for day in range(DAYS) for _ in range(5)], 5 * DAYS):
        run(w, day, day)
        assert state() == at_once
    w.duck.execute("DROP TABLE raw.t")
    w.duck.execute("DROP TABLE stg.t")
    for day in chance.sample(range(DAYS), DAYS):
        run(w, day, day)
    assert state() == at_once
    w.load(BY_DAY, full_refresh=True)
    w.stage()
    assert state() == at_once


merges = st.tuples(st.just("merge"))


@HISTORY
@given(st.lists(st.one_of(puts, puts, merges, merges, deletes), min_size=10, max_size=30))
def test_a_merged_table_is_its_source_however_late_changes_are(
    w: World, history: list[tuple[Any, ...]]
) -> None:
    source = Source(w)
    for kind, *step in [*history, ("merge",)]:
        if kind == "merge":
            w.load(MERGE)
            assert w.rows("FROM raw.t ORDER BY id") == source.rows()
        else:
            source.change(kind, *step)
