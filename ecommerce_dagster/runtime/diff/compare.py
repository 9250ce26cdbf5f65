"""What differs between two tables: their columns, their rows, and in what."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import duckdb

from ecommerce_dagster.bruin.problems import did_you_mean
from ecommerce_dagster.runtime.diff.session import Reached, Side, Tell, together
from ecommerce_dagster.sql.difference import FACTS, Comparison, SharedColumn, shared_columns
from ecommerce_dagster.sql.identifiers import quoted
from ecommerce_dagster.warehouses.query import QueryError

Row = tuple[Any, ...]

_ROWS, _ANSWER, _KEYS = "_different_rows", "_difference", "_different_keys"


@dataclass(frozen=True)
class Change:
    """The value of a column in the row of a key, before and after."""

    key: Row
    before: Any
    after: Any


@dataclass(frozen=True)
class Numbers:
    """Of the values of a column: how many are not NULL, and the sum of those that are numbers."""

    values: int
    sum: Any


@dataclass(frozen=True)
class ColumnDifference:
    """In how many rows a column differs, a few of them, and what all of its values come to."""

    name: str
    rows: int
    examples: tuple[Change, ...]
    before: Numbers
    after: Numbers


@dataclass(frozen=True)
class TableDifference:
    """How a table differs from another one.

    Attributes:
        before: What it is compared with, for people.
        after: The table.
        rows: The number of rows before and after.
        key: The columns that rows are matched by; none where whole rows are compared.
        added: Rows that are only after.
        removed: Rows that are only before.
        changed: Rows that are in both by their key and differ in a column.
        new_columns: Those that came, with their types.
        lost_columns: Those that went, with their types.
        retyped: Those of another type, with both.
        columns: Those with different values.
        added_rows: Examples of rows that came, by their key or as a whole.
        removed_rows: Examples of rows that went.
        names: What the values in these examples are.
        note: Why rows could not be compared as was wished.
    """

    before: str
    after: str
    rows: tuple[int, int]
    key: tuple[str, ...]
    added: int
    removed: int
    changed: int = 0
    new_columns: dict[str, str] = field(default_factory=dict)
    lost_columns: dict[str, str] = field(default_factory=dict)
    retyped: dict[str, tuple[str, str]] = field(default_factory=dict)
    columns: tuple[ColumnDifference, ...] = ()
    added_rows: tuple[Row, ...] = ()
    removed_rows: tuple[Row, ...] = ()
    names: tuple[str, ...] = ()
    note: str = ""

    @property
    def is_none(self) -> bool:
        """Whether the tables are equal."""
        columns = self.new_columns or self.lost_columns or self.retyped
        return not (columns or self.added or self.removed or self.changed)


@dataclass(frozen=True)
class How:
    """How tables are compared: by these columns as `key` (None: by `usual_key` where both have it,
    else by their primary key, if they have one), without `excluded`, numbers equal up to
    `tolerance` percent, with so many `examples`."""

    key: Sequence[str] | None = None
    usual_key: Sequence[str] = ()
    excluded: Sequence[str] = ()
    tolerance: float = 0.0
    examples: int = 3


def difference(before: Side, after: Side, how: How, tell: Tell) -> TableDifference:
    """Compare two tables, and every row of them.

    Raises:
        QueryError: When a table or a column is not there.
        UnusableConnection, WarehouseError, SourceError: When a database cannot be asked.
    """
    with together(before, after, tell) as (duck, old, new):
        try:
            return _compared(duck, before, after, old, new, how)
        except duckdb.Error as error:
            text = str(error).splitlines()[0]
            raise QueryError(f"{before.label} and {after.label}: {text}") from None


def _compared(
    duck: duckdb.DuckDBPyConnection,
    before: Side,
    after: Side,
    old: Reached,
    new: Reached,
    how: How,
) -> TableDifference:
    left_out = {name.lower() for name in how.excluded}
    _require(how.excluded, {**old.columns, **new.columns}, f"{before.label} and {after.label}")
    shared = [c for c in shared_columns(old.columns, new.columns) if c.name.lower() not in left_out]
    key = _key(shared, before, after, old, new, how)
    others = [column for column in shared if column not in key]
    comparison = Comparison(old.relation, new.relation, key, others, how.tolerance, how.examples)
    common = {column.after for column in shared} | {column.before for column in shared}
    found = compare_by_key(duck, comparison) if key else None
    if found is None:
        found = compare_by_rows(duck, comparison, wanted_key=bool(key))
    return TableDifference(
        before.label,
        after.label,
        new_columns=_without(new.columns, common, left_out),
        lost_columns=_without(old.columns, common, left_out),
        retyped={
            c.name: (c.type_before, c.type_after) for c in shared if c.type_before != c.type_after
        },
        **found,
    )


def _without(columns: dict[str, str], common: set[str], left_out: set[str]) -> dict[str, str]:
    return {n: t for n, t in columns.items() if n not in common and n.lower() not in left_out}


def _require(names: Sequence[str], columns: dict[str, str], label: str) -> None:
    known = {name.lower() for name in columns}
    for name in names:
        if name.lower() not in known:
            raise QueryError(f"{label}: there is no column '{name}'; {did_you_mean(name, columns)}")


def _key(
    shared: Sequence[SharedColumn],
    before: Side,
    after: Side,
    old: Reached,
    new: Reached,
    how: How,
) -> list[SharedColumn]:
    """The columns that identify a row. Raises QueryError for a wished one that a side lacks."""
    by_name = {column.name.lower(): column for column in shared}
    if how.key is not None:
        _require(how.key, old.columns, before.label)
        _require(how.key, new.columns, after.label)
        return [by_name[name.lower()] for name in how.key if name.lower() in by_name]
    for key in (how.usual_key, new.key, old.key):
        names = [name.lower() for name in key]
        if names and {*names} <= {*by_name}:
            return [by_name[name] for name in names]
    return []


def compare_by_key(duck: duckdb.DuckDBPyConnection, asked: Comparison) -> dict[str, Any] | None:
    """What differs in rows that are matched by a key; None when it does not identify them."""
    duck.execute(asked.by_key(_ANSWER))
    answer = duck.execute(f"FROM {_ANSWER}").fetchone()
    assert answer is not None
    rows_before, rows_after, matched, added, removed, changed, *facts = answer
    if matched + removed != rows_before or matched + added != rows_after:
        return None  # a row has several matches
    about = [facts[n * FACTS : (n + 1) * FACTS] for n in range(len(asked.columns))]
    differing = [n for n, fact in enumerate(about) if fact[0]]
    examples = _examples_of(duck, asked, differing, len(answer))
    columns = tuple(
        ColumnDifference(
            asked.columns[n].name,
            about[n][0],
            examples[n],
            Numbers(about[n][1], about[n][3]),
            Numbers(about[n][2], about[n][4]),
        )
        for n in differing
    )
    keys_added, keys_removed, _ = (map(_key_of, keys) for keys in facts[-3:])
    return {
        "rows": (rows_before, rows_after),
        "key": tuple(column.name for column in asked.key),
        "added": added,
        "removed": removed,
        "changed": changed,
        "columns": columns,
        "added_rows": tuple(keys_added),
        "removed_rows": tuple(keys_removed),
        "names": tuple(column.name for column in asked.key),
    }


def _key_of(fields: dict[str, Any]) -> Row:
    return tuple(fields.values())


def _examples_of(
    duck: duckdb.DuckDBPyConnection, asked: Comparison, columns: Sequence[int], facts: int
) -> dict[int, tuple[Change, ...]]:
    """Examples for each of these columns: of the rows that changed first, else of its own first."""
    if not asked.examples:
        return dict.fromkeys(columns, ())
    found = _changes(duck, asked, columns, [f"{_ANSWER}.x{facts - 1}"])
    seldom = [n for n in columns if not found[n]]
    if seldom:
        duck.execute(asked.keys_of(_KEYS, seldom))
        found |= _changes(duck, asked, seldom, [f"{_KEYS}.x{n}" for n in range(len(seldom))])
    return {n: tuple(changes) for n, changes in found.items()}


def _changes(
    duck: duckdb.DuckDBPyConnection, asked: Comparison, columns: Sequence[int], keys: Sequence[str]
) -> dict[int, list[Change]]:
    """The first changes of these columns in the rows of some keys."""
    found: dict[int, list[Change]] = {n: [] for n in columns}
    size = len(asked.key)
    for each in keys:
        for row in duck.execute(asked.rows_of(each)).fetchall():
            for n, changes in found.items():
                differs, before, after = row[size + 3 * n : size + 3 * n + 3]
                if differs and len(changes) < asked.examples:
                    changes.append(Change(row[:size], before, after))
    return found


def compare_by_rows(
    duck: duckdb.DuckDBPyConnection, asked: Comparison, *, wanted_key: bool
) -> dict[str, Any]:
    """What differs between two sets of rows, each as often as it is there."""
    counts = duck.execute(
        f"SELECT (SELECT count(*) FROM {asked.before}), (SELECT count(*) FROM {asked.after})"
    ).fetchone()
    columns = [*asked.key, *asked.columns]
    notes = []
    if wanted_key:
        names = ", ".join(column.name for column in asked.key)
        notes.append(f"{names} is no key of these rows, so that whole rows are compared")
    if asked.tolerance:
        notes.append("without a key every difference counts, whatever the tolerance")
    added = removed = 0
    came: tuple[Row, ...] = ()
    went: tuple[Row, ...] = ()
    if columns:
        duck.execute(asked.by_rows(_ROWS))
        found = duck.execute(
            f"SELECT coalesce(sum(_n) FILTER (_n > 0), 0)::BIGINT, "
            f"coalesce(-sum(_n) FILTER (_n < 0), 0)::BIGINT FROM {_ROWS}"
        ).fetchone()
        assert found is not None
        added, removed = found
        came, went = _examples(duck, asked, ">"), _examples(duck, asked, "<")
    else:
        notes.append("they have no column in common")
    return {
        "rows": counts,
        "key": (),
        "added": added,
        "removed": removed,
        "added_rows": came,
        "removed_rows": went,
        "names": tuple(column.name for column in columns),
        "note": "; ".join(notes),
    }


def _examples(duck: duckdb.DuckDBPyConnection, asked: Comparison, sign: str) -> tuple[Row, ...]:
    names = ", ".join(quoted(column.name) for column in [*asked.key, *asked.columns])
    rows = duck.execute(
        f"SELECT {names} FROM {_ROWS} WHERE _n {sign} 0 ORDER BY ALL LIMIT {asked.examples}"
    )
    return tuple(rows.fetchall())
