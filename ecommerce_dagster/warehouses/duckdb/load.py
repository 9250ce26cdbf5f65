"""Rows of any relation into the table of an asset: types, schema changes, strategy."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial

import duckdb

from ecommerce_dagster.bruin.model.asset import Asset
from ecommerce_dagster.bruin.model.interval import Interval
from ecommerce_dagster.sql.identifiers import quoted, relation, schema_of
from ecommerce_dagster.sql.load_columns import (
    REBUILD,
    declaration,
    gone,
    kept_type,
    on_merge,
    require_fills,
    require_needed,
)
from ecommerce_dagster.sql.load_result import LoadError, LoadResult
from ecommerce_dagster.sql.strategies import ddl
from ecommerce_dagster.sql.strategies.common import (
    STRATEGIES,
    LoadSpec,
    Strategy,
    TargetColumn,
    in_window,
)
from ecommerce_dagster.sql.strategies.history import INSTANTS
from ecommerce_dagster.sql.type_rules import TypeRules
from ecommerce_dagster.sql.types import NULL, cast, exact, known_type, widened
from ecommerce_dagster.warehouses.duckdb.database import comments_of, described, kind_of
from ecommerce_dagster.warehouses.duckdb.stored_types import rules_of


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
) -> LoadResult:
    """Fill the table of `asset` from `source`, a relation that this connection can read.

    The first run and a full refresh create the table. `update_all` makes a merge replace every
    column instead of those that the file names. Runs inside the caller's transaction.
    """
    strategy = STRATEGIES[strategy_name]
    existing = _existing(connection, asset)
    if existing is not None and full_refresh and not asset.is_refresh_restricted:
        existing = None
    create = existing is None or strategy.rebuilds
    incoming = _incoming(connection, source, existing or {})
    existing = _from_query(asset, strategy, incoming, existing)
    plan = _plan(asset, incoming, None if create else existing, update_all, rules_of(connection))
    how = asset.materialization
    load = LoadSpec(
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
    _require_instants(load, strategy)
    alterations = [f"ALTER TABLE {load.table} {change}" for change in plan.alterations]
    steps = strategy.create(load) if create else [*alterations, *strategy.statements(load)]
    written = 0
    for statement in steps:
        rows = _run(connection, statement)
        written += rows if statement.startswith(("INSERT", "UPDATE", "MERGE")) else 0
    if create:
        written = _count(connection, load.table)
    moved = None if create else strategy.moved(load)
    if moved is None:
        return LoadResult(written, tuple(steps), tuple(plan.changes))
    rows = _run(connection, moved)
    return LoadResult(written, (*steps, moved), tuple(plan.changes), rows_moved=rows)


def declare_table(connection: duckdb.DuckDBPyConnection, asset: Asset) -> LoadResult:
    """Bring the table of `asset` to what its columns declare, inside the caller's transaction.
    Raises LoadError."""
    existing = _existing(connection, asset)
    comments = comments_of(connection, asset.name)
    plan = ddl.declaration(asset, existing, comments, rules_of(connection))
    for name, query in plan.defaults.items():
        try:
            connection.execute(query)
        except duckdb.Error as error:
            raise LoadError(f"the default of the column {name}: {error}") from error
    for statement in plan.statements:
        connection.execute(statement)
    return LoadResult(statements=plan.statements, schema_changes=plan.changes)


def refuse_outside(
    connection: duckdb.DuckDBPyConnection, asset: Asset, source: str, window: Interval, loaded: int
) -> None:
    """Raises LoadError when some of the rows just loaded lie outside of the window.

    Every rebuild of the window would add them again.
    """
    how = asset.materialization
    key = how.incremental_key or ""
    inside = in_window(key, window, by_date=how.time_granularity == "date")
    outside = loaded - _count(connection, f"{relation(asset.name)} WHERE {inside}")
    if outside <= 0:
        return
    found = connection.execute(
        f"SELECT DISTINCT CAST({quoted(key)} AS VARCHAR) FROM {source} "
        f"WHERE ({inside}) IS NOT TRUE ORDER BY ALL LIMIT 5"
    ).fetchall()
    examples = ", ".join("NULL" if row[0] is None else str(row[0]) for row in found)
    raise LoadError(
        f"{outside:,} of {loaded:,} rows lie outside of {window} by {key} (for example {examples});"
        " the query must filter by start_timestamp and end_timestamp"
    )


def ensure_schema(connection: duckdb.DuckDBPyConnection, name: str) -> None:
    """Create the schema that a table name needs."""
    schema = schema_of(name)
    if schema is not None:
        connection.execute(f"CREATE SCHEMA IF NOT EXISTS {schema}")


def _existing(connection: duckdb.DuckDBPyConnection, asset: Asset) -> dict[str, str] | None:
    """The columns of the asset's table. A view of its name gives way to the table."""
    ensure_schema(connection, asset.name)
    kind = kind_of(connection, asset.name)
    if kind == "view":
        connection.execute(f"DROP VIEW {relation(asset.name)}")
        return None
    return described(connection, relation(asset.name)) if kind else None


