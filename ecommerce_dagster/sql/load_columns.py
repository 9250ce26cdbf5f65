"""The columns of a load: what the file, the strategy and the table want of those that come, in any
database."""

from __future__ import annotations

from collections.abc import Callable, Collection

from ecommerce_dagster.bruin.model.asset import Asset, Column
from ecommerce_dagster.sql.identifiers import quoted
from ecommerce_dagster.sql.load_result import LoadError
from ecommerce_dagster.sql.strategies.base import LoadSpec, Strategy
from ecommerce_dagster.sql.type_rules import TypeRules

REBUILD = "run once with --full-refresh to rebuild the table"


def declaration(asset: Asset, name: str) -> Column:
    """What the file says of a column."""
    lower = name.lower()
    found = (column for column in asset.columns if column.name.lower() == lower)
    return next(found, Column(name=name))


def on_merge(asset: Asset, name: str, update_all: bool) -> str | None:
    """The expression that replaces a column of a row which a merge finds; None keeps it."""
    column = declaration(asset, name)
    if name.lower() in {key.lower() for key in asset.primary_key}:
        return None
    if column.merge_sql:
        return column.merge_sql
    return f"source.{quoted(name)}" if update_all or column.update_on_merge else None


def require_fills(
    asset: Asset, strategy: Strategy, incoming: Collection[str], existing: Collection[str] | None
) -> None:
    """Raises LoadError when a column that the strategy fills comes from the query, or is not in the
    table. `existing` is None for a table that is made anew."""
    taken = [name for name in incoming if name.lower() in strategy.fills]
    if taken:
        raise LoadError(
            f"the query returns {', '.join(taken)}, which the strategy fills itself; rename it"
        )
    missing = [] if existing is None else _missing(strategy.fills, existing)
    if missing:
        raise LoadError(
            f"{asset.name} has no column {', '.join(missing)}: another strategy made it; {REBUILD}"
        )


def require_needed(load: LoadSpec, strategy: Strategy, incoming: Collection[str]) -> None:
    """Raises LoadError when a key that the strategy needs does not come."""
    missing = _missing(_needed(load, strategy), incoming)
    if missing:
        raise LoadError(
            f"the query does not return {', '.join(missing)}, which the strategy needs; "
            f"it returns {', '.join(incoming)}"
        )


def require_ordered(load: LoadSpec, strategy: Strategy, types: TypeRules) -> None:
    """Raises LoadError when the database cannot compare the values of a key that the strategy
    needs."""
    for key in load.called(_needed(load, strategy)):
        if not types.is_ordered(key.type):
            raise LoadError(
                f"the column {key.name} is {key.type}, of which {types.database} cannot compare"
                " values; to have it as a key, cast it in the query, to text for example"
            )


def _needed(load: LoadSpec, strategy: Strategy) -> list[str]:
    """The keys by which the strategy finds rows."""
    needed = list(load.primary_key) if strategy.needs_primary_key else []
    if load.incremental_key and (strategy.needs_incremental_key or strategy.needs_primary_key):
        needed.append(load.incremental_key)
    return needed


def kept_type(
    asset: Asset,
    name: str,
    has: str,
    comes: str,
    *,
    wanted: Callable[[str], str],
    types: TypeRules,
) -> str:
    """The type of a column that the table has already: its own, or a wider one.

    `wanted` is the type that the file gives a column which comes as another. Raises LoadError.
    """
    if comes == types.unknown and wanted(has) == has:
        return has
    wider = types.widened(has, wanted(comes))
    if wider is not None and wanted(wider) == wider:
        return wider
    if wanted(has) != has:
        declared = declaration(asset, name).type
        raise LoadError(
            f"the column {name} of {asset.name} is {has} and is declared as {declared}; {REBUILD}"
        )
    raise LoadError(
        f"the column {name} of {asset.name} is {has} and now comes as {comes}; "
        f"cast it in the query, or {REBUILD}"
    )


def gone(existing: Collection[str], incoming: Collection[str]) -> list[str]:
    """What to tell of columns that the table has and that do not come."""
    missing = _missing(existing, incoming)
    return [f"the column {name} is no longer in the query; filled with NULL" for name in missing]


def _missing(names: Collection[str], among: Collection[str]) -> list[str]:
    known = {name.lower() for name in among}
    return [name for name in names if name.lower() not in known]
