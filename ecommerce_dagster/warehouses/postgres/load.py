"""Staged rows into the table of an asset."""

from __future__ import annotations

import re
from collections.abc import Mapping
from contextlib import nullcontext

import psycopg

from ecommerce_dagster.bruin.model.asset import Asset
from ecommerce_dagster.bruin.model.interval import Interval
from ecommerce_dagster.sql.dialect import POSTGRES
from ecommerce_dagster.sql.identifiers import actual, quoted
from ecommerce_dagster.sql.load_result import LoadError, LoadResult
from ecommerce_dagster.sql.plan import Job, WriteOptions
from ecommerce_dagster.sql.postgres_types import UNKNOWN, fits, lost
from ecommerce_dagster.sql.strategies.common import in_window, rows_outside
from ecommerce_dagster.warehouses.postgres.catalog import STAGED, Catalog, Table
from ecommerce_dagster.warehouses.postgres.dependent_views import Dependents
from ecommerce_dagster.warehouses.postgres.session import ask, error_message, run

_VALUE = re.compile(r': "(.*)"$', re.DOTALL)
_EXAMPLES = 5
_WRITING = ("INSERT", "UPDATE", "MERGE", "CREATE TABLE")


def load_table(
    catalog: Catalog, asset: Asset, how: WriteOptions, dependents: Dependents
) -> LoadResult:
    """Fill the table of `asset` from the staged rows. Runs inside the caller's transaction.

    The first run and a full refresh create the table.
    """
    table = place_for(catalog, asset)
    existing = catalog.columns(table.sql) if table.kind == "table" else None
    types = catalog.types({column.type for column in asset.columns})
    job = Job(asset, how, table.sql, table.kind, existing, STAGED, POSTGRES, types)
    incoming = _without_nulls(catalog, job, catalog.columns(STAGED))
    plan = job.plan(incoming)
    for (comes_as, kind), column in zip(incoming.items(), plan.columns, strict=True):
        if not fits(kind, column.type):
            _require_kept(catalog, comes_as, kind, column.type)
    for statement in plan.staging:
        run(catalog.session, statement)
    changes, written = list(plan.changes), 0
    with dependents.recreating_dependent_views(table, changes) if plan.reshaping else nullcontext():
        for statement in (*plan.reshaping, *plan.filling):
            rows = run(catalog.session, statement)
            written += rows if statement.startswith(_WRITING) else 0
    moved = None if plan.moved is None else run(catalog.session, plan.moved)
    deleted = None if plan.gone is None else run(catalog.session, plan.gone)
    return LoadResult(written, plan.statements, tuple(changes), moved, deleted)


def refuse_outside(catalog: Catalog, asset: Asset, window: Interval) -> None:
    """Raises LoadError when some of the rows just loaded lie outside of the window."""
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
    raise rows_outside(window, key, loaded, outside, (row[0] for row in found))


def place_for(catalog: Catalog, asset: Asset) -> Table:
    """The table of the asset, or the view that gives way to it, or where there is none yet. Raises
    LoadError for a materialized view, a sequence and the like."""
    table = catalog.find(asset.name)
    if table.kind is None:
        catalog.ensure_schema(table)
    elif table.kind not in {"table", "view"}:
        raise LoadError(f"{asset.name} is a {table.kind} already, not a table")
    return table


def _without_nulls(catalog: Catalog, job: Job, incoming: Mapping[str, str]) -> dict[str, str]:
    """The columns of the query, where one that is to become something else than text and has no
    value in it is of an unknown type: PostgreSQL calls a bare NULL a text."""
    other = {name.lower() for name, kind in (job.kept or {}).items() if kind != "text"}
    types = ((column.name.lower(), job.types.known(column.type)) for column in job.asset.columns)
    other |= {name for name, kind in types if kind not in {None, "text"}}
    texts = [n for n, kind in incoming.items() if kind == "text" and n.lower() in other]
    if not texts:
        return dict(incoming)
    counts = ", ".join(f"count({quoted(name)})" for name in texts)
    (found,) = ask(catalog.session, f"SELECT {counts} FROM {STAGED}")
    empty = {name for name, count in zip(texts, found, strict=True) if not count}
    return {name: UNKNOWN if name in empty else kind for name, kind in incoming.items()}


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
                f"the column {name} does not fit its type {wanted}: {error_message(error)}"
            ) from error
        found = [(value.group(1),)]
    if found:
        message = f"the column {name} holds {found[0][0]}, which does not fit its type {wanted}"
        raise LoadError(message)
