"""Any history of a table, loaded step by step, against what each strategy promises of it.

FUZZ=100 tries a hundred times as many histories.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ecommerce_dagster.bruin.model.interval import Interval
from ingestion.helpers import QUERY, TABLE, World

FACTOR = int(os.environ.get("FUZZ", "1"))
START = datetime(2024, 1, 1, tzinfo=UTC)
ONE_WORLD = settings(
    max_examples=8 * FACTOR,
    derandomize=FACTOR == 1,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)

ids = st.integers(1, 6)
# Close to each other and to the ends of days; None is a row that says nothing of its time.
moments = st.one_of(
    st.none(),
    st.builds(
        lambda day, microseconds: START + timedelta(days=day, microseconds=microseconds),
        st.integers(0, 4),
        st.integers(-1, 1),
    ),
)
changes = st.lists(
    st.tuples(st.sampled_from(["put", "put", "put", "delete"]), ids, moments, st.integers(0, 99)),
    max_size=5,
)
Row = tuple[int, datetime | None, int]


@dataclass
class Oracle:
    """The source in Python, and the table that a merge by watermark makes of it, or one that
    compares keys as well."""

    source: dict[int, Row] = field(default_factory=dict)
    table: dict[int, Row] = field(default_factory=dict)

    def change(self, w: World, kind: str, id: int, at: datetime | None, v: int) -> None:
        w.postgres.execute("DELETE FROM t WHERE id = %s", [id])
        self.source.pop(id, None)
        if kind == "put":
            w.postgres.execute("INSERT INTO t VALUES (%s, %s, %s)", [id, at, v])
            self.source[id] = (id, at, v)

    def merge(self) -> None:
        loaded = [at for _, at, _ in self.table.values() if at is not None]
        for id, at, v in self.source.values():
            if not loaded or at is None or at >= max(loaded) - timedelta(minutes=10):
                self.table[id] = (id, at, v)

    def compare(self) -> None:
        known = {(id, at) for id, at, _ in self.table.values()}
        if any((id, at) not in known for id, at, _ in self.source.values()):
            self.table |= self.source
        self.table = {id: row for id, row in self.table.items() if id in self.source}


@ONE_WORLD
@given(
    history=st.lists(changes, min_size=1, max_size=4),
    way=st.sampled_from([TABLE, QUERY]),
    compares=st.booleans(),
)
def test_merging_takes_all_rows_at_or_after_the_largest_key_and_those_whose_key_is_not_there(
    w: World, history: list[list[Any]], way: str, compares: bool
) -> None:
    w.clear()
    w.sql("CREATE TABLE t (id int, at timestamptz, v int)")
    parameters = {
        "source_table": way,
        "incremental_strategy": "merge",
        "incremental_key": "at",
        "primary_key": "id",
    }
    oracle = Oracle()
    for step in history:
        for change in step:
            oracle.change(w, *change)
        w.load(parameters, f"meta: {{compare_keys: {compares}}}")
        oracle.merge()
        if compares:
            oracle.compare()
        assert w.rows("FROM raw.t ORDER BY id") == sorted(oracle.table.values())
    w.load(parameters, full_refresh=True)
    assert w.rows("FROM raw.t ORDER BY id") == sorted(oracle.source.values())


windows = st.tuples(st.integers(-1, 5), st.integers(0, 3), st.integers(-1, 1)).map(
    lambda window: Interval(
        START + timedelta(days=window[0], microseconds=window[2]),
        START + timedelta(days=window[0] + window[1], hours=12),
    )
)


@ONE_WORLD
@given(
    history=st.lists(st.tuples(changes, windows), min_size=1, max_size=4),
    kind=st.sampled_from(["timestamptz", "timestamp", "date"]),
    way=st.sampled_from([TABLE, QUERY]),
)
def test_a_window_that_is_loaded_is_what_postgres_has_in_it(
    w: World, history: list[tuple[list[Any], Interval]], kind: str, way: str
) -> None:
    w.clear()
    w.sql(f"CREATE TABLE t (id int, at {kind}, v int)", "SET TimeZone = 'UTC'")
    parameters = {
        "source_table": way,
        "incremental_strategy": "delete+insert",
        "incremental_key": "at",
    }
    # The model is a table in Postgres, where SQL says what a window is.
    w.sql("CREATE TABLE model (LIKE t)")
    inside = "WHERE at >= %s AND at < %s"
    for step, window in history:
        for change in step:
            Oracle().change(w, *change)
        w.load(parameters, interval=window)
        for statement in ("DELETE FROM model", "INSERT INTO model SELECT * FROM t"):
            w.postgres.execute(f"{statement} {inside}".encode(), [window.start, window.end])
        loaded = w.rows('SELECT id, "at"::VARCHAR, v FROM raw.t ')
        model = w.sql("SELECT id, at::text, v FROM model")
        assert sorted(loaded, key=str) == sorted(model, key=str)


numbers = st.decimals(allow_nan=False, allow_infinity=False, places=None).filter(
    lambda number: abs(number.adjusted()) < 30 and len(number.as_tuple().digits) < 30
)


@ONE_WORLD
@given(st.lists(st.none() | numbers, max_size=5), st.sampled_from([TABLE, QUERY]))
def test_any_numeric_arrives_exact(w: World, values: list[Any], way: str) -> None:
    w.clear()
    w.sql("CREATE TABLE t (id serial, v numeric)")
    with w.postgres.cursor() as cursor:
        cursor.executemany("INSERT INTO t (v) VALUES (%s)", [[value] for value in values])
    w.load({"source_table": way})
    found = w.rows("SELECT v FROM raw.t ORDER BY id")
    as_numbers = [
        type(value)(text) if text is not None else None
        for (text,), value in zip(found, values, strict=True)
    ]
    assert as_numbers == values


texts = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=20)


@ONE_WORLD
@given(
    st.lists(st.tuples(texts, st.lists(st.none() | texts, max_size=3)), min_size=1, max_size=5),
    st.sampled_from([TABLE, QUERY]),
)
def test_any_text_arrives_exact(w: World, rows: list[Any], way: str) -> None:
    w.clear()
    w.sql("CREATE TABLE t (id serial, v text, list text[])")
    with w.postgres.cursor() as cursor:
        cursor.executemany("INSERT INTO t (v, list) VALUES (%s, %s)", rows)
    w.load({"source_table": way})
    assert w.rows("SELECT v, list FROM raw.t ORDER BY id") == rows


@ONE_WORLD
@given(st.lists(st.tuples(ids, texts), max_size=6), st.lists(st.tuples(ids, texts), max_size=6))
def test_appending_by_text_loads_every_row_once(
    w: World, first: list[tuple[int, str]], second: list[tuple[int, str]]
) -> None:
    w.clear()
    w.sql("CREATE TABLE t (id int, k text)")
    table: list[tuple[int, str]] = []
    for rows in (first, second):
        with w.postgres.cursor() as cursor:
            cursor.executemany("INSERT INTO t VALUES (%s, %s)", rows)
        table += rows
        w.load("{incremental_strategy: append, incremental_key: k}")
        assert sorted(w.rows()) == sorted(table)


pytestmark = pytest.mark.timeout(120)
