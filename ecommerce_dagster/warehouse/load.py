"""Rows of any relation into the table of an asset: types, schema changes, strategy."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import duckdb

from ecommerce_dagster.bruin.interval import Interval
from ecommerce_dagster.bruin.models import Asset, Column
from ecommerce_dagster.warehouse.database import described, kind_of
from ecommerce_dagster.warehouse.identifiers import quoted, relation, schema_of
from ecommerce_dagster.warehouse.strategies import (
    STRATEGIES,
    Load,
    Strategy,
    TargetColumn,
    in_window,
)
from ecommerce_dagster.warehouse.types import cast, target_type, widened


class LoadError(Exception):
    """Rows that cannot become rows of the table; the text names the column."""


@dataclass(frozen=True)
class Loaded:
    """What a load did: rows written, the statements that did it, changes to the table's shape."""

    rows_written: int | None = None
    statements: tuple[str, ...] = ()
    schema_changes: tuple[str, ...] = ()


@dataclass
class _Plan:
    columns: list[TargetColumn] = field(default_factory=list)
    alterations: list[str] = field(default_factory=list)
    changes: list[str] = field(default_factory=list)


def load_table(
    connection: duckdb.DuckDBPyConnection,
    asset: Asset,
    source: str,
    strategy_name: str,
    *,
    window: Interval | None = None,
    incremental_key: str | None = None,
    full_refresh: bool = False,
    update_all: bool = False,
    strict_window: bool = False,
) -> Loaded:
    """Fill the table of `asset` from `source`, a relation that this connection can read.

    The first run and a full refresh create the table. `update_all` makes a merge replace every
    column instead of those that the file names. `strict_window` refuses rows outside `window`.
    Runs inside the caller's transaction.
    """
    strategy = STRATEGIES[strategy_name]
    existing = _existing(connection, asset)
    if existing is not None and full_refresh and not asset.keeps_history:
        existing = None
    create = existing is None or strategy.rebuilds
    incoming = described(connection, source)
    plan = _plan(asset, incoming, None if create else existing, update_all)
    how = asset.materialization
    load = Load(
        table=relation(asset.name),
        source=source,
        columns=tuple(plan.columns),
        primary_key=asset.primary_key,
        incremental_key=incremental_key or how.incremental_key,
        incremental_predicate=how.incremental_predicate,
        window=window,
        by_date=how.time_granularity == "date",
    )
    _require_columns(load, incoming, strategy)
    steps = strategy.create(load) if create else [*plan.alterations, *strategy.statements(load)]
    written = 0
    for statement in steps:
        row = connection.execute(statement).fetchone()
        if statement.startswith(("INSERT", "CREATE OR REPLACE TABLE")) and row:
            written = int(row[0])
    if strict_window and window is not None:
        _refuse_outside(connection, load, written)
    return Loaded(written, tuple(steps), tuple(plan.changes))


def ensure_schema(connection: duckdb.DuckDBPyConnection, name: str) -> None:
    """Create the schema that a table name needs."""
    schema = schema_of(name)
    if schema:
        connection.execute(f"CREATE SCHEMA IF NOT EXISTS {schema}")


def _existing(connection: duckdb.DuckDBPyConnection, asset: Asset) -> dict[str, str] | None:
    """The columns of the asset's table. A view of its name gives way to the table."""
    ensure_schema(connection, asset.name)
    kind = kind_of(connection, asset.name)
    if kind == "view":
        connection.execute(f"DROP VIEW {relation(asset.name)}")
        return None
    return described(connection, relation(asset.name)) if kind else None


