"""A sensor on new Postgres data: it requests the partitions that changed, and what is below them.

Its cursor holds what it saw last, and the requests whose runs have not succeeded: their partitions
are part of the next request, so that a failed run loses no change.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import dagster as dg

from ecommerce_dagster.bruin.connections import UnusableConnection
from ecommerce_dagster.bruin.models import Asset
from ecommerce_dagster.bruin.project import Project
from ecommerce_dagster.ingestion.changes import Snapshot, look, periods
from ecommerce_dagster.ingestion.ingest import incremental_key_of
from ecommerce_dagster.ingestion.postgres import SourceError
from ecommerce_dagster.orchestration.asset_types import unsupported
from ecommerce_dagster.orchestration.names import asset_key, resource_key, slug
from ecommerce_dagster.orchestration.partitions import (
    RANGE_END_TAG,
    RANGE_START_TAG,
    cron_of,
    is_partitioned,
    partitions_of,
)

_SECONDS_BETWEEN_TICKS = 30


@dataclass
class _Request:
    """Assets to bring up to date, and the partitions for those that have some."""

    assets: set[str] = field(default_factory=set)
    partitions: set[str] = field(default_factory=set)

    def add(self, other: _Request) -> None:
        self.assets |= other.assets
        self.partitions |= other.partitions


@dataclass
class _Cursor:
    """What the sensor remembers from tick to tick."""

    seen: Snapshot = field(default_factory=Snapshot)
    rows: dict[str, dict[datetime, int]] = field(default_factory=dict)
    open: dict[str, _Request] = field(default_factory=dict)

    @classmethod
    def read(cls, text: str | None) -> _Cursor:
        """The cursor of the last tick; a new one when there is none, or none that can be read."""
        try:
            data = json.loads(text or "{}")
            counters = {name: tuple(numbers) for name, numbers in data["counters"].items()}
            rows = {
                name: {datetime.fromtimestamp(int(at), UTC): n for at, n in counts.items()}
                for name, counts in data["rows"].items()
            }
            waiting = {
                key: _Request(set(request["assets"]), set(request["partitions"]))
                for key, request in data["open"].items()
            }
            return cls(Snapshot(int(data["horizon"]), counters), rows, waiting)
        except (KeyError, TypeError, ValueError, AttributeError):
            return cls()

    def write(self) -> str:
        data = {
            "horizon": self.seen.horizon,
            "counters": self.seen.counters,
            "rows": {
                name: {str(int(at.timestamp())): n for at, n in counts.items()}
                for name, counts in self.rows.items()
            },
            "open": {
                key: {"assets": sorted(r.assets), "partitions": sorted(r.partitions)}
                for key, r in self.open.items()
            },
        }
        return json.dumps(data, separators=(",", ":"))


def sensors_of(project: Project, status: dg.DefaultSensorStatus) -> list[dg.SensorDefinition]:
    """One sensor for each Postgres connection that assets are loaded from."""
    watched: dict[str, list[Asset]] = {}
    for asset in project.assets:
        connection = asset.parameter("source_connection")
        by_name = project.connections.by_name
        if asset.type == "ingestr" and unsupported(project, asset) is None:
            known = by_name.get(connection)
            is_table = not asset.parameter("source_table").startswith("query:")
            if known is not None and known.platform == "postgres" and is_table:
                watched.setdefault(connection, []).append(asset)
    return [_sensor(project, name, assets, status) for name, assets in watched.items()]


def _sensor(
    project: Project, connection: str, watched: Sequence[Asset], status: dg.DefaultSensorStatus
) -> dg.SensorDefinition:
    resource = resource_key(connection)
    name = f"{slug(project.pipeline.name)}_{resource}_changes"
    runnable = [asset for asset in project.assets if unsupported(project, asset) is None]

    def tick(context: dg.SensorEvaluationContext) -> dg.SensorResult | dg.SkipReason:
        source = getattr(context.resources, resource)
        try:
            return _tick(project, watched, source.settings(), context)
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
    watched: Sequence[Asset],
    connection: Any,
    context: dg.SensorEvaluationContext,
) -> dg.SensorResult | dg.SkipReason:
    cursor = _Cursor.read(context.cursor)
    tables = {asset.name: _table(asset, connection.schema) for asset in watched}
    now = look(connection, tables.values())
    moved = [
        asset
        for asset in watched
        if now.counters.get(tables[asset.name]) != cursor.seen.counters.get(tables[asset.name])
    ]
    if not moved:
        return dg.SkipReason("nothing changed")
    request = _changes(project, moved, tables, connection, cursor)
    request.add(_taken_back(context.instance, cursor))
    cursor.seen = now
    requests = _run_requests(project, request, _name_of(now))
    for run_request in requests:
        cursor.open[str(run_request.run_key)] = request
    return dg.SensorResult(run_requests=requests, cursor=cursor.write())


def _table(asset: Asset, schema: str) -> str:
    table = asset.parameter("source_table")
    return table if "." in table else f"{schema}.{table}"


def _changes(
    project: Project,
    moved: Sequence[Asset],
    tables: Mapping[str, str],
    connection: Any,
    cursor: _Cursor,
) -> _Request:
    """The assets whose source changed, and the partitions in which it did."""
    partitions = partitions_of(project.pipeline)
    request = _Request()
    for asset in moved:
        key = incremental_key_of(asset)
        if partitions is None or key is None or not is_partitioned(asset):
            request.assets.add(asset.name)
            continue
        unit = "day" if cron_of(project.pipeline) in _DAILY_OR_LONGER else "hour"
        known = cursor.rows.get(asset.name, {})
        found = periods(connection, tables[asset.name], key, unit, cursor.seen.horizon, known)
        cursor.rows[asset.name] = dict(found.rows)
        keys = {partitions.get_partition_key_for_timestamp(at.timestamp()) for at in found.changed}
        inside = {key for key in keys if partitions.has_partition_key(key)}
        if inside:
            request.assets.add(asset.name)
            request.partitions |= inside
    return request


_DAILY_OR_LONGER = {"0 0 * * *", "0 0 * * 0", "0 0 1 * *", "0 0 1 1 *"}


def _taken_back(instance: dg.DagsterInstance, cursor: _Cursor) -> _Request:
    """What failed runs had been asked for. Requests whose runs succeeded are forgotten."""
    failed = _Request()
    for run_key in list(cursor.open):
        runs = instance.get_runs(dg.RunsFilter(tags={"dagster/run_key": run_key}), limit=1)
        status = runs[0].status if runs else dg.DagsterRunStatus.FAILURE
        if status in {dg.DagsterRunStatus.FAILURE, dg.DagsterRunStatus.CANCELED}:
            failed.add(cursor.open.pop(run_key))
        elif status == dg.DagsterRunStatus.SUCCESS:
            del cursor.open[run_key]
    return failed


def _name_of(seen: Snapshot) -> str:
    """The same for the same state of the source. A transaction that stays open keeps the horizon
    where it is, so the counters belong to it."""
    counters = json.dumps(sorted(seen.counters.items())).encode()
    return f"{seen.horizon}-{hashlib.sha256(counters).hexdigest()[:12]}"


def _run_requests(project: Project, request: _Request, change: str) -> list[dg.RunRequest]:
    """One run for each stretch of neighbouring partitions; the last one rebuilds what is below."""
    below = _below(project, request.assets)
    partitioned = {a.name for a in project.assets if is_partitioned(a)}
    stretches = _stretches(project, request.partitions)
    if not stretches:
        # Assets with partitions cannot take part in a run without; their rows did not change.
        names = below - partitioned
        return [_run_request(names, change, {})] if names else []
    requests = []
    for number, (first, last) in enumerate(stretches, start=1):
        names = below if number == len(stretches) else below & partitioned
        tags = {RANGE_START_TAG: first, RANGE_END_TAG: last}
        requests.append(_run_request(names, f"{change}:{first}:{last}", tags))
    return requests


def _run_request(names: set[str], key: str, tags: Mapping[str, str]) -> dg.RunRequest:
    keys = [asset_key(name) for name in sorted(names)]
    return dg.RunRequest(run_key=key, asset_selection=keys, tags=dict(tags))


def _below(project: Project, names: set[str]) -> set[str]:
    """The assets and all that are made of them, without those that cannot run here."""
    found = set(names)
    for asset in project.assets:  # dependencies come first
        if any(dependency.asset in found for dependency in asset.depends):
            found.add(asset.name)
    return {n for n in found if unsupported(project, project.by_name[n]) is None}


def _stretches(project: Project, keys: set[str]) -> list[tuple[str, str]]:
    """First and last key of each run of neighbouring partitions."""
    partitions = partitions_of(project.pipeline)
    if partitions is None or not keys:
        return []
    windows = sorted((partitions.time_window_for_partition_key(key).start, key) for key in keys)
    stretches: list[tuple[str, str]] = []
    for start, key in windows:
        if stretches and partitions.time_window_for_partition_key(stretches[-1][1]).end == start:
            stretches[-1] = (stretches[-1][0], key)
        else:
            stretches.append((key, key))
    return stretches
