"""Random runs and random checks against a few lines of Python that say what must come out."""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any
from unittest.mock import patch

import duckdb
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from ecommerce_dagster.bruin.model.interval import Interval
from ecommerce_dagster.sql.identifiers import literal
from ecommerce_dagster.sql.types import cast, target_type, widened
from ecommerce_dagster.warehouses.duckdb import count_failures
from ecommerce_dagster.warehouses.sql_asset import AssetError
from warehouse.helpers import Warehouse

Row = tuple[Any, ...]
Table = list[Row]

pytestmark = pytest.mark.filterwarnings("error")
FACTOR = int(os.environ.get("FUZZ", "1"))
few = settings(max_examples=15 * FACTOR)
many = settings(max_examples=40 * FACTOR)


@pytest.fixture(scope="module")
def warehouse(duck: duckdb.DuckDBPyConnection) -> Iterator[Warehouse]:
    with duck.cursor() as connection:
        yield Warehouse(connection)
        connection.execute("DROP SCHEMA IF EXISTS mart CASCADE")


def emptied(warehouse: Warehouse) -> Warehouse:
    warehouse.sql("DROP SCHEMA IF EXISTS mart CASCADE")
    return warehouse


def query(names: str, rows: Table) -> str:
    """These rows, with types that do not depend on them."""
    types = {"id": "INTEGER", "v": "VARCHAR", "ts": "TIMESTAMPTZ", "n": "BIGINT"}
    cells = ", ".join(f"{name}::{types[name]} AS {name}" for name in names.split(", "))
    listed = ", ".join(
        f"({', '.join('NULL' if cell is None else literal(cell) for cell in row)})" for row in rows
    )
    nothing = f"({', '.join('NULL' for _ in names.split(', '))})"
    return (
        f"SELECT {cells} FROM (VALUES {listed or nothing}) AS v({names})"
        f"{'' if rows else ' LIMIT 0'}"
    )


def in_order(rows: Table) -> Table:
    return sorted(rows, key=lambda row: [(cell is not None, cell) for cell in row])


ids = st.none() | st.integers(0, 3)
texts = st.none() | st.sampled_from(["a", "b", "c", "it's"])
numbers = st.none() | st.integers(-5, 5)
moments = st.none() | st.integers(0, 60).map(
    lambda hours: datetime(2024, 1, 1, tzinfo=UTC) + timedelta(hours=hours)
)
rows_of = st.tuples(ids, texts, moments, numbers)
batches = st.lists(st.lists(rows_of, max_size=6), min_size=1, max_size=4)
NAMES = "id, v, ts, n"


def appended(table: Table, batch: Table) -> Table:
    return table + batch


def replaced_by_key(table: Table, batch: Table) -> Table:
    come = {row[0] for row in batch}
    return [row for row in table if row[0] not in come] + batch


def newest(batch: Table) -> dict[Any, Row]:
    """Of the rows with one key the last of those with the latest moment."""
    found: dict[Any, Row] = {}
    for row in batch:
        known = found.get(row[0])
        late = row[2] or datetime.min.replace(tzinfo=UTC)
        if known is None or late >= (known[2] or datetime.min.replace(tzinfo=UTC)):
            found[row[0]] = row
    return found


def merged(table: Table, batch: Table) -> Table:
    """`v` is replaced, `n` is added up, `ts` stays."""
    result = {row[0]: row for row in table}
    for key, (_, v, ts, n) in newest(batch).items():
        if key in result:
            _, _, old_ts, old_n = result[key]
            result[key] = (key, v, old_ts, None if None in (old_n, n) else old_n + n)
        else:
            result[key] = (key, v, ts, n)
    return list(result.values())


RUNS: dict[str, tuple[str, Callable[[Table, Table], Table]]] = {
    "append": ("append", appended),
    "truncate+insert": ("truncate+insert", lambda table, batch: batch),
    "create+replace": ("create+replace", lambda table, batch: batch),
    "delete+insert": ("delete+insert, incremental_key: id", replaced_by_key),
    "merge": ("merge, incremental_key: ts", merged),
}


