"""The tables of a data vault: rows are only ever added, and the same row only once.

The functions write the statements for incoming rows that have the types of the table. A repeated
run adds nothing, and rows that come in the order of their load dates make the same table in one run
as in many. NULL is a key like any other.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from ecommerce_dagster.bruin.models import Asset
from ecommerce_dagster.warehouse.history import newer, same
from ecommerce_dagster.warehouse.identifiers import quoted

if TYPE_CHECKING:
    from ecommerce_dagster.warehouse.strategies import Load


def create_keys(load: Load) -> list[str]:
    """A hub or a link that did not exist."""
    return [_empty(load), *add_keys(load)]


def add_keys(load: Load) -> list[str]:
    """A hub or a link: the primary key (usually a hash of the business keys) is there once.

    Of several rows with one key the first stays: the one with the smallest incremental key (the
    load date), when there is one.
    """
    return [_insert_unknown(load, load.primary_key)]


def create_satellite(load: Load) -> list[str]:
    """A satellite that did not exist."""
    return [_empty(load), *add_to_satellite(load)]


def add_to_satellite(load: Load) -> list[str]:
    """A satellite: what is known of a key, with a row for each change of it.

    The incremental key is the load date. A row is added when it is later than the latest row of its
    key and says something else than the row before it. Two rows say the same when their hash diff
    is the same (a column with `hashdiff` or `hash_diff` in its name), or, without such a column,
    all columns beside the keys.

    Without an incremental key nothing tells which row is the latest: each thing that was ever said
    of a key is then there once.
    """
    said, date = _said(load), load.incremental_key
    keys = _keys(load)
    if date is None:
        return [_insert_unknown(load, (*keys, *said))]
    grouping = _listed(keys)
    order = f"PARTITION BY {grouping} ORDER BY {quoted(date)} NULLS FIRST"
    repeated = " AND ".join(
        ["row_number() OVER times > 1"]
        + [f"{quoted(n)} IS NOT DISTINCT FROM lag({quoted(n)}) OVER times" for n in said]
    )
    return [
        f"DELETE FROM {load.source} AS source\n"
        f"USING (\n  SELECT {grouping}, max({quoted(date)}) AS {quoted(date)}\n"
        f"  FROM {load.table} GROUP BY {grouping}\n) AS latest\n"
        f"WHERE {same(keys, 'source', 'latest')} AND "
        f"({newer(date, 'source', 'latest')}) IS NOT TRUE",
        _delete_incoming(
            load,
            f"QUALIFY row_number() OVER (PARTITION BY {_listed((*keys, date))} "
            "ORDER BY rowid DESC) > 1",
        ),
        _delete_incoming(load, f"WINDOW times AS ({order})\n  QUALIFY {repeated}"),
        f"DELETE FROM {load.source} WHERE rowid IN (\n"
        f"  SELECT source.rowid FROM (\n"
        f"    SELECT *, rowid FROM {load.source} QUALIFY row_number() OVER ({order}) = 1\n"
        f"  ) AS source JOIN (\n"
        f"    SELECT {_listed((*keys, *said))} FROM {load.table}\n"
        f"    QUALIFY row_number() OVER (\n"
        f"      PARTITION BY {grouping} ORDER BY {quoted(date)} DESC NULLS LAST\n    ) = 1\n"
        f"  ) AS latest ON {same((*keys, *said), 'source', 'latest')}\n)",
        f"INSERT INTO {load.table} ({load.names})\nSELECT {load.names} FROM {load.source}",
    ]


def complaints(asset: Asset) -> list[str]:
    """What keeps the declared columns of `asset` from being a satellite."""
    date = asset.materialization.incremental_key or ""
    if asset.primary_key and not _without(asset.primary_key, [date]):
        return [
            "the strategy 'datavault_satellite' needs a column with `primary_key: true` beside the "
            "incremental_key"
        ]
    return []


def _keys(load: Load) -> tuple[str, ...]:
    """The key that a satellite describes. Its load date may be declared as part of the key."""
    return _without(load.primary_key, [load.incremental_key or ""])


def _said(load: Load) -> tuple[str, ...]:
    """The columns in which a change is one."""
    names = _without(
        [column.name for column in load.columns], [*load.primary_key, load.incremental_key or ""]
    )
    hashes = [name for name in names if "hashdiff" in name.lower().replace("_", "")]
    return tuple(hashes or names)


def _without(names: Iterable[str], others: Iterable[str]) -> tuple[str, ...]:
    gone = {name.lower() for name in others}
    return tuple(name for name in names if name.lower() not in gone)


def _listed(names: Iterable[str]) -> str:
    return ", ".join(quoted(name) for name in names)


def _empty(load: Load) -> str:
    return (
        f"CREATE OR REPLACE TABLE {load.table} AS\nSELECT {load.names} FROM {load.source} LIMIT 0"
    )


def _delete_incoming(load: Load, which: str) -> str:
    return (
        f"DELETE FROM {load.source} WHERE rowid IN (\n"
        f"  SELECT rowid FROM {load.source}\n  {which}\n)"
    )


def _insert_unknown(load: Load, identity: tuple[str, ...]) -> str:
    """Add the first of the rows that agree in these columns, unless the table has one."""
    date = f"{quoted(load.incremental_key)} NULLS LAST, " if load.incremental_key else ""
    return (
        f"INSERT INTO {load.table} ({load.names})\n"
        f"SELECT {load.names} FROM {load.source} AS source\n"
        f"WHERE NOT EXISTS (\n"
        f"  SELECT 1 FROM {load.table} AS target WHERE {same(identity, 'target', 'source')}\n)\n"
        f"QUALIFY row_number() OVER (PARTITION BY {_listed(identity)} ORDER BY {date}rowid) = 1"
    )
