"""Rows of tables as Dagster shows them. What the files call private is not among them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import dagster as dg

from ecommerce_dagster.bruin.model.asset import Asset
from ecommerce_dagster.bruin.project import Project

_MASKED = "***"
_LONGEST = 200  # characters of a cell
_MOST_COLUMNS = 50


def rows_shown(
    rows: Sequence[Mapping[str, Any]], asset: Asset, project: Project
) -> dg.TableMetadataValue | None:
    """`rows` as metadata; None when there are none to be shown.

    `meta: {preview: false}`, of the asset or of the pipeline, keeps all rows back, a column's
    `mask` the values of that column.
    """
    if not rows or not project.shows_rows(asset):
        return None
    masked = asset.masked
    names = list(rows[0])[:_MOST_COLUMNS]
    records = [
        dg.TableRecord(
            {name: _MASKED if name.lower() in masked else _cell(row[name]) for name in names}
        )
        for row in rows
    ]
    schema = dg.TableSchema([dg.TableColumn(name) for name in names])
    return dg.MetadataValue.table(records, schema=schema)


def _cell(value: Any) -> str | int | float | bool | None:
    if value is None or isinstance(value, bool | float):
        return value
    # JavaScript reads larger integers wrongly.
    if isinstance(value, int) and abs(value) < 2**53:
        return value
    text = str(value)
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]} ..."
