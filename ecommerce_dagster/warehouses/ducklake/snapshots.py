"""The snapshots of a DuckLake: every COMMIT makes one, and tables can be what they were in it."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

import duckdb

from ecommerce_dagster.bruin.model.lakehouse import CatalogFile, Lakehouse
from ecommerce_dagster.bruin.plurals import counted
from ecommerce_dagster.bruin.problems import did_you_mean
from ecommerce_dagster.sql.identifiers import quoted, relation
from ecommerce_dagster.warehouses.duckdb.database import WAITING, WarehouseError, described
from ecommerce_dagster.warehouses.duckdb.database import roll_back as end_transaction
from ecommerce_dagster.warehouses.ducklake.attach import LAKE, open_lake
from ecommerce_dagster.warehouses.ducklake.locking import LakeWriteLock, holding, locks_for

_ROWS = "_former_rows"
_SNAPSHOTS = f"""
SELECT snapshot_id, snapshot_time, commit_message, commit_extra_info, changes
FROM {LAKE}.snapshots() ORDER BY snapshot_id DESC
"""
_RELATIONS = """
SELECT table_id, schema_name || '.' || table_name, 'TABLE', '', t.begin_snapshot, t.end_snapshot
FROM {0}.ducklake_table t JOIN {0}.ducklake_schema USING (schema_id)
UNION ALL
SELECT view_id, schema_name || '.' || view_name, 'VIEW', sql, v.begin_snapshot, v.end_snapshot
FROM {0}.ducklake_view v JOIN {0}.ducklake_schema USING (schema_id)
"""


@dataclass(frozen=True)
class _Relation:
    """A table or a view (`kind`), its query, and from which snapshot on until before which it was
    there."""

    number: int
    name: str
    kind: str
    query: str
    begin: int
    end: int | None

    def is_in(self, snapshot: int) -> bool:
        return self.begin <= snapshot and (self.end is None or snapshot < self.end)


@dataclass(frozen=True)
class Snapshot:
    """The tables as one COMMIT left them. `message` and `about` are what its run said; `changed`
    names the tables and views that it made, wrote or dropped, as far as they are still there."""

    number: int
    time: datetime
    message: str
    about: Mapping[str, str]
    changed: tuple[str, ...]


def snapshots_of(connection: duckdb.DuckDBPyConnection, lake: Lakehouse) -> list[Snapshot]:
    """The snapshots that are kept, the latest first."""
    names = {str(known.number): known.name for known in _relations(connection, lake)}
    return [
        Snapshot(number, time, message or "", _about(told), tuple(_changed(changes, names)))
        for number, time, message, told, changes in connection.execute(_SNAPSHOTS).fetchall()
    ]


def roll_back(
    lake: Lakehouse,
    number: int,
    tables: Sequence[str],
    on_wait: Callable[[str], None] = lambda message: None,
) -> list[str]:
    """Make the tables and views (those called so, else all) what they were in a snapshot; what was
    done, as sentences. It makes a snapshot of its own, so that it can be undone in the same way.

    Raises WarehouseError when there is no such snapshot or table.
    """
    with open_lake(lake, on_wait=on_wait) as connection:
        names = _chosen(connection, lake, number, tables)
        locks = [lock for name in names for lock in locks_for(name, None)]
        with holding(lake, locks, lambda: on_wait(f"{WAITING}runs to finish")) as require:
            lock = LakeWriteLock(
                f"roll back to snapshot {number}", {"snapshot": str(number)}, require
            )
            return _restored(connection, lake, names, number, lock)


def require_snapshot(number: int, snapshots: Sequence[Snapshot]) -> None:
    """Raise WarehouseError for a snapshot that is not among these."""
    numbers = [snapshot.number for snapshot in snapshots]
    if number not in numbers:
        raise WarehouseError(
            f"there is no snapshot {number}; the kept ones are {min(numbers)} to {max(numbers)}"
        )


def _chosen(
    connection: duckdb.DuckDBPyConnection, lake: Lakehouse, number: int, tables: Sequence[str]
) -> list[str]:
    """The tables and views that are called so, else those that changed after a snapshot."""
    snapshots = snapshots_of(connection, lake)
    require_snapshot(number, snapshots)
    if not tables:
        return sorted({name for s in snapshots if s.number > number for name in s.changed})
    relations = _relations(connection, lake)
    names = {r.name.lower(): r.name for r in relations if r.end is None or r.is_in(number)}
    for table in tables:
        if table.lower() not in names:
            raise WarehouseError(
                f"there is no table '{table}'; {did_you_mean(table, names.values())}"
            )
    return sorted({names[table.lower()] for table in tables})


def _restored(
    connection: duckdb.DuckDBPyConnection,
    lake: Lakehouse,
    names: Sequence[str],
    number: int,
    lock: LakeWriteLock,
) -> list[str]:
    """Restore tables and views in one transaction, again when another one was there first."""
    while True:
        # Before it: a catalogue in SQLite is not read in a transaction that changes it.
        relations = _relations(connection, lake)
        try:
            connection.execute("BEGIN")
            done = list(_restore(connection, relations, names, number))
            lock.before_commit(connection)
            connection.execute("COMMIT")
            return done
        except BaseException as error:
            end_transaction(connection)
            if not lock.tries_again(error):
                raise


def _restore(
    connection: duckdb.DuckDBPyConnection,
    relations: Sequence[_Relation],
    names: Sequence[str],
    number: int,
) -> Iterator[str]:
    now = {known.name: known for known in relations if known.end is None}
    then = {known.name: known for known in relations if known.is_in(number)}
    for name in names:
        current, former = now.get(name), then.get(name)
        if current and (former is None or former.kind != current.kind):
            connection.execute(f"DROP {current.kind} {relation(name)}")
        if former is None:
            if current:
                yield f"{name}: dropped, it did not exist then"
        elif former.kind == "VIEW":
            _ensure_schema(connection, name)
            connection.execute(f"CREATE OR REPLACE VIEW {relation(name)} AS {former.query}")
            yield f"{name}: the view as it was"
        else:
            is_there = current is not None and current.kind == "TABLE"
            restored = _restore_table(connection, name, number, is_there=is_there)
            yield f"{name}: {counted(restored, 'row')}"


def _restore_table(
    connection: duckdb.DuckDBPyConnection, name: str, number: int, *, is_there: bool
) -> int:
    """The rows go back into the table as it is, unless it has other columns."""
    table, before = relation(name), f"{relation(name)} AT (VERSION => {number})"
    if is_there and described(connection, table) == described(connection, before):
        # Beforehand: what this transaction deletes is gone from former snapshots too, for it.
        connection.execute(f"CREATE OR REPLACE TEMP TABLE {_ROWS} AS FROM {before}")
        connection.execute(f"DELETE FROM {table}")
        row = connection.execute(f"INSERT INTO {table} FROM temp.{_ROWS}").fetchone()
        connection.execute(f"DROP TABLE temp.{_ROWS}")
    else:
        _ensure_schema(connection, name)
        row = connection.execute(f"CREATE OR REPLACE TABLE {table} AS FROM {before}").fetchone()
    return int(row[0]) if row else 0


def _ensure_schema(connection: duckdb.DuckDBPyConnection, name: str) -> None:
    connection.execute(f"CREATE SCHEMA IF NOT EXISTS {quoted(name.partition('.')[0])}")


def _relations(connection: duckdb.DuckDBPyConnection, lake: Lakehouse) -> list[_Relation]:
    """All tables and views that there ever were, from DuckLake's own tables."""
    schema = "main" if isinstance(lake.catalog, CatalogFile) else lake.schema
    place = f"{quoted(f'__ducklake_metadata_{LAKE}')}.{quoted(schema)}"
    rows = connection.execute(_RELATIONS.format(place)).fetchall()
    return [_Relation(*row) for row in rows]


def _changed(changes: Mapping[str, Sequence[str]], names: Mapping[str, str]) -> Iterator[str]:
    """The names of what a snapshot changed, each once."""
    found = {
        names.get(thing, thing)
        for kind, things in changes.items()
        if not kind.startswith("schemas_")
        for thing in things
    }
    yield from sorted(name for name in found if not name.isdigit())


def _about(told: str | None) -> dict[str, str]:
    try:
        about = json.loads(told or "{}")
    except ValueError:
        return {}
    return about if isinstance(about, dict) else {}
