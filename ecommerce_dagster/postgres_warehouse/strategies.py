"""What each strategy does to a table, as separate SQL statements for one transaction.

A strategy gets a `Load` whose source has the types of the table, and returns statements. All of
them leave others reading what was there before: no row that is replaced is locked against reading.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from ecommerce_dagster.bruin.models import Asset
from ecommerce_dagster.bruin.problems import ProblemLog
from ecommerce_dagster.warehouse.identifiers import quoted
from ecommerce_dagster.warehouse.strategies import (
    Load,
    in_window,
    lint_materialization,
    strategy_name,
)

Statements = Callable[[Load], list[str]]


def create(load: Load) -> list[str]:
    return [f"CREATE TABLE {load.table} AS\n{_rows(load)}"]


def replace(load: Load) -> list[str]:
    """The same table with other rows."""
    return [f"DELETE FROM {load.table}", *_append(load)]


def without_duplicates(load: Load) -> str:
    """Of several rows of the source with one key the newest (by the incremental key, else the
    last) stays."""
    keys = ", ".join(quoted(key) for key in load.primary_key)
    newest = f"{quoted(load.incremental_key)} DESC NULLS LAST, " if load.incremental_key else ""
    return (
        f"(\n  SELECT DISTINCT ON ({keys}) * FROM {load.source}\n"
        f"  ORDER BY {keys}, {newest}ctid DESC\n)"
    )


def _rows(load: Load) -> str:
    return f"SELECT {load.names}\nFROM {load.source} AS source"


def _append(load: Load) -> list[str]:
    return [f"INSERT INTO {load.table} ({load.names})\n{_rows(load)}"]


def _same(names: Iterable[str], one: str, other: str) -> str:
    """The condition that two rows have the same keys; NULL is a key like any other.

    PostgreSQL joins by IS NOT DISTINCT FROM in quadratic time. Arrays it compares by hash, and
    with NULL as a value.
    """
    return " AND ".join(
        f"ARRAY[{one}.{quoted(name)}] = ARRAY[{other}.{quoted(name)}]" for name in names
    )


def _delete_insert(load: Load) -> list[str]:
    """Every key of the incoming rows is replaced, the NULL key too."""
    key = load.incremental_key or ""
    return [
        f"DELETE FROM {load.table} AS kept\n"
        f"USING (SELECT DISTINCT {quoted(key)} FROM {load.source}) AS new\n"
        f"WHERE {_same([key], 'kept', 'new')}",
        *_append(load),
    ]


def _merge(load: Load) -> list[str]:
    """Known keys are updated where the file says so, new ones inserted; one row for each key.

    As in the original, a row of the table that the predicate leaves out is not known.
    """
    known = _same(load.primary_key, "target", "source")
    if load.incremental_predicate:
        known += f" AND ({load.incremental_predicate})"
    updates = ", ".join(
        f"{quoted(column.name)} = {column.on_merge}" for column in load.columns if column.on_merge
    )
    values = ", ".join(f"source.{quoted(column.name)}" for column in load.columns)
    return [
        f"MERGE INTO {load.table} AS target\nUSING {load.source} AS source\nON {known}\n"
        f"WHEN MATCHED THEN {f'UPDATE SET {updates}' if updates else 'DO NOTHING'}\n"
        f"WHEN NOT MATCHED THEN INSERT ({load.names}) VALUES ({values})"
    ]


def _time_interval(load: Load) -> list[str]:
    """The window, or all time without one, is emptied and filled with what the query returns."""
    gone = "TRUE"
    if load.window is not None:
        gone = in_window(load.incremental_key or "", load.window, load.by_date)
    return [f"DELETE FROM {load.table}\nWHERE {gone}", *_append(load)]


STRATEGIES: dict[str, Statements] = {
    "create+replace": replace,
    "append": _append,
    "truncate+insert": replace,
    "delete+insert": _delete_insert,
    "merge": _merge,
    "time_interval": _time_interval,
}


def lint_postgres_materialization(asset: Asset, log: ProblemLog) -> None:
    """Report a materialization that cannot work."""
    how = asset.materialization
    name = strategy_name(asset)
    if how.type == "table" and name not in STRATEGIES:
        message = f"the strategy '{name}' is not available on PostgreSQL; use one of "
        line = how.line if how.path == asset.path else asset.line
        log.error(asset.path, line, "materialization-config", message + ", ".join(STRATEGIES))
        return
    lint_materialization(asset, log)
