"""What a build and its checks found, as Dagster's events."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import isfinite
from typing import Any

import dagster as dg

from ecommerce_dagster._compat import DagsterEventBatchMetadata, generate_event_batch_id
from ecommerce_dagster.bruin.model.asset import Asset
from ecommerce_dagster.bruin.plurals import counted
from ecommerce_dagster.bruin.schema_prefix import prefixed_name
from ecommerce_dagster.orchestration.after_publish import attempt
from ecommerce_dagster.orchestration.asset_keys import asset_key, check_key
from ecommerce_dagster.orchestration.code_references import place
from ecommerce_dagster.orchestration.partitions import PARTITION_ROWS, Partitions, rows_by_time
from ecommerce_dagster.orchestration.past_measures import measures_shown
from ecommerce_dagster.orchestration.previews import rows_shown
from ecommerce_dagster.orchestration.table_columns import (
    built_schema,
    column_lineage,
    lineage_in_words,
)
from ecommerce_dagster.orchestration.translator import severity_of
from ecommerce_dagster.runtime.asset_run import AssetRun
from ecommerce_dagster.runtime.column_lineage import asset_lineage, project_lineage
from ecommerce_dagster.sources.parameters import primary_key_of
from ecommerce_dagster.sql.checks import CheckResult
from ecommerce_dagster.sql.lineage.columns import NOTHING, Table
from ecommerce_dagster.sql.lineage.query import Lineage
from ecommerce_dagster.warehouses.base import BuildResult

# Whose bad rows are counted one by one, the latest ones.
_MOST_PARTITIONS = 400

# The metadata of a check's result that is one of rows which were not published.
NOT_PUBLISHED = "published"


def materialization_of(
    run: AssetRun, built: BuildResult, *, partition_rows: int | None
) -> dg.MaterializeResult[Any]:
    """The event of a published build. `partition_rows` are in each of its partitions of which
    nothing else was said."""
    loaded, facts = built.loaded, built.facts
    found: dict[str, Any] = {
        "build_seconds": round(built.build_seconds, 3),
        "check_seconds": round(built.check_seconds, 3),
        "source_seconds": _rounded(loaded.source_seconds),
        "sql": _code(";\n\n".join(loaded.statements)) if loaded.statements else None,
        **(_columns(run, built) if built.columns else {}),
        "dagster/row_count": built.rows,
        "rows_written": loaded.rows_written,
        PARTITION_ROWS: partition_rows,
        "rows_moved": loaded.rows_moved or None,
        "rows_deleted": loaded.rows_deleted,
        "rows_missed": loaded.rows_missed or None,
        "warnings": _list(loaded.warnings) if loaded.warnings else None,
        "size_bytes": facts.size_bytes,
        "summary": dg.MetadataValue.md(built.summary) if built.summary else None,
        "schema_changes": _list(loaded.schema_changes) if loaded.schema_changes else None,
        "preview": _shown(facts.preview, run.declared, run, "the preview"),
    }
    metadata = {key: value for key, value in found.items() if value is not None}
    return dg.MaterializeResult(
        asset_key=asset_key(run.declared.name, run.project), metadata=metadata
    )


def record_partitions(
    context: dg.AssetExecutionContext, key: dg.AssetKey, rows: Mapping[str, int | None]
) -> None:
    """Record these partitions as filled with so many rows. One by one, each of a year's days would
    take 6 ms."""
    batch, step = generate_event_batch_id(), context.get_step_execution_context()
    for number, (name, count) in enumerate(rows.items(), start=1):
        metadata = {} if count is None else {PARTITION_ROWS: count}
        dg.DagsterEvent.asset_materialization(
            step,
            dg.AssetMaterialization(key, partition=name, metadata=metadata),
            DagsterEventBatchMetadata(batch, is_end=number == len(rows)),
        )


def rejection_of(run: AssetRun, results: Sequence[CheckResult], kept: str) -> dg.AssetObservation:
    """What the page of an asset says of a build that was not published; `kept` is what
    can be said of its table."""
    name = run.declared.name
    rules = [f"{result.check.label}: {result.message}" for result in results if result.rejects]
    count = counted(len(rules), "blocking check")
    return dg.AssetObservation(
        asset_key(name, run.project),
        description=f"Not published: {count} failed. {name} {kept}.",
        metadata={"rejected_by": _list(rules)},
    )


def check_result_of(
    result: CheckResult,
    run: AssetRun,
    partitions: Partitions | None,
    unpublished: str | None = None,
) -> dg.AssetCheckResult:
    """The event of one check: its rule, the rows that break it, the partitions (or the days) that
    they are of, and a sentence about those that were checked and not published."""
    check, rule = result.check, result.check.rule
    metadata: dict[str, Any] = {
        "rule": check.words,
        "result": result.message,
        "declared_in": place(rule.path, run.project, rule.line),
    }
    if unpublished is not None:
        metadata[NOT_PUBLISHED] = unpublished
    if result.error is not None:
        metadata["error"] = result.error
    metadata |= _numbers(result)
    if result.which_rows is not None:
        metadata["which_rows"] = result.which_rows
    if moments := result.bad_rows.moments:
        rows = dict(list(rows_by_time(moments, partitions).items())[-_MOST_PARTITIONS:])
        metadata["failed_partitions"] = dg.MetadataValue.json(rows)
    metadata |= measures_shown(result)
    if result.bad_rows_sql:
        metadata["bad_rows_sql"] = _code(result.bad_rows_sql)
    if sample := _shown(result.sample, check.asset, run, f"the bad rows of {check.label}"):
        metadata["bad_rows_sample"] = sample
    return dg.AssetCheckResult(
        asset_key=asset_key(check.asset.name, run.project),
        check_name=check_key(check, run.project).name,
        passed=result.passed,
        severity=severity_of(check),
        description=result.message,
        metadata=metadata,
    )


def _numbers(result: CheckResult) -> dict[str, int | float]:
    """What Dagster draws over time: also zeros, so that no evaluation is missing."""
    bad, total, returned = result.failed_rows, result.total_rows, result.returned
    found: dict[str, int | float | None] = {
        "bad_rows": bad,
        "checked_rows": total,
        "bad_share": None
        if bad is None or total is None
        else round(bad / total, 6)
        if total
        else 0.0,
        # Dagster's pages know numbers of JSON alone.
        "returned": float(returned) if returned is not None and isfinite(returned) else None,
    }
    return {name: number for name, number in found.items() if number is not None}


def _shown(
    rows: Sequence[Mapping[str, Any]], asset: Asset, run: AssetRun, what: str
) -> dg.TableMetadataValue | None:
    """Rows as metadata; None when there are none to be shown."""
    name = f"{run.declared.name}: {what}"
    return attempt(run.info.log, name, lambda: rows_shown(rows, asset, run.project), None)


def _columns(run: AssetRun, built: BuildResult) -> dict[str, Any]:
    """The columns, and where they come from."""
    name, log = run.declared.name, run.info.log

    def lineage() -> dict[str, Any]:
        found = _lineage(run, built)
        gaps = found[name].gaps
        return {
            "dagster/column_lineage": column_lineage(found[name], run.project),
            "column_lineage": lineage_in_words(found, name),
            **({"column_lineage_gaps": _list(gaps)} if gaps else {}),
        }

    def columns() -> dict[str, Any]:
        return {"dagster/column_schema": built_schema(run.declared, built.columns)}

    return {
        **attempt(log, f"{name}: the description of the columns", columns, {}),
        **attempt(log, f"{name}: where the columns come from", lineage, {}),
    }


def _lineage(run: AssetRun, built: BuildResult) -> dict[str, Lineage]:
    """The lineage of the project. The warehouse is asked for columns that no file names."""
    project, asset = run.project, run.declared
    known = dict(project_lineage(project))
    own = known[asset.name]
    if own.gaps or {name.lower() for name in own.columns} != {n.lower() for n in built.columns}:
        found = _columns_read(run)
        tables = [
            Table(a.name, tuple(columns), primary_key_of(a), complete=a.name in found)
            for a in project.assets
            if (columns := found.get(a.name) or list(known[a.name].columns))
        ]
        own = asset_lineage(project, asset, tables, tuple(built.columns))
    spelt = {name.lower(): refs for name, refs in own.columns.items()}
    refs = {name: spelt.get(name.lower(), NOTHING) for name in built.columns}
    return {**known, asset.name: Lineage(refs, own.gaps)}


def _columns_read(run: AssetRun) -> dict[str, list[str]]:
    """The columns of the tables that the asset depends on, as they are in the warehouse."""
    project = run.project
    prefix = project.connections.schema_prefix
    names = {
        prefixed_name(name, prefix if name in run.own else ""): name
        for dependency in run.declared.depends
        if (name := dependency.asset) in project.by_name
    }
    return {names[name]: found for name, found in run.warehouse.columns_of(names).items()}


def _rounded(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds, 3)


def _list(lines: Sequence[str]) -> dg.MarkdownMetadataValue:
    return dg.MetadataValue.md("\n".join(f"- {line}" for line in lines))


def _code(sql: str) -> dg.MarkdownMetadataValue:
    return dg.MetadataValue.md(f"```sql\n{sql}\n```")
