"""A sensor on new Postgres data: it requests the partitions that changed, and what is below them.

A tick costs the same whatever the tables hold, unless something changed. While a run that was
requested has not started, changes add up and are requested together after it; a run that failed is
requested again with the next change, and on its own after a while.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import dagster as dg

from ecommerce_dagster.bruin.connections import PostgresConnection, UnusableConnection
from ecommerce_dagster.bruin.models import Asset
from ecommerce_dagster.bruin.project import Project
from ecommerce_dagster.ingestion.changes import Counters, differing, look, marks
from ecommerce_dagster.ingestion.parameters import incremental_key_of
from ecommerce_dagster.ingestion.postgres import SourceError
from ecommerce_dagster.orchestration.asset_types import unsupported
from ecommerce_dagster.orchestration.names import asset_key, resource_key, slug
from ecommerce_dagster.orchestration.partitions import RECONCILE_TAG, is_partitioned, unit_of
from ecommerce_dagster.orchestration.run_requests import Work, runs_for
from ecommerce_dagster.orchestration.sensor_cursor import Asked, Cursor
from ecommerce_dagster.orchestration.shared_partitions import SharedPartitions

_SECONDS_BETWEEN_TICKS = 10
_NOT_STARTED = {
    dg.DagsterRunStatus.NOT_STARTED,
    dg.DagsterRunStatus.QUEUED,
    dg.DagsterRunStatus.STARTING,
}
# A failed run is requested again after so many seconds, twice as many the next time, and so on.
_FIRST_RETRY, _LAST_RETRY = 60, 3600


def sensors_of(
    project: Project, shared: SharedPartitions, status: dg.DefaultSensorStatus
) -> list[dg.SensorDefinition]:
    """One sensor for each Postgres connection that assets are loaded from, and one that rebuilds
    the assets with `meta: {automation: eager}`."""
    watched: dict[str, list[Asset]] = {}
    for asset in project.assets:
        connection = asset.parameter("source_connection")
        by_name = project.connections.by_name
        if asset.type == "ingestr" and unsupported(project, asset) is None:
            known = by_name.get(connection)
            is_table = not asset.parameter("source_table").startswith("query:")
            if known is not None and known.platform == "postgres" and is_table:
                watched.setdefault(connection, []).append(asset)
    sensors = [_sensor(project, shared, name, assets, status) for name, assets in watched.items()]
    eager = [asset for asset in project.assets if asset.meta.get("automation") == "eager"]
    if eager:
        sensors.append(_automation(project, eager, status))
    return sensors


def _automation(
    project: Project, eager: Sequence[Asset], status: dg.DefaultSensorStatus
) -> dg.SensorDefinition:
    return dg.AutomationConditionSensorDefinition(
        f"{slug(project.pipeline.name)}_automation",
        target=dg.AssetSelection.assets(*(asset_key(asset.name) for asset in eager)),
        default_status=status,
        description="Rebuilds assets with `automation: eager` when something above them changed.",
    )


def _sensor(
    project: Project,
    shared: SharedPartitions,
    connection: str,
    watched: Sequence[Asset],
    status: dg.DefaultSensorStatus,
) -> dg.SensorDefinition:
    resource = resource_key(connection)
    name = f"{slug(project.pipeline.name)}_{resource}_changes"
    runnable = [asset for asset in project.assets if unsupported(project, asset) is None]

    def tick(context: dg.SensorEvaluationContext) -> dg.SensorResult | dg.SkipReason:
        source = getattr(context.resources, resource)
        try:
            return _tick(project, shared, watched, source.settings(), context)
        except (SourceError, UnusableConnection) as error:
            return dg.SkipReason(str(error))

    return dg.SensorDefinition(
        name=name,
        evaluation_fn=tick,
        asset_selection=dg.AssetSelection.assets(*(asset_key(a.name) for a in runnable)),
        minimum_interval_seconds=_SECONDS_BETWEEN_TICKS,
        description=f"Loads what changed in {connection}, and rebuilds what is below it.",
        default_status=status,
        required_resource_keys={resource},
    )


def _tick(
    project: Project,
    shared: SharedPartitions,
    watched: Sequence[Asset],
    connection: PostgresConnection,
    context: dg.SensorEvaluationContext,
) -> dg.SensorResult | dg.SkipReason:
    instance = context.instance
    source = f"{project.connections.environment} {connection.address}"
    cursor = Cursor.read(context.cursor, source, instance)
    asked = _Ended.of(instance, cursor)
    if asked.waiting:
        return dg.SkipReason(
            "a run that was requested has not started; what changes now is requested after it"
        )
    tables = {asset.name: _table(asset, connection.schema) for asset in watched}
    now = look(connection, tables.values())
    moved = [a for a in watched if now.get(tables[a.name]) != cursor.counters.get(tables[a.name])]
    again = asked.failed if moved else asked.due
    if not moved and not again:
        return dg.SensorResult(skip_reason="nothing changed", cursor=cursor.text())
    work = Work()
    for asset in moved:
        work.add(_changes(shared, asset, tables[asset.name], now, connection, cursor))
    cursor.counters = now
    return _requested(project, shared, cursor, work, again, instance)


def _requested(
    project: Project,
    shared: SharedPartitions,
    cursor: Cursor,
    work: Work,
    again: Mapping[str, Asked],
    instance: dg.DagsterInstance,
) -> dg.SensorResult:
    """The run requests for some work, together with what failed; the cursor remembers them."""
    for asked in again.values():
        work.add(asked.work)
    failures = max((asked.failures + 1 for asked in again.values()), default=0)
    cursor.asked = {key: asked for key, asked in cursor.asked.items() if key not in again}
    requests = []
    for run in runs_for(project, shared, work):
        # The same for the same state of the source, so that Dagster starts no run twice.
        key = ":".join(filter(None, [cursor.id, _digest(cursor), run.name, str(failures or "")]))
        cursor.asked[key] = Asked(run.share, failures)
        requests.append(run.request(key))
    text = cursor.write(instance)
    if not requests:
        return dg.SensorResult(skip_reason="no row changed", cursor=text)
    return dg.SensorResult(run_requests=requests, cursor=text)


def _table(asset: Asset, schema: str) -> str:
    table = asset.parameter("source_table")
    return table if "." in table else f"{schema}.{table}"


def _changes(
    shared: SharedPartitions,
    asset: Asset,
    table: str,
    now: Mapping[str, Counters],
    connection: PostgresConnection,
    cursor: Cursor,
) -> Work:
    """What of an asset is out of date. The cursor remembers its rows as they are now."""
    windows, column = shared.windows, incremental_key_of(asset)
    before, old = cursor.counters.get(table), cursor.marks.get(asset.name, {})
    by_time = is_partitioned(asset) and asset.name in shared.assets
    if windows is None or column is None or not by_time:
        new = marks(connection, table) if table in now else {}
        cursor.marks[asset.name] = new
        if not differing(old, new):
            return Work()
        # A merge sees rows that come and change; for those that are gone it has to be told.
        gone = before is None or table not in now or before[2:] != now[table][2:]
        return Work(whole={asset.name}, tags={RECONCILE_TAG: "true"} if gone else {})
    found = marks(connection, table, column, unit_of(windows)) if table in now else {}
    keys = {at: windows.get_partition_key_for_timestamp(at.timestamp()) for at in {*found, *old}}
    # What is before the first partition is none of ours, what is after the current one not yet.
    new = {at: mark for at, mark in found.items() if windows.has_partition_key(keys[at])}
    cursor.marks[asset.name] = new
    work = Work()
    for at in differing(old, new):
        work.by_partition[keys[at]].add(asset.name)
    return work


def _digest(cursor: Cursor) -> str:
    return hashlib.sha256(json.dumps(sorted(cursor.counters.items())).encode()).hexdigest()[:12]


@dataclass
class _Ended:
    """How the runs fare that were requested: whether one has yet to start, which failed, and which
    of these are due to be tried again although nothing changed. What succeeded is forgotten."""

    waiting: bool = False
    failed: dict[str, Asked] = field(default_factory=dict)
    due: dict[str, Asked] = field(default_factory=dict)

    @classmethod
    def of(cls, instance: dg.DagsterInstance, cursor: Cursor) -> _Ended:
        found = cls()
        for key, asked in list(cursor.asked.items()):
            records = instance.get_run_records(
                dg.RunsFilter(tags={"dagster/run_key": key}), limit=1
            )
            status = records[0].dagster_run.status if records else dg.DagsterRunStatus.FAILURE
            if status == dg.DagsterRunStatus.SUCCESS:
                del cursor.asked[key]
            elif status in _NOT_STARTED:
                found.waiting = True
            elif status in {dg.DagsterRunStatus.FAILURE, dg.DagsterRunStatus.CANCELED}:
                found.failed[key] = asked
                ended = (records[0].end_time or 0.0) if records else 0.0
                patience = min(_FIRST_RETRY * 2**asked.failures, _LAST_RETRY)
                # A person who cancels a run has a reason, as long as nothing changes.
                if status != dg.DagsterRunStatus.CANCELED and time.time() >= ended + patience:
                    found.due[key] = asked
        return found
