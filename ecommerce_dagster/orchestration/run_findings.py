"""What a run that has ended found out about the assets of a pipeline, from Dagster's events."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import dagster as dg
from dagster import DagsterEventType

from ecommerce_dagster.alerts.incidents import Finding, Partitions, Subject
from ecommerce_dagster.bruin.project import Project
from ecommerce_dagster.orchestration.asset_keys import asset_key, check_key, op_name
from ecommerce_dagster.orchestration.past_measures import days_in
from ecommerce_dagster.orchestration.status import reason_of
from ecommerce_dagster.runtime.plain_names import job_name
from ecommerce_dagster.runtime.run_tags import RANGE_START_TAG, keys_of
from ecommerce_dagster.runtime.schedule import is_partitioned
from ecommerce_dagster.sql.checks import Check, checks_of

_TYPES = {
    DagsterEventType.ASSET_CHECK_EVALUATION,
    DagsterEventType.ASSET_MATERIALIZATION,
    DagsterEventType.STEP_FAILURE,
}
_ROWS = 3  # bad rows that a message shows
_LONGEST = 300  # characters of a row, or of an error


class RunFindings:
    """Reads the events of runs with the names that the assets of one project have in Dagster."""

    def __init__(self, project: Project) -> None:
        self._project = project
        assets = [asset for asset in project.assets if project.by_name.get(asset.name) is asset]
        self._assets = {asset_key(asset.name, project): asset for asset in assets}
        self._steps = {op_name(asset.name, project): asset.name for asset in assets}
        self._checks: dict[dg.AssetCheckKey, Check] = {
            check_key(check, project): check for asset in assets for check in checks_of(asset)
        }
        self._job = job_name(project)

    def known(self) -> set[Subject]:
        """All that an incident of the project can be about, runs apart."""
        names = [asset.name for asset in self._assets.values()]
        return {
            *(Subject(kind, name) for name in names for kind in ("asset", "freshness")),
            *(Subject("check", check.asset.name, check.id) for check in self._checks.values()),
        }

    def is_own(self, job: str) -> bool:
        """Whether a job is one of the pipeline's own."""
        return job == self._job or job.startswith(f"{self._job}_")

    def of(self, record: dg.RunRecord, instance: dg.DagsterInstance) -> Iterator[Finding]:
        """The findings of a run in the order of its events.

        A step that ends because a blocking check failed is that check's finding; the run is one of
        its own only when nothing in it says why it failed.
        """
        run = record.dagster_run
        events = [
            entry
            for entry in instance.all_logs(run.run_id, of_type=_TYPES)
            if entry.dagster_event is not None
        ]
        found = [each for entry in events for each in self._finding(entry, run)]
        rejected = {f.subject.name for f in found if f.failed and f.subject.kind == "check"}
        canceled = run.status == dg.DagsterRunStatus.CANCELED
        for each in found:
            is_step = each.failed and each.subject.kind == "asset"
            # A person who cancels a run knows that its steps ended.
            if not (is_step and (canceled or each.subject.name in rejected)):
                yield each
        if self.is_own(run.job_name) and not canceled:
            failed = run.status == dg.DagsterRunStatus.FAILURE
            if not failed or not any(one.failed for one in found):
                reason = "No step of it says why; see its log." if failed else ""
                subject, at = Subject("run", run.job_name), record.end_time or 0.0
                yield Finding(subject, failed, at, run.run_id, reason=reason)

    def _finding(self, entry: Any, run: dg.DagsterRun) -> Iterator[Finding]:
        event = entry.dagster_event
        if event.event_type == DagsterEventType.ASSET_CHECK_EVALUATION:
            evaluation = event.asset_check_evaluation_data
            check = self._checks.get(evaluation.asset_check_key)
            if check is not None and not _is_part(evaluation, run):
                yield Finding(
                    Subject("check", check.asset.name, check.id),
                    not evaluation.passed,
                    entry.timestamp,
                    run.run_id,
                    self._about(check, evaluation, run),
                    str(evaluation.description or ""),
                    _bad_rows(evaluation.metadata),
                )
        elif event.event_type == DagsterEventType.STEP_FAILURE:
            name = self._steps.get(event.step_key or "")
            if name is not None:
                reason = reason_of(event.step_failure_data.error)
                yield self._asset(name, entry, run, failed=True, reason=_cut(reason))
        else:
            asset = self._assets.get(event.asset_key)
            if asset is not None:
                yield self._asset(asset.name, entry, run, failed=False)

    def _asset(
        self, name: str, entry: Any, run: dg.DagsterRun, *, failed: bool, reason: str = ""
    ) -> Finding:
        subject, partitions = Subject("asset", name), self._partitions(name, run)
        return Finding(subject, failed, entry.timestamp, run.run_id, partitions, reason)

    def _about(
        self, check: Check, evaluation: dg.AssetCheckEvaluation, run: dg.DagsterRun
    ) -> Partitions | None:
        """The partitions that a result is about: those of the run. A result that compares days may
        be about the day before: when it failed about its days alone, else about both."""
        filled, days = self._partitions(check.asset.name, run), days_in(evaluation.metadata)
        if days is None or (filled is None and evaluation.passed):
            return filled
        if filled is None or not evaluation.passed:
            return days
        return min(filled[0], days[0]), max(filled[1], days[1])

    def _partitions(self, name: str, run: dg.DagsterRun) -> Partitions | None:
        return keys_of(run.tags) if is_partitioned(self._project.by_name[name]) else None


def _is_part(evaluation: Any, run: dg.DagsterRun) -> bool:
    """Whether a result is about one partition of a range: one about all of them follows."""
    of_one = getattr(evaluation, "partition", None) is not None
    return of_one and RANGE_START_TAG in run.tags


def _bad_rows(metadata: Mapping[str, Any]) -> tuple[str, ...]:
    """Some bad rows as Dagster's page shows them: without what the files call private."""
    sample = metadata.get("bad_rows_sample")
    if not isinstance(sample, dg.TableMetadataValue):
        return ()
    rows = [
        _cut(", ".join(f"{name}={value}" for name, value in record.data.items()))
        for record in sample.records[:_ROWS]
    ]
    return tuple(f"Bad row: {row}" for row in rows)


def _cut(text: str) -> str:
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]} ..."
