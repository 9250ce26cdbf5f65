"""Results of checks by partition, a preview of Dagster from 1.13 on.

Of a run of one partition Dagster records the result for it. Of a run over a range it plans a result
for each and records none: those are recorded here, by the times of the bad rows.
"""

from __future__ import annotations

import inspect
import time
import warnings
from collections.abc import Collection, Iterator, Sequence

import dagster as dg
from dagster import DagsterEventType

from ecommerce_dagster._compat import (
    AssetCheckEvaluationTargetMaterializationData as Target,
)
from ecommerce_dagster._compat import DagsterEventBatchMetadata, generate_event_batch_id
from ecommerce_dagster.bruin.on_off import switched
from ecommerce_dagster.bruin.project import Project
from ecommerce_dagster.orchestration.asset_keys import Context, check_key
from ecommerce_dagster.orchestration.partitions import Partitions, bad_rows_of
from ecommerce_dagster.orchestration.translator import severity_of
from ecommerce_dagster.sql.checks import Check, CheckResult

# What each row keeps by itself: a day can be right or wrong.
_ACROSS_ROWS = {"unique", "relationships"}


def is_partitioned(spec: dg.AssetCheckSpec) -> bool:
    """Whether results of a check are kept by partition."""
    return getattr(spec, "partitions_def", None) is not None


def with_partitions(
    spec: dg.AssetCheckSpec, check: Check, project: Project, partitions: Partitions | None
) -> dg.AssetCheckSpec:
    """The spec of a check with the partitions of its asset: None takes away what it has, and
    `meta: {checks_by_partition: true}` of the asset or the pipeline asks for them. Checks that
    compare rows with others have none."""
    if partitions is None:
        return spec._replace(partitions_def=None) if is_partitioned(spec) else spec
    meta = check.asset.meta, project.pipeline.meta
    asked = next((m["checks_by_partition"] for m in meta if "checks_by_partition" in m), False)
    if switched(asked) is not True or check.column is None or check.rule.name in _ACROSS_ROWS:
        return spec
    if "partitions_def" not in inspect.signature(dg.AssetCheckSpec).parameters:
        message = f"{check.asset.path}: checks_by_partition needs Dagster 1.13; it is ignored"
        warnings.warn(message, stacklevel=2)
        return spec
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", dg.PreviewWarning)
        return spec._replace(partitions_def=partitions)


def record_by_partition(
    context: Context,
    project: Project,
    results: Sequence[CheckResult],
    partitions: Partitions | None,
) -> None:
    """Record what checks found in each partition of a run over a range.

    One event for each check and partition, of 6 ms each.
    """
    if isinstance(context, dg.AssetCheckExecutionContext) or partitions is None:
        return
    if context.has_partition_key or not context.has_partition_key_range:
        return
    keys, spec_of = context.partition_keys, context.assets_def.get_spec_for_check_key
    specs = [spec_of(check_key(result.check, project)) for result in results]
    found = [(r, spec) for r, spec in zip(results, specs, strict=True) if is_partitioned(spec)]
    if not found:
        return
    events = list(_evaluations(context, found, keys, partitions))
    batch, step = generate_event_batch_id(), context.get_step_execution_context()
    for number, event in enumerate(events, start=1):
        dg.DagsterEvent.from_step(
            DagsterEventType.ASSET_CHECK_EVALUATION,
            step,
            event,
            batch_metadata=DagsterEventBatchMetadata(batch, is_end=number == len(events)),
        )


def _evaluations(
    context: dg.AssetExecutionContext,
    found: Sequence[tuple[CheckResult, dg.AssetCheckSpec]],
    keys: Collection[str],
    partitions: Partitions,
) -> Iterator[dg.AssetCheckEvaluation]:
    """A result that is not of the latest rows of a partition is not shown, hence the targets."""
    built = context.instance.event_log_storage.get_latest_storage_id_by_partition(
        found[0][1].asset_key, DagsterEventType.ASSET_MATERIALIZATION, set(keys)
    )
    now = time.time()
    targets = {
        key: Target(storage_id=id, run_id=context.run.run_id, timestamp=now)
        for key, id in built.items()
    }
    for result, spec in found:
        bad = bad_rows_of(keys, result.bad_rows.moments, partitions)
        is_dated = result.passed or bool(result.bad_rows.moments)
        for key in keys:
            yield dg.AssetCheckEvaluation(
                asset_key=spec.asset_key,
                check_name=spec.name,
                passed=is_dated and not bad[key],
                metadata={"partition_bad_rows": bad[key]} if is_dated else {},
                target_materialization_data=targets.get(key),
                severity=severity_of(result.check),
                description=result.message if bad[key] or not is_dated else None,
                blocking=spec.blocking,
                partition=key,
            )