def _plan(
    asset: Asset, incoming: Mapping[str, str], existing: Mapping[str, str] | None, update_all: bool
) -> _Plan:
    """The columns to fill; for an existing table also how it has to change first.

    Column names are matched without case, as DuckDB does. A new column is added, a wider type
    widens the table's, a column that no longer comes stays and is filled with NULL.
    """
    declared = {column.name.lower(): column for column in asset.columns}
    current = {name.lower(): (name, kind) for name, kind in (existing or {}).items()}
    keys = {key.lower() for key in asset.primary_key}
    plan = _Plan()
    for name, actual in incoming.items():
        column = declared.get(name.lower(), Column(name=name))
        wanted = target_type(column.type, actual)
        if existing is not None and name.lower() in current:
            wanted = _kept_type(asset, plan, name, current[name.lower()][1], wanted, actual, column)
        elif existing is not None:
            plan.changes.append(f"added column {name} {wanted}")
            plan.alterations.append(
                f"ALTER TABLE {relation(asset.name)} ADD COLUMN {quoted(name)} {wanted}"
            )
        replaced = None if name.lower() in keys else _on_merge(column, update_all)
        plan.columns.append(TargetColumn(name, wanted, cast(name, actual, wanted), replaced))
    gone = [name for lower, (name, _) in current.items() if lower not in _lower(incoming)]
    plan.changes += [f"the column {name} comes no more; it is filled with NULL" for name in gone]
    return plan


def _kept_type(
    asset: Asset, plan: _Plan, name: str, current: str, wanted: str, actual: str, column: Column
) -> str:
    """The type of a column that the table has already: its own, or a wider one."""
    if current == wanted:
        return current
    wider = widened(current, wanted)
    if wider is None and column.type and wanted != actual:
        # The declared type was changed to one of another kind since the table was made.
        raise LoadError(
            f"the column {name} of {asset.name} is {current} and is now declared as {column.type}; "
            "run once with --full-refresh to rebuild the table"
        )
    if wider is None:
        raise LoadError(
            f"the column {name} of {asset.name} is {current} and now comes as {actual}; "
            "cast it in the query, or run once with --full-refresh to rebuild the table"
        )
    if wider != current:
        plan.changes.append(f"widened column {name} from {current} to {wider}")
        plan.alterations.append(
            f"ALTER TABLE {relation(asset.name)} ALTER COLUMN {quoted(name)} TYPE {wider}"
        )
    return wider


def _on_merge(column: Column, update_all: bool) -> str | None:
    if column.merge_sql:
        return column.merge_sql
    return f"source.{quoted(column.name)}" if update_all or column.update_on_merge else None


def _require_columns(load: Load, incoming: Mapping[str, str], strategy: Strategy) -> None:
    needed = list(load.primary_key) if strategy.needs_primary_key else []
    if load.incremental_key and strategy.needs_incremental_key:
        needed.append(load.incremental_key)
    missing = [name for name in needed if name.lower() not in _lower(incoming)]
    if missing:
        raise LoadError(
            f"the query does not return {', '.join(missing)}, which the strategy needs; "
            f"it returns {', '.join(incoming)}"
        )


def _refuse_outside(connection: duckdb.DuckDBPyConnection, load: Load, written: int) -> None:
    """Rows outside the window would be added again by every rebuild of it."""
    inside = connection.execute(
        f"SELECT count(*) FROM {load.table} WHERE {in_window(load)}"
    ).fetchone()
    outside = written - (int(inside[0]) if inside else 0)
    if outside <= 0:
        return
    key = quoted(load.incremental_key or "")
    found = connection.execute(
        f"SELECT DISTINCT CAST({key} AS VARCHAR) FROM ({load.select}) "
        f"WHERE ({in_window(load)}) IS NOT TRUE ORDER BY ALL LIMIT 5"
    ).fetchall()
    examples = ", ".join(str(row[0]) for row in found)
    raise LoadError(
        f"{outside:,} of {written:,} rows lie outside of {load.window} by {load.incremental_key} "
        f"(for example {examples}); the query must filter by start_timestamp and end_timestamp"
    )


def _lower(names: Mapping[str, str]) -> set[str]:
    return {name.lower() for name in names}
