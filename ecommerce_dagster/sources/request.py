"""What one run of an ingestr asset asks of its source, whichever that is."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import replace
from datetime import datetime
from typing import Self

from ecommerce_dagster.bruin.model.asset import Asset, Column
from ecommerce_dagster.bruin.model.interval import Interval
from ecommerce_dagster.sources.masks import Mask, by_column
from ecommerce_dagster.sources.parameters import (
    compares_keys,
    excluded_of,
    incremental_key_of,
    is_reconcilable,
    overlap_of,
    primary_key_of,
    source_table_of,
    start_of,
    strategy_of,
)
from ecommerce_dagster.sources.selection import (
    Key,
    after_largest,
    from_largest,
    since,
    within,
)
from ecommerce_dagster.sql.column_names import renamed, table_names
from ecommerce_dagster.sql.identifiers import actual
from ecommerce_dagster.sql.load_result import LoadError
from ecommerce_dagster.sql.plan import WriteOptions
from ecommerce_dagster.warehouses.base import Target
from ecommerce_dagster.warehouses.sql_asset import AssetError


class Request:
    """One run of an ingestr asset. A subclass, which reads the source, has the fields.

    A full refresh takes what is not before the asset's `start_date`. Else
    replace takes everything; delete+insert the interval, or everything without one; merge the rows
    at or after the largest key that is loaded; append those after it. `reconcile` makes a merge
    compare all keys, also where a load does not do it by itself (see `compares`).
    """

    asset: Asset
    interval: Interval | None
    full_refresh: bool
    reconcile: bool
    # Whether the source is the same in every run.
    one_source = True
    # Whether a reconciling run reads keys alone, beside what is new; else it reads everything.
    reads_keys = False

    def failure(self, message: str) -> AssetError:
        path, line = self.asset.at("parameters", "source_table")
        return AssetError(f"{path}:{line}: {' '.join(message.split())}")

    def named(self, target: Target, columns: Collection[str]) -> tuple[Self, dict[str, str]]:
        """The request in the words of the asset's table, and the names that the columns of the
        source get there. Raises LoadError."""
        names = table_names(self.asset, columns, target.columns(self.asset.name))
        named = replace(self, asset=renamed(self.asset, names))  # type: ignore[type-var]  # subclasses are dataclasses
        return named, names

    @property
    def from_scratch(self) -> bool:
        return self.full_refresh and not self.asset.is_refresh_restricted

    @property
    def strategy(self) -> str:
        return strategy_of(self.asset)

    @property
    def source_table(self) -> str:
        """The source with the placeholders of `query:` sources filled in."""
        whole = self.from_scratch or self.reconciles
        return source_table_of(self.asset, None if whole else self.interval, self.first)

    @property
    def first(self) -> datetime | None:
        """Where a run that makes the table what a full refresh makes of it begins."""
        return start_of(self.asset) if self.from_scratch or self.reconciles else None

    def whole(self, key_called: Callable[[str], Key]) -> str | None:
        """The condition of all the rows that a full refresh takes; None for the whole source."""
        name, first = incremental_key_of(self.asset), start_of(self.asset)
        return since(key_called(name), first) if name and first else None

    @property
    def reconciles(self) -> bool:
        return self.reconcile and is_reconcilable(self.asset)

    @property
    def compares(self) -> bool:
        """Whether all keys are compared after the rows: what was missed comes, and what is gone
        from the source goes, unless the table keeps it."""
        return self.reconciles or (self.one_source and compares_keys(self.asset))

    def compared_rows(self, kinds: Mapping[str, str]) -> str | None:
        """The condition of the rows of the table, with columns of these types, that are compared;
        None for all. Unless the run reconciles, rows are left alone before the
        `start_date`: the first run may have loaded it."""
        name, first = incremental_key_of(self.asset), start_of(self.asset)
        if self.reconciles or name is None or first is None:
            return None
        kind = next(kind for column, kind in kinds.items() if column.lower() == name.lower())
        return since(Key.of_duckdb(actual(name, kinds), kind.upper()), first)

    @property
    def excluded(self) -> tuple[str, ...]:
        """Columns that are not loaded."""
        return excluded_of(self.asset)

    @property
    def masks(self) -> Mapping[str, Mask]:
        """The masks of columns, by their names in lower case."""
        return by_column(self.asset)

    @property
    def limit(self) -> int | None:
        """How many rows are loaded at most."""
        return int(self.asset.parameter("sql_limit") or 0) or None

    @property
    def keyed(self) -> Asset:
        """The asset with the keys of its parameters marked on its columns; its windows are
        exact."""
        asset = self.asset
        keys = {key.lower(): key for key in primary_key_of(asset)}
        columns = [
            column.model_copy(
                update={"primary_key": keys.pop(column.name.lower(), None) is not None}
            )
            for column in asset.columns
        ]
        columns += [Column(name=key, primary_key=True) for key in keys.values()]
        how = asset.materialization.model_copy(update={"time_granularity": None})
        return asset.model_copy(update={"columns": tuple(columns), "materialization": how})

    def condition(
        self,
        target: Target,
        columns: Collection[str],
        key_called: Callable[[str], Key],
        *,
        count: Callable[[str], int],
        now: Callable[[], str],
    ) -> str | None:
        """Which rows of the source to read, in its SQL; None for all.

        Of the source, which has these columns, `key_called` finds one, `count` tells how many of
        its rows meet a condition, and `now` the time by its clock. Raises LoadError when the table
        has no such column to continue from.
        """
        name, table = incremental_key_of(self.asset), self.asset.name
        if name is None:
            return None
        if self.from_scratch:
            return self.whole(key_called)
        key = key_called(name)
        if self.strategy == "delete+insert":
            return within(key, self.interval) if self.interval else None
        existing = target.columns(table)
        if self.strategy not in {"merge", "append"} or not existing:
            return None
        if self.strategy == "merge":
            if self.reconciles and not self.reads_keys:
                return self.whole(key_called)
            if _has_more(columns, existing):
                return None
            # A time that is yet to come tells nothing of what was loaded.
            until = now() if key.is_moment else None
            mark = target.watermark(table, key.name, key.infinities, until)
            return from_largest(key, table, mark, overlap_of(self.asset)) if mark else None
        mark = target.watermark(table, key.name, key.infinities)
        if mark is None:
            raise LoadError(
                f"{table} has no column '{key.name}' (incremental_key) to continue from; "
                "run once with --full-refresh to rebuild the table"
            )
        return after_largest(key, table, mark, count)

    def filling(self, condition: str | None) -> WriteOptions:
        """How the rows that meet the condition enter the table."""
        strategy = self.strategy
        if strategy == "delete+insert":
            windowed = condition and not self.from_scratch
            strategy = "time_interval" if windowed else "create+replace"
        return WriteOptions(
            strategy,
            window=self.interval,
            incremental_key=incremental_key_of(self.asset),
            full_refresh=self.full_refresh,
            update_all=True,
            complete=self.reconciles and not (self.reads_keys or self.limit),
        )


def _has_more(columns: Collection[str], existing: Collection[str]) -> bool:
    """Whether the table lacks a column. With a default it has a value in old rows too, which no
    watermark tells: the merge that adds it reads them all."""
    known = {name.lower() for name in existing}
    return any(name.lower() not in known for name in columns)
