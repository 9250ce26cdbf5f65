"""`ecommerce render`: the SQL of one asset, as a run would execute it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from ecommerce_dagster.bruin.project import Project
from ecommerce_dagster.cli.run import RunRequest, run_tags
from ecommerce_dagster.cli.selection import asset_called
from ecommerce_dagster.cli.workspace import interval_of
from ecommerce_dagster.orchestration.run_info import rendering
from ecommerce_dagster.runtime.render import Rendering


def render_asset(
    project: Project,
    name: str,
    *,
    start_date: str | None,
    end_date: str | None,
    full_refresh: bool,
    apply_interval_modifiers: bool,
    output: str,
) -> None:
    """Print the statements for one asset. Raises SelectionError, AssetError."""
    interval = interval_of(start_date, end_date)
    asset = asset_called(project, name)
    request = RunRequest(
        interval=interval, full_refresh=full_refresh, apply_modifiers=apply_interval_modifiers
    )
    shown = rendering(project, asset, run_tags(project, [asset.name], request))
    if output == "json":
        found = _as_json(shown, project.connection_name(asset))
        print(json.dumps(found, indent=2, ensure_ascii=False))
    else:
        print("\n\n".join(_as_text(shown)))


def _as_json(rendering: Rendering, connection: str) -> dict[str, Any]:
    asset, interval = rendering.asset, rendering.interval
    return {
        "asset": asset.name,
        "type": asset.type,
        "connection": connection,
        "interval": {"start": interval.start.isoformat(), "end": interval.last.isoformat()},
        "statements": list(rendering.statements),
        "first_run": None if rendering.first_run is None else list(rendering.first_run),
        "checks": [
            {"id": check.id, "blocking": check.blocking, "sql": sql}
            for check, sql in rendering.checks
        ],
        "notes": list(rendering.notes),
    }


def _as_text(rendering: Rendering) -> Iterator[str]:
    """A script with comments."""
    asset = rendering.asset
    title = [f"-- {asset.name} ({asset.type}), {rendering.interval}"]
    if asset.type == "pg.sql":
        title.append("-- All of it is one transaction: a temporary table ends with it.")
    yield "\n".join(title + [f"-- {note}" for note in rendering.notes])
    yield from map(_terminated, rendering.statements)
    if rendering.checks:
        yield "-- Checks, before the commit: the number of rows that fail, or the check's query."
    for check, sql in rendering.checks:
        yield f"-- {check.id}{'' if check.blocking else ' (only warns)'}\n{_terminated(sql)}"
    if rendering.first_run is not None:
        yield "-- When the table does not exist yet, a run does this instead, with the same checks."
        yield from map(_terminated, rendering.first_run)


def _terminated(sql: str) -> str:
    """With a `;` that no comment swallows."""
    sql = sql.rstrip().rstrip(";")
    return f"{sql}\n;" if "--" in sql.rpartition("\n")[2] else f"{sql};"
