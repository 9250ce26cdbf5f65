"""A table or a query of PostgreSQL as a relation that DuckDB can read, with every value exact."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice
from types import MappingProxyType

import duckdb
import psycopg

from ecommerce_dagster.bruin.model.asset import Asset
from ecommerce_dagster.bruin.model.postgres_connection import PostgresConnection
from ecommerce_dagster.sources.columns import TEXTS, SourceColumn
from ecommerce_dagster.sources.known_parameters import QUERY
from ecommerce_dagster.sources.masks import (
    BLANKS,
    POSTGRES_SHA256,
    Mask,
    masks_in,
    without_column,
)
from ecommerce_dagster.sources.selection import Key
from ecommerce_dagster.sql.column_names import meant
from ecommerce_dagster.sql.identifiers import quoted
from ecommerce_dagster.sql.types import known_type
from ecommerce_dagster.warehouses.duckdb.database import described
from ecommerce_dagster.warehouses.postgres.connect import (
    ALIAS,
    SourceError,
    ask,
    reason,
    rows_of,
    session,
    texts,
)

_NAME = re.compile(r'(?:("(?:[^"]|"")+"|[^"]+)\.)?("(?:[^"]|"")+"|[^".]+)')

_DESCRIBE = """
SELECT format_type(oid, modifier), format_type(oid, NULL)
FROM unnest(%s::oid[], %s::int[]) WITH ORDINALITY AS given(oid, modifier, position)
ORDER BY position
"""


@dataclass(frozen=True)
class Source:
    """Rows of a table (`schema.table`) or of a query (`query:SELECT ...`).

    Only those that meet `condition` (SQL for PostgreSQL), and no more than `limit`. The `masked`
    columns, by name, leave it as these texts. `origins` are the names that columns have in the
    database, where those of the asset's table are others.
    """

    connection: PostgresConnection
    table: str
    columns: tuple[SourceColumn, ...] = ()
    masked: Mapping[str, str] = field(default_factory=dict)
    origins: Mapping[str, str] = field(default_factory=dict)
    condition: str | None = None
    limit: int | None = None

    @property
    def is_query(self) -> bool:
        return self.table.startswith(QUERY)

    @property
    def name(self) -> str:
        """What to call it in a message."""
        return "the query" if self.is_query else self.table

    @property
    def path(self) -> tuple[str, str]:
        """Schema and table."""
        schema = self.connection.schema
        return (schema, self.table) if self.is_query else path_of(self.table, schema)

    @property
    def _whole(self) -> str:
        if not self.masked and not self.origins:
            return self._unmasked
        cells = (
            f"{self.masked.get(c.name, quoted(self.origin(c.name)))} AS {quoted(c.name)}"
            for c in self.columns
        )
        return f"(\nSELECT {', '.join(cells)}\nFROM {self._unmasked}\n) AS named"

    @property
    def _unmasked(self) -> str:
        if not self.is_query:
            return ".".join(map(quoted, self.path))
        # The line break ends a comment at the end of the query.
        return f"(\n{one_statement(self.table.removeprefix(QUERY))}\n) AS query"

    def select(self, expressions: str) -> str:
        """A SELECT over the rows, for PostgreSQL."""
        where = f"\nWHERE {self.condition}" if self.condition else ""
        if self.limit is None:
            return f"SELECT {expressions}\nFROM {self._whole}{where}"
        rows = f"SELECT *\nFROM {self._whole}{where}\nLIMIT {self.limit}"
        return f"SELECT {expressions}\nFROM (\n{rows}\n) AS limited"

    def origin(self, name: str) -> str:
        """What the database calls a column."""
        return self.origins.get(name, name)

    def renamed(self, names: Mapping[str, str]) -> Source:
        """The same rows in columns of these names, by those in the database."""
        if all(column == name for column, name in names.items()):
            return self
        columns = tuple(replace(c, name=names[c.name]) for c in self.columns)
        masked = {names[column]: text for column, text in self.masked.items()}
        origins = {name: column for column, name in names.items()}
        return replace(self, columns=columns, masked=masked, origins=origins)

    def trimmed(self) -> Source:
        """The same rows, texts without blanks at their ends. Masks are of the whole text."""
        texts = {
            c.name: f"btrim({quoted(c.name)}, E'{BLANKS}')"
            for c in self.columns
            if c.base in TEXTS and c.name not in self.masked
        }
        return replace(self, masked={**self.masked, **texts})

    def only(self, names: Collection[str]) -> Source:
        """All its rows with the columns of these names, in whatever case."""
        wanted = {name.lower() for name in names}
        columns = tuple(column for column in self.columns if column.name.lower() in wanted)
        return replace(self, columns=columns, limit=None)

    def key(self, name: str) -> Key:
        """The incremental key of that name, in whatever case. Raises SourceError without one."""
        by_name = {column.name: column for column in self.columns}
        found = meant(name, by_name)
        if found is not None:
            return Key.of_postgres(by_name[found])
        names = ", ".join(by_name)
        raise SourceError(f"{self.name} has no column '{name}' (incremental_key); it has {names}")


def path_of(table: str, schema: str) -> tuple[str, str]:
    """Schema, when there is none `schema`, and table of what `source_table` names.

    Their names may be quoted: a table's must be to hold a point.
    """
    found = _NAME.fullmatch(table)
    own, name = found.groups() if found else (None, table)
    return (_unquoted(own) if own else schema, _unquoted(name))


def describe(
    connection: PostgresConnection,
    table: str,
    excluded: Collection[str] = (),
    masks: Mapping[str, Mask] = MappingProxyType({}),
) -> Source:
    """The source with its columns, generated ones included. Raises SourceError."""
    with session(connection) as postgres:
        return described_in(postgres, connection, table, excluded, masks)


def described_in(
    postgres: psycopg.Connection[tuple[object, ...]],
    connection: PostgresConnection,
    table: str,
    excluded: Collection[str] = (),
    masks: Mapping[str, Mask] = MappingProxyType({}),
) -> Source:
    """The source as `describe` finds it, in a session that is open already. Raises SourceError."""
    source = Source(connection, table)
    try:
        cursor = postgres.execute(f"{source.select('*')}\nLIMIT 0".encode())
    except psycopg.Error as error:
        raise SourceError(f"{connection.address}: {source.name}: {reason(error)}") from None
    names, result = [column.name for column in cursor.description or ()], cursor.pgresult
    assert result is not None
    given = zip(*((result.ftype(n), result.fmod(n)) for n in range(len(names))), strict=True)
    types = postgres.execute(_DESCRIBE, [list(codes) for codes in given]) if names else ()
    columns = [SourceColumn(n, str(t), str(b)) for n, (t, b) in zip(names, types, strict=True)]
    complaint = complaint_about(names, excluded, masks)
    if complaint:
        raise SourceError(f"{connection.address}: {source.name}: {complaint}")
    kept = tuple(c for c in columns if c.name not in excluded)
    return _masked(replace(source, columns=kept), masks_in(masks, names))


def _masked(source: Source, masks: Mapping[str, Mask]) -> Source:
    """The source whose masked columns are texts."""
    masked = {
        column.name: masks[column.name].applied(column.text, POSTGRES_SHA256)
        for column in source.columns
        if column.name in masks
    }
    columns = tuple(
        SourceColumn(c.name, "text", "text") if c.name in masked else c for c in source.columns
    )
    return replace(source, columns=columns, masked=masked)


def complaint_about(
    names: Sequence[str], excluded: Collection[str], masks: Mapping[str, Mask]
) -> str | None:
    """Why columns of these names cannot become a table as the asset wants it."""
    kept = [name for name in names if name not in excluded]
    unknown = sorted(set(excluded) - set(names))
    if unknown:
        lacks, has = ", ".join(unknown), ", ".join(names)
        return f"it has no column {lacks} (sql_exclude_columns); it has {has}"
    if not kept:
        return "every column is excluded (sql_exclude_columns)" if names else "it has no columns"
    counts = Counter(name.lower() for name in kept)
    twice = ", ".join(sorted(name for name, count in counts.items() if count > 1))
    if twice:
        return (
            f"columns with the same name but for case ({twice}); "
            "rename one with `source_table: query:SELECT ...`"
        )
    return without_column(masks, names)


def types_of(
    duck: duckdb.DuckDBPyConnection, source: Source, wanted: Mapping[str, str]
) -> dict[str, str]:
    """The DuckDB type of each column as it arrives: as `wanted`, else its counterpart.

    Where the values decide, one scan in PostgreSQL asks them all.
    """
    types = {c.name: wanted.get(c.name) or c.fixed_type for c in source.columns}
    undecided = [column for column in source.columns if types[column.name] is None]
    questions = [question for column in undecided for question in column.questions]
    answers = iter(ask(duck, source.select(texts(questions))) if questions else ())
    decided = {column.name: column.type_for(*islice(answers, 3)) for column in undecided}
    return {name: kind or decided[name] for name, kind in types.items()}


def wanted_types(asset: Asset, source: Source, existing: Mapping[str, str]) -> dict[str, str]:
    """The columns that arrive in the form of their declared type, or of the existing column's.

    So text is PostgreSQL's in every run, and a DOUBLE can take what a DECIMAL cannot.
    """
    declared = {column.name.lower(): known_type(column.type) for column in asset.columns}
    kinds_there = {name.lower(): kind for name, kind in existing.items()}
    wanted = {}
    for column in source.columns:
        name = column.name.lower()
        kinds = {declared.get(name), kinds_there.get(name)}
        if "VARCHAR" in kinds:
            wanted[column.name] = "VARCHAR"
        elif column.is_number and not column.is_array and kinds & {"DOUBLE", "FLOAT"}:
            wanted[column.name] = "DOUBLE"
    return wanted


def relation_of(duck: duckdb.DuckDBPyConnection, source: Source, types: Mapping[str, str]) -> str:
    """A SELECT for DuckDB over the rows of the source in these types.

    A whole table is read in parallel where the extension gets every column right by itself: it asks
    for ranges of pages, on several connections, under one snapshot. Everything else PostgreSQL
    prepares; a window it finds by its index, which ranges of pages would not let it use. Raises
    SourceError when the type of a column was changed meanwhile.
    """
    plain = not source.is_query and not source.masked
    if plain and source.condition is None and source.limit is None:
        table = ".".join(map(quoted, (ALIAS, *source.path)))
        there = described(duck, table)
        arriving = {c.name: there.get(source.origin(c.name), "") for c in source.columns}
        if all(c.is_exact(arriving.get(c.name, ""), types[c.name]) for c in source.columns):
            return _converted(table, arriving, types, source.origins)
    rows = rows_of(source.select(", ".join(_sent(c, types[c.name]) for c in source.columns)))
    arriving = described(duck, rows)
    for name, kind in types.items():
        if arriving[name] not in {kind, "VARCHAR", "VARCHAR[]"}:
            raise SourceError(f"the type of {name} of {source.name} was changed; run it again")
    return _converted(rows, arriving, types)


def _sent(column: SourceColumn, kind: str) -> str:
    name, value = quoted(column.name), column.outgoing(kind)
    return name if value == name else f"{value} AS {name}"


def _converted(
    rows: str,
    arriving: Mapping[str, str],
    types: Mapping[str, str],
    origins: Mapping[str, str] = MappingProxyType({}),
) -> str:
    cells = (
        column
        if arriving[name] == kind and column == quoted(name)
        else f"CAST({column} AS {kind}) AS {quoted(name)}"
        for name, kind in types.items()
        for column in [quoted(origins.get(name, name))]
    )
    return f"SELECT {', '.join(cells)}\nFROM {rows}"


def _unquoted(name: str) -> str:
    return name[1:-1].replace('""', '"') if name.startswith('"') else name


def one_statement(query: str) -> str:
    """The query without the semicolons at its end."""
    code = query.encode()
    starts = [start for start, _ in duckdb.tokenize(query)]
    while starts and code[starts[-1] : starts[-1] + 1] == b";":
        code = code[: starts.pop()]
    return code.decode()
