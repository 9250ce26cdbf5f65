"""Which assets the sensor on a connection watches, and what it needs to know of each."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import dagster as dg

from ecommerce_dagster.bruin.model.asset import Asset
from ecommerce_dagster.bruin.model.connections import UnusableConnection
from ecommerce_dagster.bruin.project import Project
from ecommerce_dagster.orchestration.shared_partitions import SharedPartitions
from ecommerce_dagster.runtime.environment import variables_for
from ecommerce_dagster.runtime.lint.watched import with_parameters_rendered
from ecommerce_dagster.sources.known_parameters import QUERY
from ecommerce_dagster.sources.parameters import (
    incremental_key_of,
    is_windowed,
    primary_key_of,
    source_table_of,
    strategy_of,
)


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


def watched_of(
    project: Project, assets: Iterable[Asset], shared: SharedPartitions | None = None
) -> tuple[list[Watched], dict[str, str]]:
    """The assets that can be watched; the names of the others, and why each cannot."""
    watched, others = [], {}
    for asset in assets:
        try:
            rendered = with_parameters_rendered(project, asset)
        except ValueError as error:
            others[asset.name] = str(error)
            continue
        by_time = shared is not None and is_windowed(rendered) and asset.name in shared.assets
        windows = shared.windows if shared is not None and by_time else None
        watched.append(Watched(project, rendered, windows))
    return watched, others
