"""Which sources a sensor can watch: those on PostgreSQL that are the same in every run."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from ecommerce_dagster.bruin.model.asset import Asset
from ecommerce_dagster.bruin.model.interval import Interval, yesterday
from ecommerce_dagster.bruin.problems import ProblemLog
from ecommerce_dagster.bruin.project import Project
from ecommerce_dagster.bruin.templates.render import RenderError, RunContext, render_nested
from ecommerce_dagster.runtime.asset_types import unsupported

_LONG_AGO = datetime(1970, 1, 1, tzinfo=UTC)


def lint_watched(project: Project, log: ProblemLog) -> None:
    """Report sources that the sensor cannot watch."""
    for assets in sources_on_postgres(project).values():
        for asset in assets:
            try:
                with_parameters_rendered(project, asset)
            except ValueError as why:
                message = f"the sensor does not watch the source of '{asset.name}': {why}"
                at = asset.at("parameters", "source_table")
                log.warning(*at, "watched-source", message)


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


def with_parameters_rendered(project: Project, asset: Asset) -> Asset:
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
