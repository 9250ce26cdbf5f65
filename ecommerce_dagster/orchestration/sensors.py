"""A sensor on new Postgres data: it requests the partitions that changed, and what is downstream.

A tick costs the same whatever the tables hold, unless something changed. While a run that was
requested has not started, changes add up and are requested together after it; a run that failed is
requested again with the next change, and on its own after a while.

When a source stays unreadable, ticks that have nothing to request fail, so that Dagster shows it.
A tick that fails is as if it had not been: the next one sees what it saw.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache

import dagster as dg

from ecommerce_dagster.bruin.model.asset import Asset
from ecommerce_dagster.bruin.model.connections import UnusableConnection
from ecommerce_dagster.bruin.model.postgres_connection import PostgresConnection
from ecommerce_dagster.bruin.plurals import counted
from ecommerce_dagster.bruin.project import Project
from ecommerce_dagster.orchestration.asset_keys import asset_key
from ecommerce_dagster.orchestration.requested_runs import RequestedRuns
from ecommerce_dagster.orchestration.run_requests import runs_for, whole_work, with_downstream
from ecommerce_dagster.orchestration.schedules import Job
from ecommerce_dagster.orchestration.sensor_after_run import handed_over
from ecommerce_dagster.orchestration.sensor_cursor import CONNECTION, Asked, Cursor
from ecommerce_dagster.orchestration.shared_partitions import SharedPartitions
from ecommerce_dagster.orchestration.source_changes import SECONDS_BETWEEN_LOOKS, Look
from ecommerce_dagster.orchestration.translator import code_version_of
from ecommerce_dagster.orchestration.watched_assets import Watched, watched_of
from ecommerce_dagster.runtime.lint.watched import sources_on_postgres
from ecommerce_dagster.runtime.plain_names import in_copy, job_name, resource_key
from ecommerce_dagster.warehouses.postgres.connect import SourceError

_SECONDS_BETWEEN_TICKS = 10
# After so many ticks in a row in which a source could not be read, ticks fail.
_PATIENCE = 3
# After so many failures of what was requested, ticks fail.
_MOST_FAILURES = 5
_HELD = (
    "a run failed by a check or by its query; it is requested again when the source or the files "
    "change"
)
_WAITING = "a run that was requested has not started; what changes now is requested after it"


def sensors_of(
    project: Project,
    shared: SharedPartitions,
    status: dg.DefaultSensorStatus,
    job: Job,
) -> list[dg.SensorDefinition]:
    """One sensor for each Postgres connection that assets are loaded from, and one that rebuilds
    the assets with `meta: {automation: eager}`."""
    loaded = sources_on_postgres(project)
    sensors = [
        _sensor(project, shared, name, assets, status, job) for name, assets in loaded.items()
    ]
    eager = [asset for asset in project.assets if asset.meta.get("automation") == "eager"]
    if eager:
        sensors.append(_automation(project, eager, status))
    return sensors


def changes_name(project: Project, connection: str) -> str:
    """What the sensor on a connection is called."""
    return f"{job_name(project)}_{resource_key(connection)}_changes"


def _automation(
    project: Project, eager: Sequence[Asset], status: dg.DefaultSensorStatus
) -> dg.SensorDefinition:
    return dg.AutomationConditionSensorDefinition(
        f"{job_name(project)}_automation",
        target=dg.AssetSelection.assets(*(asset_key(asset.name, project) for asset in eager)),
        default_status=status,
        description="Rebuilds assets with `automation: eager` when something upstream changed.",
    )


def _sensor(
    project: Project,
    shared: SharedPartitions,
    connection: str,
    assets: Sequence[Asset],
    status: dg.DefaultSensorStatus,
    job: Job,
) -> dg.SensorDefinition:
    key = resource_key(connection)
    resource = in_copy(key, project)
    watched, others = watched_of(project, assets, shared)
    files = cache(lambda: files_of(project))  # they are those of the code location

    def evaluate(context: dg.SensorEvaluationContext) -> dg.SensorResult:
        settings = getattr(context.resources, resource).settings
        handed = handed_over(project, key, context.instance, context.last_tick_completion_time)
        cursor = handed or context.cursor
        return Tick(project, shared, watched, others, settings, context, cursor, files()).result()

    return dg.SensorDefinition(
        name=changes_name(project, connection),
        evaluation_fn=evaluate,
        job=job,
        minimum_interval_seconds=_SECONDS_BETWEEN_TICKS,
        description=_description(connection, watched, others),
        default_status=status,
        required_resource_keys={resource},
    )


def _description(connection: str, watched: Sequence[Watched], others: Mapping[str, str]) -> str:
    text = f"Loads changed rows from {connection} and rebuilds everything downstream."
    queries = [each.name for each in watched if each.is_query]
    if queries:
        text += f" {_named(queries)}: read every {SECONDS_BETWEEN_LOOKS // 60} minutes."
    if others:
        text += f" Not watched: {_reasons(others)}."
    return text


@dataclass
class Tick:
    """A tick over the sources of one connection. `others` tells why some are not watched, `files`
    stands for what the files say."""

    project: Project
    shared: SharedPartitions
    watched: Sequence[Watched]
    others: Mapping[str, str]
    settings: Callable[[], PostgresConnection]
    context: dg.SensorEvaluationContext
    cursor: str | None
    files: str

    def result(self) -> dg.SensorResult:
        """What the tick requests, or why it requests nothing. Raises SourceError when something
        stays unreadable."""
        instance = self.context.instance
        cursor = Cursor.read(self.cursor, instance)
        forgotten = cursor.fit(self.project, self.shared, self.watched)
        requested = RequestedRuns.of(instance, cursor, self.files)
        try:
            look = Look(self.shared.windows, self.settings(), instance, cursor)
            if requested.waiting:
                look.follow()
            else:
                look.at(self.watched)
                forgotten += self._add_new_assets(look)
        except (SourceError, UnusableConnection) as error:
            return self._unreachable(str(error))
        look.cursor.troubles.pop(CONNECTION, None)
        self._log(look, forgotten)
        again = requested.failed if look.work else requested.due
        if look.is_new or look.work or (again and not requested.waiting):
            return self._requested(look, again)
        self._fail_when_it_lasts(look, requested)
        kept = look.cursor
        text = kept.write(instance) if forgotten else kept.text()
        reason = _WAITING if requested.waiting else self._said(look, "nothing changed", requested)
        return dg.SensorResult(skip_reason=reason, cursor=text)

    def _add_new_assets(self, look: Look) -> list[str]:
        """Add to the work the assets that are downstream since a file came or was renamed: nothing
        may change upstream of them for long. What is done about files, in sentences."""
        sources = {each.name for each in self.watched}
        now, before = sorted(with_downstream(self.project, sources)), look.cursor.built
        if now == before:
            return []
        look.cursor.built = now
        new = set() if before is None else {*now} - {*before} - sources
        look.work.add(whole_work(self.shared, new))
        told = [f"{name} is new: it is built with what is downstream" for name in sorted(new)]
        return told or ([] if before is None else ["fewer assets are downstream than before"])

    def _requested(self, look: Look, again: Mapping[str, Asked]) -> dg.SensorResult:
        """The run requests for some work, together with what failed; the cursor remembers them."""
        work, cursor = look.work, look.cursor
        for asked in again.values():
            work.add(asked.work)
        failures = max((asked.failures + 1 for asked in again.values()), default=0)
        cursor.asked = {key: asked for key, asked in cursor.asked.items() if key not in again}
        requests = []
        for run in runs_for(self.project, self.shared, work):
            # The same for the same state of the source, so that Dagster starts no run twice.
            parts = [cursor.id, _digest(cursor), run.name, str(failures or "")]
            key = ":".join(filter(None, parts))
            cursor.asked[key] = Asked(run.share, failures, self.files)
            requests.append(run.request(self.project, key, self.context.instance))
        text = cursor.write(self.context.instance)
        if not requests:
            return dg.SensorResult(skip_reason=self._said(look, "no row changed"), cursor=text)
        return dg.SensorResult(run_requests=requests, cursor=text)

    def _unreachable(self, error: str) -> dg.SensorResult:
        """The database cannot be asked, or stopped answering: all stays as it was."""
        cursor = Cursor.read(self.cursor, self.context.instance)
        tries = cursor.troubles[CONNECTION] = cursor.troubles.get(CONNECTION, 0) + 1
        if tries > _PATIENCE:
            raise SourceError(error)
        return dg.SensorResult(skip_reason=error, cursor=cursor.text())

    def _fail_when_it_lasts(self, look: Look, requested: RequestedRuns) -> None:
        others = requested.failed.keys() - requested.held.keys()
        most = max((requested.failed[key].failures + 1 for key in others), default=0)
        if most >= _MOST_FAILURES:
            raise dg.Failure(
                f"a run that was requested has failed {most} times for reasons outside of the "
                "files; it is requested again with the next change, and at the latest in an hour"
            )
        lasting = [n for n, tries in look.cursor.troubles.items() if tries > _PATIENCE]
        if lasting:
            errors = {name: look.errors.get(name, "it cannot be read") for name in sorted(lasting)}
            raise SourceError(f"not followed for {_PATIENCE} ticks or more: {_reasons(errors)}")

    def _log(self, look: Look, forgotten: Sequence[str]) -> None:
        for sentence in forgotten:
            self.context.log.warning(sentence)
        if look.broken:
            self.context.log.warning(f"{look.broken}: everything counts as changed")
        for name, error in look.errors.items():
            self.context.log.error(f"{name} could not be looked at: {error}")

    def _said(self, look: Look, what: str, requested: RequestedRuns | None = None) -> str:
        """What is true of the sources that were looked at, and which ones were not."""
        seldom = [*look.resting, *look.late, *look.errors]
        number = len(self.watched) - len(seldom)
        outside = {n: seen.outside for n, seen in look.cursor.seen.items() if seen.outside}
        minutes = SECONDS_BETWEEN_LOOKS // 60
        parts = [
            f"{what} in {counted(number, 'table')}" if number else "",
            _HELD if requested and requested.held else "",
            f"read every {minutes} minutes: {_named(look.resting)}" if look.resting else "",
            f"no time was left for {_named(look.late)}" if look.late else "",
            *(f"{counted(n, 'row')} of {name} in no partition" for name, n in outside.items()),
            f"could not be looked at: {_reasons(look.errors)}" if look.errors else "",
            f"not watched: {_reasons(self.others)}" if self.others else "",
        ]
        return "; ".join(filter(None, parts)) or "there is nothing to watch"


def _named(names: Sequence[str]) -> str:
    return ", ".join(sorted(names))


def _reasons(reasons: Mapping[str, str]) -> str:
    return ", ".join(f"{name} ({why})" for name, why in reasons.items())


def _digest(cursor: Cursor) -> str:
    """Changes with every look, and with what it found."""
    marks = [(name, sorted(seen.fingerprints.items())) for name, seen in cursor.seen.items()]
    facts = [cursor.number, sorted(cursor.counters.items()), sorted(marks)]
    return hashlib.sha256(json.dumps(facts).encode()).hexdigest()[:12]


def files_of(project: Project) -> str:
    """Changes when a file of an asset changes, or what it takes from the glossary."""
    versions = ":".join(code_version_of(asset) for asset in project.assets)
    return hashlib.sha256(versions.encode()).hexdigest()[:12]
