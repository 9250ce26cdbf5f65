"""One asset on trial: its hooks, its query and its checks, in the order in which they run."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass

import duckdb

from ecommerce_dagster.bruin.interval import yesterday
from ecommerce_dagster.bruin.located import Position
from ecommerce_dagster.bruin.models import Asset, Column, ColumnCheck, CustomCheck
from ecommerce_dagster.bruin.problems import Problem, ProblemLog, did_you_mean
from ecommerce_dagster.warehouse import script
from ecommerce_dagster.warehouse.empty import EmptyWarehouse, Schema
from ecommerce_dagster.warehouse.fit import (
    declared_schema,
    lint_columns,
    lint_types,
    place_of,
    table_schema,
)
from ecommerce_dagster.warehouse.history import COLUMNS as HISTORY
from ecommerce_dagster.warehouse.identifiers import literal, relation
from ecommerce_dagster.warehouse.load import LoadError, declare_table, ensure_schema, load_table
from ecommerce_dagster.warehouse.refusals import Refusal, refusal_of
from ecommerce_dagster.warehouse.rules import RULES
from ecommerce_dagster.warehouse.script import ScriptError
from ecommerce_dagster.warehouse.sql_text import SqlText
from ecommerce_dagster.warehouse.strategies import STRATEGIES, strategy_name
from ecommerce_dagster.warehouse.time_limit import TimeLimitError, time_limit
from ecommerce_dagster.warehouse.trial import Bound, RefusedError, Trial
from ecommerce_dagster.warehouse.used_tables import key_of

_CHECK_RULE = "check-fits-column"
_LOAD_RULE = "materialization-config"
# Nothing here reads a row; what takes longer computes something that no proof needs.
_SECONDS = 5.0


@dataclass(frozen=True)
class Suspicion:
    """A problem, unless what seems to be missing is made by somebody after all."""

    problem: Problem
    table: str | None
    exists: Callable[[str], bool]


class AssetBinding:
    """Binds the SQL of one asset and makes its table in the empty warehouse.

    Whether something does not exist can be told when all assets are through: `suspicions`.
    """

    def __init__(self, warehouse: EmptyWarehouse, asset: Asset, log: ProblemLog) -> None:
        self.suspicions: list[Suspicion] = []
        self._warehouse, self._asset, self._log = warehouse, asset, log
        self._trial = Trial(warehouse)

    def bind(self, texts: list[SqlText]) -> None:
        """Try out a SQL asset."""
        try:
            with time_limit(self._trial.session, _SECONDS):
                self._run(texts)
        except TimeLimitError:
            self._warehouse.make(self._trial.session, self._asset.name, self._declared)

    def load(self, schema: Schema, texts: list[SqlText]) -> None:
        """Make the table of an asset without a query, and try out its checks."""
        with suppress(TimeLimitError), time_limit(self._trial.session, _SECONDS):
            self._warehouse.make(self._trial.session, self._asset.name, schema)
            self._check(texts)

    @property
    def _declared(self) -> Schema:
        return declared_schema(self._asset)

    def _run(self, texts: list[SqlText]) -> None:
        self._follow([text for text in texts if text.part == "pre"])
        for text in texts:
            if text.part == "body":
                self._build(text)
        self._follow([text for text in texts if text.part == "post"])
        self._check(texts)

    def _follow(self, texts: list[SqlText]) -> None:
        for text in texts:
            for rendered in text.texts:
                for refusal, statement in self._trial.follow(rendered):
                    self._judge(text, rendered, refusal, statement)
            if text.rendered is None:
                self._trial.opaque = self._warehouse.has_hidden_makers = True

    def _build(self, text: SqlText) -> None:
        """Make the table, the view, or whatever a script makes."""
        asset, how = self._asset, self._asset.materialization
        if how.type == "table" and strategy_name(asset) == "ddl":
            self._declare()
        elif text.rendered is not None and not asset.body.strip():
            message = "the file has no query below its header"
            self._log.error(*asset.at(), text.rule, message)
            self._make(self._declared)
        elif how.type == "none":
            self._run_script(text)
        else:
            self._bind_query(text)

    def _run_script(self, text: SqlText) -> None:
        name = self._asset.name
        self._warehouse.remove(self._trial.session, name)
        self._follow([text])
        # A script need not make the table that it is called after.
        self._take_note(self._declared)

    def _bind_query(self, text: SqlText) -> None:
        bounds: list[Bound] = []
        for rendered in text.texts:
            try:
                bounds.append(self._trial.bind(rendered))
            except RefusedError as error:
                self._judge(text, rendered, error.refusal, rendered)
        if text.rendered is None or len(bounds) < len(text.texts):
            self._make(self._declared)
            return
        # The last one is the one that can be read; the normal one counts.
        bound = bounds[0] if len(bounds) == 1 else self._trial.bind(text.rendered)
        fits = lint_columns(self._asset, bound.schema, "the query", self._log)
        lint_types(
            self._asset,
            bound.schema.columns,
            lambda column: self._trial.is_null(bound.rows, column),
            self._log,
        )
        if self._asset.materialization.type == "view":
            self._make_view(text.rendered, bound)
        else:
            self._make_table(bound, fits=fits)

    def _make_view(self, query: str, bound: Bound) -> None:
        asset, session = self._asset, self._trial.session
        self._warehouse.remove(session, asset.name)
        try:
            ensure_schema(session, asset.name)
            script.create(session, f"CREATE OR REPLACE VIEW {relation(asset.name)} AS", query)
        except (duckdb.Error, ScriptError, LoadError):
            self._make(bound.schema)
            return
        self._warehouse.note(asset.name, bound.schema, "VIEW")

    def _make_table(self, bound: Bound, *, fits: bool) -> None:
        """With the statements of a real load where everything is known, else as far as it is."""
        asset = self._asset
        strategy = STRATEGIES.get(strategy_name(asset))
        reads_itself = key_of(asset.name) in bound.reads
        if strategy is None:
            self._make(self._declared)
        elif bound.schema.certain and fits and not strategy.rebuilds and not reads_itself:
            self._load(bound)
        else:
            schema = table_schema(asset, bound.schema)
            filled = {name: kind for name, kind in HISTORY.items() if name in strategy.fills}
            self._make(Schema({**schema.columns, **filled}, schema.complete))

    def _load(self, bound: Bound) -> None:
        asset, session, name = self._asset, self._trial.session, strategy_name(self._asset)
        source = f"(SELECT * FROM {bound.rows} WHERE FALSE)"
        window = yesterday() if name == "time_interval" else None
        self._warehouse.remove(session, asset.name)
        # The first run creates the table, the next one changes it.
        for _ in range(2):
            try:
                load_table(session, asset, source, name, window=window)
            except LoadError as error:
                self._report_load(str(error))
                break
            except duckdb.Error as error:
                refusal = refusal_of(error)
                if refusal.kind in {"syntax", "column", "type"}:
                    self._report_load(refusal.message)
                break
        self._take_note(table_schema(asset, bound.schema))

    def _take_note(self, otherwise: Schema) -> None:
        """Somebody has made the table, or it is made `otherwise`."""
        made = self._trial.schema_made(self._asset.name)
        if made is not None:
            self._warehouse.note(self._asset.name, made, "TABLE")
        else:
            self._make(otherwise)

    def _report_load(self, reason: str) -> None:
        """What people write into the statements of a strategy does not fit them."""
        asset, how = self._asset, self._asset.materialization
        merged = next((column for column in asset.columns if column.merge_sql), None)
        at = how.at("strategy")
        if how.incremental_predicate:
            at = how.at("incremental_predicate")
        elif merged is not None:
            at = merged.at("merge_sql")
        self._log.error(*at, _LOAD_RULE, f"the table cannot be loaded: {reason}")

    def _declare(self) -> None:
        try:
            ensure_schema(self._trial.session, self._asset.name)
            self._warehouse.remove(self._trial.session, self._asset.name)
            declare_table(self._trial.session, self._asset)
        except (duckdb.Error, LoadError):
            self._make(self._declared)
            return
        self._take_note(self._declared)

    def _make(self, schema: Schema) -> None:
        self._warehouse.make(self._trial.session, self._asset.name, schema)

    def _check(self, texts: list[SqlText]) -> None:
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
                schema = self._trial.bind(rendered).schema
            except RefusedError as error:
                self._judge(text, rendered, error.refusal, rendered)
                continue
            width = len(schema.columns)
            if schema.complete and rule.count is None and width != 1:
                message = f"{text.name} must return one column; its query returns {width}"
                self._log.error(*text.at, text.rule, message)

    def _ask(self, text: SqlText) -> None:
        """Try out the question of a sensor. What does not exist yet is what it waits for."""
        for rendered in text.texts:
            refusal = self._trial.refusal(rendered) if rendered.strip() else None
            if refusal is not None and refusal.kind != "object":
                self._judge(text, rendered, refusal, rendered)

    def _check_columns(self) -> None:
        """All conditions in one statement; one by one when there is something to find."""
        schema = self._warehouse.schema(key_of(self._asset.name))
        if schema is None or not any(column.checks for column in self._asset.columns):
            return
        found: list[tuple[Column, ColumnCheck, str]] = []
        for column in self._asset.columns:
            if schema.type_of(column.name) is None:
                continue
            for check in column.checks:
                self._check_bounds(column, check, schema.type_of(column.name) or "")
                condition = _condition(column, check)
                if condition:
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
        self._report(at, _CHECK_RULE, what, refusal, sql)

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

    def _refused(self, conditions: list[str]) -> tuple[Refusal, str] | None:
        cells = ", ".join(f"count(*) FILTER (WHERE {condition})" for condition in conditions)
        sql = f"SELECT {cells} FROM {relation(self._asset.name)}"
        refusal = self._trial.refusal(sql)
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
                row = self._trial.session.execute(
                    f"SELECT TRY_CAST({literal(bound)} AS {kind}) IS NULL"
                ).fetchone()
                if row and row[0]:
                    self._report_check(column, check, f"compares {kind} with '{bound}'")

    def _report_check(self, column: Column, check: ColumnCheck, what: str) -> None:
        at = check.at() if check.path == self._asset.path else place_of(column, self._asset)
        message = f"the check '{check.name}' of '{column.name}' {what}"
        self._log.error(*at, _CHECK_RULE, message)

    def _judge(self, text: SqlText, rendered: str, refusal: Refusal, statement: str) -> None:
        """Report why a text of the file is refused."""
        fails = {"syntax": " does not parse", "shape": ""}.get(refusal.kind, " does not bind")
        run = " in a full refresh" if rendered == text.refreshed else ""
        at = text.place(rendered, refusal.line)
        self._report(at, text.rule, f"{text.name}{fails}{run}:", refusal, statement)

    def _report(
        self, at: Position, rule: str, intro: str, refusal: Refusal, statement: str
    ) -> None:
        """Report a refusal, if it is one that a run would meet too."""
        if not self._trial.is_sure(refusal, statement):
            return
        if refusal.kind != "object":
            self._log.error(*at, rule, f"{intro} {refusal.message}")
            return
        table = None
        if refusal.misses_table:
            missing = self._trial.missing(statement)
            named = refusal.message.removeprefix("Table with name ").split(" ")[0].strip('"')
            if missing is None:
                return
            table = next((m for m in missing if m.lower().endswith(named.lower())), None)
            if table is not None and key_of(table) == key_of(self._asset.name):
                return
        message = intro if table is not None else f"{intro} {refusal.message}"
        problem = Problem(at.path, at.line, message, rule)
        self.suspicions.append(Suspicion(problem, table, self._trial.exists))


def _condition(column: Column, check: ColumnCheck) -> str | None:
    """What a bad row is, unless the check is reported already, or counts in its own way."""
    rule = RULES.get(check.name)
    try:
        return rule.broken(column, check) if rule is not None else None
    except (AssertionError, AttributeError, TypeError, ValueError):
        return None
