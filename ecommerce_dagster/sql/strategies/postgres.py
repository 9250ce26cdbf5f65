"""What each strategy does to a table, as separate SQL statements for one transaction.

A strategy gets a `LoadSpec` whose source has the types of the table, and returns statements. All of
them leave others reading what was there before: no row that is replaced is locked against reading.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace

from ecommerce_dagster.bruin.model.asset import Asset
from ecommerce_dagster.bruin.problems import ProblemLog
from ecommerce_dagster.sql.identifiers import quoted
from ecommerce_dagster.sql.strategies import history, vault
from ecommerce_dagster.sql.strategies.common import (
    LoadSpec,
    in_window,
    lint_materialization,
    strategy_name,
)

Statements = Callable[[LoadSpec], list[str]]

# Words of DuckDB in the statements that it shares with PostgreSQL, and its names of types.
_WORDS = {
    "CREATE OR REPLACE TABLE": "CREATE TABLE",
    "CREATE OR REPLACE TEMP TABLE": "CREATE TEMP TABLE",
    'temp."_versions"': 'pg_temp."_versions"',
}
_PRECISION = re.compile(r"\(\d\)")
_INSTANTS = {
    "date": "DATE",
    "timestamp without time zone": "TIMESTAMP",
    "timestamp with time zone": "TIMESTAMP WITH TIME ZONE",
}


def _create(load: LoadSpec) -> list[str]:
    return [f"CREATE TABLE {load.table} AS\n{_rows(load)}"]


def _refill(load: LoadSpec) -> list[str]:
    """The same table with other rows."""
    return _emptied(_append)(load)


def _emptied(statements: Statements) -> Statements:
    """`statements` for a table without its rows."""
    return lambda load: [f"DELETE FROM {load.table}", *statements(load)]


def _deduplicated(statements: Statements) -> Statements:
    """`statements` for incoming rows that have each primary key once."""
    return lambda load: statements(replace(load, source=_without_duplicates(load)))


def _without_duplicates(load: LoadSpec) -> str:
    """Of several rows of the source with one key the newest (by the incremental key, else the
    last) stays."""
    keys = ", ".join(quoted(key) for key in load.primary_key)
    newest = f"{quoted(load.incremental_key)} DESC NULLS LAST, " if load.incremental_key else ""
    return (
        f"(\n  SELECT DISTINCT ON ({keys}) * FROM {load.source}\n"
        f"  ORDER BY {keys}, {newest}{load.row} DESC\n)"
    )


def _rows(load: LoadSpec) -> str:
    return f"SELECT {load.names}\nFROM {load.source} AS source"


def _append(load: LoadSpec) -> list[str]:
    return [f"INSERT INTO {load.table} ({load.names})\n{_rows(load)}"]


def same(names: Iterable[str], one: str, other: str) -> str:
    """The condition that two rows have the same keys; NULL is a key like any other.

    PostgreSQL joins by IS NOT DISTINCT FROM in quadratic time. Arrays it compares by hash, and
    with NULL as a value.
    """
    return " AND ".join(
        f"ARRAY[{one}.{quoted(name)}] = ARRAY[{other}.{quoted(name)}]" for name in names
    )


def _delete_insert(load: LoadSpec) -> list[str]:
    """Every key of the incoming rows is replaced, the NULL key too."""
    key = load.incremental_key or ""
    return [
        f"DELETE FROM {load.table} AS kept\n"
        f"USING (SELECT DISTINCT {quoted(key)} FROM {load.source}) AS new\n"
        f"WHERE {same([key], 'kept', 'new')}",
        *_append(load),
    ]


def _merge(load: LoadSpec) -> list[str]:
    """Known keys are updated where the file says so, new ones inserted; one row for each key.

    As in the original, a row of the table that the predicate leaves out is not known. A row that
    would stay as it is is not written: it would cost a dead row, and triggers and replication too.
    """
    known = same(load.primary_key, "target", "source")
    if load.incremental_predicate:
        known += f" AND ({load.incremental_predicate})"
    updates = ", ".join(
        f"{quoted(column.name)} = {column.on_merge}" for column in load.columns if column.on_merge
    )
    values = ", ".join(f"source.{quoted(column.name)}" for column in load.columns)
    return [
        f"MERGE INTO {load.table} AS target\nUSING {load.source} AS source\nON {known}\n"
        f"WHEN MATCHED{f' AND ({load.merge_differs})' if updates else ''} THEN "
        f"{f'UPDATE SET {updates}' if updates else 'DO NOTHING'}\n"
        f"WHEN NOT MATCHED THEN INSERT ({load.names}) VALUES ({values})"
    ]


def _time_interval(load: LoadSpec) -> list[str]:
    """The window, or all time without one, is emptied and filled with what the query returns."""
    gone = "TRUE"
    if load.window is not None:
        gone = in_window(load.incremental_key or "", load.window, load.by_date)
    return [f"DELETE FROM {load.table}\nWHERE {gone}", *_append(load)]


def _shared(statements: Statements) -> Statements:
    """Statements of `warehouse`, whose SQL is PostgreSQL's but for a few words."""

    def translated(load: LoadSpec) -> list[str]:
        typed = tuple(
            replace(column, type=_INSTANTS.get(_PRECISION.sub("", column.type), ""))
            for column in load.columns
        )
        names = [quoted(name) for name in load.primary_key]
        return [_translated(step, names) for step in statements(replace(load, columns=typed))]

    return translated


def _translated(statement: str, keys: Iterable[str]) -> str:
    """`statement` with joins by these keys as `same` writes them."""
    for ours, theirs in _WORDS.items():
        statement = statement.replace(ours, theirs)
    for key in keys:
        pair = rf"(\w+\.{re.escape(key)}) IS NOT DISTINCT FROM (\w+\.{re.escape(key)})"
        statement = re.sub(pair, r"ARRAY[\1] = ARRAY[\2]", statement)
    return statement


@dataclass(frozen=True)
class Strategy:
    """How a table takes new rows, how its first rows make it, and how rows fill it anew that has
    their columns already. What a strategy needs is the same as in `sql.strategies.common`."""

    statements: Statements
    create: Statements = _create
    refill: Statements = _refill


def _history(statements: Statements) -> Strategy:
    return Strategy(_deduplicated(_shared(statements)), _deduplicated(_shared(history.create)))


def _vault(statements: Statements, create: Statements) -> Strategy:
    return Strategy(_shared(statements), _shared(create), _emptied(_shared(statements)))


_HUB = _vault(vault.add_keys, vault.create_keys)
STRATEGIES: dict[str, Strategy] = {
    "create+replace": Strategy(_refill),
    "append": Strategy(_append),
    "truncate+insert": Strategy(_refill),
    "delete+insert": Strategy(_delete_insert),
    "merge": Strategy(*map(_deduplicated, (_merge, _create, _refill))),
    "time_interval": Strategy(_time_interval),
    "scd2_by_column": _history(history.by_column),
    "scd2_by_time": _history(history.by_time),
    "datavault_hub": _HUB,
    "datavault_link": _HUB,
    "datavault_satellite": _vault(vault.add_to_satellite, vault.create_satellite),
    # It takes no rows: ddl.declare_table makes its table.
    "ddl": Strategy(lambda load: []),
}


def lint_postgres_materialization(asset: Asset, log: ProblemLog) -> None:
    """Report a materialization that cannot work."""
    name = strategy_name(asset)
    if name == "ddl":
        # Which types there are only the database knows.
        columns = (c.model_copy(update={"type": c.type and "text"}) for c in asset.columns)
        asset = asset.model_copy(update={"columns": tuple(columns)})
    lint_materialization(asset, log)
