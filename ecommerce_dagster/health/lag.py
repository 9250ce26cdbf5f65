"""How long changes of a source have waited to be loaded, as its sensor sees them.

A source does not tell when it changed. What changed since the sensor's last look has waited since
then at most; what a run was requested for, since the request.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import partial

import dagster as dg

from ecommerce_dagster.bruin.model.asset import Asset
from ecommerce_dagster.health.automation import Automation, automations
from ecommerce_dagster.health.connections import PATIENCE
from ecommerce_dagster.health.finding import Facts, Finding, Level, Part, Setup, ago, some
from ecommerce_dagster.orchestration.sensor_after_run import handed_over
from ecommerce_dagster.orchestration.sensor_cursor import Cursor
from ecommerce_dagster.orchestration.sensors import changes_name
from ecommerce_dagster.orchestration.watched_assets import watched_of
from ecommerce_dagster.runtime.environment import variables_for
from ecommerce_dagster.runtime.lint.watched import sources_on_postgres
from ecommerce_dagster.runtime.plain_names import resource_key
from ecommerce_dagster.sources.postgres.changes import Table, read_tables
from ecommerce_dagster.sources.postgres.describe import Source
from ecommerce_dagster.warehouses.postgres.connect import session

# Changes that wait for longer are a warning, and a problem.
_LATE, _TOO_LATE = 900.0, 3600.0


def lag_parts(setup: Setup) -> dict[str, Part]:
    """A part for each connection that a sensor watches."""
    return {
        f"lag {name}": partial(_lag, name, assets)
        for name, assets in sources_on_postgres(setup.project).items()
    }


def _lag(connection: str, assets: list[Asset], setup: Setup) -> Iterator[Finding]:
    """What waits to be loaded. Raises BruinError."""
    sensor = automations(setup).get(changes_name(setup.project, connection))
    cursor = _cursor(connection, sensor, setup)
    if setup.instance is None or sensor is None or cursor is None:
        yield _unknown(connection, "its sensor has not looked yet")
        return
    if connection in setup.at_rest | setup.away:
        yield _unknown(connection, "its server is not running, or does not answer")
        return
    seen = Cursor.read(cursor, setup.instance)
    tables, silent = _tables(connection, assets, setup)
    moved = [name for name, table in tables.items() if _has_moved(name, table, seen)]
    gone = [name for name, table in tables.items() if table is None]
    requested = _requested(seen, setup.instance)
    since = [at for at in requested if at is not None]
    since += [sensor.succeeded] if moved and sensor.succeeded else []
    waits = bool(moved or requested)
    seconds = setup.now - min(since) if since else None
    facts: Facts = {
        "seconds": seconds if waits else 0.0,
        "tables_changed": len(moved),
        "tables_gone": len(gone),
        "tables_unknown": len(silent),
        "runs_requested": len(requested),
    }
    level, text = _said(seconds, waits=waits, runs=sensor.runs)
    what = f"{text}: {some(sorted({*moved, *_asked(seen)}))}" if waits else text
    if gone:
        level, what = "problem", f"there is no source for {some(gone)}; {what}"
    unsaid = f"; {some(silent)} cannot tell" if silent else ""
    advice = f"See `ecommerce status`, and the ticks of {sensor.name} in Dagster"
    yield Finding("lag", connection, level, what + unsaid, advice if level != "ok" else "", facts)


def _cursor(connection: str, sensor: Automation | None, setup: Setup) -> str | None:
    """What the sensor goes on from at its next tick."""
    if sensor is None or setup.instance is None:
        return None
    key = resource_key(connection)
    return handed_over(setup.project, key, setup.instance, sensor.ticked) or sensor.cursor


def _said(seconds: float | None, *, waits: bool, runs: bool) -> tuple[Level, str]:
    """How bad it is that changes wait, if they do."""
    if not waits:
        return "ok", "all changes are loaded"
    if seconds is None:
        return "warning", "changes wait to be loaded, since when is not known"
    text = f"changes wait to be loaded for about {ago(seconds)}"
    if not runs:
        return "warning", f"{text}, the sensor is stopped"
    return ("problem" if seconds > _TOO_LATE else "warning" if seconds > _LATE else "ok"), text


def _unknown(connection: str, why: str) -> Finding:
    facts = {"seconds": None}
    return Finding("lag", connection, "ok", f"unknown: {why}", facts=facts)


def _tables(
    connection: str, assets: list[Asset], setup: Setup
) -> tuple[Mapping[str, Table | None], list[str]]:
    """The source of each asset as PostgreSQL counts it now, None for one that is gone; and the
    assets whose sources do not tell that they changed. Raises BruinError."""
    declared = setup.project.connections.get(connection)
    place = declared.postgres(variables_for(declared.path))
    watched, others = watched_of(setup.project, assets)
    sources = {each.name: Source(place, each.source_table) for each in watched}
    with session(place, PATIENCE) as postgres:
        found = read_tables(postgres, sources)
    silent = [name for name, table in found.items() if table.counters is None]
    return {name: found.get(name) for name in sources}, sorted([*silent, *others])


def _has_moved(name: str, table: Table | None, seen: Cursor) -> bool:
    counters = table.counters if table is not None else None
    return counters is not None and counters != seen.counters.get(name)


def _requested(seen: Cursor, instance: dg.DagsterInstance) -> list[float | None]:
    """When the runs were made that the sensor requested and that have not succeeded; None for one
    that Dagster does not know any more."""
    found: list[float | None] = []
    for key in seen.asked:
        filters = dg.RunsFilter(tags={"dagster/run_key": key})
        records = instance.get_run_records(filters, limit=1)
        if not records:
            found.append(None)
        elif records[0].dagster_run.status != dg.DagsterRunStatus.SUCCESS:
            found.append(records[0].create_timestamp.timestamp())
    return found


def _asked(seen: Cursor) -> set[str]:
    """The assets of the runs that were requested."""
    works = [asked.work for asked in seen.asked.values()]
    return {name for work in works for name in work.whole.union(*work.by_partition.values())}
