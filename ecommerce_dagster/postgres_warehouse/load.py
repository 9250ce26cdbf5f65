"""Staged rows into the table of an asset: types, schema changes, strategy."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

import psycopg

from ecommerce_dagster.bruin.interval import Interval
from ecommerce_dagster.bruin.models import Asset, Column
from ecommerce_dagster.postgres_warehouse import strategies
from ecommerce_dagster.postgres_warehouse.catalog import Catalog, actual
from ecommerce_dagster.postgres_warehouse.session import ask, run, said
from ecommerce_dagster.postgres_warehouse.types import (
    UNKNOWN,
    converted,
    declared_types,
    fits,
    is_time,
    lost,
    target_type,
    widened,
)
from ecommerce_dagster.warehouse.identifiers import quoted
from ecommerce_dagster.warehouse.interface import Filling
from ecommerce_dagster.warehouse.load import Loaded, LoadError
from ecommerce_dagster.warehouse.strategies import (
    STRATEGIES,
    Load,
    Strategy,
    TargetColumn,
    in_window,
)

# The incoming rows, stored: the query is read once, before anything of the table changes.
STAGED = 'pg_temp."_query"'
STAGE = 'CREATE TEMP TABLE "_query" ON COMMIT DROP AS'

_VALUE = re.compile(r': "(.*)"$', re.DOTALL)
_EXAMPLES = 5
_WRITING = ("INSERT", "UPDATE", "MERGE", "CREATE TABLE")


@dataclass
class _Plan:
    """The columns to fill, how an existing table has to change first, and what to say about it."""

    columns: list[TargetColumn] = field(default_factory=list)
    alterations: list[str] = field(default_factory=list)
    changes: list[str] = field(default_factory=list)


def load_table(catalog: Catalog, asset: Asset, filling: Filling) -> Loaded:
    """Fill the table of `asset` from the staged rows. Runs inside the caller's transaction.

    The first run and a full refresh create the table; one that has the right columns already is
    emptied instead, so that nobody has to wait to read it, and whatever depends on it stays.
    """
    needs = STRATEGIES[filling.strategy]
    strategy = strategies.STRATEGIES[filling.strategy]
    incoming = catalog.columns(STAGED)
    _require_names(incoming, needs)
    existing = existing_columns(catalog, asset)
    fresh = filling.full_refresh and not asset.keeps_history
    rebuild = existing is None or needs.rebuilds or fresh
    before = None if rebuild else _from_query(asset, needs, existing or {})
    declared = declared_types(catalog.session, {column.type for column in asset.columns})
    incoming = _without_nulls(catalog, asset, incoming, declared, before or {})
    plan = _plan(asset, incoming, declared, before, filling.update_all)
    types = {column.name: column.type for column in plan.columns}
    same = not needs.fills and list((existing or {}).items()) == list(types.items())
    how = asset.materialization
    key = filling.incremental_key or how.incremental_key
    load = Load(
        table=catalog.find(asset.name).sql,
        source=STAGED,
        columns=tuple(plan.columns),
        primary_key=tuple(actual(key, types) for key in asset.primary_key),
        incremental_key=actual(key, types) if key else None,
        incremental_predicate=how.incremental_predicate,
        window=filling.window,
        by_date=how.time_granularity == "date",
        row="ctid",
    )
    _require_columns(load, needs)
    _retype_staged(catalog, incoming, plan.columns)
    run(catalog.session, f"ANALYZE {STAGED}")
    steps = [f"ALTER TABLE {load.table} {change}" for change in plan.alterations]
    if not rebuild:
        steps += strategy.statements(load)
    elif same:
        steps += strategy.refill(load)
    else:
        steps += [f"DROP TABLE {load.table}"] if existing is not None else []
        steps += strategy.create(load)
    written = 0
    for statement in steps:
        rows = run(catalog.session, statement)
        written += rows if statement.startswith(_WRITING) else 0
    moved = None if rebuild else needs.moved(load)
    if moved is None:
        return Loaded(written, tuple(steps), tuple(plan.changes))
    rows = run(catalog.session, moved)
    return Loaded(written, (*steps, moved), tuple(plan.changes), rows_moved=rows)


def refuse_outside(catalog: Catalog, asset: Asset, window: Interval) -> None:
    """Raise LoadError when some of the rows just loaded lie outside of the window.

    Every rebuild of the window would add them again.
    """
    how = asset.materialization
    key = actual(how.incremental_key or "", catalog.columns(STAGED))
    inside = in_window(key, window, by_date=how.time_granularity == "date")
    ((loaded, outside),) = ask(
        catalog.session,
        f"SELECT count(*), count(*) FILTER (WHERE ({inside}) IS NOT TRUE) FROM {STAGED}",
    )
    if not outside:
        return
    found = ask(
        catalog.session,
        f"SELECT DISTINCT CAST({quoted(key)} AS text) FROM {STAGED}"
        f" WHERE ({inside}) IS NOT TRUE ORDER BY 1 LIMIT {_EXAMPLES}",
    )
    examples = ", ".join("NULL" if row[0] is None else str(row[0]) for row in found)
    raise LoadError(
        f"{outside:,} of {loaded:,} rows lie outside of {window} by {key} (for example {examples});"
        " the query must filter by start_timestamp and end_timestamp"
    )


def without_gone(catalog: Catalog, asset: Asset) -> str:
    """The statement that deletes the rows of the table whose key is not among the staged ones."""
    table = catalog.find(asset.name).sql
    names = catalog.columns(table)
    keys = [actual(key, names) for key in asset.primary_key]
    return (
        f"DELETE FROM {table} AS target\nWHERE NOT EXISTS (\n"
        f"  SELECT 1 FROM {STAGED} AS source\n"
        f"  WHERE {strategies.same(keys, 'source', 'target')}\n)"
    )


def existing_columns(catalog: Catalog, asset: Asset) -> dict[str, str] | None:
    """The columns of the asset's table. A view of its name gives way to the table."""
    table = catalog.find(asset.name)
    if table.kind is None:
        catalog.ensure_schema(table)
        return None
    if table.kind == "view":
        run(catalog.session, f"DROP VIEW {table.sql}")
        return None
    if table.kind != "table":
        raise LoadError(f"{asset.name} is a {table.kind} already, not a table")
    return catalog.columns(table.sql)


