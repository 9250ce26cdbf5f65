"""One op for one file: it builds the asset, checks it, and publishes it or not."""

# No `from __future__ import annotations`: Dagster reads the annotation of `context` at run time.
import inspect
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any

import dagster as dg

from ecommerce_dagster.alerts.messages import moment
from ecommerce_dagster.bruin.model.asset import Asset
from ecommerce_dagster.bruin.model.connections import UnusableConnection
from ecommerce_dagster.bruin.plurals import counted
from ecommerce_dagster.bruin.problems import ProjectError
from ecommerce_dagster.bruin.project import Project
from ecommerce_dagster.orchestration.after_publish import attempt
from ecommerce_dagster.orchestration.asset_keys import Context, asset_key, check_key, op_name
from ecommerce_dagster.orchestration.built_definitions import keep_definition
from ecommerce_dagster.orchestration.not_run import (
    FAILED_CHECKS,
    kept_since,
    report_not_run,
)
from ecommerce_dagster.orchestration.partition_checks import record_by_partition, with_partitions
from ecommerce_dagster.orchestration.partitions import (
    PARTITION_ROWS,
    Partitions,
    rows_by_partition,
    time_windows,
    unit_of,
)
from ecommerce_dagster.orchestration.requested_runs import LASTS
from ecommerce_dagster.orchestration.resources import has_resource
from ecommerce_dagster.orchestration.results import (
    check_result_of,
    materialization_of,
    record_partitions,
    rejection_of,
)
from ecommerce_dagster.orchestration.run_info import asset_run
from ecommerce_dagster.orchestration.shared_partitions import require_time
from ecommerce_dagster.orchestration.translator import BruinTranslator
from ecommerce_dagster.runtime.asset_run import AssetRun
from ecommerce_dagster.runtime.asset_types import ASSET_TYPES, connections_of, unsupported
from ecommerce_dagster.runtime.baselines import compared
from ecommerce_dagster.runtime.builders import in_time
from ecommerce_dagster.runtime.plain_names import in_copy, resource_key
from ecommerce_dagster.runtime.schedule import is_partitioned
from ecommerce_dagster.sources.parameters import incremental_key_of
from ecommerce_dagster.sql.checks import Check, CheckResult, checks_of
from ecommerce_dagster.warehouses.base import BuildResult
from ecommerce_dagster.warehouses.duckdb.database import WarehouseError
from ecommerce_dagster.warehouses.sql_asset import AssetError, MistakeError, OutsideError

_Run = Callable[[dg.AssetExecutionContext], Iterator[Any]]
_CONTEXT = inspect.Parameter(
    "context", inspect.Parameter.POSITIONAL_OR_KEYWORD, annotation=dg.AssetExecutionContext
)
_SIGNATURE = inspect.Signature([_CONTEXT], return_annotation=Iterator[Any])
_RETRY_SECONDS = 1.0
# What a failure says that comes again by itself: the sensor waits for a change.
_LASTING = {LASTS: "when the source or the files change"}


def build_asset(
    project: Project,
    asset: Asset,
    translator: BruinTranslator,
    *,
    partitioned: bool = True,
    backfill_policy: dg.BackfillPolicy | None = None,
) -> dg.AssetsDefinition:
    """The Dagster asset of one file, with its checks, as one subsettable op.

    Without `partitioned` the asset can take part in a run that is not made of whole partitions,
    which Dagster refuses for an asset that has them. Without a `backfill_policy` all partitions of
    a backfill are one run.
    """
    spec = translator.get_asset_spec(asset, project)
    partitions = spec.partitions_def
    require_time(asset, partitions)
    shown = partitions if partitioned else None
    spec = spec if shown is partitions else spec.replace_attributes(partitions_def=None)
    checks = checks_of(asset)
    retries = _retry_policy(asset, project)

    @dg.multi_asset(
        name=op_name(asset.name, project),
        specs=[spec],
        check_specs=[
            with_partitions(translator.get_asset_check_spec(check, project), check, project, shown)
            for check in checks
        ],
        can_subset=True,
        required_resource_keys=_required_resources(project, asset),
        backfill_policy=backfill_policy or dg.BackfillPolicy.single_run(),
    )
    @_with_signature
    def run_file(context: dg.AssetExecutionContext) -> Iterator[Any]:
        on_failure = partial(report_not_run, context, project, asset)
        with _repeated(context, retries, on_failure), _failures_as_shown(project, asset):
            yield from _execute(
                asset_run(project, asset, context, partitions), checks, context, partitions
            )

    return run_file


def _with_signature(function: _Run) -> _Run:
    """The function of an asset, with its signature, which Dagster would work out fifteen times: 0.1
    of 0.7 s for a thousand assets."""
    function.__signature__ = _SIGNATURE  # type: ignore[attr-defined]  # inspect reads it where set
    return function


