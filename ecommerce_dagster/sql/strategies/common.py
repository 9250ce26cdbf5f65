"""What each strategy does to a table, as separate SQL statements for one transaction.

A strategy gets a `LoadSpec` (a table, a relation to take rows from, keys and times as the file says
them) and returns statements; it never runs one. The table exists: its first run creates it.
To add a strategy: write the function, add it to STRATEGIES.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from datetime import timedelta

from ecommerce_dagster.bruin.model.asset import Asset
from ecommerce_dagster.bruin.model.interval import Interval
from ecommerce_dagster.bruin.problems import ProblemLog, did_you_mean
from ecommerce_dagster.sql.identifiers import literal, quoted
from ecommerce_dagster.sql.strategies import ddl, history, vault

BATCH = "_batch"
_BATCH = f"temp.{quoted(BATCH)}"


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
    """One load of a table. `table` and `source` are SQL; `window` bounds what is replaced; `row` is
    what tells equal stored rows apart, in the order in which they came."""

    table: str
    source: str
    columns: tuple[TargetColumn, ...]
    primary_key: tuple[str, ...] = ()
    incremental_key: str | None = None
    incremental_predicate: str | None = None
    window: Interval | None = None
    by_date: bool = False
    row: str = "rowid"

    @property
    def select(self) -> str:
        """The rows of the source in the types of the table."""
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


def _create(load: LoadSpec) -> list[str]:
    return [f"CREATE OR REPLACE TABLE {load.table} AS\n{load.select}"]


@dataclass(frozen=True)
class Strategy:
    """How a table takes new rows, and how its first rows make it.

    `rebuilds` replaces the table whole, and its types with it. `fills` names the columns that the
    table has beside those of the query. `moved` is a last statement, for rows that a load finds in
    another place than before. `complaints` finds what else is wrong with an asset.
    """

    statements: Statements
    create: Statements = _create
    rebuilds: bool = False
    needs_incremental_key: bool = False
    needs_primary_key: bool = False
    needs_time: bool = False
    needs_instants: bool = False
    moved: Callable[[LoadSpec], str | None] = lambda load: None
    fills: tuple[str, ...] = ()
    complaints: Callable[[Asset], list[str]] = lambda asset: []


def _append(load: LoadSpec) -> list[str]:
    return [f"INSERT INTO {load.table} BY NAME\n{load.select}"]


def _batch(load: LoadSpec, select: str) -> str:
    """The incoming rows are read once: the source may be slow, and may change in between."""
    return f"CREATE OR REPLACE TEMP TABLE {quoted(BATCH)} AS\n{select}"


def _insert_batch(load: LoadSpec) -> str:
    return f"INSERT INTO {load.table} ({load.names})\nSELECT {load.names} FROM {_BATCH}"


def _truncate_insert(load: LoadSpec) -> list[str]:
    """The incoming rows are read before the table is emptied: the query may read the table."""
    return [
        _batch(load, load.select),
        f"DELETE FROM {load.table}",
        _insert_batch(load),
        f"DROP TABLE {_BATCH}",
    ]


def _delete_insert(load: LoadSpec) -> list[str]:
    """Every key of the incoming rows is replaced, the NULL key too."""
    key = quoted(load.incremental_key or "")
    return [
        _batch(load, load.select),
        f"DELETE FROM {load.table} AS kept\nUSING (SELECT DISTINCT {key} FROM {_BATCH}) AS new\n"
        f"WHERE kept.{key} IS NOT DISTINCT FROM new.{key}",
        _insert_batch(load),
        f"DROP TABLE {_BATCH}",
    ]


def _without_duplicates(load: LoadSpec, table: str) -> str:
    """Of several rows with one key the newest (by the incremental key, else the last) stays."""
    keys = ", ".join(quoted(key) for key in load.primary_key)
    newest = f"{quoted(load.incremental_key)} DESC NULLS LAST, " if load.incremental_key else ""
    return (
        f"DELETE FROM {table} WHERE rowid IN (\n"
        f"  SELECT rowid FROM {table}\n"
        f"  QUALIFY row_number() OVER (PARTITION BY {keys} ORDER BY {newest}rowid DESC) > 1\n)"
    )


def _create_merged(load: LoadSpec) -> list[str]:
    return [*_create(load), _without_duplicates(load, load.table)]


def _merge(load: LoadSpec) -> list[str]:
    """Known keys are updated where the file says so, new ones inserted; one row for each key.

    NULL is a key like any other. As in the original, a row of the table that the predicate leaves
    out is not known; what the table says before the merge decides. A row that would stay as it is
    is not written.
    """
    same = " AND ".join(
        f"target.{quoted(key)} IS NOT DISTINCT FROM source.{quoted(key)}"
        for key in load.primary_key
    )
    if load.incremental_predicate:
        same += f" AND ({load.incremental_predicate})"
    updates = ", ".join(
        f"{quoted(column.name)} = {column.on_merge}" for column in load.columns if column.on_merge
    )
    values = ", ".join(f"source.{quoted(column.name)}" for column in load.columns)
    merge = (
        f"MERGE INTO {load.table} AS target\nUSING {_BATCH} AS source\nON {same}\n"
        f"WHEN MATCHED AND ({load.merge_differs}) THEN UPDATE SET {updates}\n"
        f"WHEN NOT MATCHED THEN INSERT ({load.names}) VALUES ({values})"
    )
    insert = (
        f"INSERT INTO {load.table} ({load.names})\nSELECT {load.names} FROM {_BATCH} AS source\n"
        f"WHERE NOT EXISTS (SELECT 1 FROM {load.table} AS target WHERE {same})"
    )
    return [
        _batch(load, load.select),
        _without_duplicates(load, _BATCH),
        merge if updates else insert,
        f"DROP TABLE {_BATCH}",
    ]


def _time_interval(load: LoadSpec) -> list[str]:
    """The window, or all time without one, is emptied and filled with what the query returns."""
    gone = "TRUE"
    if load.window is not None:
        gone = in_window(load.incremental_key or "", load.window, load.by_date)
    return [f"DELETE FROM {load.table}\nWHERE {gone}", *_append(load)]


def _moved(load: LoadSpec) -> str | None:
    """The statement that removes what `time_interval` left of rows that are now in the window.

    A primary key says that a row is in one place: a row that moved into the window from another
    day is deleted there. None when nothing can have moved, or nobody can tell.
    """
    names = {column.name.lower() for column in load.columns}
    known = bool(load.primary_key) and all(key.lower() in names for key in load.primary_key)
    if load.window is None or not known:
        return None
    inside = in_window(load.incremental_key or "", load.window, load.by_date)
    # A join, which skips all but the keys of the window: EXISTS took 300 ms of 3M rows, this 3.
    keys = {f"_key_{n}": quoted(key) for n, key in enumerate(load.primary_key)}
    named = ", ".join(f"{key} AS {name}" for name, key in keys.items())
    same = " AND ".join(f"new.{name} = old.{key}" for name, key in keys.items())
    return (
        f"DELETE FROM {load.table} AS old\n"
        f"USING (SELECT DISTINCT {named} FROM {load.table} WHERE {inside}) AS new\n"
        f"WHERE {same} AND ({inside}) IS NOT TRUE"
    )


def in_window(column: str, window: Interval, by_date: bool) -> str:
    """The rows of the window, half-open: the last microsecond of its last day belongs to it."""
    key = quoted(column)
    if by_date:
        last_day = window.last.date() + timedelta(days=1)
        # Without a type the days are what the key is: dates, times, or text.
        return f"{key} >= '{window.start.date()}' AND {key} < '{last_day}'"
    moment = f"CAST({key} AS TIMESTAMPTZ)"
    return f"{moment} >= {literal(window.start)} AND {moment} < {literal(window.end)}"


def _staged(statements: Statements, *, deduplicated: bool = False) -> Statements:
    """`statements` for incoming rows that are read once and have the types of the table."""

    def around(load: LoadSpec) -> list[str]:
        return [
            _batch(load, load.select),
            *([_without_duplicates(load, _BATCH)] if deduplicated else []),
            *statements(replace(load, source=_BATCH)),
            f"DROP TABLE {_BATCH}",
        ]

    return around


_HUB = Strategy(_staged(vault.add_keys), _staged(vault.create_keys), needs_primary_key=True)
STRATEGIES: dict[str, Strategy] = {
    "create+replace": Strategy(_create, rebuilds=True),
    "append": Strategy(_append),
    "truncate+insert": Strategy(_truncate_insert),
    "delete+insert": Strategy(_delete_insert, needs_incremental_key=True),
    "merge": Strategy(_merge, _create_merged, needs_primary_key=True),
    "time_interval": Strategy(
        _time_interval, needs_incremental_key=True, needs_time=True, moved=_moved
    ),
    "scd2_by_column": Strategy(
        _staged(history.by_column, deduplicated=True),
        _staged(history.create, deduplicated=True),
        needs_primary_key=True,
        fills=tuple(history.COLUMNS),
    ),
    "scd2_by_time": Strategy(
        _staged(history.by_time, deduplicated=True),
        _staged(history.create, deduplicated=True),
        needs_primary_key=True,
        needs_incremental_key=True,
        needs_instants=True,
        fills=tuple(history.COLUMNS),
        complaints=history.complaints,
    ),
    "datavault_hub": _HUB,
    "datavault_link": _HUB,
    "datavault_satellite": Strategy(
        _staged(vault.add_to_satellite),
        _staged(vault.create_satellite),
        needs_primary_key=True,
        complaints=vault.complaints,
    ),
    # It takes no rows: load.declare_table makes its table.
    "ddl": Strategy(lambda load: [], complaints=ddl.complaints),
}
CREATE = STRATEGIES["create+replace"]


def strategy_name(asset: Asset) -> str:
    """The strategy of a table asset; create+replace when its file names none."""
    return asset.materialization.strategy or "create+replace"


def lint_materialization(asset: Asset, log: ProblemLog) -> None:
    """Report a materialization that cannot work."""
    how = asset.materialization
    at = how.at("strategy") if how.path == asset.path else asset.at()
    for complaint in complaints_of(asset):
        log.error(*at, "materialization-config", complaint)


def complaints_of(asset: Asset) -> list[str]:
    """Why the materialization of an asset cannot work."""
    how, name = asset.materialization, strategy_name(asset)
    if how.type != "table":
        wrong = f"a strategy ('{how.strategy}') needs `type: table`, this is '{how.type}'"
        return [wrong] if how.strategy else []
    strategy = STRATEGIES.get(name)
    if strategy is None:
        return [f"unknown strategy '{name}'; {did_you_mean(name, STRATEGIES)}"]
    found: list[str] = []
    if strategy.needs_incremental_key and not how.incremental_key:
        found.append(f"the strategy '{name}' needs an 'incremental_key' (a column)")
    if strategy.needs_primary_key and not asset.primary_key:
        found.append(f"the strategy '{name}' needs a column with `primary_key: true`")
    if strategy.needs_time and not how.time_granularity:
        found.append(f"the strategy '{name}' needs `time_granularity: date` or `timestamp`")
    return [*found, *strategy.complaints(asset)]