def _from_query(asset: Asset, needs: Strategy, existing: Mapping[str, str]) -> dict[str, str]:
    """The columns of the table without those that the strategy fills."""
    missing = [name for name in needs.fills if name not in existing]
    if missing:
        raise LoadError(
            f"{asset.name} has no column {', '.join(missing)}: another strategy made it; "
            "run once with --full-refresh to rebuild the table"
        )
    return {name: kind for name, kind in existing.items() if name not in needs.fills}


def _require_names(incoming: Mapping[str, str], needs: Strategy) -> None:
    taken = [name for name in incoming if name.lower() in needs.fills]
    if taken:
        raise LoadError(
            f"the query returns {', '.join(taken)}, which the strategy fills itself; rename it"
        )
    lower = Counter(name.lower() for name in incoming)
    twice = sorted(name for name in incoming if lower[name.lower()] > 1)
    if twice:
        raise LoadError(
            f"the query returns columns with the same name but for case ({', '.join(twice)}); "
            "rename one"
        )


def _without_nulls(
    catalog: Catalog,
    asset: Asset,
    incoming: Mapping[str, str],
    declared: Mapping[str, str],
    existing: Mapping[str, str],
) -> dict[str, str]:
    """The columns of the query, where one that is to become something else than text and has no
    value in it is of an unknown type: PostgreSQL calls a bare NULL a text."""
    other = {name.lower() for name, kind in existing.items() if kind != "text"}
    other |= {c.name.lower() for c in asset.columns if declared.get(c.type, "text") != "text"}
    texts = [n for n, kind in incoming.items() if kind == "text" and n.lower() in other]
    if not texts:
        return dict(incoming)
    counts = ", ".join(f"count({quoted(name)})" for name in texts)
    (found,) = ask(catalog.session, f"SELECT {counts} FROM {STAGED}")
    empty = {name for name, count in zip(texts, found, strict=True) if not count}
    return {name: UNKNOWN if name in empty else kind for name, kind in incoming.items()}