def build_checks(
    project: Project, asset: Asset, translator: BruinTranslator
) -> dg.AssetChecksDefinition | None:
    """The checks of a source, on the asset of other code that makes its table. None without any."""
    checks = checks_of(asset)
    if not checks:
        return None
    retries = _retry_policy(asset, project)

    @dg.multi_asset_check(
        name=op_name(asset.name, project),
        specs=[translator.get_asset_check_spec(check, project) for check in checks],
        can_subset=True,
        required_resource_keys=_required_resources(project, asset),
    )
    def check_table(context: dg.AssetCheckExecutionContext) -> Iterator[Any]:
        on_failure = partial(report_not_run, context, project, asset)
        with _repeated(context, retries, on_failure), _failures_as_shown(project, asset):
            yield from _check(asset_run(project, asset, context, None), checks, context)

    return check_table


def _required_resources(project: Project, asset: Asset) -> set[str]:
    """The databases that exist. One that is missing fails its asset when it runs, no others."""
    known = {c.name for c in project.connections.by_name.values() if has_resource(c)}
    needed = [resource_key(name) for name in connections_of(project, asset) if name in known]
    return {in_copy(key, project) for key in needed}


def _execute(
    run: AssetRun,
    checks: Sequence[Check],
    context: dg.AssetExecutionContext,
    partitions: Partitions | None,
) -> Iterator[Any]:
    """Build and check, or only check: whatever the run selected."""
    asset = run.declared
    if asset_key(asset.name, run.project) not in context.selected_asset_keys:
        yield from _check(run, checks, context, partitions)
        return
    wanted = _wanted(run, checks, context)
    context.log.info(f"{asset.name}: started{f' for {run.interval}' if run.interval else ''}")
    built = ASSET_TYPES[asset.type].build(run, wanted)
    context.log.info(_summary(asset, built))
    for statement in built.loaded.statements:
        context.log.debug(statement)
    for change in (*built.loaded.schema_changes, *built.loaded.warnings):
        context.log.warning(f"{asset.name}: {change}")
    unpublished = None
    if built.published:
        windowed = run.interval is not None and is_partitioned(asset)
        written = built.loaded.rows_written if windowed else None
        rows = attempt(
            context.log,
            f"{asset.name}: the record of the partitions that have rows",
            lambda: _record_partitions(run, context, partitions, written),
            written,
        )
        yield materialization_of(run, built, partition_rows=rows)
        attempt(
            context.log,
            f"{asset.name}: the definition that it was built by",
            lambda: keep_definition(
                context.instance, run.project, asset, _partitions_of(run, context)
            ),
            None,
        )
    else:
        since = kept_since(context, asset_key(asset.name, run.project))
        kept = f"still shows the data of {moment(since)}" if since else "is as it was before"
        context.log_event(rejection_of(run, built.results, kept))
        unpublished = f"The rows were not published: the table {kept}."
    record_by_partition(context, run.project, built.results, partitions)
    yield from (check_result_of(result, run, partitions, unpublished) for result in built.results)
    kept = "the new rows are published" if built.published else "the table is as it was before"
    _fail_when_rejected(asset, built.results, kept)


def _check(
    run: AssetRun, checks: Sequence[Check], context: Context, partitions: Partitions | None = None
) -> Iterator[Any]:
    """Check the table as it is."""
    with in_time(run):
        wanted = _wanted(run, checks, context)
        results = run.warehouse.check(run.asset, wanted, run.render, run.timeout)
    record_by_partition(context, run.project, results, partitions)
    yield from (check_result_of(result, run, partitions) for result in results)
    _fail_when_rejected(run.declared, results, "the table is as it was")


def _wanted(run: AssetRun, checks: Sequence[Check], context: Context) -> list[Check]:
    """The checks that the run selected."""
    selected = context.selected_asset_check_keys
    return compared(run, [check for check in checks if check_key(check, run.project) in selected])


def _record_partitions(
    run: AssetRun,
    context: dg.AssetExecutionContext,
    partitions: Partitions | None,
    written: int | None,
) -> int | None:
    """Record how many rows the partitions have that a run has filled: by this number the sensor
    knows whether a load saw other rows than it did. What is true of those that are not recorded
    here; `written` is the number of rows that the run wrote in all of them.

    A run without dates has rebuilt all partitions, and those with rows are recorded: recording each
    of a thousand empty days would take longer than the run.
    """
    column, key = incremental_key_of(run.asset), asset_key(run.declared.name, run.project)
    windows = time_windows(partitions)
    if not (is_partitioned(run.asset) and partitions and windows and column):
        return written
    is_loaded = run.asset.type == "ingestr" and partitions is windows
    if run.interval and not (is_loaded and run.fills_partitions):
        return written
    moments = run.warehouse.moments(run.asset.name, column, unit_of(windows), run.interval)
    rows = rows_by_partition(moments, partitions, context.instance)
    if not run.interval:
        record_partitions(context, key, rows)
        return None
    for name, number in rows.items():
        context.add_asset_metadata({PARTITION_ROWS: number}, key, partition_key=name)
    return 0


