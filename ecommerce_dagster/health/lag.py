"""For how long changes of a source have not been loaded, as the sensor on it would tell.

A source does not tell when it changed. What changed since the sensor's last look has waited since
then at most; what a run was requested for, since the request.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import partial

import dagster as dg

from ecommerce_dagster.bruin.model.asset import Asset
from ecommerce_dagster.errors import BruinError
from ecommerce_dagster.health.automation import automations
from ecommerce_dagster.health.connections import PATIENCE
from ecommerce_dagster.health.finding import Finding, Level, Part, Setup, ago
from ecommerce_dagster.orchestration.handover import handed_over
from ecommerce_dagster.orchestration.sensor_cursor import Cursor
from ecommerce_dagster.orchestration.sensors import changes_name
from ecommerce_dagster.orchestration.watched import watched_of
from ecommerce_dagster.runtime.environment import variables_for
from ecommerce_dagster.runtime.lint.watched import sources_on_postgres
from ecommerce_dagster.runtime.names import resource_key
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
    sensor = automations(setup).get(changes_name(setup.project, connection))
    if setup.instance is None or sensor is None:
        yield _unknown(connection, "its sensor has not looked yet")
        return
    if connection in setup.at_rest:
        yield _unknown(connection, "its local server is not running")
        return
    key = resource_key(connection)
    cursor = handed_over(setup.project, key, setup.instance, sensor.ticked) or sensor.cursor
    seen = Cursor.read(cursor, setup.instance)
    try:
        tables = _tables(connection, assets, setup)
    except BruinError:
        yield _unknown(connection, "the source cannot be asked")
        return
    moved = [n for n, table in tables.items() if _has_moved(n, table, seen)]
    silent = [n for n, table in tables.items() if table is not None and table.counters is None]
    since = [_requested_at(key, setup.instance) for key in seen.asked]
    waiting = [at for at in since if at is not None]
    waiting += [sensor.succeeded] if moved and sensor.succeeded else []
    facts: dict[str, str | float | None] = {
        "seconds": 0.0,
        "tables_changed": len(moved),
        "runs_requested": len(waiting) - bool(moved and sensor.succeeded),
        "tables_unknown": len(silent),
    }
    unsaid = f"; {', '.join(silent)} do not tell" if silent else ""
    if not waiting and not moved:
        yield Finding("lag", connection, "ok", f"all changes are loaded{unsaid}", facts=facts)
        return
    seconds = setup.now - min(waiting) if waiting else None
    facts["seconds"] = seconds
    long = "for a time that nobody knows" if seconds is None else f"for {ago(seconds)} at most"
    text = f"changes wait to be loaded {long}: {_what(moved, seen)}{unsaid}"
    advice = f"See why in `ecommerce status`, and the ticks of {sensor.name}"
    level = _level(seconds, runs=sensor.runs)
    yield Finding("lag", connection, level, text, advice if level != "ok" else "", facts)


def _unknown(connection: str, why: str) -> Finding:
    facts = {"seconds": None}
    return Finding("lag", connection, "ok", f"unknown: {why}", facts=facts)


def _tables(connection: str, assets: list[Asset], setup: Setup) -> Mapping[str, Table | None]:
    """The source of each asset that the sensor watches, as PostgreSQL counts it now. Raises
    BruinError."""
    declared = setup.project.connections.get(connection)
    place = declared.postgres(variables_for(declared.path))
    watched, _ = watched_of(setup.project, assets)
    sources = {each.name: Source(place, each.source_table) for each in watched}
    with session(place, PATIENCE) as postgres:
        found = read_tables(postgres, sources)
    return {name: found.get(name) for name in sources}


def _has_moved(name: str, table: Table | None, seen: Cursor) -> bool:
    if table is None:
        return False  # the sensor says that it is gone
    return table.counters is not None and table.counters != seen.counters.get(name)


def _requested_at(key: str, instance: dg.DagsterInstance) -> float | None:
    """When a run that the sensor requested was made; None once it has succeeded."""
    records = instance.get_run_records(dg.RunsFilter(tags={"dagster/run_key": key}), limit=1)
    if not records or records[0].dagster_run.status == dg.DagsterRunStatus.SUCCESS:
        return None
    return records[0].create_timestamp.timestamp()


def _what(moved: list[str], seen: Cursor) -> str:
    asked = {name for each in seen.asked.values() for name in each.work.whole}
    for each in seen.asked.values():
        asked.update(*each.work.by_partition.values())
    names = sorted({*moved, *asked})
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")


def _level(seconds: float | None, *, runs: bool) -> Level:
    if seconds is None or not runs:
        return "warning"
    return "problem" if seconds > _TOO_LATE else "warning" if seconds > _LATE else "ok"