def _incoming(
    connection: duckdb.DuckDBPyConnection, source: str, existing: Mapping[str, str]
) -> dict[str, str]:
    """The columns of the source. A bare NULL matters where the table has another type already."""
    columns = described(connection, source)
    other = {name.lower() for name, kind in existing.items() if kind != "INTEGER"}
    asked = [n for n, kind in columns.items() if kind == "INTEGER" and n.lower() in other]
    return columns | integers_or_null(connection, source, asked)


def integers_or_null(
    connection: duckdb.DuckDBPyConnection, source: str, names: Sequence[str]
) -> dict[str, str]:
    """The types of the named columns of a source, which are all INTEGER for DESCRIBE: it calls a
    bare NULL so too."""
    if names:
        kinds = ", ".join(f"typeof(any_value({quoted(name)}))" for name in names)
        row = connection.execute(f"SELECT {kinds} FROM {source} WHERE FALSE").fetchone()
        return dict(zip(names, row or (), strict=True))
    return {}


def _from_query(
    asset: Asset,
    strategy: Strategy,
    incoming: Mapping[str, str],
    existing: Mapping[str, str] | None,
) -> dict[str, str] | None:
    """The columns of the table without those that the strategy fills."""
    require_fills(asset, strategy, incoming, existing)
    if existing is None:
        return None
    return {name: kind for name, kind in existing.items() if name.lower() not in strategy.fills}


def _plan(
    asset: Asset,
    incoming: Mapping[str, str],
    existing: Mapping[str, str] | None,
    update_all: bool,
    rules: TypeRules,
) -> _Plan:
    """The columns to fill; for an existing table also how it has to change first.

    Column names are matched without case, as DuckDB does. A new column is added, a wider type
    widens the table's, a column that no longer comes stays and is filled with NULL.
    """
    current = {name.lower(): (name, kind) for name, kind in (existing or {}).items()}
    plan = _Plan()
    for name, actual in incoming.items():
        column = declaration(asset, name)
        target = partial(rules.target_type, column.type)
        wanted = target(actual)
        if column.type and known_type(column.type) is None:
            plan.changes.append(f"{name} is {wanted}: DuckDB has no type '{column.type}'")
        if name.lower() in current:
            has = current[name.lower()][1]
            wanted = kept_type(
                asset, name, has, actual, wanted=target, widened=widened, unknown=NULL
            )
            if wanted != has:
                plan.changes.append(f"widened column {name} from {has} to {wanted}")
                plan.alterations.append(f"ALTER COLUMN {quoted(name)} TYPE {wanted}")
        elif existing is not None:
            plan.changes.append(f"added column {name} {wanted}")
            plan.alterations.append(f"ADD COLUMN {quoted(name)} {wanted}")
        plan.columns.append(_target_column(asset, name, actual, wanted, update_all, rules))
    plan.changes += gone(existing or {}, incoming)
    return plan


def _target_column(
    asset: Asset, name: str, actual: str, wanted: str, update_all: bool, rules: TypeRules
) -> TargetColumn:
    refusal = rules.refusal(wanted)
    if refusal:
        raise LoadError(f"the column {name} is {wanted}: {refusal}")
    replaced = on_merge(asset, name, update_all)
    if replaced and declaration(asset, name).merge_sql and rules.doubt(wanted):
        replaced = rules.kept(name, f"CAST(({replaced}) AS {wanted})", wanted)
    alike = wanted == rules.target_type("", actual)
    expression = rules.kept(name, cast(name, actual, wanted, alike=alike), wanted)
    return TargetColumn(name, wanted, expression, replaced, exact(wanted))


def _require_columns(load: LoadSpec, incoming: Mapping[str, str], strategy: Strategy) -> None:
    require_needed(load, strategy, incoming)
    if strategy.needs_primary_key and "rowid" in _lower(incoming):
        raise LoadError(
            "the strategy tells equal rows apart by DuckDB's rowid, which a column of that name "
            "hides; rename the column rowid in the query"
        )


def _require_instants(load: LoadSpec, strategy: Strategy) -> None:
    key = (load.incremental_key or "").lower()
    for column in load.columns if strategy.needs_instants else ():
        if column.name.lower() == key and column.type not in INSTANTS:
            raise LoadError(
                f"the column {column.name} is {column.type}; as the incremental_key of this "
                "strategy it must be a DATE, a TIMESTAMP or a TIMESTAMPTZ; cast it in the query"
            )


def _run(connection: duckdb.DuckDBPyConnection, statement: str) -> int:
    """The rows that a statement changed."""
    try:
        row = connection.execute(statement).fetchone()
    except duckdb.CatalogException as error:
        # A DuckLake widens fewer types than a DuckDB file does.
        if "only widening type promotions" not in str(error):
            raise
        raise LoadError(f"{error}; {REBUILD}") from error
    except duckdb.InvalidInputException as error:
        # What `error()` says in the casts.
        raise LoadError(str(error).removeprefix("Invalid Input Error: ")) from error
    return int(row[0]) if row else 0


def _count(connection: duckdb.DuckDBPyConnection, rows: str) -> int:
    found = connection.execute(f"SELECT count(*) FROM {rows}").fetchone()
    return int(found[0]) if found else 0


def _lower(names: Mapping[str, str]) -> set[str]:
    return {name.lower() for name in names}
