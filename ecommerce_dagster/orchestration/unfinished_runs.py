"""The runs of a Dagster instance that have not ended: since when, by whom, in which process."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal

import dagster as dg

from ecommerce_dagster.orchestration.run_launcher import process_of
from ecommerce_dagster.runtime.run_tags import COMMAND_TAG

_RUNNING = (
    dg.DagsterRunStatus.STARTING,
    dg.DagsterRunStatus.STARTED,
    dg.DagsterRunStatus.CANCELING,
)
# The tags that say who started a run, with the word for each; the first that a run has counts.
_STARTED_BY = {
    COMMAND_TAG: "ecommerce",
    "dagster/schedule_name": "schedule",
    "dagster/sensor_name": "sensor",
    "dagster/backfill": "backfill",
}

_ANOTHER = "another run"  # in what warehouses say that they wait for


@dataclass(frozen=True)
class LivingRun:
    """A run that waits in the queue, runs, or is `gone`: it counts as running, but its process is
    dead. `since` is a moment in ISO 8601, UTC; `process` an id of this machine, where one is known.
    """

    run_id: str
    state: Literal["queued", "running", "gone"]
    since: str
    by: str
    process: int | None = None

    def __str__(self) -> str:
        where = f"process {self.process}, " if self.process is not None else ""
        return f"run {self.run_id[:8]} since {clock(self.since)} ({where}{self.by})"


def living_runs(instance: dg.DagsterInstance) -> list[LivingRun]:
    """The runs that have not ended, the oldest first."""
    statuses = [dg.DagsterRunStatus.QUEUED, *_RUNNING]
    records = instance.get_run_records(dg.RunsFilter(statuses=statuses), ascending=True)
    return [_living(record, instance) for record in records]


def naming_others(
    log: Callable[[str], None], instance: dg.DagsterInstance, run_id: str
) -> Callable[[str], None]:
    """`log` for what a run waits for: where that is another run, those that run are named."""

    def told(message: str) -> None:
        others = [
            str(run)
            for run in living_runs(instance)
            if run.state == "running" and run.run_id != run_id
        ]
        is_known = _ANOTHER in message and others
        log(f"{message}: {' or '.join(others)}" if is_known else message)

    return told


def moment(seconds: float) -> str:
    """The time of an event as text, exact to the second."""
    return datetime.fromtimestamp(int(seconds), UTC).isoformat()


def clock(at: str) -> str:
    """A moment for people: the time of today, else with its day."""
    when = datetime.fromisoformat(at)
    is_today = when.date() == datetime.now(UTC).date()
    return f"{when:%H:%M:%S} UTC" if is_today else f"{when:%Y-%m-%d %H:%M} UTC"


def _living(record: dg.RunRecord, instance: dg.DagsterInstance) -> LivingRun:
    run = record.dagster_run
    since = moment(record.start_time or record.create_timestamp.timestamp())
    if run.status not in _RUNNING:
        return LivingRun(run.run_id, "queued", since, _by(run.tags))
    is_alive, process = process_of(instance, run.run_id)
    state: Literal["running", "gone"] = "running" if is_alive else "gone"
    return LivingRun(run.run_id, state, since, _by(run.tags), process)


def _by(tags: Mapping[str, str]) -> str:
    for tag, word in _STARTED_BY.items():
        if tag in tags:
            return f"{word} {tags[tag]}".strip()
    return "Dagster"
