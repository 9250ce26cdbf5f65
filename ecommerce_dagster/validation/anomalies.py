"""Whether anomaly checks can measure the columns that a table will have."""

from __future__ import annotations

from collections.abc import Callable

from ecommerce_dagster.bruin.model.anomalies import anomaly_checks
from ecommerce_dagster.bruin.model.asset import Asset
from ecommerce_dagster.bruin.problems import ProblemLog
from ecommerce_dagster.sql.column_kinds import ColumnKind
from ecommerce_dagster.sql.measures import unmeasurable
from ecommerce_dagster.sql.types import known_type


def lint_measures(asset: Asset, kind_of: Callable[[str], ColumnKind], log: ProblemLog) -> None:
    """Report anomalies that cannot be had of columns whose type the query alone says; what the file
    declares is reported where it is read."""
    for column in asset.columns:
        for check in anomaly_checks(column):
            if known_type(column.type):
                break
            kind = kind_of(column.name)
            lack = unmeasurable(check.name, kind)
            if lack is not None:
                message = f"the anomaly '{check.name}' {lack}; '{column.name}' is {kind.type}"
                log.error(check.path, check.line, "check-fits-column", message)
