"""How the runs fare that the sensor requested."""

from __future__ import annotations

import time
from dataclasses import dataclass, field

import dagster as dg

from ecommerce_dagster.orchestration.sensor_cursor import Asked, Cursor

_NOT_STARTED = {
    dg.DagsterRunStatus.NOT_STARTED,
    dg.DagsterRunStatus.QUEUED,
    dg.DagsterRunStatus.STARTING,
}
# A failed run is requested again after so many seconds, twice as many the next time, and so on.
_FIRST_RETRY, _LAST_RETRY = 60, 3600


@dataclass
class RequestedRuns:
    """Whether a run has yet to start, which failed, and which of these are due to be tried again
    although nothing changed. What succeeded is forgotten."""

    waiting: bool = False
    failed: dict[str, Asked] = field(default_factory=dict)
    due: dict[str, Asked] = field(default_factory=dict)

    @classmethod
    def of(cls, instance: dg.DagsterInstance, cursor: Cursor) -> RequestedRuns:
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
