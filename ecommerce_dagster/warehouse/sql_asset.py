"""A SQL asset: its rendered query into a table or a view, or its script as it stands."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import duckdb

from ecommerce_dagster.bruin.interval import Interval, yesterday
from ecommerce_dagster.bruin.located import Position
from ecommerce_dagster.bruin.models import Asset, Hook
from ecommerce_dagster.bruin.templates import RenderError
from ecommerce_dagster.warehouse import script
from ecommerce_dagster.warehouse.database import kind_of
from ecommerce_dagster.warehouse.identifiers import relation
from ecommerce_dagster.warehouse.load import (
    Loaded,
    LoadError,
    declare_table,
    ensure_schema,
    load_table,
    refuse_outside,
)
from ecommerce_dagster.warehouse.script import ScriptError
from ecommerce_dagster.warehouse.strategies import strategy_name

_SOURCE = "_query"


class AssetError(Exception):
    """An asset that cannot be built: `path:line: what is wrong`."""


@dataclass(frozen=True)
class SqlBuild:
    """How to build one SQL asset in one run. Call it with a connection inside a transaction."""

    asset: Asset
    render: Callable[[str], str]
    interval: Interval | None = None
    full_refresh: bool = False
    strict_window: bool = False

    def __call__(self, connection: duckdb.DuckDBPyConnection) -> Loaded:
        asset = self.asset
        at = Position(asset.body_path, asset.body_line)
        before = self._run_hooks(connection, asset.hooks.pre)
        query = self._rendered(asset.body, at)
        try:
            loaded = self._build(connection, query)
        except ScriptError as error:
            raise AssetError(_explained(error, at, asset.body, query)) from error
        except (LoadError, duckdb.Error) as error:
            raise AssetError(f"{at.path}:{at.line}: {str(error).strip()}") from error
        after = self._run_hooks(connection, asset.hooks.post)
        steps = (*before, *loaded.statements, *after)
        return replace(loaded, statements=steps)

    def _build(self, connection: duckdb.DuckDBPyConnection, query: str) -> Loaded:
        asset = self.asset
        if asset.materialization.type == "table" and strategy_name(asset) == "ddl":
            return declare_table(connection, asset)
        if not asset.body.strip():
            raise LoadError("the file has no query below its header")
        match asset.materialization.type:
            case "none":
                return Loaded(statements=tuple(script.run(connection, query)))
            case "view":
                return self._create_view(connection, query)
            case _:
                return self._fill_table(connection, query)

    def _fill_table(self, connection: duckdb.DuckDBPyConnection, query: str) -> Loaded:
        strategy = strategy_name(self.asset)
        by_window = strategy == "time_interval"
        # A partition is rebuilt, not the table around it: that would lose all other partitions.
        one_partition = by_window and self.strict_window
        rows = script.stage(connection, _SOURCE, query)
        # Without an interval templates see yesterday, so that is what the query returns.
        window = self.interval or (yesterday() if by_window else None)
        loaded = load_table(
            connection,
            self.asset,
            rows,
            strategy,
            window=window,
            full_refresh=self.full_refresh and not one_partition,
        )
        if one_partition and window is not None:
            refuse_outside(connection, self.asset, rows, window, loaded.rows_written or 0)
        steps = (f"-- {_SOURCE}\n{query}", *loaded.statements)
        return replace(loaded, statements=steps)

    def _create_view(self, connection: duckdb.DuckDBPyConnection, query: str) -> Loaded:
        ensure_schema(connection, self.asset.name)
        name = relation(self.asset.name)
        if kind_of(connection, self.asset.name) == "table":
            connection.execute(f"DROP TABLE {name}")
        statement = script.create(connection, f"CREATE OR REPLACE VIEW {name} AS", query)
        return Loaded(statements=(statement,))

    def _run_hooks(
        self, connection: duckdb.DuckDBPyConnection, hooks: tuple[Hook, ...]
    ) -> tuple[str, ...]:
        done: list[str] = []
        for hook in hooks:
            at = hook.text_at("query")
            query = self._rendered(hook.query, at)
            try:
                done += script.run(connection, query)
            except ScriptError as error:
                raise AssetError(_explained(error, at, hook.query, query)) from error
        return tuple(done)

    def _rendered(self, template: str, at: Position) -> str:
        try:
            return self.render(template)
        except RenderError as error:
            raise AssetError(f"{at.path}:{at.line + error.line - 1}: {error}") from None


def _explained(error: ScriptError, at: Position, template: str, query: str) -> str:
    """The error at its line of the file, as far as rendering left the lines alone."""
    lines, line = template.count("\n"), at.line
    if error.line is not None and query.count("\n") == lines:
        line += min(error.line - 1, lines)
    return f"{at.path}:{line}: {error}"
