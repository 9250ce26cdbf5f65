"""The statements that a run would execute for an asset, without executing them on anything.

They come from the code that executes them. For DuckDB it works on a warehouse in memory, which has
the tables of the pipeline without their rows; PostgreSQL, or else the files, are asked for columns.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial

import duckdb

from ecommerce_dagster.bruin.model.anomalies import AnomalyCheck
from ecommerce_dagster.bruin.model.asset import Asset, CustomCheck, Hook
from ecommerce_dagster.bruin.model.connections import UnusableConnection
from ecommerce_dagster.bruin.model.interval import Interval, yesterday
from ecommerce_dagster.bruin.problems import ProblemLog
from ecommerce_dagster.bruin.project import Project
from ecommerce_dagster.bruin.templates.render import RenderError
from ecommerce_dagster.bruin.yaml.located import Position
from ecommerce_dagster.runtime.asset_run import AssetRun
from ecommerce_dagster.runtime.asset_types import unsupported
from ecommerce_dagster.runtime.builders import sql_build
from ecommerce_dagster.runtime.environment import variables_for
from ecommerce_dagster.sources.parameters import (
    incremental_key_of,
    source_table_of,
    strategy_of,
)
from ecommerce_dagster.sql.checks import Check, bad_rows_sql, checks_of
from ecommerce_dagster.sql.identifiers import quoted, relation, schema_of
from ecommerce_dagster.sql.load_result import LoadResult
from ecommerce_dagster.sql.rules import RuleError
from ecommerce_dagster.sql.types import known_type
from ecommerce_dagster.sql.used_tables import key_of
from ecommerce_dagster.validation.project import bind_project
from ecommerce_dagster.validation.schema_only import SchemaOnlyWarehouse
from ecommerce_dagster.warehouses.duckdb.database import kind_of
from ecommerce_dagster.warehouses.duckdb.target import QUERY, DuckDBTarget
from ecommerce_dagster.warehouses.postgres import preview
from ecommerce_dagster.warehouses.postgres.connect import SourceError
from ecommerce_dagster.warehouses.sql_asset import AssetError, SqlBuild
from ecommerce_dagster.warehouses.time_limit import TimeLimitError, time_limit

# A query can make many rows out of none.
_SECONDS = 10.0
_NOT_RENDERED = {
    "python": "runs its file; only the rows that it returns are loaded",
    "seed": "copies a file; its statements depend on the columns found there",
}


@dataclass(frozen=True)
class Rendering:
    """What a run does for an asset: `statements` when its table is there, `first_run` when it is
    not, None where that is the same. `notes` say what is not known."""

    asset: Asset
    interval: Interval
    statements: tuple[str, ...] = ()
    first_run: tuple[str, ...] | None = None
    checks: tuple[tuple[Check, str], ...] = ()
    notes: tuple[str, ...] = ()


def rendering_of(run: AssetRun) -> Rendering:
    """What a run does for its asset. Raises AssetError."""
    project, asset = run.project, run.declared
    rendering = Rendering(run.asset, run.window or yesterday())
    if project.platform(asset) == "postgres" and unsupported(project, asset) is None:
        return _in_postgres(run, rendering)
    rendering = replace(rendering, checks=_checks(run, bad_rows_sql))
    if asset.type == "duckdb.sql":
        return _of_query(project, run, rendering)
    return _of_other_type(run, rendering)


def _of_other_type(run: AssetRun, rendering: Rendering) -> Rendering:
    project, asset = run.project, run.asset
    kind = asset.type.rpartition(".")[2]
    if kind == "sql":
        reason = unsupported(project, asset) or f"{project.platform(asset)} tells it in a run"
        note = f"what stands around the query is not known: {reason}"
        return replace(rendering, statements=_plain(run), notes=(note,))
    if asset.type.endswith(".sensor.query"):
        return replace(rendering, statements=(run.asset.parameter("query"),))
    if asset.type == "ingestr":
        return replace(rendering, notes=(_copied(run),))
    notes = tuple(note for name, note in _NOT_RENDERED.items() if name == kind)
    return replace(rendering, notes=notes)


def _copied(run: AssetRun) -> str:
    """What an ingestr asset does."""
    key = incremental_key_of(run.asset)
    return (
        f"copies {source_table_of(run.asset, run.interval)} of "
        f"{run.asset.parameter('source_connection')}, {strategy_of(run.asset)}"
        f"{f' by {key}' if key else ''}; its statements depend on the columns found there"
    )


def _in_postgres(run: AssetRun, rendering: Rendering) -> Rendering:
    """What a run does in PostgreSQL, as far as that, or else the files, can tell."""
    if run.asset.type != "pg.sql" and not checks_of(run.asset):
        return _of_other_type(run, rendering)
    connection = run.project.connections.by_name.get(run.project.connection_name(run.asset))
    reason, schema = "there is no such connection", "public"
    if connection is not None:
        try:
            settings = connection.postgres(variables_for(connection.path))
            schema = settings.schema
            with preview.asked(settings) as server:
                return _witnessed(run, rendering, server)
        except (SourceError, UnusableConnection, preview.UnknownColumns) as error:
            reason = str(error)
    note = f"{reason}; the columns are those that the files name"
    files = preview.Files(schema)
    try:
        return _witnessed(run, replace(rendering, notes=(note,)), files)
    except preview.UnknownColumns as error:
        notes = (reason, f"what stands around the query is not known: {error}")
        checks = _checks(run, partial(preview.check_sql, files))
        return replace(rendering, statements=_plain(run), checks=checks, notes=notes)


def _witnessed(run: AssetRun, rendering: Rendering, witness: preview.SchemaSource) -> Rendering:
    checks = _checks(run, partial(preview.check_sql, witness))
    rendering = replace(rendering, checks=checks)
    if run.asset.type != "pg.sql":
        return _of_other_type(run, rendering)
    return _with_statements(rendering, *preview.runs_of(sql_build(run), witness))


def _checks(
    run: AssetRun, bad_rows: Callable[[Asset, Check], str | None]
) -> tuple[tuple[Check, str], ...]:
    """The checks with the query for the rows that break them, or their own query."""

    def sql_of(check: Check) -> str:
        if isinstance(check.rule, CustomCheck):
            return _rendered(run, check.rule.query, check.rule.text_at("query"))
        if isinstance(check.rule, AnomalyCheck):
            return f"-- {check.words}"
        try:
            return bad_rows(run.asset, run.here(check)) or ""
        except RuleError as error:
            return f"-- {error}"

    return tuple((check, sql_of(check)) for check in checks_of(run.declared))


def _plain(run: AssetRun) -> tuple[str, ...]:
    """The texts of the file."""
    hooks = run.asset.hooks
    return (*_hooks(run, hooks.pre), _body(run), *_hooks(run, hooks.post))


def _hooks(run: AssetRun, hooks: Sequence[Hook]) -> tuple[str, ...]:
    return tuple(_rendered(run, hook.query, hook.text_at("query")) for hook in hooks)


def _body(run: AssetRun) -> str:
    return _rendered(run, run.asset.body, Position(run.asset.body_path, run.asset.body_line))


def _rendered(run: AssetRun, template: str, at: Position) -> str:
    try:
        return run.render(template).strip()
    except RenderError as error:
        raise AssetError(f"{at.path}:{at.line + error.line - 1}: {error}") from None


def _of_query(project: Project, run: AssetRun, rendering: Rendering) -> Rendering:
    fill, found = sql_build(run), rendering

    def write_down(empty: SchemaOnlyWarehouse) -> None:
        nonlocal found
        try:
            found = _with_statements(found, *_both_runs(empty, fill))
        except AssetError as error:
            found = _by_declaration(empty, run, fill, found, str(error))

    bind_project(project, ProblemLog(), source_columns=lambda asset: None, then=write_down)
    return found


def _with_statements(
    rendering: Rendering, first: tuple[str, ...] | None, later: tuple[str, ...]
) -> Rendering:
    return replace(rendering, statements=later, first_run=None if first == later else first)


def _both_runs(
    empty: SchemaOnlyWarehouse,
    fill: SqlBuild,
    target: Callable[[duckdb.DuckDBPyConnection], DuckDBTarget] = DuckDBTarget,
) -> tuple[tuple[str, ...] | None, tuple[str, ...]]:
    """What a first run does, if it can be one, and what a later one does. Raises AssetError."""
    session, name = empty.session(), fill.asset.name
    first = None
    schema = empty.schema(key_of(name))
    _drop(session, name)
    try:
        first = _statements(target(session), fill)
    except AssetError:
        # A query may read the table that it fills.
        if schema is None or not schema.certain:
            raise
        empty.make(session, name, schema)
    return first, _statements(target(session), fill)


def _by_declaration(
    empty: SchemaOnlyWarehouse, run: AssetRun, fill: SqlBuild, rendering: Rendering, reason: str
) -> Rendering:
    """The statements for a query that has the declared columns, when its own are not known."""
    asset = fill.asset
    types = {column.name: known_type(column.type) for column in asset.columns if column.type}
    note = f"the query does not bind without the warehouse ({reason.splitlines()[0]})"
    plain = replace(rendering, statements=_plain(run), notes=(note,))
    if asset.materialization.type == "none" or not types or None in types.values():
        return plain
    cells = (f"CAST(NULL AS {kind}) AS {quoted(name)}" for name, kind in types.items())
    declared = f"SELECT {', '.join(cells)} WHERE FALSE"
    try:
        runs = _both_runs(empty, fill, lambda session: _DeclaredTarget(session, declared=declared))
    except AssetError:
        return plain
    note += "; shown is what a query with the declared columns gets"
    return replace(_with_statements(rendering, *runs), notes=(note,))


@dataclass(frozen=True)
class _DeclaredTarget(DuckDBTarget):
    """A connection in which a query is taken for another, which returns the `declared` columns, and
    hooks are not run."""

    declared: str = ""

    def run_script(self, text: str) -> list[str]:
        return [text.strip()]

    def create_view(self, asset: Asset, query: str) -> LoadResult:
        return LoadResult(statements=(_create(f"VIEW {relation(asset.name)}", query),))

    def stage(self, query: str) -> tuple[str, str]:
        rows, _ = super().stage(self.declared)
        return rows, _create(f"TEMP VIEW {quoted(QUERY)}", query)


def _create(view: str, query: str) -> str:
    return f"CREATE OR REPLACE {view} AS\n{query.strip().rstrip(';')}"


def _drop(session: duckdb.DuckDBPyConnection, name: str) -> None:
    kind = kind_of(session, name)
    if kind is not None:
        session.execute(f"DROP {kind} {relation(name)}")


def _statements(target: DuckDBTarget, fill: SqlBuild) -> tuple[str, ...]:
    """The statements of a build, in the order in which they are executed. Raises AssetError."""
    session, name = target.connection, fill.asset.name
    is_first = kind_of(session, name) is None and fill.asset.materialization.type != "none"
    schema = schema_of(name) if is_first else None
    try:
        with time_limit(session.interrupt, _SECONDS):
            steps = fill(target).statements
    except TimeLimitError:
        raise AssetError(f"it takes more than {_SECONDS:g} seconds without any row") from None
    return (*([f"CREATE SCHEMA IF NOT EXISTS {schema}"] if schema else []), *map(str.strip, steps))
