"""Bind the checks of one asset to the columns that its table will have."""

from __future__ import annotations

from contextlib import suppress

import duckdb

from ecommerce_dagster.bruin.model.asset import Asset, Column, ColumnCheck, CustomCheck
from ecommerce_dagster.bruin.problems import ProblemLog, did_you_mean
from ecommerce_dagster.sql.column_kinds import ColumnKind, in_duckdb
from ecommerce_dagster.sql.identifiers import literal, relation
from ecommerce_dagster.sql.rules import RULES, RuleError
from ecommerce_dagster.sql.sql_text import SqlText
from ecommerce_dagster.sql.used_tables import key_of
from ecommerce_dagster.validation.anomalies import lint_measures
from ecommerce_dagster.validation.bind_errors import BindError
from ecommerce_dagster.validation.column_lint import place_of
from ecommerce_dagster.validation.diagnostics import Diagnostics
from ecommerce_dagster.validation.dry_run import DryRun, RefusedError
from ecommerce_dagster.validation.schema_only import SchemaOnlyWarehouse

_CHECK_RULE = "check-fits-column"


class CheckBinding:
    """Binds the questions that an asset's file asks, once its table is made."""

    def __init__(
        self,
        warehouse: SchemaOnlyWarehouse,
        asset: Asset,
        dry_run: DryRun,
        verdicts: Diagnostics,
        log: ProblemLog,
    ) -> None:
        self._warehouse, self._asset, self._dry_run = warehouse, asset, dry_run
        self._verdicts, self._log = verdicts, log

    def run(self, texts: list[SqlText]) -> None:
        """Try out the column checks, and those of `texts` that are questions."""
        self._check_columns()
        for text in texts:
            if text.check is not None:
                self._check_custom(text, text.check)
            elif text.part == "sensor":
                self._ask(text)

    def _check_custom(self, text: SqlText, rule: CustomCheck) -> None:
        for rendered in text.texts:
            if not rendered.strip():
                continue
            try:
                schema = self._dry_run.bind(rendered).schema
            except RefusedError as error:
                self._verdicts.judge(text, rendered, error.refusal, rendered)
                continue
            width = len(schema.columns)
            if schema.complete and rule.count is None and width != 1:
                message = f"{text.name} must return one column; its query returns {width}"
                self._log.error(*text.at, text.rule, message)

    def _ask(self, text: SqlText) -> None:
        """Try out the question of a sensor. What does not exist yet is what it waits for."""
        for rendered in text.texts:
            refusal = self._dry_run.refusal(rendered) if rendered.strip() else None
            if refusal is not None and refusal.kind != "object":
                self._verdicts.judge(text, rendered, refusal, rendered)

    def _check_columns(self) -> None:
        """All conditions in one statement; one by one when there is something to find."""
        schema = self._warehouse.schema(key_of(self._asset.name))
        if schema is None:
            return
        lint_measures(self._asset, lambda name: in_duckdb(schema.type_of(name) or ""), self._log)
        if not any(column.checks for column in self._asset.columns):
            return
        found: list[tuple[Column, ColumnCheck, str]] = []
        # Any column can be asked whether it is NULL, unless a hook has removed it.
        hooks = self._asset.hooks
        sure = set() if hooks.pre or hooks.post else {"not_null"}
        for column in self._asset.columns:
            if schema.type_of(column.name) is None:
                continue
            for check in column.checks:
                kind = schema.type_of(column.name) or ""
                try:
                    condition = _condition(column, check, in_duckdb(kind))
                except RuleError as error:
                    self._report_check(column, check, f"cannot be answered: {error}")
                    continue
                self._check_bounds(column, check, kind)
                if condition and check.name not in sure:
                    found.append((column, check, condition))
        if found and self._refused([condition for _, _, condition in found]) is not None:
            for column, check, condition in found:
                self._check_one(column, check, condition)

    def _check_one(self, column: Column, check: ColumnCheck, condition: str) -> None:
        refused = self._refused([condition])
        if refused is None or self._lacks_parent(column, check):
            return
        refusal, sql = refused
        at = check.at() if check.path == self._asset.path else place_of(column, self._asset)
        what = f"the check '{check.name}' of '{column.name}' cannot be answered:"
        self._verdicts.report(at, _CHECK_RULE, what, refusal, sql)

    def _lacks_parent(self, column: Column, check: ColumnCheck) -> bool:
        """Report a foreign key to a column that its table does not have. DuckDB would look for it
        in the table around, and say so."""
        key = column.foreign_key
        parent = self._warehouse.schema(key_of(key.table)) if key else None
        if key is None or parent is None or check.name != "relationships":
            return False
        if parent.complete and not parent.has(key.column):
            hint = did_you_mean(key.column, parent.columns)
            message = f"the table '{key.table}' has no column '{key.column}'; {hint}"
            self._log.error(*key.at("column"), _CHECK_RULE, message)
        return not parent.has(key.column)

    def _refused(self, conditions: list[str]) -> tuple[BindError, str] | None:
        cells = ", ".join(f"count(*) FILTER (WHERE {condition})" for condition in conditions)
        sql = f"SELECT {cells} FROM {relation(self._asset.name)}"
        refusal = None if self._dry_run.binds(sql) else self._dry_run.refusal(sql)
        return (refusal, sql) if refusal is not None else None

    def _check_bounds(self, column: Column, check: ColumnCheck, kind: str) -> None:
        """A bound that is written as a text must be a value of the column's type."""
        for bound in (
            check.min,
            check.max,
            *([] if isinstance(check.value, tuple) else [check.value]),
        ):
            if not isinstance(bound, str) or check.name not in {"min", "max", "range"}:
                continue
            with suppress(duckdb.Error):
                row = self._dry_run.session.execute(
                    f"SELECT TRY_CAST({literal(bound)} AS {kind}) IS NULL"
                ).fetchone()
                if row and row[0]:
                    self._report_check(
                        column, check, f"compares {kind} with '{bound}'; write a value of that type"
                    )

    def _report_check(self, column: Column, check: ColumnCheck, what: str) -> None:
        at = check.at() if check.path == self._asset.path else place_of(column, self._asset)
        message = f"the check '{check.name}' of '{column.name}' {what}"
        self._log.error(*at, _CHECK_RULE, message)


def _condition(column: Column, check: ColumnCheck, kind: ColumnKind) -> str | None:
    """What a bad row is, unless the check is reported already, or counts in its own way."""
    rule = RULES.get(check.name)
    try:
        return rule.broken(column, check, kind) if rule is not None else None
    except (AssertionError, AttributeError, TypeError, ValueError):
        return None
