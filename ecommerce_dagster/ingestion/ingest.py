"""An ingestr asset: what its file says, and how its rows enter its table."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, replace

import duckdb

from ecommerce_dagster.bruin.connections import PostgresConnection
from ecommerce_dagster.bruin.durations import seconds_in
from ecommerce_dagster.bruin.interval import Interval
from ecommerce_dagster.bruin.models import Asset, Column, as_text
from ecommerce_dagster.bruin.problems import ProblemLog, did_you_mean
from ecommerce_dagster.ingestion.guards import refuse_garbled, refuse_rewritten
from ecommerce_dagster.ingestion.keys import delete_gone, has_missed, stage_keys
from ecommerce_dagster.ingestion.postgres import SourceError, attach, detach, reason, settle
from ecommerce_dagster.ingestion.selection import after_largest, from_largest, within
from ecommerce_dagster.ingestion.source import QUERY, Source, describe, relation_of, types_of
from ecommerce_dagster.warehouse.database import described, kind_of
from ecommerce_dagster.warehouse.identifiers import literal, relation
from ecommerce_dagster.warehouse.load import Loaded, LoadError, load_table
from ecommerce_dagster.warehouse.sql_asset import AssetError
from ecommerce_dagster.warehouse.types import known_type

# The incremental strategies of ingestr and the warehouse's names for them.
_STRATEGIES = {
    "replace": "create+replace",
    "create+replace": "create+replace",
    "append": "append",
    "merge": "merge",
    "delete+insert": "delete+insert",
    "truncate+insert": "truncate+insert",
}
# How far before the largest loaded time a merge reads again, in seconds.
_OVERLAP = 600.0
_PLACEHOLDER = re.compile(r"(?<!:):interval_(start|end)\b")


def strategy_of(asset: Asset) -> str:
    """The warehouse's name of an ingestr asset's strategy."""
    how = asset.parameter("incremental_strategy") or asset.materialization.strategy or "replace"
    return _STRATEGIES.get(how, how)


def incremental_key_of(asset: Asset) -> str | None:
    """The column that windows and watermarks are about."""
    return asset.parameter("incremental_key") or asset.materialization.incremental_key


def primary_key_of(asset: Asset) -> tuple[str, ...]:
    """The key columns: those marked in `columns`, else the parameter `primary_key`."""
    return asset.primary_key or _names(asset, "primary_key")


def source_table_of(asset: Asset, interval: Interval | None) -> str:
    """The source, the placeholders of a `query:` filled in for an interval; for all without one."""
    table, first, last = asset.parameter("source_table"), "-infinity", "infinity"
    if not table.startswith(QUERY):
        return table
    if interval:
        first, last = interval.start.isoformat(), interval.last.isoformat()
    return _PLACEHOLDER.sub(lambda m: literal(first if m[1] == "start" else last), table)


def excluded_of(asset: Asset) -> tuple[str, ...]:
    """The columns of the source that are not loaded."""
    return _names(asset, "sql_exclude_columns")


def overlap_of(asset: Asset) -> float:
    """How many seconds before the largest loaded time a merge starts. Raises ValueError."""
    written = asset.meta.get("overlap")
    return _OVERLAP if written is None else seconds_in(str(as_text(written)))


def is_reconcilable(asset: Asset) -> bool:
    """Whether rows that are gone from the source can be found by their keys, and should."""
    return asset.type == "ingestr" and strategy_of(asset) == "merge" and not asset.keeps_history


def is_windowed(asset: Asset) -> bool:
    """Whether the file says how one interval of the table is loaded anew."""
    return strategy_of(asset) == "delete+insert" and incremental_key_of(asset) is not None


def lint_ingestion(asset: Asset, log: ProblemLog) -> None:
    """Report an ingestr asset that cannot work."""
    for name, message in (*_missing(asset), *_wrong(asset), *_contradictions(asset)):
        log.error(*asset.at("parameters", name), "valid-ingestr", message)
    try:
        overlap_of(asset)
    except ValueError as error:
        log.error(*asset.at("meta", "overlap"), "valid-ingestr", f"the overlap {error}")


def _missing(asset: Asset) -> Iterator[tuple[str, str]]:
    for name in ("source_connection", "source_table"):
        if not asset.parameter(name):
            yield name, f"an ingestr asset needs `parameters: {name}`"
    strategy, name = strategy_of(asset), "incremental_strategy"
    if strategy == "delete+insert" and not incremental_key_of(asset):
        yield name, "the strategy 'delete+insert' needs `parameters: incremental_key`"
    if strategy == "merge" and not primary_key_of(asset):
        yield name, "the strategy 'merge' needs a column with `primary_key: true`"


def _wrong(asset: Asset) -> Iterator[tuple[str, str]]:
    strategy, limit = strategy_of(asset), asset.parameter("sql_limit")
    if strategy not in _STRATEGIES.values():
        hint = did_you_mean(strategy, _STRATEGIES)
        yield "incremental_strategy", f"unknown incremental_strategy '{strategy}'; {hint}"
    if asset.parameter("source_table").strip() == QUERY:
        yield "source_table", f"source_table has no query after `{QUERY}`"
    if asset.parameter("destination") not in {"", "duckdb"}:
        message = f"the destination is '{asset.parameter('destination')}'; expected duckdb"
        yield "destination", message
    if limit and not limit.isdecimal():
        yield "sql_limit", f"sql_limit is '{limit}'; expected a number of rows"


def _contradictions(asset: Asset) -> Iterator[tuple[str, str]]:
    """The same said twice, in the parameters and in `materialization`, and not the same way."""
    how = asset.materialization
    if how.type == "view":
        yield "incremental_strategy", "an ingestr asset makes a table, not a view"
    pairs = (("incremental_strategy", how.strategy), ("incremental_key", how.incremental_key))
    for name, other in pairs:
        own = asset.parameter(name)
        if own and other and _STRATEGIES.get(own, own) != _STRATEGIES.get(other, other):
            yield name, f"{name} is '{own}' and `materialization` says '{other}'; keep one"


@dataclass(frozen=True)
class Ingestion:
    """How to load one ingestr asset in one run. Call it with a connection inside a transaction.

    replace takes everything; delete+insert the interval, or everything without one; merge the rows
    at or after the largest key that is loaded; append those after it. `reconcile` makes a merge
    compare all keys as well: what is gone from the source goes, what was missed comes.
    """

    asset: Asset
    postgres: PostgresConnection
    interval: Interval | None = None
    full_refresh: bool = False
    reconcile: bool = False

    def prepare(self, connection: duckdb.DuckDBPyConnection) -> ExitStack:
        """Attach the source, before the transaction. Closing the result detaches it, after."""
        schema, _ = Source(self.postgres, self.asset.parameter("source_table")).path
        try:
            attach(connection, self.postgres, schema)
        except SourceError as error:
            raise self._failure(str(error)) from None
        attached = ExitStack()
        attached.callback(detach, connection)
        return attached

    def __call__(self, connection: duckdb.DuckDBPyConnection) -> Loaded:
        try:
            return self._load(connection)
        except (SourceError, LoadError) as error:
            raise self._failure(str(error)) from None
        except duckdb.Error as error:
            raise self._failure(reason(error)) from None

    def _failure(self, message: str) -> AssetError:
        path, line = self.asset.at("parameters", "source_table")
        return AssetError(f"{path}:{line}: {' '.join(message.split())}")

    def _load(self, connection: duckdb.DuckDBPyConnection) -> Loaded:
        began = time.perf_counter()
        strategy = strategy_of(self.asset)
        whole = self._from_scratch or self._reconciles
        table = source_table_of(self.asset, None if whole else self.interval)
        # First, since it waits for whoever rewrites the table: that must not outlast a snapshot.
        source = describe(self.postgres, table, excluded_of(self.asset))
        settle(connection)
        existing = self._existing(connection, strategy)
        source = replace(
            source,
            condition=self._condition(connection, source, strategy, existing),
            limit=int(self.asset.parameter("sql_limit") or 0) or None,
        )
        source_seconds = time.perf_counter() - began
        loaded = self._fill(connection, source, strategy, existing)
        if existing and self._reconciles:
            loaded = self._reconciled(connection, source, existing, loaded)
        refuse_rewritten(connection, source)
        return replace(loaded, source_seconds=source_seconds)

    def _fill(
        self,
        connection: duckdb.DuckDBPyConnection,
        source: Source,
        strategy: str,
        existing: Mapping[str, str],
    ) -> Loaded:
        asset = _with_keys(self.asset)
        if strategy == "delete+insert":
            strategy = "time_interval" if source.condition else "create+replace"
        types = types_of(connection, source, _wanted(asset, source, existing))
        loaded = load_table(
            connection,
            asset,
            f"(\n{relation_of(connection, source, types)}\n) AS incoming",
            strategy,
            window=self.interval,
            incremental_key=incremental_key_of(asset),
            full_refresh=self.full_refresh,
            update_all=True,
        )
        refuse_garbled(connection, source, types, asset.name)
        return loaded

    def _reconciled(
        self,
        connection: duckdb.DuckDBPyConnection,
        source: Source,
        existing: Mapping[str, str],
        loaded: Loaded,
    ) -> Loaded:
        """Make the table agree with the source in all keys, and report it with `loaded`."""
        whole = replace(source, condition=None)
        names = (*primary_key_of(self.asset), incremental_key_of(self.asset) or "")
        keys = {name.lower() for name in names}
        columns = tuple(column for column in whole.columns if column.name.lower() in keys)
        all_keys = replace(whole, columns=columns, limit=None)
        types = types_of(connection, all_keys, _wanted(self.asset, all_keys, existing))
        stage_keys(connection, all_keys, types, self.asset.name, primary_key_of(self.asset))
        if source.condition and has_missed(connection, self.asset.name):
            rest = self._fill(connection, whole, "merge", existing)
            written = (loaded.rows_written or 0) + (rest.rows_written or 0)
            statements = (*loaded.statements, *rest.statements)
            loaded = replace(loaded, rows_written=written, statements=statements)
        deleted, statement = delete_gone(connection, self.asset.name, primary_key_of(self.asset))
        return replace(loaded, rows_deleted=deleted, statements=(*loaded.statements, statement))

    @property
    def _reconciles(self) -> bool:
        return self.reconcile and is_reconcilable(self.asset)

    @property
    def _from_scratch(self) -> bool:
        return self.full_refresh and not self.asset.keeps_history

    def _existing(self, connection: duckdb.DuckDBPyConnection, strategy: str) -> dict[str, str]:
        """The columns of the table that this run continues, by lower-case name; else none."""
        if self._from_scratch or strategy == "create+replace":
            return {}
        if kind_of(connection, self.asset.name) != "table":
            return {}
        columns = described(connection, relation(self.asset.name))
        return {name.lower(): kind for name, kind in columns.items()}

    def _condition(
        self,
        connection: duckdb.DuckDBPyConnection,
        source: Source,
        strategy: str,
        existing: Mapping[str, str],
    ) -> str | None:
        """Which rows of the source to read, as SQL for PostgreSQL; None for all."""
        name = incremental_key_of(self.asset)
        key = source.column(name) if name else None
        if name is None or self._from_scratch:
            return None
        if key is None:
            names = ", ".join(column.name for column in source.columns)
            raise SourceError(
                f"{source.name} has no column '{name}' (incremental_key); it has {names}"
            )
        if strategy == "delete+insert":
            return within(key, self.interval) if self.interval else None
        table, kind = self.asset.name, existing.get(key.name.lower())
        if strategy == "append" and existing and kind is None:
            raise SourceError(f"{table} has no column '{key.name}' (incremental_key) to continue")
        if strategy == "append" and kind:
            return after_largest(connection, source, key, table, kind)
        if strategy == "merge" and kind and not _new_columns(source, existing):
            return from_largest(connection, key, table, kind, overlap_of(self.asset))
        return None


def _new_columns(source: Source, existing: Mapping[str, str]) -> bool:
    """Whether the table lacks a column. With a default it has a value in old rows too, which no
    watermark tells: the merge that adds it reads them all."""
    return any(column.name.lower() not in existing for column in source.columns)


def _wanted(asset: Asset, source: Source, existing: Mapping[str, str]) -> dict[str, str]:
    """The columns that arrive in the form of their declared type, or of the existing column's.

    So text is PostgreSQL's in every run, and a DOUBLE can take what a DECIMAL cannot.
    """
    declared = {column.name.lower(): known_type(column.type) for column in asset.columns}
    wanted = {}
    for column in source.columns:
        name = column.name.lower()
        kinds = {declared.get(name), existing.get(name)}
        if "VARCHAR" in kinds:
            wanted[column.name] = "VARCHAR"
        elif column.is_number and not column.is_array and kinds & {"DOUBLE", "FLOAT"}:
            wanted[column.name] = "DOUBLE"
    return wanted


def _with_keys(asset: Asset) -> Asset:
    """The asset with the keys of its parameters marked on its columns; its windows are exact."""
    keys = {key.lower(): key for key in primary_key_of(asset)}
    columns = [
        column.model_copy(update={"primary_key": keys.pop(column.name.lower(), None) is not None})
        for column in asset.columns
    ]
    columns += [Column(name=key, primary_key=True) for key in keys.values()]
    how = asset.materialization.model_copy(update={"time_granularity": None})
    return asset.model_copy(update={"columns": tuple(columns), "materialization": how})


def _names(asset: Asset, parameter: str) -> tuple[str, ...]:
    """A parameter that lists names, with commas or as a YAML list."""
    value = asset.parameters.get(parameter)
    names = value if isinstance(value, list | tuple) else str(value or "").split(",")
    return tuple(str(name).strip() for name in names if str(name).strip())
