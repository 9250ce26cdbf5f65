"""Bind one asset: its hooks, its query and its checks, in the order in which they run."""

from __future__ import annotations

from contextlib import suppress

import duckdb

from ecommerce_dagster.bruin.model.asset import Asset
from ecommerce_dagster.bruin.model.interval import yesterday
from ecommerce_dagster.bruin.problems import ProblemLog
from ecommerce_dagster.sql.identifiers import relation
from ecommerce_dagster.sql.load_result import LoadError
from ecommerce_dagster.sql.plan import WriteOptions
from ecommerce_dagster.sql.sql_text import SqlText
from ecommerce_dagster.sql.statements import ScriptError
from ecommerce_dagster.sql.strategies.history import COLUMNS as HISTORY
from ecommerce_dagster.sql.strategies.registry import STRATEGIES, complaints_of, strategy_name
from ecommerce_dagster.sql.used_tables import key_of
from ecommerce_dagster.validation.bind_errors import bind_error_of
from ecommerce_dagster.validation.checks import CheckBinding
from ecommerce_dagster.validation.column_lint import (
    declared_schema,
    lint_columns,
    lint_types,
    table_schema,
)
from ecommerce_dagster.validation.diagnostics import Diagnostics
from ecommerce_dagster.validation.dry_run import Bound, DryRun, RefusedError
from ecommerce_dagster.validation.schema_only import Schema, SchemaOnlyWarehouse
from ecommerce_dagster.warehouses.duckdb import script
from ecommerce_dagster.warehouses.duckdb.load import (
    declare_table,
    ensure_schema,
    load_table,
)
from ecommerce_dagster.warehouses.time_limit import TimeLimitError, TimeLimits

_LOAD_RULE = "materialization-config"
# Nothing here reads a row; what takes longer computes something that no proof needs.
SECONDS = 5.0


class AssetBinding:
    """Binds the SQL of one asset and makes its table in the empty warehouse.

    `limits` are those of its time. `returned` are the columns of its query, once they are known.
    """

    def __init__(
        self, warehouse: SchemaOnlyWarehouse, asset: Asset, limits: TimeLimits, log: ProblemLog
    ) -> None:
        self._warehouse, self._asset, self._log = warehouse, asset, log
        self._limits = limits
        self._dry_run = DryRun(warehouse, has_scripts=_has_scripts(asset))
        self.verdicts = Diagnostics(asset, self._dry_run, log)
        self.returned: tuple[str, ...] | None = None
        self._checks = CheckBinding(warehouse, asset, self._dry_run, self.verdicts, log)

    def bind(self, texts: list[SqlText]) -> None:
        """Try out a SQL asset."""
        try:
            with self._limits.limit(self._interrupt):
                self._run(texts)
        except TimeLimitError:
            self._warehouse.make(self._dry_run.session, self._asset.name, self._declared)

    def load(self, schema: Schema, texts: list[SqlText]) -> None:
        """Make the table of an asset without a query, and try out its checks."""
        with suppress(TimeLimitError), self._limits.limit(self._interrupt):
            self._warehouse.make(self._dry_run.session, self._asset.name, schema)
            self._checks.run(texts)

    def _interrupt(self) -> None:
        self._dry_run.session.interrupt()

    @property
    def _declared(self) -> Schema:
        return declared_schema(self._asset)

    def _run(self, texts: list[SqlText]) -> None:
        self._follow([text for text in texts if text.part == "pre"])
        for text in texts:
            if text.part == "body":
                self._build(text)
        self._follow([text for text in texts if text.part == "post"])
        self._checks.run(texts)

    def _follow(self, texts: list[SqlText]) -> None:
        for text in texts:
            for rendered in text.texts:
                for refusal, statement in self._dry_run.apply_script(rendered):
                    self.verdicts.judge(text, rendered, refusal, statement)
            if text.rendered is None:
                self._dry_run.opaque = self._warehouse.has_hidden_makers = True

    def _build(self, text: SqlText) -> None:
        """Make the table, the view, or whatever a script makes."""
        asset, how = self._asset, self._asset.materialization
        if how.type == "table" and strategy_name(asset) == "ddl":
            self._declare()
        elif text.rendered is not None and not asset.body.strip():
            self._make(self._declared)
        elif how.type == "none":
            self._run_script(text)
        else:
            self._bind_query(text)

    def _run_script(self, text: SqlText) -> None:
        name = self._asset.name
        self._warehouse.remove(self._dry_run.session, name)
        self._follow([text])
        # A script need not make the table that it is called after.
        self._take_note(self._declared)

    def _bind_query(self, text: SqlText) -> None:
        bounds: list[Bound] = []
        for rendered in text.texts:
            try:
                bounds.append(self._dry_run.bind(rendered))
            except RefusedError as error:
                self.verdicts.judge(text, rendered, error.refusal, rendered)
        if text.rendered is None or len(bounds) < len(text.texts):
            self._make(self._declared)
            return
        # The last one is the one that can be read; the normal one counts.
        bound = bounds[0] if len(bounds) == 1 else self._dry_run.bind(text.rendered)
        self.returned = tuple(bound.schema.columns) if bound.schema.complete else None
        fits = lint_columns(self._asset, bound.schema, "the query", self._log)
        lint_types(
            self._asset,
            bound.schema.columns,
            lambda column: self._dry_run.is_null(bound.rows, column),
            self._log,
        )
        if self._asset.materialization.type == "view":
            self._make_view(text.rendered, bound)
        else:
            self._make_table(bound, fits=fits)

    def _make_view(self, query: str, bound: Bound) -> None:
        asset, session = self._asset, self._dry_run.session
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
        strategy = None if complaints_of(asset) else STRATEGIES[strategy_name(asset)]
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
        asset, session, name = self._asset, self._dry_run.session, strategy_name(self._asset)
        source = f"(SELECT * FROM {bound.rows} WHERE FALSE)"
        window = yesterday() if name == "time_interval" else None
        self._warehouse.remove(session, asset.name)
        # The first run creates the table, the next one changes it.
        for _ in range(2):
            try:
                load_table(session, asset, source, WriteOptions(name, window=window))
            except LoadError as error:
                self._report_load(str(error))
                break
            except duckdb.Error as error:
                refusal = bind_error_of(error)
                if refusal.kind in {"syntax", "column", "type"}:
                    self._report_load(refusal.message)
                break
        self._take_note(table_schema(asset, bound.schema))

    def _take_note(self, otherwise: Schema) -> None:
        """Note the table as another program's, or as made `otherwise`."""
        made = self._dry_run.schema_made(self._asset.name)
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
            ensure_schema(self._dry_run.session, self._asset.name)
            self._warehouse.remove(self._dry_run.session, self._asset.name)
            declare_table(self._dry_run.session, self._asset)
        except (duckdb.Error, LoadError):
            self._make(self._declared)
            return
        self._take_note(self._declared)

    def _make(self, schema: Schema) -> None:
        self._warehouse.make(self._dry_run.session, self._asset.name, schema)


def _has_scripts(asset: Asset) -> bool:
    """Whether statements run that are no query: hooks, a script, or those that fill a table again.

    What they leave behind in a connection is for this asset only.
    """
    how, strategy = asset.materialization, STRATEGIES.get(strategy_name(asset))
    is_rebuilt = how.type == "view" or (strategy is not None and strategy.rebuilds)
    scripted = asset.hooks.pre or asset.hooks.post or how.type == "none" or not is_rebuilt
    return asset.type == "duckdb.sql" and bool(scripted)
