"""How each type of asset gets its table in PostgreSQL."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace

import psycopg

from ecommerce_dagster.bruin.interval import Interval, yesterday
from ecommerce_dagster.bruin.located import Position
from ecommerce_dagster.bruin.models import Asset, Hook
from ecommerce_dagster.bruin.templates import RenderError
from ecommerce_dagster.postgres_warehouse import script
from ecommerce_dagster.postgres_warehouse.catalog import Catalog, Table
from ecommerce_dagster.postgres_warehouse.ddl import declare_table
from ecommerce_dagster.postgres_warehouse.load import (
    STAGE,
    existing_columns,
    load_table,
    refuse_outside,
)
from ecommerce_dagster.postgres_warehouse.session import Session, ask, run, said
from ecommerce_dagster.warehouse.load import Loaded, LoadError
from ecommerce_dagster.warehouse.script import ScriptError
from ecommerce_dagster.warehouse.sql_asset import AssetError
from ecommerce_dagster.warehouse.strategies import strategy_name


@dataclass(frozen=True)
class SqlBuild:
    """How to build one SQL asset in one run. Call it inside a transaction."""

    asset: Asset
    render: Callable[[str], str]
    interval: Interval | None = None
    full_refresh: bool = False
    strict_window: bool = False

    def __call__(self, catalog: Catalog) -> Loaded:
        asset = self.asset
        before = self._run_hooks(catalog, asset.hooks.pre)
        with self._located(asset.body, Position(asset.body_path, asset.body_line)) as query:
            loaded = self._build(catalog, query)
        after = self._run_hooks(catalog, asset.hooks.post)
        steps = (*before, *loaded.statements, *after)
        return replace(loaded, statements=steps)

    def _build(self, catalog: Catalog, query: str) -> Loaded:
        asset = self.asset
        if asset.materialization.type == "table" and strategy_name(asset) == "ddl":
            return declare_table(catalog, asset, existing_columns(catalog, asset))
        if not asset.body.strip():
            raise LoadError("the file has no query below its header")
        match asset.materialization.type:
            case "none":
                return Loaded(statements=tuple(script.run(catalog.session, query)))
            case "view":
                return _create_view(catalog, asset, query)
            case _:
                return self._fill_table(catalog, query)

    def _fill_table(self, catalog: Catalog, query: str) -> Loaded:
        strategy = strategy_name(self.asset)
        by_window = strategy == "time_interval"
        # A partition is rebuilt, not the table around it: that would lose all other partitions.
        one_partition = by_window and self.strict_window
        # Without an interval templates see yesterday, so that is what the query returns.
        window = self.interval or (yesterday() if by_window else None)
        script.create(catalog.session, STAGE, query)
        loaded = load_table(
            catalog,
            self.asset,
            strategy,
            window=window,
            full_refresh=self.full_refresh and not one_partition,
        )
        if one_partition and window is not None:
            refuse_outside(catalog, self.asset, window)
        steps = (f"-- _query\n{query}", *loaded.statements)
        return replace(loaded, statements=steps)

    def _run_hooks(self, catalog: Catalog, hooks: Iterable[Hook]) -> tuple[str, ...]:
        done: list[str] = []
        for hook in hooks:
            with self._located(hook.query, hook.text_at("query")) as query:
                done += script.run(catalog.session, query)
        return tuple(done)

    @contextmanager
    def _located(self, template: str, at: Position) -> Iterator[str]:
        """The rendered template. What goes wrong with it is an AssetError at its line of the file,
        as far as rendering left the lines alone."""
        line = at.line
        try:
            query = self.render(template)
            yield query
        except RenderError as error:
            raise AssetError(f"{at.path}:{line + error.line - 1}: {error}") from None
        except ScriptError as error:
            if error.line is not None and query.count("\n") == template.count("\n"):
                line += error.line - 1
            raise AssetError(f"{at.path}:{line}: {error}") from error
        except LoadError as error:
            raise AssetError(f"{at.path}:{line}: {error}") from error
        except psycopg.Error as error:
            raise AssetError(f"{at.path}:{line}: {said(error)}") from error


def _create_view(catalog: Catalog, asset: Asset, query: str) -> Loaded:
    """Who reads a view has to wait while it is replaced, so the same view again is left alone."""
    view, session = catalog.find(asset.name), catalog.session
    if view.kind is None:
        catalog.ensure_schema(view)
    script.create(session, 'CREATE TEMP VIEW "_query" AS', query)
    ((same,),) = ask(
        session,
        "SELECT pg_get_viewdef(to_regclass('pg_temp._query')) = pg_get_viewdef(to_regclass(%s))",
        view.sql,
    )
    run(session, "DROP VIEW pg_temp._query")
    if view.kind == "view" and same:
        return Loaded()
    return Loaded(statements=tuple(_replace_view(session, view, query)))


def _replace_view(session: Session, view: Table, query: str) -> list[str]:
    create = f"CREATE OR REPLACE VIEW {view.sql} AS"
    if view.kind == "view":
        # What depends on a view stays as long as its columns do.
        with suppress(_OtherColumns), session.transaction():
            return [_create_or_replace(session, create, query)]
    dropped = [] if view.kind is None else [f"DROP {view.kind.upper()} {view.sql}"]
    for statement in dropped:
        run(session, statement)
    return [*dropped, script.create(session, create, query)]


class _OtherColumns(Exception):
    """A view cannot be replaced by one that lacks a column of it, or has it in another type."""


def _create_or_replace(session: Session, create: str, query: str) -> str:
    try:
        return script.create(session, create, query)
    except ScriptError as error:
        if isinstance(error.__cause__, psycopg.errors.InvalidTableDefinition):
            raise _OtherColumns from error
        raise
