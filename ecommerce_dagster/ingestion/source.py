"""A PostgreSQL table or query as a relation that DuckDB can read, with every value exact.

DuckDB's postgres extension is as fast as a bare COPY, and silently wrong in three cases, which are
dealt with here: NUMERIC without precision (it becomes DOUBLE), NUMERIC 'NaN' (it becomes 0), and
types it has no counterpart for.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import duckdb
import psycopg
from psycopg import sql

from ecommerce_dagster.bruin.connections import PostgresConnection
from ecommerce_dagster.warehouse.identifiers import literal, quoted

ALIAS = "_source"
_SECRET = "_source_secret"
_CONNECT_SECONDS = 10

# What the extension hands over exactly, by format_type() without its modifier.
_PLAIN = {
    "bigint", "boolean", "bytea", "character", "character varying", "date", "double precision",
    "integer", "interval", "real", "smallint", "text", "time without time zone",
    "timestamp with time zone", "timestamp without time zone", "uuid", "numeric",
    "bigint[]", "boolean[]", "character varying[]", "date[]", "double precision[]", "integer[]",
    "real[]", "smallint[]", "text[]", "timestamp with time zone[]",
    "timestamp without time zone[]", "uuid[]",
}  # fmt: skip


class SourceError(Exception):
    """A source that cannot be read; the text never holds a password."""


@dataclass(frozen=True)
class SourceColumn:
    """A column as Postgres describes it: `type` as format_type() says, with precision."""

    name: str
    type: str
    is_enum: bool = False

    @property
    def base_type(self) -> str:
        """The type without its modifier: numeric(10,2) is numeric."""
        return re.sub(r"\([^)]*\)", "", self.type).strip()

    @property
    def is_unbounded_numeric(self) -> bool:
        return self.type == "numeric"

    @property
    def is_array(self) -> bool:
        return self.type.endswith("[]")

    @property
    def needs_probe(self) -> bool:
        """Whether its DuckDB type depends on the values: digits of a NUMERIC, depth of an array."""
        return self.is_unbounded_numeric or self.is_array

    @property
    def needs_server(self) -> bool:
        """Whether Postgres has to turn the value into text for it to arrive exact."""
        if self.is_enum or self.type in {"json", "jsonb"}:
            return False
        return self.is_unbounded_numeric or self.base_type not in _PLAIN

    @property
    def duckdb_type(self) -> str | None:
        """The type to cast to on arrival; None when it arrives as it should be.

        Enums become text: an ENUM cannot take a value that is added later.
        """
        if self.is_enum:
            return "VARCHAR"
        if self.type in {"json", "jsonb"}:
            return "JSON"
        if self.base_type == "numeric[]" and self.type != "numeric[]":
            return self.type.replace("numeric", "DECIMAL")
        return None


@dataclass(frozen=True)
class Source:
    """Rows of a Postgres table (`schema.table`) or of a query (`query:SELECT ...`)."""

    connection: PostgresConnection
    table: str
    columns: tuple[SourceColumn, ...]

    @property
    def query(self) -> str | None:
        """The SQL of a `query:` source."""
        found = self.table.partition(":")
        return found[2].strip().rstrip(";") if found[0] == "query" and found[1] else None

    @property
    def from_clause(self) -> str:
        """What stands after FROM in a statement that Postgres runs."""
        if self.query is not None:
            return f"(\n{self.query}\n) AS source_query"
        return ".".join(quoted(part) for part in self._table_parts)

    @property
    def _table_parts(self) -> tuple[str, str]:
        schema, dot, table = self.table.rpartition(".")
        return (schema if dot else self.connection.schema, table)

    def relation(
        self,
        condition: str | None = None,
        casts: Mapping[str, str] | None = None,
        limit: int | None = None,
    ) -> str:
        """A SELECT for DuckDB over the rows that meet `condition` (SQL that both sides read).

        `casts` gives the DuckDB type of columns that arrive as text. Values are never rounded.
        """
        where = f"\nWHERE {condition}" if condition else ""
        limited = f"\nLIMIT {limit}" if limit is not None else ""
        select = ", ".join(self._incoming(column, casts or {}) for column in self.columns)
        if self.query is None and not any(
            column.needs_server or (casts or {}).get(column.name) == "VARCHAR"
            for column in self.columns
        ):
            schema, table = self._table_parts
            return f"SELECT {select}\nFROM {ALIAS}.{quoted(schema)}.{quoted(table)}{where}{limited}"
        outgoing = ", ".join(self._outgoing(column, casts or {}) for column in self.columns)
        inner = f"SELECT {outgoing}\nFROM {self.from_clause}{where}{limited}"
        return f"SELECT {select}\nFROM postgres_query('{ALIAS}', {literal(inner)})"

    def _outgoing(self, column: SourceColumn, casts: Mapping[str, str]) -> str:
        name = quoted(column.name)
        if casts.get(column.name) == "VARCHAR" or (column.needs_server and not column.is_array):
            return f"{name}::text AS {name}"
        return f"{name}::text[] AS {name}" if column.needs_server else name

    def _incoming(self, column: SourceColumn, casts: Mapping[str, str]) -> str:
        name = quoted(column.name)
        target = casts.get(column.name) or column.duckdb_type
        return f"CAST({name} AS {target}) AS {name}" if target else name


@contextmanager
def session(connection: PostgresConnection) -> Iterator[psycopg.Connection[tuple[object, ...]]]:
    """A read-only psycopg session, for the catalogue. Raises SourceError without the password."""
    try:
        with psycopg.connect(
            connection.dsn,
            connect_timeout=_CONNECT_SECONDS,
            autocommit=True,
            options="-c default_transaction_read_only=on -c TimeZone=UTC",
        ) as found:
            yield found
    except psycopg.OperationalError as error:
        raise SourceError(_unreachable(connection, str(error))) from None


def describe(connection: PostgresConnection, table: str, excluded: Sequence[str] = ()) -> Source:
    """The source with its columns, generated ones included. Raises SourceError."""
    source = Source(connection, table, ())
    with session(connection) as postgres:
        try:
            cursor = postgres.execute(
                sql.SQL("SELECT * FROM {} LIMIT 0").format(sql.SQL(source.from_clause))  # type: ignore[arg-type]
            )
        except psycopg.Error as error:
            reason = (error.diag.message_primary or str(error)).strip()
            raise SourceError(f"{connection.address}: {table}: {reason}") from None
        described = cursor.description or []
        columns = []
        for column in described:
            row = postgres.execute(
                "SELECT CASE WHEN t.typtype = 'd' THEN format_type(t.typbasetype, t.typtypmod)"
                " ELSE format_type(t.oid, %s) END, t.typtype = 'e' FROM pg_type t WHERE t.oid = %s",
                [column._fmod, column.type_code],
            ).fetchone()
            if column.name not in excluded:
                name, enum = (str(row[0]), bool(row[1])) if row else ("unknown", False)
                columns.append(SourceColumn(column.name, name, enum))
    names = [column.name.lower() for column in columns]
    twice = {name for name in names if names.count(name) > 1}
    if twice:
        raise SourceError(
            f"{connection.address}: {table} has columns that differ only in case "
            f"({', '.join(sorted(twice))}); name one of them with `source_table: query:SELECT ...`"
        )
    return Source(connection, table, tuple(columns))


def probe(source: Source, condition: str | None) -> dict[str, str]:
    """The DuckDB types of the columns whose type depends on their values, in one scan.

    A NUMERIC without precision becomes a DECIMAL that holds every value, with room to grow, and
    text when there is none; an array of several dimensions becomes text.
    """
    columns = [column for column in source.columns if column.needs_probe]
    if not columns:
        return {}
    where = f"WHERE {condition}" if condition else ""
    cells = ", ".join(_probe_cells(column) for column in columns)
    query = f"SELECT {cells} FROM {source.from_clause} {where}"
    with session(source.connection) as postgres:
        row = postgres.execute(query.encode()).fetchone() or ()
    found: dict[str, str] = {}
    for column, text in zip(columns, row, strict=True):
        kind = _probed_type(column, str(text))
        if kind:
            found[column.name] = kind
    return found


def _probe_cells(column: SourceColumn) -> str:
    name = quoted(column.name)
    if column.is_array:
        return f"coalesce(max(array_ndims({name})), 1)::text"
    return (
        f"concat_ws(' ', coalesce(max(scale({name})), 0), "
        f"coalesce(max(length(trunc(abs({name}))::text)), 1), "
        f"coalesce(bool_or({name} IN ('NaN', 'Infinity', '-Infinity')), false)::int)"
    )


def _probed_type(column: SourceColumn, text: str) -> str | None:
    if column.is_array:
        return "VARCHAR" if int(text) > 1 else None
    scale, whole, special = (int(part) for part in text.split())
    if special or whole + scale > 38:
        return "VARCHAR"
    return f"DECIMAL(38,{min(max(scale, 9), 38 - whole)})"


def nan_rows(source: Source, column: str, condition: str | None) -> int:
    """How many rows hold 'NaN' in a NUMERIC column, which the extension reads as 0."""
    where = f"AND ({condition})" if condition else ""
    query = f"SELECT count(*) FROM {source.from_clause} WHERE {quoted(column)} = 'NaN' {where}"
    with session(source.connection) as postgres:
        row = postgres.execute(query.encode()).fetchone()
    return int(str(row[0])) if row else 0


def attach(duck: duckdb.DuckDBPyConnection, connection: PostgresConnection) -> None:
    """Make the Postgres database readable as `_source`. The password stays in a session secret:
    inside ATTACH it would stand in duckdb_databases() and in error texts."""
    load_extension(duck)
    fields = {
        "HOST": connection.host,
        "PORT": str(connection.port),
        "DATABASE": connection.database,
        "USER": connection.user,
        "PASSWORD": connection.password,
    }
    settings = ", ".join(f"{key} {literal(value)}" for key, value in fields.items() if value)
    try:
        duck.execute(f"CREATE OR REPLACE TEMPORARY SECRET {_SECRET} (TYPE postgres, {settings})")
        options = f"sslmode={connection.ssl_mode} connect_timeout={_CONNECT_SECONDS}"
        duck.execute(
            f"ATTACH {literal(options)} AS {ALIAS} (TYPE postgres, SECRET {_SECRET}, READ_ONLY)"
        )
    except duckdb.Error as error:
        raise SourceError(_unreachable(connection, str(error))) from None


def load_extension(duck: duckdb.DuckDBPyConnection) -> None:
    """Load DuckDB's postgres extension from its wheel; without one, try to install it."""
    try:
        path = _extension_path()
        duck.execute(f"LOAD {literal(str(path))}" if path else "INSTALL postgres; LOAD postgres")
    except duckdb.Error as error:
        raise SourceError(
            "DuckDB's postgres extension cannot be loaded; install the package "
            f"duckdb-extension-postgres-scanner=={duckdb.__version__} ({str(error).splitlines()[0]})"
        ) from None


def _extension_path() -> Path | None:
    found = find_spec("duckdb_extension_postgres_scanner")
    for folder in (found.submodule_search_locations or []) if found else []:
        path = Path(
            folder, "extensions", f"v{duckdb.__version__}", "postgres_scanner.duckdb_extension"
        )
        if path.is_file():
            return path
    return None


def _unreachable(connection: PostgresConnection, message: str) -> str:
    """The reason without the password, whatever a driver puts into its message."""
    reason = message.strip().splitlines()[-1] if message.strip() else "no answer"
    if connection.password:
        reason = reason.replace(connection.password, "***")
    return f"PostgreSQL at {connection.address} cannot be reached: {reason}"
