"""Which assets the sensor on a connection watches, and what it needs to know of each."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cached_property
from typing import TYPE_CHECKING, Any

from ecommerce_dagster.bruin.model.asset import Asset
from ecommerce_dagster.bruin.model.connections import UnusableConnection
from ecommerce_dagster.bruin.model.interval import Interval, yesterday
from ecommerce_dagster.bruin.problems import ProblemLog
from ecommerce_dagster.bruin.project import Project
from ecommerce_dagster.bruin.templates.render import RenderError, RunContext, render_nested
from ecommerce_dagster.runtime.asset_types import unsupported
from ecommerce_dagster.runtime.environment import variables_for
from ecommerce_dagster.sources.parameters import (
    incremental_key_of,
    is_windowed,
    primary_key_of,
    source_table_of,
    strategy_of,
)
from ecommerce_dagster.sources.postgres.describe import QUERY

if TYPE_CHECKING:
    # Those who only read the files do without Dagster.
    import dagster as dg

    from ecommerce_dagster.orchestration.shared_partitions import SharedPartitions


@dataclass(frozen=True)
class Watched:
    """An asset whose source is watched, the templates in its parameters rendered; `windows` are its
    partitions, if it is rebuilt by them."""

    project: Project
    asset: Asset
    windows: dg.TimeWindowPartitionsDefinition | None = None

    @property
    def name(self) -> str:
        return self.asset.name

    @property
    def source_table(self) -> str:
        """The source, with all of its rows."""
        return source_table_of(self.asset, None)

    @property
    def is_query(self) -> bool:
        return self.source_table.startswith(QUERY)

    @property
    def key(self) -> str | None:
        """The time of its rows, if it is rebuilt by partitions."""
        return incremental_key_of(self.asset) if self.windows else None

    @cached_property
    def made_for(self) -> str:
        """Changes when what was seen of the source says nothing about the table any more."""
        facts: list[Any] = [
            self.source_table,
            self.key,
            [self.windows.cron_schedule, self.windows.timezone] if self.windows else None,
            strategy_of(self.asset),
            primary_key_of(self.asset),
            self.project.connections.environment,
            self.project.connections.schema_prefix,
            self._destination,
        ]
        return hashlib.sha256(json.dumps(facts).encode()).hexdigest()[:12]

    @property
    def _destination(self) -> list[str]:
        """Where the database of its table is."""
        connections = self.project.connections
        found = connections.by_name.get(self.project.connection_name(self.asset))
        if found is None:
            return []
        settings = found.settings
        with suppress(UnusableConnection):
            settings = found.expanded(variables_for(found.path))
        return [str(settings.get(name)) for name in ("path", "host", "port", "database", "schema")]


def sources_on_postgres(project: Project) -> dict[str, list[Asset]]:
    """The assets that are loaded from each Postgres connection."""
    found: dict[str, list[Asset]] = {}
    for asset in project.assets:
        connection = asset.parameter("source_connection")
        known = project.connections.by_name.get(connection)
        is_loaded = asset.type == "ingestr" and unsupported(project, asset) is None
        if is_loaded and known is not None and known.platform == "postgres":
            found.setdefault(connection, []).append(asset)
    return found


def watched_of(
    project: Project, assets: Iterable[Asset], shared: SharedPartitions | None = None
) -> tuple[list[Watched], dict[str, str]]:
    """The assets that can be watched; the names of the others, and why each cannot."""
    watched, others = [], {}
    for asset in assets:
        try:
            rendered = _rendered(project, asset)
        except ValueError as error:
            others[asset.name] = str(error)
            continue
        by_time = shared is not None and is_windowed(rendered) and asset.name in shared.assets
        windows = shared.windows if shared is not None and by_time else None
        watched.append(Watched(project, rendered, windows))
    return watched, others


def lint_watched(project: Project, log: ProblemLog) -> None:
    """Report sources that the sensor cannot watch."""
    for assets in sources_on_postgres(project).values():
        _, others = watched_of(project, assets)
        for name, why in others.items():
            message = f"the sensor does not watch the source of '{name}': {why}"
            at = project.by_name[name].at("parameters", "source_table")
            log.warning(*at, "watched-source", message)


def _rendered(project: Project, asset: Asset) -> Asset:
    """The asset as runs have it. Raises ValueError when that differs from run to run."""
    first, second = (
        _parameters(project, asset, interval)
        for interval in (yesterday(), Interval(_LONG_AGO, _LONG_AGO + timedelta(days=1)))
    )
    if first != second:
        raise ValueError(
            "its parameters are others for each interval; write :interval_start and "
            ":interval_end in a query instead"
        )
    return asset.model_copy(update={"parameters": first})


_LONG_AGO = datetime(1970, 1, 1, tzinfo=UTC)


def _parameters(project: Project, asset: Asset, interval: Interval) -> Any:
    context = RunContext(
        interval=interval,
        pipeline=project.pipeline.name,
        variables=project.variables,
        schema_prefix=project.connections.schema_prefix,
        execution_date=interval.end,
    )
    try:
        return render_nested(asset.parameters, lambda t: project.render(t, context, asset))
    except RenderError as error:
        raise ValueError(
            f"a template in its parameters cannot be rendered ({error}); correct the template"
        ) from None