@pytest.mark.parametrize("name", RUNS)
@few
@given(runs=batches)
def test_any_sequence_of_runs_gives_what_the_strategy_says(
    warehouse: Warehouse, name: str, runs: list[Table]
) -> None:
    strategy, expected_after = RUNS[name]
    header = f"""
    materialization: {{type: table, strategy: {strategy}}}
    columns:
      - {{name: id, primary_key: true}}
      - {{name: v, update_on_merge: true}}
      - {{name: n, merge_sql: target.n + source.n}}
    custom_checks:
      - {{name: few, query: "SELECT count(*) > 12 OR coalesce(sum(n), 0) > 12 FROM mart.t"}}
    """
    w, table = emptied(warehouse), []
    for batch in runs:
        after = expected_after(table, batch)
        too_much = len(after) > 12 or sum(row[3] or 0 for row in after) > 12
        assert w.run(header, query(NAMES, batch)).published == (not too_much)
        if not too_much:
            table = after
        assert in_order(w.rows() if w.kind() else []) == in_order(table)


@few
@given(
    source=st.lists(rows_of.filter(lambda row: row[2] is not None), max_size=12),
    changed=st.lists(rows_of.filter(lambda row: row[2] is not None), max_size=12),
    windows=st.lists(st.tuples(st.integers(0, 5), st.integers(1, 3)), max_size=5),
    granularity=st.sampled_from(["date", "timestamp"]),
)
def test_rebuilt_windows_hold_the_new_rows_and_others_the_old(
    warehouse: Warehouse,
    source: Table,
    changed: Table,
    windows: list[tuple[int, int]],
    granularity: str,
) -> None:
    header = f"""
    materialization: {{type: table, strategy: time_interval, incremental_key: ts,
                      time_granularity: {granularity}}}
    """
    # Half days by timestamp, whole days by date.
    length = timedelta(hours=12 if granularity == "timestamp" else 24)
    first = datetime(2024, 1, 1, tzinfo=UTC)
    w = emptied(warehouse)
    w.run(header, query(NAMES, source), interval=Interval(first, first + timedelta(days=9)))
    expected = source
    for start, count in windows:
        window = Interval(first + start * length, first + (start + count) * length)
        inside = [row for row in changed if window.start <= row[2] < window.end]
        w.run(header, query(NAMES, inside), interval=window, strict_window=True)
        expected = [row for row in expected if not window.start <= row[2] < window.end] + inside
        assert in_order(w.rows()) == in_order(expected)


FAR = (-(2**63), -(2**63) + 1, -(2**31), 0, 2**31, 2**53 + 1, 2**63 - 1)
integers = st.integers(-3, 9) | st.sampled_from(FAR)
words = st.text(alphabet="ab'\" é1\n", max_size=4)
rules: st.SearchStrategy[dict[str, Any]] = st.one_of(
    st.sampled_from(["not_null", "unique", "positive", "non_negative", "negative"]).map(
        lambda name: {"name": name}
    ),
    st.tuples(st.sampled_from(["min", "max"]), integers).map(
        lambda pair: {"name": pair[0], "value": pair[1]}
    ),
    st.tuples(integers, integers).map(
        lambda pair: {"name": "range", "min": min(pair), "max": max(pair)}
    ),
    st.lists(integers, min_size=1, max_size=3).map(
        lambda values: {"name": "accepted_values", "value": values}
    ),
)
text_rules: st.SearchStrategy[dict[str, Any]] = st.one_of(
    st.sampled_from(["not_null", "unique"]).map(lambda name: {"name": name}),
    st.lists(words, min_size=1, max_size=3).map(
        lambda values: {"name": "accepted_values", "value": values}
    ),
    st.sampled_from(["a*", "[ab]+", ".?", "1|a", r"\d", "(a'|b)*"]).map(
        lambda pattern: {"name": "pattern", "value": pattern}
    ),
)
BROKEN: dict[str, Callable[[Any, dict[str, Any]], bool]] = {
    "positive": lambda x, rule: x <= 0,
    "non_negative": lambda x, rule: x < 0,
    "negative": lambda x, rule: x >= 0,
    "min": lambda x, rule: x < rule["value"],
    "max": lambda x, rule: x > rule["value"],
    "range": lambda x, rule: not rule["min"] <= x <= rule["max"],
    "accepted_values": lambda x, rule: x not in rule["value"],
    # A point is any character, a new line too.
    "pattern": lambda x, rule: re.fullmatch(rule["value"], x, re.DOTALL) is None,
}


