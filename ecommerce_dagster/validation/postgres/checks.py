"""Bind the checks of an asset in PostgreSQL to the columns that its table will have."""

from __future__ import annotations

from ecommerce_dagster.bruin.model.asset import Asset, ColumnCheck
from ecommerce_dagster.bruin.problems import ProblemLog
from ecommerce_dagster.sql.checks import Check, checks_of
from ecommerce_dagster.sql.rules import RULES, RuleError
from ecommerce_dagster.validation.anomalies import lint_measures
from ecommerce_dagster.validation.column_lint import place_of
from ecommerce_dagster.validation.schema_only import Schema
from ecommerce_dagster.warehouses.postgres.bind_errors import BindError, columns_or_error
from ecommerce_dagster.warehouses.postgres.catalog import Catalog
from ecommerce_dagster.warehouses.postgres.check_sql import ColumnRules, column_kind

# Any column can answer the one; the other asks another table.
_ELSEWHERE = {"unique", "relationships"}


def lint_column_checks(
    catalog: Catalog, asset: Asset, schema: Schema, rows: str, log: ProblemLog
) -> None:
    """Report the checks that a table cannot answer that has `schema`; `rows` stands for it."""
    kinds = {name: kind for name, kind in schema.columns.items() if kind is not None}
    lint_measures(asset, lambda name: column_kind(schema.type_of(name) or ""), log)
    rules = ColumnRules(catalog, catalog.find(asset.name), kinds)
    conditions: list[tuple[Check, str]] = []
    for check in checks_of(asset):
        if check.column is None or not schema.type_of(check.column.name):
            continue
        try:
            condition = _condition(rules, check)
        except RuleError as error:
            _report(asset, check, str(error), log)
            continue
        conditions += [(check, condition)] if condition else []

    def refused(*broken: str) -> BindError | None:
        cells = ", ".join(f"count(*) FILTER (WHERE {condition})" for condition in broken)
        found = columns_or_error(catalog.session, f"SELECT {cells} FROM ({rows}) AS checked")
        return found if isinstance(found, BindError) and found.is_about_text else None

    # One by one when there is something to find.
    if not conditions or not refused(*(condition for _, condition in conditions)):
        return
    for check, condition in conditions:
        found = refused(condition)
        if found is not None:
            _report(asset, check, found.message, log)


def _report(asset: Asset, check: Check, reason: str, log: ProblemLog) -> None:
    rule, column = check.rule, check.column
    if column is not None:
        at = rule.at() if rule.path == asset.path else place_of(column, asset)
        what = f"the check '{rule.name}' of '{column.name}' cannot be answered"
        log.error(*at, "check-fits-column", f"{what}: {reason}")


def _condition(rules: ColumnRules, check: Check) -> str | None:
    """What a bad row is, unless the check is reported already, or counts in its own way."""
    rule = check.rule
    if not isinstance(rule, ColumnCheck) or rule.name in _ELSEWHERE or rule.name not in RULES:
        return None
    try:
        return rules.broken(check)
    except (AssertionError, AttributeError, TypeError, ValueError):
        return None
