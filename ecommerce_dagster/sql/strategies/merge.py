"""`merge`: one row for each primary key. NULL is a key like any other."""

from __future__ import annotations

from ecommerce_dagster.sql.identifiers import quoted
from ecommerce_dagster.sql.strategies import base
from ecommerce_dagster.sql.strategies.base import LoadSpec, deduplicated, delete_repeated, staged


def create(load: LoadSpec) -> list[str]:
    """The table has each key once."""
    if load.is_staged:
        return deduplicated(base.create)(load)
    # Rows that are not stored yet have no order; in the new table they have one.
    return [*base.create(load), delete_repeated(load, load.table)]


@staged
@deduplicated
def merge(load: LoadSpec) -> list[str]:
    """Known keys are updated where the file says so, new ones inserted.

    As in the original, a row of the table that the predicate leaves out is not known; what the
    table says before the merge decides. A row that would stay as it is is not written: it would
    cost a dead row, and triggers and replication too.
    """
    known = load.dialect.same(load.primary_key, "target", "source")
    if load.incremental_predicate:
        known += f" AND ({load.incremental_predicate})"
    updates = ", ".join(
        f"{quoted(column.name)} = {column.on_merge}" for column in load.columns if column.on_merge
    )
    values = ", ".join(f"source.{quoted(column.name)}" for column in load.columns)
    merged = (
        f"MERGE INTO {load.table} AS target\nUSING {load.source} AS source\nON {known}\n"
        f"WHEN MATCHED AND ({load.merge_differs}) THEN UPDATE SET {updates}\n"
        f"WHEN NOT MATCHED THEN INSERT ({load.names}) VALUES ({values})"
    )
    inserted = (
        f"INSERT INTO {load.table} ({load.names})\n{load.select}\n"
        f"WHERE NOT EXISTS (SELECT 1 FROM {load.table} AS target WHERE {known})"
    )
    return [merged if updates else inserted]
