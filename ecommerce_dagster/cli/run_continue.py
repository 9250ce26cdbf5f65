"""`ecommerce run --continue`: what the last run of a pipeline was about, and did not finish."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import dagster as dg

from ecommerce_dagster.bruin.model.interval import Interval
from ecommerce_dagster.bruin.project import Project
from ecommerce_dagster.cli.instance import dagster_instance
from ecommerce_dagster.cli.selection import SelectionError
from ecommerce_dagster.orchestration.asset_keys import op_name
from ecommerce_dagster.orchestration.partitions import interval_of, partitions_of
from ecommerce_dagster.runtime.run_tags import FULL_REFRESH_TAG, MODIFIERS_TAG, RECONCILE_TAG

PIPELINE_TAG = "bruin/pipeline"


@dataclass(frozen=True)
class Unfinished:
    """A run to go on with: its interval, how it was to be done, and the steps that are left."""

    interval: Interval | None
    full_refresh: bool
    reconcile: bool
    apply_modifiers: bool
    steps: Collection[str]

    def assets(self, selected: Sequence[str], project: Project) -> list[str]:
        """Those of the selected assets that are left. Raises SelectionError without any."""
        rest = [name for name in selected if op_name(name, project) in self.steps]
        if not rest:
            raise SelectionError(
                "the last run finished; there is nothing to go on with; leave out --continue"
            )
        return rest


def last_run(project: Project) -> Unfinished:
    """The last run of the pipeline. Raises SelectionError when there is none."""
    with dagster_instance() as instance:
        filters = dg.RunsFilter(tags={PIPELINE_TAG: project.pipeline.name})
        records = instance.get_run_records(filters, limit=1)
        if not records:
            raise SelectionError("there is no earlier run to go on with; leave out --continue")
        last = records[0].dagster_run
        done = {
            str(stat.step_key)
            for stat in instance.get_run_step_stats(last.run_id)
            if stat.status is not None and stat.status.value == "SUCCESS"
        }
        plan = instance.get_execution_plan_snapshot(last.execution_plan_snapshot_id or "")
    return Unfinished(
        interval=interval_of(last.tags, partitions_of(project.pipeline)),
        full_refresh=FULL_REFRESH_TAG in last.tags,
        reconcile=RECONCILE_TAG in last.tags,
        apply_modifiers=last.tags.get(MODIFIERS_TAG) != "false",
        steps=set(plan.step_keys_to_execute) - done,
    )