def _partitions_of(run: AssetRun, context: dg.AssetExecutionContext) -> Sequence[str] | None:
    """The partitions that a run fills, which may be none whole; None for all of a table."""
    if run.interval is None or not is_partitioned(run.declared):
        return None
    return context.partition_keys if context.has_partition_key_range else ()


def _summary(asset: Asset, built: BuildResult) -> str:
    passed = sum(result.passed for result in built.results)
    before = built.rows_before
    parts = [
        "" if built.published else "not published",
        f"{built.rows:,} rows" if built.rows is not None else "done",
        f"{before:,} before" if before is not None else "",
        f"{built.loaded.rows_written:,} written" if built.loaded.rows_written is not None else "",
        f"{built.loaded.rows_moved:,} moved here" if built.loaded.rows_moved else "",
        f"{built.loaded.rows_deleted:,} deleted" if built.loaded.rows_deleted is not None else "",
        f"{passed} of {len(built.results)} checks passed" if built.results else "",
        f"{built.build_seconds + built.check_seconds:.2f} s",
    ]
    return f"{asset.name}: {', '.join(part for part in parts if part)}"


def _fail_when_rejected(asset: Asset, results: Sequence[CheckResult], kept: str) -> None:
    rejecting = [result for result in results if result.rejects]
    if not rejecting:
        return
    reasons = "\n".join(f"  {result.check.label}: {result.message}" for result in rejecting)
    raise dg.Failure(
        f"{asset.name}: {counted(len(rejecting), 'blocking check')} failed; {kept}\n{reasons}",
        metadata={**_LASTING, FAILED_CHECKS: [result.check.label for result in rejecting]},
        allow_retries=False,
    )


@contextmanager
def _repeated(
    context: Context, retries: dg.RetryPolicy | None, on_failure: Callable[[Exception], None]
) -> Iterator[None]:
    """Have the step repeated after a failure, as often as `retries` says; not when the run is
    terminated. `on_failure` is called with a failure after which it is not repeated.

    Dagster repeats a terminated step too when its op has a policy, so the ops have none. What
    DuckDB raises when it is interrupted, and what fails while a transaction is undone then, stands
    for the interruption that caused it.
    """
    try:
        yield
    except Exception as error:
        interruption = _interruption(error)
        if interruption is not None:
            raise interruption from None
        may_repeat = not isinstance(error, dg.Failure) or error.allow_retries
        if retries is None or not may_repeat or context.retry_number >= retries.max_retries:
            what = "what the assets downstream say of this"
            attempt(context.log, what, partial(on_failure, error), None)
        if retries is None or not may_repeat:
            raise
        delay = retries.calculate_delay(context.retry_number + 1)
        raise dg.RetryRequested(retries.max_retries, delay) from error


def _interruption(error: BaseException | None) -> BaseException | None:
    """What interrupted the work that this error came of, if anything did."""
    while error is not None:
        if isinstance(error, (KeyboardInterrupt, dg.DagsterExecutionInterruptedError)):
            return error
        error = error.__cause__ or error.__context__
    return None


@contextmanager
def _failures_as_shown(project: Project, asset: Asset) -> Iterator[None]:
    """What the files or the databases cause becomes a Failure whose text is the whole message, with
    the assets that it depends on and that cannot run here.

    A query that is wrong stays wrong: only what comes from outside is worth another try.
    """
    try:
        yield
    except (AssetError, WarehouseError, UnusableConnection, ProjectError) as error:
        mistake = asset.type.endswith(".sql") and isinstance(error, AssetError)
        mistake = mistake and not isinstance(error, OutsideError)
        mistake = mistake or isinstance(error, MistakeError)
        text = "\n".join([str(error), *_left_out_upstream(project, asset)])
        metadata = _LASTING if mistake else None
        raise dg.Failure(text, metadata=metadata, allow_retries=not mistake) from None


def _left_out_upstream(project: Project, asset: Asset) -> Iterator[str]:
    for name in project.neighbours.upstream.get(asset.name, ()):
        upstream = project.by_name.get(name)
        reason = unsupported(project, upstream) if upstream is not None else None
        if reason is not None:
            yield f"It depends on {name}, which is left out here: {reason}"


def _retry_policy(asset: Asset, project: Project) -> dg.RetryPolicy | None:
    retries = asset.retries if asset.retries is not None else project.pipeline.retries
    if not retries:
        return None
    delay = float(asset.rerun_cooldown or 0) or _RETRY_SECONDS
    return dg.RetryPolicy(max_retries=retries, delay=delay, backoff=dg.Backoff.EXPONENTIAL)
