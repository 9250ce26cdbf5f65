"""An ingestr asset from PostgreSQL, by way of DuckDB."""

from __future__ import annotations

import time
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass, replace

import duckdb

from ecommerce_dagster.sources.postgres.compare import compared
from ecommerce_dagster.sources.postgres.describe import (
    Source,
    relation_of,
    types_of,
    wanted_types,
)
from ecommerce_dagster.sources.postgres.guards import refuse_garbled, refuse_rewritten
from ecommerce_dagster.sources.postgres.keys import LATE, Keys, forget
from ecommerce_dagster.sources.postgres.request import PostgresRequest
from ecommerce_dagster.sql.load_result import LoadError, LoadResult
from ecommerce_dagster.warehouses.base import Target
from ecommerce_dagster.warehouses.postgres.connect import (
    SourceError,
    ask,
    attach,
    detach,
    reason,
    start_snapshot,
    texts,
)
from ecommerce_dagster.warehouses.schema_contract import columns_kept

_CARRIED = "_carried"


@dataclass(frozen=True)
class Ingestion(PostgresRequest):
    """How to load one ingestr asset in one run. Call it with the place for its table, in DuckDB."""

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
        source = self.described()
        start_snapshot(connection)
        named, names = self.named(target, [column.name for column in source.columns])
        with columns_kept(target, self.asset):
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
            keys = Keys(connection, self.asset, whole, existing)
            loaded = compared(
                self,
                keys,
                target,
                loaded,
                fill=lambda: self._fill(target, connection, whole, existing),
                fill_late=lambda: self._enter(target, connection, whole, keys.types, LATE),
            )
        return replace(loaded, source_seconds=source_seconds)

    def _fill(
        self,
        target: Target,
        connection: duckdb.DuckDBPyConnection,
        source: Source,
        existing: Mapping[str, str],
    ) -> LoadResult:
        types = types_of(connection, source, wanted_types(self.asset, source, existing))
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
