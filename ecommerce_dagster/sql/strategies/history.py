"""Tables that keep every version of every row (slowly changing dimensions of type 2).

A version is valid from `_valid_from` until just before `_valid_until`; the current one has
`_is_current` and an end in the year 9999. The incoming rows are the whole truth of the moment: a
key that is not among them has ended. What a closed version says is never touched again.

The moment of a change is the incoming row's incremental key when that is later than all that is
known of the key, else the time of the transaction. The versions of a key therefore never overlap,
also when it comes back after it had ended. A naive incremental key counts as UTC.

A column that the query adds is NULL in older versions, so that a value in it is a change. A column
that no longer comes stays, is NULL in new versions, and is no reason for one.

Of several incoming rows with one key the newest counts. NULL is a key like any other, and a value:
from NULL, to NULL is a change, NULL to NULL none.
"""

from __future__ import annotations

from ecommerce_dagster.bruin.model.asset import Asset
from ecommerce_dagster.sql.dialect import DUCKDB
from ecommerce_dagster.sql.identifiers import quoted
from ecommerce_dagster.sql.strategies.base import LoadSpec, deduplicated, newer, staged
from ecommerce_dagster.sql.types import known_type

VALID_FROM, VALID_UNTIL, IS_CURRENT = "_valid_from", "_valid_until", "_is_current"
# What a history has beside the columns of the query.
COLUMNS = {
    VALID_FROM: "TIMESTAMP WITH TIME ZONE",
    VALID_UNTIL: "TIMESTAMP WITH TIME ZONE",
    IS_CURRENT: "BOOLEAN",
}
_OPEN_END = "TIMESTAMPTZ '9999-12-31 23:59:59+00'"
# One value for the whole transaction.
_NOW = "current_timestamp"
_VERSIONS = "_versions"
_FROM, _UNTIL, _CURRENT = quoted(VALID_FROM), quoted(VALID_UNTIL), quoted(IS_CURRENT)


@staged
@deduplicated
def create(load: LoadSpec) -> list[str]:
    """Every row is the first version of its key."""
    instant = _instant(load)
    since = f"coalesce({instant}, {_NOW})" if instant else _NOW
    return [
        f"{load.dialect.create} TABLE {load.table} AS\n"
        f"SELECT {load.names}, {since} AS {_FROM}, {_OPEN_END} AS {_UNTIL}, TRUE AS {_CURRENT}\n"
        f"FROM {load.source} AS source",
    ]


@staged
@deduplicated
def by_column(load: LoadSpec) -> list[str]:
    """A row changes when any of its columns does."""
    known = load.dialect.same(load.primary_key, "source", "target")
    cells = (
        column.same(f"source.{quoted(column.name)}", f"target.{quoted(column.name)}")
        for column in load.beside_key
    )
    return _record(load, " AND ".join([known, *cells]))


@staged
@deduplicated
def by_time(load: LoadSpec) -> list[str]:
    """A row changes when its incremental key is newer; a late row changes nothing."""
    key = load.incremental_key or ""
    row = load.dialect.same(load.primary_key, "source", "target")
    return _record(load, f"{row} AND ({newer(key, 'source', 'target')}) IS NOT TRUE")


def complaints(asset: Asset) -> list[str]:
    """What keeps the declared columns of `asset` from being a history by time."""
    key = (asset.materialization.incremental_key or "").lower()
    return [
        f"the incremental_key '{column.name}' is declared as {column.type}; "
        "the strategy 'scd2_by_time' needs a date or a timestamp"
        for column in asset.columns
        if column.name.lower() == key and not DUCKDB.is_time(known_type(column.type) or "DATE")
    ]


def _record(load: LoadSpec, unchanged: str) -> list[str]:
    """Close the current versions that changed or ended, and open the new ones.

    `unchanged` says that an incoming row (`source`) is the current version (`target`) of its key.
    """
    target_is_source = load.dialect.same(load.primary_key, "target", "source")
    versions = load.dialect.temp(_VERSIONS)
    return [
        _find_versions(load, unchanged),
        f"UPDATE {load.table} AS target\n"
        f"SET {_UNTIL} = source.{_FROM}, {_CURRENT} = FALSE\n"
        f"FROM {versions} AS source\n"
        f"WHERE target.{_CURRENT} AND {target_is_source}",
        f"UPDATE {load.table} AS target\n"
        f"SET {_UNTIL} = greatest({_NOW}, target.{_FROM}), {_CURRENT} = FALSE\n"
        f"WHERE target.{_CURRENT} AND NOT EXISTS (\n"
        f"  SELECT 1 FROM {load.source} AS source WHERE {target_is_source}\n)",
        f"INSERT INTO {load.table} ({load.names}, {_FROM}, {_UNTIL}, {_CURRENT})\n"
        f"SELECT {load.names}, {_FROM}, {_OPEN_END}, TRUE FROM {versions}",
        f"DROP TABLE {versions}",
    ]


def _find_versions(load: LoadSpec, unchanged: str) -> str:
    """The rows to insert, each with the moment from which it is valid: not before the beginning of
    the current version of its key, nor before the end of a closed one."""
    keys = ", ".join(quoted(key) for key in load.primary_key)
    known_since = f"known.{_FROM}"
    moment = f"coalesce(greatest({_NOW}, {known_since}), {_NOW})"
    instant = _instant(load)
    if instant:
        moment = (
            f"CASE WHEN {instant} > coalesce({known_since}, TIMESTAMPTZ '-infinity') "
            f"THEN {instant} ELSE {moment} END"
        )
    return load.dialect.create_temp(
        _VERSIONS,
        f"SELECT source.*, {moment} AS {_FROM}\n"
        f"FROM {load.source} AS source LEFT JOIN (\n"
        f"  SELECT {keys}, max(CASE WHEN {_CURRENT} THEN {_FROM} ELSE {_UNTIL} END) AS {_FROM}\n"
        f"  FROM {load.table} GROUP BY {keys}\n"
        f") AS known ON {load.dialect.same(load.primary_key, 'source', 'known')}\n"
        f"WHERE NOT EXISTS (\n"
        f"  SELECT 1 FROM {load.table} AS target WHERE target.{_CURRENT} AND {unchanged}\n)",
    )


def _instant(load: LoadSpec) -> str | None:
    """The incremental key of an incoming row as an instant; None when it is no time."""
    key = (load.incremental_key or "").lower()
    column = next((column for column in load.columns if column.name.lower() == key), None)
    if column is None or not load.dialect.is_time(column.type):
        return None
    value = f"source.{quoted(column.name)}"
    if column.type.upper().endswith(" WITH TIME ZONE"):
        return value
    return f"CAST({value} AS TIMESTAMP) AT TIME ZONE 'UTC'"
