"""Two tables in one session of DuckDB, read-only.

Tables of one DuckDB file or DuckLake are compared where they are. Else the one that is elsewhere is
copied into a temporary database first, every value exact, and none is locked longer than that.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from tempfile import TemporaryDirectory

import duckdb

from ecommerce_dagster.bruin.model.connections import Connection, DuckDBConnection
from ecommerce_dagster.bruin.model.interval import interval_between, yesterday
from ecommerce_dagster.bruin.model.lakehouse import Lakehouse
from ecommerce_dagster.bruin.problems import did_you_mean
from ecommerce_dagster.runtime.environment import publishes_copy, variables_for
from ecommerce_dagster.sources.postgres.describe import describe, relation_of, types_of
from ecommerce_dagster.sql.identifiers import literal, quoted, relation
from ecommerce_dagster.warehouses.duckdb.database import (
    WarehouseError,
    connected,
    described,
    kind_of,
)
from ecommerce_dagster.warehouses.ducklake.snapshots import require_snapshot, snapshots_of
from ecommerce_dagster.warehouses.place import open_to_read
from ecommerce_dagster.warehouses.postgres.connect import attach, session, start_snapshot
from ecommerce_dagster.warehouses.query import ALL_TABLES, QueryError

Tell = Callable[[str], None]

_COPY = "_copied"
_KEY_IN_POSTGRES = """
SELECT a.attname FROM pg_index i CROSS JOIN unnest(i.indkey) WITH ORDINALITY AS k(number, position)
JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = k.number
WHERE i.indisprimary AND i.indrelid = to_regclass(%s) ORDER BY k.position
"""


class MissingTable(QueryError):
    """There is no table of a name."""


@dataclass(frozen=True)
class Side:
    """A table of a connection, by the name that it has there; of a DuckLake also what it was at
    `moment`: the number of a snapshot, a day (its end), a moment, or `yesterday`."""

    connection: Connection
    table: str
    moment: str | None = None
    label: str = ""

    @cached_property
    def duckdb(self) -> DuckDBConnection | None:
        """Where it is, for one that DuckDB opens. Raises UnusableConnection."""
        if self.connection.platform != "duckdb":
            return None
        return self.connection.duckdb(variables_for(self.connection.path))


@dataclass(frozen=True)
class Reached:
    """A table in a session: what can stand after FROM, its columns with their types, and those of
    its primary key, if it has one."""

    relation: str
    columns: dict[str, str]
    key: tuple[str, ...] = field(default=())


@contextmanager
def together(
    before: Side, after: Side, tell: Tell
) -> Iterator[tuple[duckdb.DuckDBPyConnection, Reached, Reached]]:
    """A session in which both tables can be read. Raises QueryError for a table that is not there,
    UnusableConnection, WarehouseError, SourceError for a database that cannot be asked."""
    with TemporaryDirectory(prefix="diff-") as folder:
        if after.duckdb is not None and after.duckdb == before.duckdb:
            with _opened(after, folder, tell) as duck:
                yield duck, _reached(duck, before), _reached(duck, after)
            return
        # Each by itself: two commands that held one file each could wait for each other.
        copies = [Path(folder).resolve() / name for name in ("before.duckdb", "after.duckdb")]
        sides = (before, after)
        stays = after if after.duckdb is not None else None
        keys = [
            () if side is stays else _copied(side, copy, folder, tell)
            for side, copy in zip(sides, copies, strict=True)
        ]
        opened = _opened(stays, folder, tell) if stays else _memory(folder)
        with opened as duck:
            found = []
            for side, copy, key in zip(sides, copies, keys, strict=True):
                if side is stays:
                    found.append(_reached(duck, side))
                    continue
                name = f"_{copy.stem}"
                duck.execute(f"ATTACH {literal(str(copy))} AS {name} (READ_ONLY)")
                rows = f"{name}.main.{_COPY}"
                found.append(Reached(rows, described(duck, rows), key))
            yield duck, found[0], found[1]


@contextmanager
def _opened(side: Side, folder: str, tell: Tell) -> Iterator[duckdb.DuckDBPyConnection]:
    place = side.duckdb
    assert place is not None
    copies = publishes_copy(variables_for(side.connection.path))
    with open_to_read(place, copies=copies, on_wait=tell) as duck:
        duck.execute(f"SET temp_directory = {literal(folder)}")
        yield duck


@contextmanager
def _memory(folder: str) -> Iterator[duckdb.DuckDBPyConnection]:
    with connected(":memory:", settings={"temp_directory": folder}) as duck:
        yield duck


def _reached(duck: duckdb.DuckDBPyConnection, side: Side) -> Reached:
    """A table of the warehouse that is open. Raises QueryError."""
    if side.moment is None and kind_of(duck, side.table) is None:
        names = duck.execute(ALL_TABLES).fetchall()
        hint = did_you_mean(side.table, [str(name) for (name,) in names])
        raise MissingTable(f"{side.label}: there is no table '{side.table}'; {hint}")
    rows = relation(side.table)
    if side.moment is not None:
        rows += f" AT (VERSION => {_snapshot(duck, side)})"
    try:
        columns = described(duck, rows)
    except duckdb.Error as error:
        raise QueryError(f"{side.label}: {str(error).splitlines()[0]}") from None
    return Reached(rows, columns, _key_of(duck, side))


def _key_of(duck: duckdb.DuckDBPyConnection, side: Side) -> tuple[str, ...]:
    """The columns of the primary key of a table."""
    *_, schema, table = ("main", *side.table.split("."))
    row = duck.execute(
        "SELECT constraint_column_names FROM duckdb_constraints() WHERE constraint_type = "
        "'PRIMARY KEY' AND database_name = current_database() AND schema_name = ? "
        "AND table_name = ?",
        [schema, table],
    ).fetchone()
    return tuple(row[0]) if row else ()


def _snapshot(duck: duckdb.DuckDBPyConnection, side: Side) -> int:
    """The snapshot of a DuckLake that shows a moment. Raises QueryError."""
    text, found = side.moment or "", snapshots_of(duck, _lake_of(side))
    if text.isdecimal():
        try:
            require_snapshot(int(text), found)
        except WarehouseError as error:
            raise QueryError(f"{side.label}: {error}") from None
        return int(text)
    end = _end_of(text)
    if end is None:
        raise QueryError(
            f"{side.label}: '{text}' is neither the number of a snapshot nor a day, a moment or "
            "yesterday"
        )
    before = [s.number for s in found if s.time.astimezone(UTC) < end]
    if not before:
        raise QueryError(f"{side.label}: no snapshot is that old; the first is of {found[-1].time}")
    return max(before)


def _lake_of(side: Side) -> Lakehouse:
    """The DuckLake that a table is in. Raises QueryError for another database."""
    place = side.duckdb
    if place is None or place.lakehouse is None:
        where = side.connection.name
        raise QueryError(f"{side.label}: only a DuckLake keeps former rows; '{where}' is none")
    return place.lakehouse


def _end_of(text: str) -> datetime | None:
    """The moment before which a snapshot shows what a text means; None for no such text."""
    try:
        interval = yesterday() if text == "yesterday" else interval_between("0001-01-01", text)
    except ValueError:
        return None
    return interval.end if interval else None


def _copied(side: Side, copy: Path, folder: str, tell: Tell) -> tuple[str, ...]:
    """Copy a table into a database of its own; the columns of its primary key."""
    if side.duckdb is None and side.connection.platform != "postgres":
        of = side.connection.type
        name = side.connection.name
        raise QueryError(f"the connection '{name}' is of type {of}; expected duckdb or postgres")
    if side.moment is not None:
        _lake_of(side)
    tell(f"copying {side.label}")
    if side.duckdb is None:
        return _copied_from_postgres(side, copy, folder)
    with _opened(side, folder, tell) as duck:
        found = _reached(duck, side)
        duck.execute(f"ATTACH {literal(str(copy))} AS _copy (READ_WRITE)")
        duck.execute(f"CREATE TABLE _copy.main.{_COPY} AS FROM {found.relation}")
        return found.key


def _copied_from_postgres(side: Side, copy: Path, folder: str) -> tuple[str, ...]:
    connection = side.connection.postgres(variables_for(side.connection.path))
    source = describe(connection, side.table)
    with session(connection) as postgres:
        name = ".".join(map(quoted, source.path))
        key = tuple(str(row[0]) for row in postgres.execute(_KEY_IN_POSTGRES, [name]))
    with _memory(folder) as duck:
        attach(duck, connection, source.path[0])
        duck.execute(f"ATTACH {literal(str(copy))} AS _copy")
        duck.execute("BEGIN")
        start_snapshot(duck)
        rows = relation_of(duck, source, types_of(duck, source, {}))
        duck.execute(f"CREATE TABLE _copy.main.{_COPY} AS {rows}")
        duck.execute("COMMIT")
    return key
