"""A SQL asset: its rendered query into a table or a view, or its script as it stands."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

import duckdb

from ecommerce_dagster.bruin.interval import Interval
from ecommerce_dagster.bruin.models import Asset, Hook
from ecommerce_dagster.bruin.templates import RenderError
from ecommerce_dagster.warehouse.database import kind_of, statements
from ecommerce_dagster.warehouse.identifiers import quoted, relation
from ecommerce_dagster.warehouse.load import Loaded, LoadError, ensure_schema, load_table
from ecommerce_dagster.warehouse.strategies import strategy_name

_SOURCE = "_query"
_LINE = re.compile(r"^LINE (\d+):", re.MULTILINE)


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
        before = self._run_hooks(connection, asset.hooks.pre)
        query = self._rendered(asset.body, asset.body_line)
        try:
            loaded = self._build(connection, query)
        except LoadError as error:
            raise AssetError(f"{asset.path}:{asset.body_line}: {error}") from None
        except duckdb.Error as error:
            raise AssetError(self._located(error, query)) from error
        after = self._run_hooks(connection, asset.hooks.post)
        steps = (*before, *loaded.statements, *after)
        return Loaded(loaded.rows_written, steps, loaded.schema_changes)

    def _build(self, connection: duckdb.DuckDBPyConnection, query: str) -> Loaded:
        asset = self.asset
        if not query.strip():
            raise LoadError("the file has no query below its header")
        script = statements(connection, query)
        kind = asset.materialization.type
        if kind == "none":
            for statement in script:
                connection.execute(statement)
            return Loaded(statements=tuple(script))
        if len(script) != 1:
            raise LoadError(
                f"a {kind} is built from one query; the file has {len(script)} statements"
            )
        if kind == "view":
            return self._create_view(connection, script[0])
        connection.execute(f"CREATE OR REPLACE TEMP VIEW {quoted(_SOURCE)} AS\n{script[0]}")
        loaded = load_table(
            connection,
            asset,
            f"temp.{quoted(_SOURCE)}",
            strategy_name(asset),
            window=self.interval,
            full_refresh=self.full_refresh,
            strict_window=self.strict_window and strategy_name(asset) == "time_interval",
        )
        definition = f"-- {_SOURCE}\n{script[0]}"
        return Loaded(loaded.rows_written, (definition, *loaded.statements), loaded.schema_changes)

    def _create_view(self, connection: duckdb.DuckDBPyConnection, query: str) -> Loaded:
        ensure_schema(connection, self.asset.name)
        name = relation(self.asset.name)
        if kind_of(connection, self.asset.name) == "table":
            connection.execute(f"DROP TABLE {name}")
        statement = f"CREATE OR REPLACE VIEW {name} AS\n{query}"
        connection.execute(statement)
        return Loaded(statements=(statement,))

    def _run_hooks(
        self, connection: duckdb.DuckDBPyConnection, hooks: tuple[Hook, ...]
    ) -> tuple[str, ...]:
        done: list[str] = []
        for hook in hooks:
            script = self._rendered(hook.query, hook.line)
            try:
                for statement in statements(connection, script):
                    connection.execute(statement)
                    done.append(statement)
            except duckdb.Error as error:
                message = f"{hook.path}:{hook.line}: a hook fails: {error}"
                raise AssetError(message) from error
        return tuple(done)

    def _rendered(self, template: str, first_line: int) -> str:
        try:
            return self.render(template)
        except RenderError as error:
            line = first_line + error.line - 1
            raise AssetError(f"{self.asset.path}:{line}: {error}") from None

    def _located(self, error: duckdb.Error, query: str) -> str:
        """DuckDB's message with the line of the file that it is about, where that is certain."""
        message = str(error)
        found = _LINE.search(message)
        line = self.asset.body_line
        if found and query.count("\n") == self.asset.body.count("\n"):
            # The query starts on the second line of the statement that wraps it.
            wrapped = 0 if self.asset.materialization.type == "none" else 1
            inside = int(found.group(1)) - 1 - wrapped
            line += min(max(inside, 0), query.count("\n"))
        return f"{self.asset.path}:{line}: {message.strip()}"
