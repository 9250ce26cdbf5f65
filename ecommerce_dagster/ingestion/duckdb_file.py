"""An ingestr asset whose source is another DuckDB file, or another table of its own file."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import duckdb

from ecommerce_dagster.bruin.interval import Interval
from ecommerce_dagster.bruin.models import Asset
from ecommerce_dagster.bruin.problems import did_you_mean
from ecommerce_dagster.ingestion.ingest import (
    _PLACEHOLDER,
    _names,
    _with_keys,
    incremental_key_of,
    strategy_of,
)
from ecommerce_dagster.ingestion.source import QUERY, _one_statement
from ecommerce_dagster.warehouse.database import described, kind_of
from ecommerce_dagster.warehouse.identifiers import literal, quoted, relation
from ecommerce_dagster.warehouse.load import Loaded, LoadError, load_table
from ecommerce_dagster.warehouse.sql_asset import AssetError
from ecommerce_dagster.warehouse.strategies import in_window

_ALIAS = "_source"
_ROWS = "_source_rows"
_HOLDER = re.compile(r"\(PID (\d+)\)")
_MOMENT = re.compile(r"DATE|TIMESTAMP.*")
_ENDLESS = re.compile(r"DATE|TIMESTAMP.*|FLOAT|DOUBLE")


@dataclass(frozen=True)
class DuckDBIngestion:
    """How to load one ingestr asset from the DuckDB file at `path`.

    Call it with a connection inside a transaction. Which rows it takes: as with PostgreSQL.
    """

    asset: Asset
    path: str
    interval: Interval | None = None
    full_refresh: bool = False

    def prepare(self, connection: duckdb.DuckDBPyConnection) -> ExitStack:
        """Attach the source, before the transaction. Closing the result detaches it, after."""
        attached = ExitStack()
        if self._is_own(connection):
            return attached
        if self.path == ":memory:" or "://" in self.path or self.path.startswith("md:"):
            raise self._failure(f"the source is '{self.path}'; expected a file")
        if not Path(self.path).is_file():
            raise self._failure(f"the source {self.path} does not exist")
        try:
            connection.execute(f"ATTACH {literal(self.path)} AS {_ALIAS} (TYPE duckdb, READ_ONLY)")
        except duckdb.Error as error:
            raise self._failure(_unopened(self.path, str(error))) from None
        attached.callback(connection.execute, f"DETACH {_ALIAS}")
        return attached

    def __call__(self, connection: duckdb.DuckDBPyConnection) -> Loaded:
        try:
            return self._load(connection)
        except LoadError as error:
            raise self._failure(str(error)) from None
        except duckdb.Error as error:
            raise self._failure(str(error).strip()) from None

    def _failure(self, message: str) -> AssetError:
        path, line = self.asset.at("parameters", "source_table")
        return AssetError(f"{path}:{line}: {message}")

    def _is_own(self, connection: duckdb.DuckDBPyConnection) -> bool:
        """Whether the source is the file that this connection writes to."""
        row = connection.execute(
            "SELECT path FROM duckdb_databases() WHERE database_name = current_database()"
        ).fetchone()
        own = row[0] if row else None
        return bool(own and Path(own).resolve() == Path(self.path).resolve())

    def _load(self, connection: duckdb.DuckDBPyConnection) -> Loaded:
        asset, strategy = _with_keys(self.asset), strategy_of(self.asset)
        source = self._source(connection)
        columns = self._columns(source)
        condition = self._condition(source, columns, strategy)
        limit = asset.parameter("sql_limit")
        rows = f"SELECT {', '.join(map(quoted, columns))}\nFROM {source.relation}"
        rows += f"\nWHERE {condition}" if condition else ""
        rows += f"\nLIMIT {int(limit)}" if limit else ""
        if strategy == "delete+insert":
            strategy = "time_interval" if condition else "create+replace"
        with source.readable(rows) as readable:
            return load_table(
                connection,
                asset,
                f"(\n{readable}\n) AS incoming",
                strategy,
                window=self.interval,
                incremental_key=incremental_key_of(asset),
                full_refresh=self.full_refresh,
                update_all=True,
            )

    @property
    def _from_scratch(self) -> bool:
        return self.full_refresh and not self.asset.keeps_history

    def _source(self, connection: duckdb.DuckDBPyConnection) -> _Source:
        """The table, or the query with its placeholders filled in."""
        database, _ = _position(connection)
        database = database if self._is_own(connection) else _ALIAS
        written = self.asset.parameter("source_table").strip()
        if not written.startswith(QUERY):
            table = written if "." in written else f"main.{written}"
            return _Source(connection, database, relation(f"{database}.{table}"), table)
        first, last = "-infinity", "infinity"
        if self.interval and not self._from_scratch:
            first, last = self.interval.start.isoformat(), self.interval.last.isoformat()
        query = _PLACEHOLDER.sub(lambda m: literal(first if m[1] == "start" else last), written)
        query = _one_statement(query.removeprefix(QUERY))
        # The line break ends a comment at the end of the query.
        return _Source(connection, database, f"(\n{query}\n) AS query")

    def _columns(self, source: _Source) -> dict[str, str]:
        """The columns to read and their types."""
        source.require_table(self.path)
        columns = source.columns()
        excluded = set(_names(self.asset, "sql_exclude_columns"))
        if unknown := excluded - columns.keys():
            raise LoadError(
                f"the source has no {', '.join(sorted(unknown))} (sql_exclude_columns); "
                f"it has {', '.join(columns)}"
            )
        if excluded == columns.keys():
            raise LoadError("every column is excluded (sql_exclude_columns)")
        return {name: kind for name, kind in columns.items() if name not in excluded}

    def _condition(self, source: _Source, columns: Mapping[str, str], strategy: str) -> str | None:
        """Which rows of the source to read; None for all."""
        name = incremental_key_of(self.asset)
        if name is None or self._from_scratch:
            return None
        key = next((column for column in columns if column.lower() == name.lower()), None)
        if key is None:
            raise LoadError(
                f"the source has no column '{name}' (incremental_key); it has {', '.join(columns)}"
            )
        if strategy == "delete+insert" and self.interval:
            return _within(key, columns[key], self.interval)
        if strategy not in {"merge", "append"}:
            return None
        if kind_of(source.connection, self.asset.name) != "table":
            return None
        find = _from_largest if strategy == "merge" else _after_largest
        return find(source, self.asset.name, key, columns[key])


@dataclass(frozen=True)
class _Source:
    """A relation of the database called `database`: a table of it, or a query about it."""

    connection: duckdb.DuckDBPyConnection
    database: str
    relation: str
    table: str | None = None

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
        if self.table is not None:
            yield rows
            return
        with self._inside():
            self.connection.execute(f"CREATE OR REPLACE TEMP TABLE {_ROWS} AS\n{rows}")
        yield f"FROM temp.{_ROWS}"
        self.connection.execute(f"DROP TABLE temp.{_ROWS}")

    @contextmanager
    def _inside(self) -> Iterator[None]:
        """Names without a database mean this one's, for as long as the block lasts."""
        before = _position(self.connection)
        self.connection.execute(f"USE {quoted(self.database)}.main")
        try:
            yield
        finally:
            # After an error nothing can be executed any more, nor need be.
            with suppress(duckdb.Error):
                self.connection.execute(f"USE {'.'.join(map(quoted, before))}")


