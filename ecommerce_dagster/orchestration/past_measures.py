"""What checks without a threshold measured in earlier runs, from the last event of each.

Each event has the measures of the last 90 days, one a day: one row is read for a check, however
many runs there were, and no more are kept when Dagster's old events are deleted.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import dagster as dg

from ecommerce_dagster._compat import AssetCheckExecutionRecordStatus as Status
from ecommerce_dagster.bruin.project import Project
from ecommerce_dagster.orchestration.asset_keys import check_key
from ecommerce_dagster.sql.checks import Check, CheckResult
from ecommerce_dagster.sql.comparison import Point

DAYS = "days"
_TO = " to "
_KEY = "history"
_DONE = {Status.SUCCEEDED, Status.FAILED}


def past_measures(
    instance: dg.DagsterInstance, checks: Sequence[Check], project: Project
) -> dict[str, tuple[Point, ...]]:
    """The measures of earlier runs by the ids of checks, the latest last."""
    storage, found = instance.event_log_storage, dict[str, tuple[Point, ...]]()
    for check in checks:
        key = check_key(check, project)
        for record in storage.get_asset_check_execution_history(key, limit=1, status=_DONE):
            evaluation = record.evaluation
            found[check.id] = _points(evaluation.metadata) if evaluation else ()
    return found


def measures_shown(result: CheckResult) -> dict[str, Any]:
    """What a check measured and what was expected, as metadata of its event. What is known of the
    past is recorded again, also when nothing could be measured."""
    compared, measured = result.check.compared, result.measured
    points = measured.points if measured else ()
    points = points or (compared.past if compared else ())
    shown: dict[str, Any] = {}
    if measured is not None:
        found = {
            "measured": measured.value,
            "expected_from": measured.low,
            "expected_to": measured.high,
        }
        shown |= {key: float(value) for key, value in found.items() if value is not None}
    if measured is not None and measured.days is not None:
        shown[DAYS] = _TO.join(map(str, dict.fromkeys(measured.days)))
    if points:
        rows = [[int(point.at), point.value, point.passed] for point in points]
        shown[_KEY] = dg.MetadataValue.json(rows)
    return shown


def days_in(metadata: Mapping[str, Any]) -> tuple[str, str] | None:
    """The first and the last day that a result is about; None when it is about no days."""
    known = metadata.get(DAYS)
    if not isinstance(known, dg.TextMetadataValue):
        return None
    first, _, last = str(known.value).partition(_TO)
    return first, last or first


def _points(metadata: Mapping[str, Any]) -> tuple[Point, ...]:
    known = metadata.get(_KEY)
    rows = known.data if isinstance(known, dg.JsonMetadataValue) else None
    return tuple(Point(*row) for row in rows) if isinstance(rows, list) else ()
