"""An ingestr asset whose source DuckDB reads as a relation: another database that it attaches, or
files."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime

import duckdb

from ecommerce_dagster.bruin.problems import did_you_mean
from ecommerce_dagster.sources.known_parameters import QUERY, trims
from ecommerce_dagster.sources.masks import BLANKS, DUCKDB_SHA256, masks_in
from ecommerce_dagster.sources.postgres.describe import (
    complaint_about,
    one_statement,
    path_of,
)
from ecommerce_dagster.sources.request import Request
from ecommerce_dagster.sources.selection import Key
from ecommerce_dagster.sql.column_names import meant
from ecommerce_dagster.sql.identifiers import literal, quoted, relation
from ecommerce_dagster.sql.load_result import LoadError, LoadResult
from ecommerce_dagster.warehouses.base import Target
from ecommerce_dagster.warehouses.duckdb.database import described, kind_of
from ecommerce_dagster.warehouses.schema_contract import columns_kept

ALIAS = "_source"  # what the source is attached as
_ROWS = "_source_rows"


class RelationIngestion(Request):
    """How to load one ingestr asset in one run. Call it with the place for its table.

    A subclass says how the source is attached; one of files has nothing to attach, and says what
    its rows are.
    """

    @property
    @abstractmethod
    def label(self) -> str:
        """What to call the source in a message."""

    @property
    def schema(self) -> str:
        """The schema of tables that are named without one."""
        return "main"

    @abstractmethod
    def attach(self, connection: duckdb.DuckDBPyConnection) -> None:
        """Make the source readable as the database ALIAS. Raises what `failure` makes."""

    def is_own(self, connection: duckdb.DuckDBPyConnection) -> bool:
        """Whether the source is the database that this connection writes to."""
        return False

    def prepare(self, connection: duckdb.DuckDBPyConnection) -> ExitStack:
        """Attach the source, before the transaction. Closing the result detaches it, after."""
        attached = ExitStack()
        if not self.is_own(connection):
            self.attach(connection)
            attached.callback(connection.execute, f"DETACH DATABASE IF EXISTS {ALIAS}")
        return attached

    def cancel(self) -> None:
        """Nothing: a DuckDB that is attached hears the interrupt itself."""

    def __call__(self, target: Target) -> LoadResult:
        try:
            with target.reader() as connection:
                if not self._is_attached(connection):
                    self.prepare(connection)
                return self._load(target, connection)
        except (LoadError, duckdb.Error) as error:
            raise self.failure(str(error)) from None
        except target.errors as error:
            raise self.failure(target.error_message(error)) from None

    def _is_attached(self, connection: duckdb.DuckDBPyConnection) -> bool:
        """Whether the source is within reach: a reader may be new."""
        found = connection.execute(
            f"SELECT 1 FROM duckdb_databases() WHERE database_name = {literal(ALIAS)}"
        ).fetchone()
        return found is not None or self.is_own(connection)

    def _load(self, target: Target, connection: duckdb.DuckDBPyConnection) -> LoadResult:
        source = self.rows_in(connection)
        columns = self._columns(source)
        named, names = self.named(target, columns)
        cells = {column: quoted(column) for column in columns}
        if trims(self.asset):
            texts = [column for column, kind in columns.items() if kind == "VARCHAR"]
            cells |= {text: f"trim({quoted(text)}, e'{BLANKS}')" for text in texts}
        for column, mask in masks_in(self.masks, columns).items():
            cells[column] = mask.applied(f"CAST({cells[column]} AS VARCHAR)", DUCKDB_SHA256)
        source = source.with_columns({names[column]: cell for column, cell in cells.items()})
        with columns_kept(target, self.asset):
            return named._load_from(target, connection, source)

    def _load_from(
        self, target: Target, connection: duckdb.DuckDBPyConnection, source: SourceRows
    ) -> LoadResult:
        columns = source.columns()

        def key(name: str) -> Key:
            found = meant(name, columns)
            if found is None:
                raise LoadError(
                    f"the source has no column '{name}' (incremental_key); "
                    f"it has {', '.join(columns)}"
                )
            return Key.of_duckdb(found, columns[found])

        condition = self.condition(
            target,
            columns,
            key,
            count=source.count,
            now=lambda: datetime.now(UTC).isoformat(),
        )
        rows = f"SELECT *\nFROM {source.relation}"
        rows += f"\nWHERE {condition}" if condition else ""
        rows += f"\nLIMIT {self.limit}" if self.limit else ""
        with source.readable(rows) as readable:
            return target.fill_from_rows(
                self.keyed, connection, f"(\n{readable}\n) AS incoming", self.filling(condition)
            )

    def _columns(self, source: SourceRows) -> dict[str, str]:
        """The columns to read and their types."""
        source.require_table(self.label)
        columns = source.columns()
        if complaint := complaint_about(list(columns), self.excluded, self.masks):
            raise LoadError(f"the source: {complaint}")
        return {name: kind for name, kind in columns.items() if name not in self.excluded}

    def rows_in(self, connection: duckdb.DuckDBPyConnection) -> SourceRows:
        """The table or the query."""
        database, _ = position(connection)
        database = database if self.is_own(connection) else ALIAS
        written = self.source_table
        if not written.startswith(QUERY):
            table = ".".join(path_of(written, self.schema))
            return SourceRows(connection, database, relation(f"{database}.{table}"), table)
        query = one_statement(written.removeprefix(QUERY))
        # The line break ends a comment at the end of the query.
        return SourceRows(connection, database, f"(\n{query}\n) AS query", is_query=True)


@dataclass(frozen=True)
class SourceRows:
    """A relation of the database called `database`: a table of it, or a query about it."""

    connection: duckdb.DuckDBPyConnection
    database: str
    relation: str
    table: str | None = None
    # Whether they can be read only while names mean those of its database.
    is_query: bool = False

    def require_table(self, path: str) -> None:
        """Raise LoadError when it is a table that does not exist."""
        if self.table is None or kind_of(self.connection, f"{self.database}.{self.table}"):
            return
        rows = self.connection.execute(
            "SELECT table_schema || '.' || table_name FROM information_schema.tables "
            f"WHERE table_catalog = {literal(self.database)}"
        ).fetchall()
        hint = did_you_mean(self.table, [str(row[0]) for row in rows])
        raise LoadError(f"{path} has no table '{self.table}'; {hint}")

    def with_columns(self, cells: Mapping[str, str]) -> SourceRows:
        """The same rows in columns of these names, computed by this SQL."""
        written = ", ".join(
            cell if cell == quoted(name) else f"{cell} AS {quoted(name)}"
            for name, cell in cells.items()
        )
        return replace(self, relation=f"(\nSELECT {written}\nFROM {self.relation}\n) AS named")

    def columns(self) -> dict[str, str]:
        with self._inside():
            return described(self.connection, self.relation)

    def count(self, condition: str) -> int:
        """How many of its rows meet a condition."""
        with self._inside():
            row = self.connection.execute(
                f"SELECT count(*) FROM {self.relation} WHERE {condition}"
            ).fetchone()
        return int(row[0]) if row else 0

    @contextmanager
    def readable(self, rows: str) -> Iterator[str]:
        """A SELECT over the relation that can also be read while writing to another database.

        The names in a query are those of its own database, so its rows are stored first.
        """
        if not self.is_query:
            yield rows
            return
        with self._inside():
            self.connection.execute(f"CREATE OR REPLACE TEMP TABLE {_ROWS} AS\n{rows}")
        yield f"FROM temp.{_ROWS}"
        self.connection.execute(f"DROP TABLE temp.{_ROWS}")

    @contextmanager
    def _inside(self) -> Iterator[None]:
        """Names without a database mean this one's, for as long as the block lasts."""
        before = position(self.connection)
        self.connection.execute(f"USE {quoted(self.database)}.main")
        try:
            yield
        finally:
            # After an error nothing can be executed any more, nor need be.
            with suppress(duckdb.Error):
                self.connection.execute(f"USE {'.'.join(map(quoted, before))}")


def position(connection: duckdb.DuckDBPyConnection) -> tuple[str, str]:
    database, schema = connection.execute("SELECT current_database(), current_schema()").fetchall()[
        0
    ]
    return str(database), str(schema)