def broken(values: list[Any], rule: dict[str, Any]) -> int:
    present = [x for x in values if x is not None]
    if rule["name"] == "not_null":
        return len(values) - len(present)
    if rule["name"] == "unique":
        return sum(count - 1 for count in Counter(present).values())
    return sum(BROKEN[rule["name"]](x, rule) for x in present)


@pytest.mark.parametrize(
    ("kind", "value", "rule"),
    [("BIGINT", integers, rules), ("HUGEINT", integers, rules), ("VARCHAR", words, text_rules)],
)
@pytest.mark.parametrize("row_group", [-1, count_failures._ROW_GROUP])
@few
@given(data=st.data())
def test_any_checks_count_what_python_counts(
    warehouse: Warehouse, kind: str, value: Any, rule: Any, row_group: int, data: st.DataObject
) -> None:
    values = data.draw(st.lists(st.none() | value, max_size=30))
    wanted = data.draw(st.lists(rule, min_size=1, max_size=8, unique_by=str))
    column = {"name": "x", "type": kind, "checks": [{**rule, "blocking": False} for rule in wanted]}
    header = yaml.safe_dump({"materialization": {"type": "table"}, "columns": [column]})
    listed = ", ".join("NULL" if x is None else literal(str(x)) for x in values)
    sql = f"SELECT unnest([{listed}]::{kind}[]) AS x"
    with patch.object(count_failures, "_ROW_GROUP", row_group):
        results = emptied(warehouse).run(header, sql).results
    assert [r.failed_rows for r in results] == [broken(values, rule) for rule in wanted]
    assert [r.error for r in results] == [None] * len(wanted)
    assert all(bool(r.sample) == (not r.passed) for r in results)


keys = st.integers(-5, 60) | st.sampled_from([-128, 127])
integer_types = st.sampled_from(["TINYINT", "SMALLINT", "BIGINT", "HUGEINT"])
key_types = st.tuples(integer_types, integer_types) | st.just(("VARCHAR", "VARCHAR"))


@pytest.mark.parametrize("row_group", [-1, count_failures._ROW_GROUP])
@many
@given(
    children=st.lists(st.none() | keys, max_size=20),
    parents=st.lists(st.none() | keys, max_size=20),
    has_all=st.booleans(),
    kinds=key_types,
)
def test_any_keys_without_a_parent_are_counted(
    warehouse: Warehouse,
    row_group: int,
    children: list[int | None],
    parents: list[int | None],
    has_all: bool,
    kinds: tuple[str, str],
) -> None:
    kind, parents_kind = kinds
    if has_all:
        parents = [*parents, *children]
    w = emptied(warehouse)
    w.run(
        "name: mart.parents\nmaterialization: {type: table}",
        keys_query("id", parents, parents_kind),
    )
    header = (
        "materialization: {type: table}\ncolumns: [{name: x, foreign_key:"
        " {table: mart.parents, column: id}, checks: [{name: relationships, blocking: false}]}]"
    )

    with patch.object(count_failures, "_ROW_GROUP", row_group):
        (result,) = w.run(header, keys_query("x", children, kind)).results

    orphans = [x for x in children if x is not None and x not in parents]
    assert (result.failed_rows, result.error) == (len(orphans), None)


def keys_query(name: str, numbers: list[int | None], kind: str) -> str:
    listed = ", ".join("NULL" if x is None else f"'{x}'" for x in numbers)
    return f"SELECT unnest([{listed}]::{kind}[]) AS {name}"


