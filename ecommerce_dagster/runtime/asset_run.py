"""One execution of one file: what was asked for, and which time it is about."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

from ecommerce_dagster.bruin.model.asset import Asset
from ecommerce_dagster.bruin.model.connections import DuckDBConnection
from ecommerce_dagster.bruin.model.durations import seconds_in
from ecommerce_dagster.bruin.model.interval import Interval, yesterday
from ecommerce_dagster.bruin.model.interval_modifiers import modified
from ecommerce_dagster.bruin.project import Project
from ecommerce_dagster.bruin.schema_prefix import own_tables, prefixed_asset, prefixed_sql
from ecommerce_dagster.bruin.templates.render import RenderError, RunContext, render_nested
from ecommerce_dagster.errors import BruinError
from ecommerce_dagster.runtime.git_commit import commit_of
from ecommerce_dagster.runtime.plain_names import resource_key
from ecommerce_dagster.runtime.run_info import RunInfo
from ecommerce_dagster.runtime.run_tags import (
    FULL_REFRESH_TAG,
    MODIFIERS_TAG,
    RECONCILE_TAG,
    RELATIONSHIPS_TAG,
    SENSOR_MODE_TAG,
    has_partition,
)
from ecommerce_dagster.runtime.schedule import is_partitioned
from ecommerce_dagster.runtime.sensor import Mode
from ecommerce_dagster.runtime.warehouses import WAREHOUSES
from ecommerce_dagster.sources.parameters import incremental_key_of
from ecommerce_dagster.sql.checks import Check, Rows, TimeUnit
from ecommerce_dagster.sql.column_names import snake_case
from ecommerce_dagster.sql.strategies.common import in_window
from ecommerce_dagster.warehouses.base import Warehouse
from ecommerce_dagster.warehouses.duckdb.locking import Locking, no_lock
from ecommerce_dagster.warehouses.ducklake.locking import LakeLocking
from ecommerce_dagster.warehouses.sql_asset import AssetError


@dataclass(frozen=True)
class AssetRun:
    """The asset of a project inside a run.

    `declared` is the asset as its file says; `asset` is what is built in this environment, where
    schemas may have a prefix. `interval` is the time that the run covers, None when no dates were
    given; `whole_range` is then what an asset that is rebuilt by intervals is rebuilt over. `unit`
    (minute, hour or day) is the largest that is whole in its partitions. `own` are the tables of
    the project that are read with the environment's prefix.
    """

    project: Project
    declared: Asset
    asset: Asset
    info: RunInfo
    interval: Interval | None = None
    whole_range: Interval | None = None
    unit: str = "day"
    own: frozenset[str] = frozenset()

    def resource(self, connection: str) -> Any:
        """The database of a connection of `.bruin.yml`. Raises UnusableConnection for another."""
        self.project.connections.get(connection)
        return self.info.database(resource_key(connection))

    @classmethod
    def of(
        cls,
        project: Project,
        asset: Asset,
        info: RunInfo,
        interval: Interval | None,
        whole_range: Interval | None,
        own: Collection[str] | None = None,
    ) -> AssetRun:
        """The run of an asset, with the templates in its parameters rendered. Raises AssetError for
        a template that cannot be rendered.

        `own` are the tables that the environment has; its database tells them, if they are not
        given.
        """
        run = cls(project, asset, asset, info, interval, whole_range)
        found = frozenset(run._own_tables() if own is None else own) | {asset.name}
        built = prefixed_asset(asset, project.connections.schema_prefix, found)
        run = replace(run, asset=built, own=found)
        try:
            parameters = render_nested(asset.parameters, run.render)
        except RenderError as error:
            message = f"a template in 'parameters': {error}"
            raise AssetError(f"{asset.path}:{asset.line}: {message}") from None
        return replace(run, asset=run.asset.model_copy(update={"parameters": parameters}))

    def _own_tables(self) -> Collection[str]:
        """All tables of the project that are there under the name of this environment."""
        project, name = self.project, self.project.connection_name(self.declared)
        found, prefix = project.connections.by_name.get(name), project.connections.schema_prefix
        if not prefix or found is None or found.platform not in WAREHOUSES:
            return project.by_name
        try:
            return own_tables(project.by_name, prefix, self.warehouse.tables())
        except BruinError:
            return project.by_name  # the build tells what is wrong with the database

    @property
    def warehouse(self) -> Warehouse:
        """The database that holds the asset's table."""
        return self.warehouse_called(self.project.connection_name(self.asset))

    def warehouse_called(self, name: str) -> Warehouse:
        """The database of a connection of `.bruin.yml`."""
        return WAREHOUSES[self.project.connections.get(name).platform].open(self, name)

    def place_called(self, name: str) -> DuckDBConnection:
        """Where the DuckDB of a connection of `.bruin.yml` is."""
        resource = self.resource(name)
        # One that a user of dagster-duckdb put in place has its path and nothing more.
        place = getattr(resource, "place", None)
        return place() if place is not None else DuckDBConnection(resource.database)

    def locking_of(self, name: str) -> Locking:
        """Among all that build in the DuckDB of a connection. A snapshot of a DuckLake says which
        run it is of, and which partition."""
        lakehouse = self.place_called(name).lakehouse
        if lakehouse is None:
            return no_lock
        about = {"run_id": self.info.run_id, "pipeline": self.project.pipeline.name}
        if self.interval is not None and is_partitioned(self.asset):
            about["interval"] = str(self.interval)
        window = self.window if self.fills_partitions else None
        return LakeLocking(lakehouse, about, window, self.info.on_wait)

    @property
    def views(self) -> list[str]:
        """The views of the pipeline, as they are called in this environment."""
        project = self.project
        views = (asset for asset in project.assets if asset.materialization.type == "view")
        prefix = project.connections.schema_prefix
        return [prefixed_asset(asset, prefix, project.by_name).name for asset in views]

    @property
    def tags(self) -> Mapping[str, str]:
        return self.info.tags

    @property
    def full_refresh(self) -> bool:
        wanted = self.tags.get(FULL_REFRESH_TAG, "").lower() == "true"
        return wanted and not self.project.connections.full_refresh_restricted

    @property
    def reconcile(self) -> bool:
        """Whether the keys of a merged table are to be compared with those of its source.

        Raises AssetError when the source is another one for each interval.
        """
        if self.tags.get(RECONCILE_TAG, "").lower() != "true":
            return False
        if not self.has_one_source:
            path, line = self.declared.at("parameters", "source_table")
            raise AssetError(
                f"{path}:{line}: source_table is another query for each interval, so that its rows "
                "cannot be reconciled; write :interval_start and :interval_end instead"
            )
        return True

    @property
    def has_one_source(self) -> bool:
        """Whether `source_table` is the same in every run, whatever that is about."""
        source = self.declared.parameter("source_table")
        always = replace(self.template_context, execution_date=None)
        others = (yesterday(), Interval(datetime(1970, 1, 1), datetime(1971, 1, 1)))
        contexts = (
            replace(always, interval=interval, full_refresh=full_refresh)
            for interval in others
            for full_refresh in (False, True)
        )
        return len({self.project.render(source, c, self.asset) for c in contexts}) == 1

    @property
    def sensor_mode(self) -> Mode:
        """What an asset that waits does; the default is to wait."""
        match self.tags.get(SENSOR_MODE_TAG):
            case "once":
                return "once"
            case "skip":
                return "skip"
        return "wait"

    @property
    def window(self) -> Interval | None:
        """What templates see and what strategies replace.

        Without dates, an asset that is rebuilt by intervals is rebuilt over all of them: it then
        agrees with its source, which is loaded whole. A table whose days are replaced is about
        whole days: a query that returned part of one would lose the rest.
        """
        if self.rebuilds:
            return self.whole_range
        found = self._modified(self.interval)
        return found.whole_days() if found and self._replaces_days else found

    @property
    def _replaces_days(self) -> bool:
        """Whether the days of a window are replaced, not its moments."""
        asset = self.asset
        by_day = asset.materialization.time_granularity == "date"
        return by_day and asset.type != "ingestr" and is_partitioned(asset)

    @property
    def source_window(self) -> Interval | None:
        """What is read of a source: the interval, widened as the file says; None for all."""
        return self._modified(self.interval) if self.interval else None

    def _modified(self, interval: Interval | None) -> Interval | None:
        """The interval, widened as the file says. A full refresh and those who say so do not."""
        how = self.asset.interval_modifiers
        ignored = self.full_refresh or self.tags.get(MODIFIERS_TAG) == "false"
        if ignored or not (how.start or how.end):
            return interval
        context = RunContext(interval=interval, variables=self.project.variables)
        start, end = (
            self.project.render(text, context, self.asset) for text in (how.start, how.end)
        )
        try:
            return modified(interval or yesterday(), start, end)
        except ValueError as error:
            raise AssetError(f"{how.path}:{how.line}: {error}") from None

    @property
    def timeout(self) -> float | None:
        """How many seconds the asset may take."""
        return seconds_in(self.asset.timeout) if self.asset.timeout else None

    @property
    def rebuilds(self) -> bool:
        """Whether an asset that is rebuilt by intervals is rebuilt whole: no dates were given."""
        return self.interval is None and self.whole_range is not None

    @property
    def fills_partitions(self) -> bool:
        """Whether the run fills partitions of the asset, and nothing beside them."""
        by_time = is_partitioned(self.asset) and self.interval is not None
        return by_time and has_partition(self.tags) and not self.full_refresh

    @property
    def template_context(self) -> RunContext:
        """What templates of the asset can know."""
        return RunContext(
            interval=self.window,
            full_refresh=self.full_refresh or self.rebuilds,
            run_id=self.info.run_id,
            pipeline=self.project.pipeline.name,
            variables=self.project.variables,
            schema_prefix=self.project.connections.schema_prefix,
            commit_hash=commit_of(self.project.directory),
            execution_date=datetime.now(UTC),
        )

    def render(self, template: str) -> str:
        """A template of the asset, over the tables of this environment. Raises RenderError."""
        text = self.project.render(template, self.template_context, self.asset)
        return prefixed_sql(text, self.project.connections.schema_prefix, self.own)

    def here(self, check: Check) -> Check:
        """A check over the tables of this environment."""
        columns = {column.name: column for column in self.asset.columns}
        column, check = check.column, replace(check, by_time=self._by_time)
        if column is None:
            return check
        whole = check.rule.name == "unique" or self._may_lack_parents(check)
        return replace(
            check,
            column=columns.get(column.name, column),
            among=None if whole else self.written_rows,
        )

    @property
    def _by_time(self) -> TimeUnit | None:
        """What dates rows in messages; no column whose values are masked."""
        key = incremental_key_of(self.asset)
        is_shown = key and key.lower() not in self.asset.masked
        return TimeUnit(key, self.unit) if key and is_shown else None

    def _may_lack_parents(self, check: Check) -> bool:
        """Whether rows that the run does not write may have lost what they refer to: the table that
        they refer to is built in the same run, and rows of it may be gone."""
        key = check.column.foreign_key if check.column else None
        if check.rule.name != "relationships" or key is None:
            return False
        wanted = self.tags.get(RELATIONSHIPS_TAG)
        if wanted in {"all", "written"}:
            return wanted == "all"
        return self.info.is_selected(key.table)

    @property
    def written_rows(self) -> Rows | None:
        """The rows that a run over partitions can have written; None when that may be all."""
        window, key = self.window, incremental_key_of(self.asset)
        if not self.fills_partitions or window is None or key is None:
            return None
        if self.asset.type == "ingestr" and snake_case(key) != key:
            return None  # what the table calls it is not known here
        inside = in_window(key, window, by_date=self._replaces_days)
        return Rows(inside, f"{window} by {key}")
