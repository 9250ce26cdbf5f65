"""The outcomes of the runs that the sensor requested."""

from __future__ import annotations

import time
from dataclasses import dataclass, field

import dagster as dg

from ecommerce_dagster.orchestration.sensor_cursor import Asked, Cursor

# The metadata of a failure that happens again as long as neither the source nor a file changes: a
# blocking check, a query that is wrong.
LASTS = "tried_again"
_NOT_STARTED = {
    dg.DagsterRunStatus.NOT_STARTED,
    dg.DagsterRunStatus.QUEUED,
    dg.DagsterRunStatus.STARTING,
}
# A run that failed for another reason is requested again after so many seconds, twice as many the
# next time, and so on.
_FIRST_RETRY, _LAST_RETRY = 60, 3600


@dataclass
class RequestedRuns:
    """Whether a run has yet to start, which failed, and which of these are due to be tried again
    although the source did not change. What succeeded is forgotten.

    `held` are those that would fail again.
    """

    waiting: bool = False
    failed: dict[str, Asked] = field(default_factory=dict)
    due: dict[str, Asked] = field(default_factory=dict)
    held: dict[str, Asked] = field(default_factory=dict)

    @classmethod
    def of(cls, instance: dg.DagsterInstance, cursor: Cursor, files: str) -> RequestedRuns:
        """`files` stands for what the files of the assets say now."""
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
                if asked.lasts is None:
                    run = records[0].dagster_run if records else None
                    asked.lasts = run is not None and _lasts(instance, run.run_id)
                ended = (records[0].end_time or 0.0) if records else 0.0
                patience = min(_FIRST_RETRY * 2**asked.failures, _LAST_RETRY)
                # A person who cancels a run has a reason, as long as nothing changes.
                if status == dg.DagsterRunStatus.CANCELED:
                    continue
                if asked.lasts and asked.files == files:
                    found.held[key] = asked
                elif asked.lasts or time.time() >= ended + patience:
                    found.due[key] = asked
        return found


def _lasts(instance: dg.DagsterInstance, run_id: str) -> bool:
    """Whether all that failed in a run would fail again. A run that died is not among these."""
    events = instance.all_logs(run_id, of_type=dg.DagsterEventType.STEP_FAILURE)
    causes = [entry.get_dagster_event().step_failure_data.user_failure_data for entry in events]
    return bool(causes) and all(cause and LASTS in cause.metadata for cause in causes)