def _plan(
    asset: Asset,
    incoming: Mapping[str, str],
    declared: Mapping[str, str],
    existing: Mapping[str, str] | None,
    update_all: bool,
) -> _Plan:
    """The columns to fill; for an existing table also how it has to change first.

    Column names are matched without case. A new column is added, a wider type widens the table's,
    a column that no longer comes stays and is filled with NULL.
    """
    by_name = {column.name.lower(): column for column in asset.columns}
    keys = {key.lower() for key in asset.primary_key}
    plan = _Plan()
    for comes_as, kind in incoming.items():
        column = by_name.get(comes_as.lower(), Column(name=comes_as))
        promise = declared.get(column.type)
        wanted = target_type(promise, kind)
        name = actual(comes_as, existing or {})
        if column.type and promise is None:
            plan.changes.append(f"{name} is {wanted}: PostgreSQL has no type '{column.type}'")
        if existing is not None and name in existing:
            has = existing[name]
            wanted = _kept_type(asset, column, promise, has, kind)
            if wanted != has:
                plan.changes.append(f"widened column {name} from {has} to {wanted}")
                plan.alterations.append(f"ALTER COLUMN {quoted(name)} TYPE {wanted}")
        elif existing is not None:
            plan.changes.append(f"added column {name} {wanted}")
            plan.alterations.append(f"ADD COLUMN {quoted(name)} {wanted}")
        on_merge = None if name.lower() in keys else _on_merge(column, name, update_all)
        plan.columns.append(TargetColumn(name, wanted, quoted(comes_as), on_merge))
    filled = {column.name for column in plan.columns}
    gone = [name for name in existing or {} if name not in filled]
    plan.changes += [f"the column {name} comes no more; it is filled with NULL" for name in gone]
    return plan


def _kept_type(asset: Asset, column: Column, promise: str | None, has: str, comes: str) -> str:
    """The type of a column that the table has already: its own, or a wider one."""
    promised = target_type(promise, has)
    if comes == UNKNOWN and promised == has:
        return has
    wider = widened(has, target_type(promise, comes))
    if wider is not None and target_type(promise, wider) == wider:
        return wider
    rebuild = "run once with --full-refresh to rebuild the table"
    if promised != has:
        raise LoadError(
            f"the column {column.name} of {asset.name} is {has} and is declared as {column.type}; "
            f"{rebuild}"
        )
    raise LoadError(
        f"the column {column.name} of {asset.name} is {has} and now comes as {comes}; "
        f"cast it in the query, or {rebuild}"
    )


def _on_merge(column: Column, name: str, update_all: bool) -> str | None:
    if column.merge_sql:
        return column.merge_sql
    return f"source.{quoted(name)}" if update_all or column.update_on_merge else None


def _require_columns(load: Load, needs: Strategy) -> None:
    needed = list(load.primary_key) if needs.needs_primary_key else []
    if load.incremental_key and (needs.needs_incremental_key or needs.needs_primary_key):
        needed.append(load.incremental_key)
    types = {column.name: column.type for column in load.columns}
    missing = [name for name in needed if name not in types]
    if missing:
        raise LoadError(
            f"the query does not return {', '.join(missing)}, which the strategy needs; "
            f"it returns {', '.join(types)}"
        )
    key = load.incremental_key or ""
    if needs.needs_instants and not is_time(types[key]):
        raise LoadError(
            f"the column {key} is {types[key]}; as the incremental_key of this strategy it must "
            "be a date, a timestamp or a timestamptz; cast it in the query"
        )


def _retype_staged(
    catalog: Catalog, incoming: Mapping[str, str], columns: list[TargetColumn]
) -> None:
    """Give the staged rows the names and types of the table. Raises LoadError for a value that
    would be lost."""
    for (comes_as, kind), column in zip(incoming.items(), columns, strict=True):
        if not fits(kind, column.type):
            _require_kept(catalog, comes_as, kind, column.type)
        if kind != column.type:
            run(
                catalog.session,
                f"ALTER TABLE {STAGED} ALTER COLUMN {quoted(comes_as)} TYPE {column.type}"
                f" USING {converted(comes_as, kind, column.type)}",
            )
        if comes_as != column.name:
            change = f"RENAME COLUMN {quoted(comes_as)} TO {quoted(column.name)}"
            run(catalog.session, f"ALTER TABLE {STAGED} {change}")


def _require_kept(catalog: Catalog, name: str, kind: str, wanted: str) -> None:
    """Raise LoadError when a value of a staged column cannot be kept in the type it is to get."""
    query = (
        f"SELECT CAST({quoted(name)} AS text) FROM {STAGED}"
        f" WHERE {lost(name, kind, wanted)} LIMIT 1"
    )
    try:
        found = ask(catalog.session, query)
    except psycopg.DataError as error:
        value = _VALUE.search(error.diag.message_primary or "")
        if value is None:
            raise LoadError(
                f"the column {name} does not fit its type {wanted}: {said(error)}"
            ) from error
        found = [(value.group(1),)]
    if found:
        message = f"the column {name} holds {found[0][0]}, which does not fit its type {wanted}"
        raise LoadError(message)
