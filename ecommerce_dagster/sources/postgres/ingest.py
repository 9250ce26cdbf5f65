"""An ingestr asset from PostgreSQL, by way of DuckDB."""

from __future__ import annotations

import time
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass, replace

import duckdb

from ecommerce_dagster.bruin.model.asset import Asset
from ecommerce_dagster.bruin.model.interval import Interval
from ecommerce_dagster.bruin.model.postgres_connection import PostgresConnection
from ecommerce_dagster.sources.known_parameters import trims
from ecommerce_dagster.sources.parameters import (
    incremental_key_of,
    is_reconcilable,
    primary_key_of,
)
from ecommerce_dagster.sources.postgres.describe import (
    Source,
    describe,
    relation_of,
    types_of,
)
from ecommerce_dagster.sources.postgres.guards import refuse_garbled, refuse_rewritten
from ecommerce_dagster.sources.postgres.keys import (
    LATE,
    agree,
    delete_gone,
    forget,
    missed,
    stage_keys,
    stage_late,
    stage_short,
)
from ecommerce_dagster.sources.request import (
    Request,
    both,
    still_other,
    unordered_rows,
    warned,
)
from ecommerce_dagster.sql.load_result import LoadError, LoadResult
from ecommerce_dagster.sql.types import known_type
from ecommerce_dagster.warehouses.base import Target
from ecommerce_dagster.warehouses.postgres.connect import (
    SourceError,
    ask,
    attach,
    cancel,
    detach,
    reason,
    start_snapshot,
    texts,
)

_CARRIED = "_carried"


