"""Fewer rows of the tables of production, which still belong together: to try a change quickly."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta
from itertools import islice
from typing import Any

from ecommerce_dagster.bruin.problems import did_you_mean
from ecommerce_dagster.runtime.existing_tables import Table
from ecommerce_dagster.sources.parameters import incremental_key_of
from ecommerce_dagster.sql.identifiers import literal, quoted
from ecommerce_dagster.warehouses.query import QueryError

# Names by which columns of two tables are not the same thing.
_ANY_KEY = frozenset({"id", "key", "code", "name", "uuid", "guid", "pk"})
# References from a row down to one that is chosen by itself; longer ways are hardly ever declared.
_LONGEST_PATH = 4
_DATED = re.compile(r"date|timestamp", re.IGNORECASE)

Ask = Callable[[str], Sequence[tuple[Any, ...]]]
# The column of a table.
Field = tuple[str, str]


@dataclass(frozen=True)
class Wish:
    """Which rows: those of `percent` of the values of a key (`by` a column, or TABLE.COLUMN), those
    of the last `days`, or none at all."""

    percent: float | None = None
    by: str | None = None
    days: int | None = None

    @property
    def description(self) -> str:
        """The rows, in words."""
        if self.percent is not None:
            return f"{self.percent:g} % of the rows"
        return f"the last {self.days} days" if self.days is not None else "no rows"


@dataclass(frozen=True)
class Subset:
    """The rows of tables that are left: conditions by the names of the tables, of those of which
    it is not all. `of` says by what they were chosen."""

    of: str
    conditions: Mapping[str, str] = field(default_factory=dict)


def subset_of(tables: Sequence[Table], upstream: Sequence[str], wish: Wish, ask: Ask) -> Subset:
    """The rows of `tables` by a wish, chosen so that as many as possible of those `upstream` are
    smaller. Raises QueryError when there is nothing to choose by."""
    if wish.days is not None:
        return _newest(tables, wish.days, ask)
    if wish.percent is None:
        return Subset("no rows", {table.asset.name: "FALSE" for table in tables})
    relations = _Relations(tables)
    keys = _wished(tables, wish.by) if wish.by else _keys_of(tables)
    candidates = [(name, _sampled(relations, start, wish.percent)) for name, start in keys]
    name, best = max(
        candidates, key=lambda each: len(each[1].keys() & {*upstream}), default=("", {})
    )
    if not best.keys() & {*upstream}:
        raise QueryError(
            "no table that is read has a key to take a sample by; name a column with --by"
        )
    return Subset(f"{wish.percent:g} % of the values of {name}", best)


def _wished(tables: Sequence[Table], by: str) -> list[tuple[str, set[Field]]]:
    """The columns that `--by` names. Raises QueryError when there is none."""
    *table, column = by.rsplit(".", 1)
    start = {
        (each.asset.name, found)
        for each in tables
        if not table or each.asset.name.lower() == table[0].lower()
        for found in [each.column(column)]
        if found
    }
    if not start:
        known = {name for each in tables for name in each.columns}
        raise QueryError(f"no table has the column '{by}'; {did_you_mean(column, known)}")
    return [(by, start)]


def _keys_of(tables: Sequence[Table]) -> list[tuple[str, set[Field]]]:
    """What rows can be chosen by: the keys of the tables that have one column for it."""
    found = ((each.asset.name, each.column(key)) for each in tables for key in [_key_of(each)])
    return [(f"{name}.{column}", {(name, column)}) for name, column in found if column]


def _key_of(table: Table) -> str:
    """The one column of the primary key; empty for another key, or none."""
    key = table.asset.primary_key
    return key[0] if len(key) == 1 else ""


class _Relations:
    """Which columns of the tables refer to which, and which mean the same."""

    def __init__(self, tables: Sequence[Table]) -> None:
        self.by_name = {table.asset.name: table for table in tables}
        self.declared = {table.asset.name: list(self._declared(table)) for table in tables}
        keys = [(table, _key_of(table).lower()) for table in tables]
        owners: dict[str, list[Table]] = {}
        for table, key in keys:
            if key and key not in _ANY_KEY:
                owners.setdefault(key, []).append(table)
        self.likely = {
            table.asset.name: [
                (column, (owner.asset.name, owner.column(column) or column))
                for column in table.columns
                for owner in owners.get(column.lower(), ())
                if owner is not table
            ]
            for table in tables
        }

    def _declared(self, table: Table) -> Iterator[tuple[str, Field]]:
        for column in table.asset.columns:
            key, own = column.foreign_key, table.column(column.name)
            parent = self.by_name.get(key.table) if key else None
            theirs = parent.column(key.column) if parent and key else None
            if own and parent and theirs and parent is not table:
                yield own, (parent.asset.name, theirs)

    def same(self, start: set[Field]) -> set[Field]:
        """All columns with the values of these: those that they refer to, that refer to them, that
        extend the same attribute of the glossary, or have the same telling name."""
        found, added = set(start), set(start)
        while added:
            names = {column.lower() for _, column in found} - _ANY_KEY
            terms = {self._term(each) for each in found} - {None}
            added = set()
            for name, table in self.by_name.items():
                refers = dict(self.declared[name])
                added |= {
                    (name, column)
                    for column in table.columns
                    if column.lower() in names
                    or refers.get(column) in found
                    or self._term((name, column)) in terms
                }
                added |= {p for column, p in self.declared[name] if (name, column) in found}
            added -= found
            found |= added
        return found

    def _term(self, of: Field) -> str | None:
        asset = self.by_name[of[0]].asset
        return next((c.extends for c in asset.columns if c.name.lower() == of[1].lower()), None)


def _sampled(relations: _Relations, start: set[Field], percent: float) -> dict[str, str]:
    """The same values of a key in all tables: chosen by a hash, which is that of every database."""
    end = f"{int(percent / 100 * 16**8):08x}"
    own: dict[str, list[str]] = {}
    members = relations.same(start)
    for name, column in sorted(members):
        hashed = f"md5(CAST({quoted(column)} AS VARCHAR)) < {literal(end)}"
        own.setdefault(name, []).append(_or_null(column, hashed))
    return _with_what_refers(relations, own, members)


def _newest(tables: Sequence[Table], days: int, ask: Ask) -> Subset:
    """The last days that there are rows of, by the columns that tables are loaded or rebuilt by."""
    dated = [
        (table, key)
        for table in tables
        for key in [table.column(incremental_key_of(table.asset) or "")]
        if key and _DATED.match(table.columns[key])
    ]
    if not dated:
        raise QueryError("no table that is read is loaded or rebuilt by the days of a column")
    last = max(
        (
            day
            for table, key in dated
            for (day,) in ask(f"SELECT CAST(max({quoted(key)}) AS DATE) FROM {table.relation}")
            if isinstance(day, date)
        ),
        default=date.today(),
    )
    first = last - timedelta(days - 1)
    own = {
        table.asset.name: [_or_null(key, f"{quoted(key)} >= DATE '{first}'")]
        for table, key in dated
    }
    found = _with_what_refers(_Relations(tables), own, set())
    return Subset(f"the days {first} to {last}", found)


def _or_null(column: str, condition: str) -> str:
    return f"({quoted(column)} IS NULL OR {condition})"


def _with_what_refers(
    relations: _Relations, own: Mapping[str, Sequence[str]], members: set[Field]
) -> dict[str, str]:
    """The conditions of tables, and of those with rows that refer to theirs: by foreign keys that
    are declared, and where there is none by columns that are called as a key. `members` are the
    columns that own conditions are about."""

    def condition(name: str, below: tuple[str, ...]) -> str:
        if name in below or len(below) > _LONGEST_PATH:
            return ""
        path = (*below, name)
        parts = [*own.get(name, ()), *referring(relations.declared[name], path)]
        if not parts:
            parts = list(islice(referring(relations.likely[name], path), 1))
        return " AND ".join(parts)

    def referring(keys: Iterable[tuple[str, Field]], path: tuple[str, ...]) -> Iterator[str]:
        for column, (parent, key) in keys:
            rows = condition(parent, path)
            if rows and not is_chosen_alike(path[-1], column, parent, rows):
                chosen = f"SELECT {quoted(key)} FROM {relations.by_name[parent].relation}"
                yield _or_null(column, f"{quoted(column)} IN ({chosen} WHERE {rows})")

    def is_chosen_alike(name: str, column: str, parent: str, rows: str) -> bool:
        """Whether a column has the condition that its parent has, and that alone: rows without a
        parent then stay as they are."""
        return (name, column) in members and [rows] == list(own.get(parent, ()))

    found = {name: condition(name, ()) for name in relations.by_name}
    return {name: text for name, text in found.items() if text}


def views_of(tables: Sequence[Table], subset: Subset, name: Callable[[str], str]) -> dict[str, str]:
    """The queries of views that show the subset, by the names that `name` gives them."""
    by_name = {table.asset.name: table for table in tables}
    return {
        name(own): f"SELECT * FROM {by_name[own].relation} WHERE {condition}"
        for own, condition in subset.conditions.items()
        if own in by_name
    }


def wish_of(sample: str | None, by: str | None, days: int | None, empty: bool) -> Wish | None:
    """What the options of a command wish for; None for all rows. Raises ValueError when they
    contradict each other."""
    given = [sample is not None, days is not None, empty]
    if sum(given) > 1:
        raise ValueError("--sample, --days and --empty exclude each other")
    if by and sample is None:
        raise ValueError("--by is the key of --sample")
    if not any(given):
        return None
    return Wish(_percent(sample) if sample is not None else None, by, days)


def _percent(text: str) -> float:
    try:
        found = float(text.strip().removesuffix("%"))
    except ValueError:
        found = 0.0
    if not 0 < found < 100:
        raise ValueError(f"'{text}' is no part of the rows; write a percentage such as 1% or 0.5%")
    return found
