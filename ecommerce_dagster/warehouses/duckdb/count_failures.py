"""Counting the rows that break column checks, in as few and as cheap scans as possible.

Measured on 3M rows: a comparison with a constant is answered by zone maps in 0.2 ms when it is
counted alone, and takes 2 ms inside a shared scan; conditions that have to read the column anyway
share one. `unique` on integers takes 60 ms by a bitmap and 210 by DISTINCT; that all keys have
their parent, 32 ms by two bitmaps and 80 by a join. A table of one row group has nothing to skip:
there, a statement costs more than the rows, and all is counted in one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import duckdb

from ecommerce_dagster.bruin.model.asset import Asset
from ecommerce_dagster.sql.checks import Check, broken_by
from ecommerce_dagster.sql.column_kinds import ColumnKind, in_duckdb
from ecommerce_dagster.sql.identifiers import quoted, relation
from ecommerce_dagster.sql.rules import RULES
from ecommerce_dagster.warehouses.duckdb.database import types_in

_ROW_GROUP = 122_880  # rows; DuckDB keeps the least and the largest value of each
# A bitmap over (max - min) values is worth it while it is not much sparser than the column, and
# DuckDB makes none over more than 10^9 values.
_BITMAP_SPARSENESS = 20
_BITMAP_LIMIT = 1_000_000_000
_INTEGERS = {"TINYINT", "SMALLINT", "INTEGER", "BIGINT", "UTINYINT", "USMALLINT", "UINTEGER"}

Counts = dict[str, tuple[int, int]]
Kinds = Mapping[str, str]


def kind_in(kinds: Kinds, check: Check) -> ColumnKind:
    """The kind of values that a check is about."""
    return in_duckdb(kinds.get(check.column.name.lower(), "") if check.column else "")


def counts_of(
    connection: duckdb.DuckDBPyConnection,
    asset: Asset,
    checks: Sequence[Check],
    kinds: Kinds,
) -> Counts:
    """Bad rows, and all rows that were looked at, by the id of the column check. `kinds` are the
    types of the columns, by their names in lower case. Raises RuleError."""
    table, found = relation(asset.name), Counts()
    for among in dict.fromkeys(check.among for check in checks):
        rows = f"(SELECT * FROM {table} WHERE {among.condition})" if among else table
        alike = [check for check in checks if check.among == among]
        is_view = asset.materialization.type == "view"
        count = _in_one if is_view else _counts
        found |= count(connection, rows, alike, kinds)
    return found


def _counts(
    connection: duckdb.DuckDBPyConnection, rows: str, checks: Sequence[Check], kinds: Kinds
) -> Counts:
    (total,) = _row(connection, f"count(*) FROM {rows}")
    if total <= _ROW_GROUP:
        return _in_one(connection, rows, checks, kinds)
    unique = [check for check in checks if check.rule.name == "unique"]
    keys = [check for check in checks if check.rule.name == "relationships"]
    pruned = [check for check in checks if RULES[check.rule.name].prunable]
    scanned = [check for check in checks if check not in (*unique, *keys, *pruned)]
    found: dict[str, int] = {}
    if pruned:
        cells = [f"(SELECT count(*) FROM {rows} WHERE {_broken(check, kinds)})" for check in pruned]
        found |= _by_id(pruned, _row(connection, ", ".join(cells)))
    if scanned:
        filters = [f"count(*) FILTER (WHERE {_broken(check, kinds)})" for check in scanned]
        found |= _by_id(scanned, _row(connection, f"{', '.join(filters)} FROM {rows}"))
    for check in unique:
        found[check.id] = _count_duplicates(connection, rows, check, kinds)
    for check in keys:
        found[check.id] = _count_orphans(connection, rows, check, kinds)
    return {id: (count, total) for id, count in found.items()}


def _in_one(
    connection: duckdb.DuckDBPyConnection, rows: str, checks: Sequence[Check], kinds: Kinds
) -> Counts:
    cells = [
        f"count({_name(check)}) - count(DISTINCT {_name(check)})"
        if check.rule.name == "unique"
        else f"count(*) FILTER (WHERE {_broken(check, kinds)})"
        for check in checks
    ]
    total, *found = _row(connection, f"{', '.join(['count(*)', *cells])} FROM {rows}")
    return {id: (count, total) for id, count in _by_id(checks, found).items()}


def _count_duplicates(
    connection: duckdb.DuckDBPyConnection, rows: str, check: Check, kinds: Kinds
) -> int:
    """Rows beyond the first of each value. NULLs are not values."""
    name = _name(check)
    distinct = f"count(DISTINCT {name})"
    if _is_integer(check, kinds):
        low, high, count = _row(connection, f"min({name}), max({name}), count({name}) FROM {rows}")
        if not count:
            return 0
        if _fits(low, high, count):
            distinct = f"bit_count(bitstring_agg({name}, {low}, {high}))"
    return int(_row(connection, f"count({name}) - {distinct} FROM {rows}")[0])


def _count_orphans(
    connection: duckdb.DuckDBPyConnection, rows: str, check: Check, kinds: Kinds
) -> int:
    """Rows whose key no parent has: looked for unless bitmaps prove that there is none."""
    if _is_integer(check, kinds) and _all_have_parents(connection, rows, check):
        return 0
    return int(_row(connection, f"count(*) FROM {rows} WHERE {_broken(check, kinds)}")[0])


def _all_have_parents(connection: duckdb.DuckDBPyConnection, rows: str, check: Check) -> bool:
    assert check.column is not None
    assert check.column.foreign_key is not None
    name, key = _name(check), check.column.foreign_key
    parent, parents = quoted(key.column), relation(key.table)
    if types_in(connection, parents).get(key.column.lower()) not in _INTEGERS:
        return False
    ends = f"min({name}), max({name}), count({name}) FROM {rows}"
    least, largest, count = _row(connection, ends)
    low, high = _row(connection, f"min({parent}), max({parent}) FROM {parents}")
    if not count:
        return True
    if low is None or not low <= least <= largest <= high or not _fits(low, high, count):
        return False
    bits = f"bitstring_agg({{}}, {low}, {high}) AS bits FROM {{}}"
    (without,) = _row(
        connection,
        "bit_count(child.bits | parent.bits) - bit_count(parent.bits)"
        f" FROM (SELECT {bits.format(name, rows)}) AS child,"
        f" (SELECT {bits.format(parent, parents)}) AS parent",
    )
    return bool(without == 0)


def _fits(low: int, high: int, count: int) -> bool:
    return high - low < min(_BITMAP_SPARSENESS * count, _BITMAP_LIMIT)


def _broken(check: Check, kinds: Kinds) -> str:
    return broken_by(check, kind_in(kinds, check))


def _is_integer(check: Check, kinds: Kinds) -> bool:
    return check.column is not None and kinds.get(check.column.name.lower()) in _INTEGERS


def _name(check: Check) -> str:
    assert check.column is not None
    return quoted(check.column.name)


def _by_id(checks: Sequence[Check], counts: Sequence[int]) -> dict[str, int]:
    return dict(zip((check.id for check in checks), counts, strict=True))


def _row(connection: duckdb.DuckDBPyConnection, selected: str) -> list[Any]:
    """The one row of an aggregation: `selected` is what follows SELECT."""
    return list(connection.execute(f"SELECT {selected}").fetchone() or ())