def _within(key: str, kind: str, interval: Interval) -> str:
    """The rows of an interval, half-open."""
    if not _MOMENT.fullmatch(kind):
        raise LoadError(
            f"the incremental_key {key} is {kind}; an interval needs a DATE or a TIMESTAMP"
        )
    return in_window(key, interval, by_date=False)


def _from_largest(source: _Source, table: str, key: str, kind: str) -> str | None:
    """The rows at or after the largest key in `table`; None for all.

    Rows whose key tells nothing, being NULL or infinite, are taken every time: none is missed.
    """
    largest, _, _ = _loaded(source, table, key, kind)
    return f"({quoted(key)} >= {largest} OR {_untold(key, kind)})" if largest else None


def _after_largest(source: _Source, table: str, key: str, kind: str) -> str | None:
    """The rows after the largest key in `table`; None, for all, while it is empty.

    Raises LoadError when the source has more rows whose key tells nothing than were loaded.
    """
    largest, total, known = _loaded(source, table, key, kind)
    if not total:
        return None
    untold = _untold(key, kind)
    found = source.count(untold)
    if found > known:
        raise LoadError(
            f"{found} rows of the source have no finite {key} (incremental_key), {known} of them "
            "are loaded, and 'append' cannot tell which; use 'merge' or another key"
        )
    later = f"{quoted(key)} > {largest} AND " if largest else ""
    return f"{later}NOT ({untold})"


def _loaded(source: _Source, table: str, key: str, kind: str) -> tuple[str | None, int, int]:
    """Of `table`: its largest key as SQL, its rows, and those of them whose key tells nothing."""
    columns = {name.lower(): k for name, k in described(source.connection, relation(table)).items()}
    has = columns.get(key.lower())
    if has is None:
        raise LoadError(f"{table} has no column '{key}' (incremental_key) to continue")
    if (kind == "VARCHAR") != (has == "VARCHAR"):
        raise LoadError(
            f"the incremental_key {key} is {kind} in the source and {has} in {table}, "
            "whose order differs; take another one"
        )
    untold = _untold(key, has)
    largest, total, known = source.connection.execute(
        f"SELECT CAST(max({quoted(key)}) FILTER (WHERE NOT ({untold})) AS VARCHAR), count(*), "
        f"count(*) FILTER (WHERE {untold}) FROM {relation(table)}"
    ).fetchall()[0]
    return (None if largest is None else f"CAST({literal(largest)} AS {has})"), total, known


def _untold(key: str, kind: str) -> str:
    name = quoted(key)
    return f"{name} IS NULL" + (f" OR NOT isfinite({name})" if _ENDLESS.fullmatch(kind) else "")


def _position(connection: duckdb.DuckDBPyConnection) -> tuple[str, str]:
    database, schema = connection.execute("SELECT current_database(), current_schema()").fetchall()[
        0
    ]
    return str(database), str(schema)


def _unopened(path: str, message: str) -> str:
    """Why a file cannot be attached, in the user's words."""
    if "Could not set lock" in message:
        holder = _HOLDER.search(message)
        process = f"process {holder.group(1)}" if holder else "another process"
        return f"{process} has {path} open for writing; run it again when that has ended"
    if "already attached" in message:
        return f"{path} is open in this process already; run the assets that use it one by one"
    return f"{path} cannot be read as a DuckDB database: {message.splitlines()[0]}"