@dataclass(frozen=True)
class Ingestion(Request):
    """How to load one ingestr asset in one run. Call it with the place for its table, in DuckDB."""

    asset: Asset
    postgres: PostgresConnection
    interval: Interval | None = None
    full_refresh: bool = False
    reconcile: bool = False
    one_source: bool = True
    reads_keys = True

    def prepare(self, connection: duckdb.DuckDBPyConnection) -> ExitStack:
        """Attach the source, before the transaction. Closing the result detaches it, after."""
        schema, _ = Source(self.postgres, self.asset.parameter("source_table")).path
        try:
            attach(connection, self.postgres, schema)
        except SourceError as error:
            raise self.failure(str(error)) from None
        attached = ExitStack()
        attached.callback(detach, connection)
        attached.callback(forget, connection)
        return attached

    def cancel(self) -> None:
        """End what PostgreSQL is doing for this process, from another thread."""
        cancel(self.postgres)

    def __call__(self, target: Target) -> LoadResult:
        try:
            with target.reader() as connection:
                return self._load(target, connection)
        except (SourceError, LoadError) as error:
            raise self.failure(str(error)) from None
        except duckdb.Error as error:
            raise self.failure(reason(error)) from None
        except target.errors as error:
            raise self.failure(target.error_message(error)) from None

    def _load(self, target: Target, connection: duckdb.DuckDBPyConnection) -> LoadResult:
        began = time.perf_counter()
        # First, since it waits for whoever rewrites the table: that must not outlast a snapshot.
        source = describe(self.postgres, self.source_table, self.excluded, self.masks)
        start_snapshot(connection)
        source = source.trimmed() if trims(self.asset) else source
        named, names = self.named(target, [column.name for column in source.columns])
        with self.columns_kept(target):
            loaded = named._load_from(target, connection, source.renamed(names), began)
        refuse_rewritten(lambda query: ask(connection, f"SELECT ARRAY[({query})]")[0], source)
        return loaded

    def _load_from(
        self, target: Target, connection: duckdb.DuckDBPyConnection, source: Source, began: float
    ) -> LoadResult:
        def count(condition: str) -> int:
            query = replace(source, condition=condition).select(texts(["count(*)"]))
            return int(ask(connection, query)[0] or 0)

        condition = self.condition(
            target,
            [column.name for column in source.columns],
            source.key,
            count=count,
            now=lambda: ask(connection, f"SELECT {texts(['now()'])}")[0] or "",
        )
        source = replace(source, condition=condition, limit=self.limit)
        fresh = self.from_scratch or self.strategy == "create+replace"
        existing = {} if fresh else target.columns(self.asset.name)
        source_seconds = time.perf_counter() - began
        loaded = self._fill(target, connection, source, existing)
        if existing and self.compares and self.reads_keys:
            whole = replace(source, condition=self.whole(source.key))
            loaded = self._compared(target, connection, whole, existing, loaded)
        return replace(loaded, source_seconds=source_seconds)

    def _fill(
        self,
        target: Target,
        connection: duckdb.DuckDBPyConnection,
        source: Source,
        existing: Mapping[str, str],
    ) -> LoadResult:
        types = types_of(connection, source, _wanted(self.keyed, source, existing))
        rows = f"(\n{relation_of(connection, source, types)}\n) AS incoming"
        return self._enter(target, connection, source, types, rows)

    def _enter(
        self,
        target: Target,
        connection: duckdb.DuckDBPyConnection,
        source: Source,
        types: Mapping[str, str],
        rows: str,
    ) -> LoadResult:
        """The rows that come as these types into the table."""
        asset = self.keyed
        loaded = target.fill_from_rows(asset, connection, rows, self.filling(source.condition))
        refuse_garbled(connection, source, types, asset.name)
        return loaded

    def _compared(
        self,
        target: Target,
        connection: duckdb.DuckDBPyConnection,
        whole: Source,
        existing: Mapping[str, str],
        loaded: LoadResult,
    ) -> LoadResult:
        """Make the table agree with the whole source in all keys, and report it with `loaded`."""
        keys = whole.only((*primary_key_of(self.asset), incremental_key_of(self.asset) or ""))
        types = types_of(connection, keys, _wanted(self.asset, keys, existing))
        among = self.compared_rows(target.columns(self.asset.name))
        if agree(connection, keys, types, self.asset.name, among):
            return replace(loaded, rows_deleted=0 if is_reconcilable(self.asset) else None)
        if self.strategy == "append":
            lacking = stage_short(connection, keys, types, self.asset.name)
            return self._with_late(target, connection, whole, existing, loaded, keys, lacking)
        stage_keys(connection, keys, types, self.asset.name, primary_key_of(self.asset))
        return self._reconciled(target, connection, whole, existing, loaded, among)

    def _reconciled(
        self,
        target: Target,
        connection: duckdb.DuckDBPyConnection,
        whole: Source,
        existing: Mapping[str, str],
        loaded: LoadResult,
        among: str | None,
    ) -> LoadResult:
        """The rows that were missed, and those that are gone, by the keys that are staged."""
        table = self.asset.name
        if lacking := missed(connection, table):
            loaded = both(loaded, self._fill(target, connection, whole, existing))
            loaded = replace(loaded, rows_missed=lacking)
            if still := missed(connection, table):
                loaded = warned(loaded, still_other(table, still))
        if not is_reconcilable(self.asset):
            return loaded
        deleted, statement = delete_gone(connection, table, primary_key_of(self.asset), among)
        return replace(loaded, rows_deleted=deleted, statements=(*loaded.statements, statement))

    def _with_late(
        self,
        target: Target,
        connection: duckdb.DuckDBPyConnection,
        whole: Source,
        existing: Mapping[str, str],
        loaded: LoadResult,
        keys: Source,
        lacking: int,
    ) -> LoadResult:
        """Append those of the rows that the table lacks that can be told from others."""
        if not lacking:
            return loaded
        table, names = self.asset.name, [column.name for column in keys.columns]
        types = types_of(connection, whole, _wanted(self.keyed, whole, existing))
        late = stage_late(connection, whole, types, table, names)
        if lacking > late:
            loaded = warned(loaded, unordered_rows(table, lacking - late))
        if not late:
            return loaded
        rest = self._enter(target, connection, whole, types, LATE)
        return replace(both(loaded, rest), rows_missed=late)


@dataclass(frozen=True)
class ViaDuckDB(Ingestion):
    """The same into another database: what comes is judged in a DuckDB that is only there for it.

    For databases that have no way of their own (see `CopyIngestion`).
    """

    reads_keys = False

    def _load(self, target: Target, connection: duckdb.DuckDBPyConnection) -> LoadResult:
        self.prepare(connection)
        # Settings of the source, and what is seen of it, are those of a transaction.
        connection.execute("BEGIN")
        return super()._load(target, connection)

    def _enter(
        self,
        target: Target,
        connection: duckdb.DuckDBPyConnection,
        source: Source,
        types: Mapping[str, str],
        rows: str,
    ) -> LoadResult:
        connection.execute(f"CREATE TEMP TABLE {_CARRIED} AS FROM {rows}")
        refuse_garbled(connection, source, types, _CARRIED)
        filling = self.filling(source.condition)
        return target.fill_from_rows(self.keyed, connection, _CARRIED, filling)


def _wanted(asset: Asset, source: Source, existing: Mapping[str, str]) -> dict[str, str]:
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