decimals = st.decimals(-2000, 2000, places=4) | st.decimals(-20, 20, places=2)
sources = st.one_of(
    decimals.map(lambda number: (f"{number}::DECIMAL(38,4)", number)),
    decimals.map(lambda number: (f"'{number}'", number)),
    st.integers(-(2**70), 2**70).map(lambda number: (f"{number}::HUGEINT", Decimal(number))),
    st.integers(-200, 40_000).map(lambda number: (f"{number}::BIGINT", Decimal(number))),
    st.integers(-200, 40_000).map(lambda number: (f"'{number}'", Decimal(number))),
    st.integers(-200, 40_000).map(lambda number: (f"{number}::DOUBLE", Decimal(number))),
)
number_types = st.sampled_from(
    ["tinyint", "smallint", "int", "bigint", "utinyint", "uint16", "hugeint", "numeric",
     "numeric(5,2)", "numeric(6,0)", "numeric(9,4)"]
)  # fmt: skip


@many
@given(source=sources, declared=number_types)
def test_a_number_arrives_as_it_is_or_not_at_all(
    warehouse: Warehouse, source: tuple[str, Decimal], declared: str
) -> None:
    header = f"materialization: {{type: table}}\ncolumns: [{{name: x, type: '{declared}'}}]"
    expression, number = source
    w = emptied(warehouse)
    target = target_type(declared, w.sql(f"SELECT typeof({expression})")[0][0])
    if w.sql(f"SELECT TRY_CAST('{number}' AS {target}) = {number}") == [(True,)]:
        w.run(header, f"SELECT {expression} AS x")
        assert w.sql("SELECT CAST(x AS DECIMAL(38,4)) FROM mart.t") == [(number,)]
        assert w.types() == {"x": target}
    else:
        with pytest.raises(AssetError, match="the column x holds .*, which does not fit its type"):
            w.run(header, f"SELECT {expression} AS x")


exact_types = st.sampled_from(
    ["TINYINT", "SMALLINT", "INTEGER", "BIGINT", "HUGEINT", "UTINYINT", "USMALLINT", "UINTEGER",
     "UBIGINT", "UHUGEINT", "DECIMAL(3,0)", "DECIMAL(4,4)", "DECIMAL(10,2)", "DECIMAL(18,0)",
     "DECIMAL(20,10)"]
)  # fmt: skip


@many
@given(one=exact_types, other=exact_types)
def test_a_widened_type_holds_the_ends_of_both(warehouse: Warehouse, one: str, other: str) -> None:
    both = widened(one, other)
    assert both is not None
    if both == "HUGEINT" and "UHUGEINT" in (one, other):
        return  # there is no larger type
    assert widened(both, one) == widened(both, other) == both
    for kind in (one, other):
        low, high = _ends(kind)
        capped = both.startswith("DECIMAL(38,") or len(str(high)) > 38
        for number in (low, high):
            found = warehouse.sql(f"SELECT TRY_CAST('{number}' AS {both})::VARCHAR")[0][0]
            assert capped or Decimal(found) == number


def _ends(kind: str) -> tuple[Decimal, Decimal]:
    found = re.fullmatch(r"DECIMAL\((\d+),(\d+)\)", kind)
    if found:
        high = Decimal(10 ** int(found[1]) - 1).scaleb(-int(found[2]))
        return -high, high
    bits = {"TINYINT": 8, "SMALLINT": 16, "INTEGER": 32, "BIGINT": 64, "HUGEINT": 128}
    name = kind.removeprefix("U")
    if kind != name:
        return Decimal(0), Decimal(2 ** bits[name] - 1)
    return Decimal(-(2 ** (bits[name] - 1))), Decimal(2 ** (bits[name] - 1) - 1)


def test_a_cast_that_is_none_costs_nothing() -> None:
    assert cast("a", "BIGINT", "BIGINT") == '"a"'
    assert cast("a", "INTEGER", "BIGINT") == 'CAST("a" AS BIGINT)'
