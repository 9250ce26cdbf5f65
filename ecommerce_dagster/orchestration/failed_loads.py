"""When loads of assets failed or were late, as Dagster's event log has it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import pairwise

import dagster as dg
import sqlalchemy as sa
from dagster import DagsterEventType

from ecommerce_dagster._compat import SqlEventLogStorage, SqlEventLogStorageTable
from ecommerce_dagster.bruin.model.asset import Asset
from ecommerce_dagster.bruin.project import Project
from ecommerce_dagster.orchestration.asset_keys import asset_key, op_name
from ecommerce_dagster.orchestration.freshness import oldest_allowed
from ecommerce_dagster.orchestration.unfinished_runs import moment
from ecommerce_dagster.runtime.asset_state import AssetState, Setback

_DAYS = 400  # that are looked back: a year, and some more
_MOST_RUNS = 100  # the latest that failed, whose events are read
_MOST_BUILDS = 20_000
_DAY = timedelta(days=1)


def with_setbacks(
    states: Mapping[str, AssetState], instance: dg.DagsterInstance, project: Project
) -> dict[str, AssetState]:
    """The states of assets, each with a setback for each of the last 400 days on which its load
    failed, or on which its table was older than it may be.

    Two queries, and one more for each of the latest hundred runs that failed.
    """
    assets = [project.by_name[name] for name in states]
    now = datetime.now(UTC)
    found = [
        *_failures(instance, assets, project, now - _DAYS * _DAY),
        *_delays(instance, assets, project, now),
    ]
    by_day = {(name, one.at[:10], one.what): one for name, one in sorted(found, reverse=True)}
    setbacks: dict[str, list[Setback]] = {name: [] for name in states}
    for (name, *_), setback in by_day.items():
        setbacks[name].insert(0, setback)
    return {name: replace(state, setbacks=tuple(setbacks[name])) for name, state in states.items()}


def _failures(
    instance: dg.DagsterInstance, assets: Sequence[Asset], project: Project, since: datetime
) -> Iterator[tuple[str, Setback]]:
    steps = {op_name(asset.name, project): asset.name for asset in assets}
    filters = dg.RunsFilter(statuses=[dg.DagsterRunStatus.FAILURE], updated_after=since)
    for record in instance.get_run_records(filters, limit=_MOST_RUNS):
        run = record.dagster_run.run_id
        for entry in instance.all_logs(run, of_type=DagsterEventType.STEP_FAILURE):
            name = steps.get(entry.step_key or "")
            if name is not None:
                yield name, Setback(moment(entry.timestamp), "failed")


def _delays(
    instance: dg.DagsterInstance, assets: Sequence[Asset], project: Project, now: datetime
) -> Iterator[tuple[str, Setback]]:
    """The days on which assets were too old, from the moment on when they became so."""
    limits = {
        asset_key(asset.name, project).to_string(): (asset.name, allowed)
        for asset in assets
        if (allowed := oldest_allowed(asset, project)) is not None
    }
    builds = _builds(instance, list(limits), now - _DAYS * _DAY)
    for key, (name, allowed) in limits.items():
        for built, next_built in pairwise([*builds.get(key, ()), now]):
            late = built + allowed
            while late < next_built:
                yield name, Setback(moment(late.timestamp()), "late")
                late = late.replace(hour=0, minute=0, second=0, microsecond=0) + _DAY


def _builds(
    instance: dg.DagsterInstance, assets: Sequence[str], since: datetime
) -> dict[str, list[datetime]]:
    """When each asset was built, one moment for each run, the first ones first."""
    storage = instance.event_log_storage
    if not assets or not isinstance(storage, SqlEventLogStorage):
        return {}
    table = SqlEventLogStorageTable.c
    at = sa.func.max(table.timestamp)
    query = (
        sa.select(table.asset_key, at)
        .where(
            table.asset_key.in_(assets),
            table.dagster_event_type == DagsterEventType.ASSET_MATERIALIZATION.value,
            table.timestamp >= since.replace(tzinfo=None),
        )
        .group_by(table.asset_key, table.run_id)
        .order_by(at.desc())
        .limit(_MOST_BUILDS)
    )
    with storage.index_connection() as connection:
        rows = connection.execute(query).fetchall()
    found: dict[str, list[datetime]] = {}
    for key, built in reversed(rows):
        found.setdefault(key, []).append(built.replace(tzinfo=UTC))
    return found
