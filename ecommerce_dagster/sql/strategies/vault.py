"""The tables of a data vault: rows are only ever added, and the same row only once.

A repeated run adds nothing, and rows that come in the order of their load dates make the same table
in one run as in many. NULL is a key like any other.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

from ecommerce_dagster.bruin.model.asset import Asset
from ecommerce_dagster.sql.identifiers import quoted
from ecommerce_dagster.sql.strategies.base import (
    LoadSpec,
    append,
    create,
    delete_where,
    newer,
    staged,
)

# What the statements add to the columns of a file.
_ROW, _NTH = quoted("_vault_row"), quoted("_vault_nth")


@staged
def create_keys(load: LoadSpec) -> list[str]:
    """A hub or a link that did not exist."""
    return [*_empty(load), *add_keys(load)]


@staged
def add_keys(load: LoadSpec) -> list[str]:
    """A hub or a link: the primary key (usually a hash of the business keys) is there once.

    Of several rows with one key the first stays: the one with the smallest incremental key (the
    load date), when there is one.
    """
    return [_insert_unknown(load, load.primary_key)]


@staged
def create_satellite(load: LoadSpec) -> list[str]:
    """A satellite that did not exist."""
    return [*_empty(load), *add_to_satellite(load)]


@staged
def add_to_satellite(load: LoadSpec) -> list[str]:
    """A satellite: what is known of a key, with a row for each change of it.

    The incremental key is the load date. A row is added when it is later than the latest row of its
    key and says something else than the row before it. Two rows say the same when their hash diff
    is the same (a column with `hashdiff` or `hash_diff` in its name), or, without such a column,
    all columns beside the keys.

    Without an incremental key nothing tells which row is the latest: each thing that was ever said
    of a key is then there once.
    """
    said, date, row = _said(load), load.incremental_key, load.dialect.row
    keys = _keys(load)
    if date is None:
        return [_insert_unknown(load, (*keys, *said))]
    grouping = _listed(keys)
    order = f"PARTITION BY {grouping} ORDER BY {quoted(date)} NULLS FIRST"
    latest_first = f"PARTITION BY {grouping} ORDER BY {quoted(date)} DESC NULLS LAST"
    one_date = f"PARTITION BY {_listed((*keys, date))} ORDER BY {row} DESC"
    repeated = " AND ".join(
        ["row_number() OVER times > 1"]
        + [c.same(quoted(c.name), f"lag({quoted(c.name)}) OVER times") for c in load.called(said)]
    )
    return [
        f"DELETE FROM {load.source} AS source\n"
        f"USING (\n  SELECT {grouping}, max({quoted(date)}) AS {quoted(date)}\n"
        f"  FROM {load.table} GROUP BY {grouping}\n) AS latest\n"
        f"WHERE {load.dialect.same(keys, 'source', 'latest')} AND "
        f"({newer(date, 'source', 'latest')}) IS NOT TRUE",
        delete_where(load, load.source, "row_number() OVER times > 1", one_date),
        delete_where(load, load.source, repeated, order),
        f"DELETE FROM {load.source} WHERE {row} IN (\n"
        f"  SELECT source.{_ROW} FROM (\n"
        f"    SELECT {_listed((*keys, *said))}, {row} AS {_ROW},\n"
        f"      row_number() OVER ({order}) AS {_NTH}\n    FROM {load.source}\n"
        f"  ) AS source JOIN (\n"
        f"    SELECT {_listed((*keys, *said))},\n"
        f"      row_number() OVER ({latest_first}) AS {_NTH}\n    FROM {load.table}\n"
        f"  ) AS latest ON {_same(load, (*keys, *said), 'source', 'latest')}\n"
        f"  WHERE source.{_NTH} = 1 AND latest.{_NTH} = 1\n)",
        *append(load),
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


def _keys(load: LoadSpec) -> tuple[str, ...]:
    """The key that a satellite describes. Its load date may be declared as part of the key."""
    return _without(load.primary_key, [load.incremental_key or ""])


def _said(load: LoadSpec) -> tuple[str, ...]:
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


def _empty(load: LoadSpec) -> list[str]:
    """The table without rows."""
    if load.refills:
        return [f"DELETE FROM {load.table}"]
    return create(replace(load, source=f"(SELECT * FROM {load.source} LIMIT 0)"))


def _insert_unknown(load: LoadSpec, identity: tuple[str, ...]) -> str:
    """Add the first of the rows that agree in these columns, unless the table has one."""
    date = f"{quoted(load.incremental_key)} NULLS LAST, " if load.incremental_key else ""
    cells = ", ".join(column.exact(quoted(column.name)) for column in load.called(identity))
    order = f"PARTITION BY {cells} ORDER BY {date}{load.dialect.row}"
    return (
        f"INSERT INTO {load.table} ({load.names})\n"
        f"SELECT {load.names} FROM (\n"
        f"  SELECT *, row_number() OVER ({order}) AS {_NTH} FROM {load.source}\n"
        f") AS source\n"
        f"WHERE {_NTH} = 1 AND NOT EXISTS (\n"
        f"  SELECT 1 FROM {load.table} AS target\n"
        f"  WHERE {_same(load, identity, 'target', 'source')}\n)"
    )


def _same(load: LoadSpec, names: Sequence[str], one: str, other: str) -> str:
    """The condition that two rows have the same values in these columns."""
    keys = {key.lower() for key in load.primary_key}
    return " AND ".join(
        load.dialect.same([name], one, other)
        if name.lower() in keys
        else column.same(f"{one}.{quoted(name)}", f"{other}.{quoted(name)}")
        for name, column in zip(names, load.called(names), strict=True)
    )
