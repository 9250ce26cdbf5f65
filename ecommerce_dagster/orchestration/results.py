"""What a build and its checks found, as Dagster's events."""

from __future__ import annotations

from typing import Any

import dagster as dg

from ecommerce_dagster.bruin.models import Asset
from ecommerce_dagster.orchestration.names import asset_key, check_name
from ecommerce_dagster.orchestration.translator import built_schema
from ecommerce_dagster.warehouse.checks import CheckResult
from ecommerce_dagster.warehouse.publish import Published


def materialization_of(
    asset: Asset, built: Published, *, windowed: bool
) -> dg.MaterializeResult[Any]:
    """The event of a published build."""
    loaded = built.loaded
    metadata: dict[str, Any] = {
        "build_seconds": round(built.build_seconds, 3),
        "check_seconds": round(built.check_seconds, 3),
    }
    if loaded.statements:
        metadata["sql"] = _code(";\n\n".join(loaded.statements))
    if built.columns:
        metadata["dagster/column_schema"] = built_schema(asset, built.columns)
    if built.rows is not None:
        metadata["dagster/row_count"] = built.rows
    if loaded.rows_written is not None:
        metadata["rows_written"] = loaded.rows_written
        if windowed:
            metadata["dagster/partition_row_count"] = loaded.rows_written
    if loaded.rows_moved:
        metadata["rows_moved"] = loaded.rows_moved
    if loaded.rows_deleted is not None:
        metadata["rows_deleted"] = loaded.rows_deleted
    if built.summary:
        metadata["summary"] = dg.MetadataValue.md(built.summary)
    if loaded.schema_changes:
        metadata["schema_changes"] = dg.MetadataValue.md(
            "\n".join(f"- {change}" for change in loaded.schema_changes)
        )
    return dg.MaterializeResult(asset_key=asset_key(asset.name), metadata=metadata)


def check_result_of(result: CheckResult) -> dg.AssetCheckResult:
    """The event of one check: its rule, and the rows that break it."""
    check = result.check
    metadata: dict[str, Any] = {"rule": check.words, "result": result.message}
    if result.error is not None:
        metadata["error"] = result.error
    if result.failed_rows is not None:
        metadata["bad_rows"] = result.failed_rows
    if result.total_rows:
        metadata["bad_share"] = round((result.failed_rows or 0) / result.total_rows, 6)
    if not result.passed and result.bad_rows_sql:
        metadata["bad_rows_sql"] = _code(result.bad_rows_sql)
    if result.sample:
        metadata["bad_rows_sample"] = dg.MetadataValue.table(
            [dg.TableRecord({k: _cell(v) for k, v in row.items()}) for row in result.sample],
            schema=dg.TableSchema([dg.TableColumn(name) for name in result.sample[0]]),
        )
    return dg.AssetCheckResult(
        asset_key=asset_key(check.asset.name),
        check_name=check_name(check),
        passed=result.passed,
        severity=dg.AssetCheckSeverity.ERROR if check.blocking else dg.AssetCheckSeverity.WARN,
        description=result.message,
        metadata=metadata,
    )


def _code(sql: str) -> dg.MarkdownMetadataValue:
    return dg.MetadataValue.md(f"```sql\n{sql}\n```")


def _cell(value: Any) -> str | int | float | bool | None:
    if value is None or isinstance(value, str | bool | float):
        return value
    # JavaScript reads larger integers wrongly.
    return value if isinstance(value, int) and abs(value) < 2**53 else str(value)
