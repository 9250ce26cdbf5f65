"""What a load of a table is, and what a strategy is.

A strategy gets a `LoadSpec` (a table, a relation to take rows from, keys and times as the file says
them) and returns SQL statements for one transaction; it never runs one. The table exists: its first
run creates it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace

from ecommerce_dagster.bruin.model.asset import Asset
from ecommerce_dagster.bruin.model.interval import Interval
from ecommerce_dagster.sql.dialect import Dialect
from ecommerce_dagster.sql.identifiers import quoted

_BATCH = "_batch"
_ROW, _GONE = quoted("_load_row"), quoted("_load_gone")


@dataclass(frozen=True)
class TargetColumn:
    """A column to fill: its name, its type, the expression over the source, and, when a merge
    finds the row, the expression that replaces it (None keeps what is there).

    `exact` turns an expression for a value of the column into one that is equal for no other value:
    a month equals 30 days, and some types have no equality at all.
    """

    name: str
    type: str
    expression: str
    on_merge: str | None = None
    exact: Callable[[str], str] = str

    @property
    def merged(self) -> str:
        """What a merge puts into the column, in its type."""
        written = self.on_merge or ""
        is_copied = written == f"source.{quoted(self.name)}" or not self.type
        return written if is_copied else f"CAST({written} AS {self.type})"

    def same(self, one: str, other: str) -> str:
        """The condition that two expressions give the same value; NULL is one."""
        return f"{self.exact(one)} IS NOT DISTINCT FROM {self.exact(other)}"


@dataclass(frozen=True)
class LoadSpec:
    """One load of a table. `table` and `source` are SQL; `window` bounds what is replaced.

    The rows of a source that `is_staged` are stored, with the names and in the types of the table.
    A load that `refills` makes the table anew without another table: it has the right columns.
    """

    table: str
    source: str
    columns: tuple[TargetColumn, ...]
    dialect: Dialect
    primary_key: tuple[str, ...] = ()
    incremental_key: str | None = None
    incremental_predicate: str | None = None
    window: Interval | None = None
    by_date: bool = False
    is_staged: bool = False
    refills: bool = False

    @property
    def select(self) -> str:
        """The rows of the source in the types of the table."""
        if self.is_staged:
            return f"SELECT {self.names}\nFROM {self.source} AS source"
        expressions = ",\n       ".join(
            column.expression
            if column.expression == quoted(column.name)
            else f"{column.expression} AS {quoted(column.name)}"
            for column in self.columns
        )
        return f"SELECT {expressions}\nFROM {self.source}"

    @property
    def names(self) -> str:
        return ", ".join(quoted(column.name) for column in self.columns)

    def called(self, names: Iterable[str]) -> list[TargetColumn]:
        """The columns of these names, in their order. Case makes no difference."""
        columns = {column.name.lower(): column for column in self.columns}
        return [columns[name.lower()] for name in names]

    @property
    def beside_key(self) -> list[TargetColumn]:
        """The columns that are not part of the primary key."""
        keys = {name.lower() for name in self.primary_key}
        return [column for column in self.columns if column.name.lower() not in keys]

    @property
    def merge_differs(self) -> str:
        """The condition that a merge changes a row that it finds."""
        cells = [
            column.same(f"target.{quoted(column.name)}", column.merged)
            for column in self.columns
            if column.on_merge
        ]
        return " OR ".join(f"NOT ({condition})" for condition in cells)


Statements = Callable[[LoadSpec], list[str]]


def append(load: LoadSpec) -> list[str]:
    """The rows are added to those that are there."""
    return [f"INSERT INTO {load.table} ({load.names})\n{load.select}"]


def create(load: LoadSpec) -> list[str]:
    """The table has these rows and no others."""
    if load.refills:
        return [f"DELETE FROM {load.table}", *append(load)]
    return [f"{load.dialect.create} TABLE {load.table} AS\n{load.select}"]


def staged(statements: Statements) -> Statements:
    """`statements` for incoming rows that are read once: their query may be slow, may read the
    table, and may return something else the next time."""

    def around(load: LoadSpec) -> list[str]:
        if load.is_staged:
            return statements(load)
        table = load.dialect.temp(_BATCH)
        return [
            load.dialect.create_temp(_BATCH, load.select),
            *statements(replace(load, source=table, is_staged=True)),
            f"DROP TABLE {table}",
        ]

    return around


def deduplicated(statements: Statements) -> Statements:
    """`statements` for staged rows that have each primary key once: of several rows with one key
    the newest counts."""

    def around(load: LoadSpec) -> list[str]:
        if not load.dialect.reads_distinct:
            return [delete_repeated(load, load.source), *statements(load)]
        keys, newest = _newest_of_each_key(load)
        query = f"SELECT DISTINCT ON ({keys}) * FROM {load.source}\n  ORDER BY {keys}, {newest}"
        return statements(replace(load, source=f"(\n  {query}\n)"))

    return around


def delete_repeated(load: LoadSpec, table: str) -> str:
    """The statement that leaves of several rows with one primary key the newest."""
    keys, newest = _newest_of_each_key(load)
    times = f"PARTITION BY {keys} ORDER BY {newest}"
    return delete_where(load, table, "row_number() OVER times > 1", times)


def _newest_of_each_key(load: LoadSpec) -> tuple[str, str]:
    """The primary key, and the order in which the newest row (by the incremental key, else the one
    that came last) is the first."""
    newest = f"{quoted(load.incremental_key)} DESC NULLS LAST, " if load.incremental_key else ""
    return ", ".join(map(quoted, load.primary_key)), f"{newest}{load.dialect.row} DESC"


def delete_where(load: LoadSpec, table: str, condition: str, times: str) -> str:
    """The statement that deletes the rows which meet a condition about the window `times`."""
    row = load.dialect.row
    return (
        f"DELETE FROM {table} WHERE {row} IN (\n"
        f"  SELECT {_ROW} FROM (\n"
        f"    SELECT {row} AS {_ROW}, {condition} AS {_GONE}\n"
        f"    FROM {table} WINDOW times AS ({times})\n"
        f"  ) AS source WHERE {_GONE}\n)"
    )


def newer(name: str, one: str, other: str) -> str:
    """The condition that a row has a later value than another; NULL is before all others."""
    mine, theirs = f"{one}.{quoted(name)}", f"{other}.{quoted(name)}"
    return f"{mine} > {theirs} OR ({theirs} IS NULL AND {mine} IS NOT NULL)"


@dataclass(frozen=True)
class Strategy:
    """How a table takes new rows, and how its first rows make it.

    `rebuilds` replaces the table whole, and its types with it. `fills` names the columns that the
    table has beside those of the query. `moved` is a last statement, for rows that a load finds in
    another place than before. `complaints` finds what else is wrong with an asset.
    """

    statements: Statements
    create: Statements = create
    rebuilds: bool = False
    needs_incremental_key: bool = False
    needs_primary_key: bool = False
    needs_time: bool = False
    needs_instants: bool = False
    moved: Callable[[LoadSpec], str | None] = lambda load: None
    fills: tuple[str, ...] = ()
    complaints: Callable[[Asset], list[str]] = lambda asset: []
