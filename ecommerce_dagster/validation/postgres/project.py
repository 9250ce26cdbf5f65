"""Bind the queries of assets in PostgreSQL: the server parses each one, and runs none.

Tables that assets of the pipeline make are put in place of by their columns, as they will be; all
others are those of the database. What is not certain is not reported.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple, cast

import psycopg

from ecommerce_dagster.bruin.model.asset import Asset
from ecommerce_dagster.bruin.problems import ProblemLog
from ecommerce_dagster.bruin.project import Project
from ecommerce_dagster.bruin.schema_prefix import prefixed_asset, prefixed_name, prefixed_sql
from ecommerce_dagster.sql.column_names import renamed, table_names
from ecommerce_dagster.sql.identifiers import quoted
from ecommerce_dagster.sql.load_result import LoadError
from ecommerce_dagster.sql.sql_text import SqlText
from ecommerce_dagster.sql.statements import ScriptError, Statement, only_query, statements
from ecommerce_dagster.sql.used_tables import key_of
from ecommerce_dagster.validation.column_lint import lint_columns
from ecommerce_dagster.validation.external_tables import other_names
from ecommerce_dagster.validation.postgres.checks import lint_column_checks
from ecommerce_dagster.validation.postgres.diagnostics import Asked, Diagnostics
from ecommerce_dagster.validation.postgres.expected_tables import (
    ExpectedTables,
    filled,
    loaded,
)
from ecommerce_dagster.validation.postgres.substitute_tables import (
    Parts,
    UnclearError,
    with_substitutes,
)
from ecommerce_dagster.validation.schema_only import Schema
from ecommerce_dagster.warehouses.postgres.bind_errors import BindError, columns_or_error
from ecommerce_dagster.warehouses.postgres.catalog import Catalog
from ecommerce_dagster.warehouses.postgres.databases import Ask
from ecommerce_dagster.warehouses.postgres.name_lengths import cut_names
from ecommerce_dagster.warehouses.postgres.script import DIALECT
from ecommerce_dagster.warehouses.postgres.session import Session


class PostgresBinding:
    """Binds the assets of a project that live in PostgreSQL, called with one after the other.

    `ask` gives the database of a connection, `variables` are what `${VAR}` in .bruin.yml refers to.
    """

    def __init__(
        self, project: Project, ask: Ask, variables: Mapping[str, str], log: ProblemLog
    ) -> None:
        self._project, self._ask, self._log = project, ask, log
        self._prefix = project.connections.schema_prefix
        self._assets = {
            key_of(self._actual(asset.name)): prefixed_asset(asset, self._prefix, project.by_name)
            for asset in project.assets
            if project.platform(asset) == "postgres"
        }
        self._unclear = {key_of(self._actual(name)) for name in other_names(project, log)}
        self._verdicts = Diagnostics(project, self._assets, variables, log)
        self._databases: dict[tuple[str, int, str], ExpectedTables] = {}

    def __call__(
        self, asset: Asset, texts: Sequence[SqlText], source: Mapping[str, str] | None
    ) -> Collection[str] | None:
        """The columns of the query of an asset, as far as they are known.

        `source` are those that its rows come with from elsewhere.
        """
        mine = self._assets.get(key_of(self._actual(asset.name)))
        found = self._ask(self._project.connection_name(asset)) if mine is not None else None
        if mine is None or found is None:
            return None
        session, connection = cast(Session, found[0]), found[1]
        place = (connection.host, connection.port, connection.database)
        known = ExpectedTables(self._assets, self._unclear)
        tables = self._databases.setdefault(place, known)
        try:
            # It ends without a trace: nothing but the names of tables was looked up.
            with session.transaction(force_rollback=True):
                catalog = Catalog.of(session, connection.schema)
                dry_run = _Trial(self._project, catalog, tables, self._verdicts, self._log)
                return dry_run.run(mine, texts, source)
        except (psycopg.Error, LoadError):
            return None

    def _actual(self, name: str) -> str:
        return prefixed_name(name, self._prefix)


class _Bound(NamedTuple):
    """What a query returns, and how many columns: two may have one name."""

    schema: Schema
    width: int


@dataclass(frozen=True)
class _Trial:
    """One asset, in a transaction."""

    project: Project
    catalog: Catalog
    tables: ExpectedTables
    verdicts: Diagnostics
    log: ProblemLog

    def run(
        self, asset: Asset, texts: Sequence[SqlText], source: Mapping[str, str] | None
    ) -> Collection[str] | None:
        """Try out the texts of an asset, and take note of its table. The columns of its query."""
        is_query = asset.type == "pg.sql" and asset.materialization.type != "none"
        body = [text for text in texts if text.part == "body" and is_query and asset.body.strip()]
        for text in texts:
            if text.part in {"pre", "post"} or (text.part == "body" and not is_query):
                self._parse(text)
        asset, source = self._named(asset, source)
        bound = self._query(body[0]) if body else None
        if bound is not None:
            lint_columns(asset, bound, "the query", self.log)
        if asset.type != "pg.source" and ".sensor." not in asset.type:
            name = asset.name if "." in asset.name else f"{self.catalog.schema}.{asset.name}"
            if bound is not None:
                schema = filled(self.catalog, asset, bound)
            else:
                schema = loaded(self.catalog, asset, source)
            self.tables.make(name, schema)
            lint_column_checks(self.catalog, asset, schema, _rows(schema), self.log)
        for text in texts:
            if text.part in {"check", "sensor"}:
                self._question(text)
        return tuple(bound.columns) if bound and bound.complete else None

    def _named(
        self, asset: Asset, source: Mapping[str, str] | None
    ) -> tuple[Asset, Mapping[str, str] | None]:
        """The asset and the columns of its source as its table will call them. Raises LoadError,
        which is reported already."""
        if source is None:
            return asset, None
        there = self.catalog.columns(self.catalog.find(asset.name).sql)
        names = table_names(asset, source, there)
        return renamed(asset, names), {names[column]: kind for column, kind in source.items()}

    def _parse(self, text: SqlText) -> None:
        """A script may make what it needs: only what is not SQL at all is wrong for sure."""
        for rendered in text.texts:
            try:
                for statement in statements(rendered, DIALECT):
                    found = self._described(text, rendered, statement, statement.text)
                    if isinstance(found, BindError) and found.is_syntax:
                        asked = Asked(statement.text, statement.skipped, ())
                        self.verdicts.judge(text, rendered, asked, found)
            except ScriptError as error:
                self.verdicts.report(text, rendered, error.line, str(error))

    def _query(self, text: SqlText) -> Schema | None:
        """What a query returns in a normal run."""
        bounds = [self._bound(text, rendered) for rendered in text.texts]
        return bounds[0].schema if text.rendered is not None and bounds[0] else None

    def _question(self, text: SqlText) -> None:
        """A custom check returns one column, unless its rows are counted."""
        for rendered in text.texts:
            bound = self._bound(text, rendered) if rendered.strip() else None
            is_counted = text.check is None or text.check.count is not None
            if bound and bound.schema.complete and bound.width != 1 and not is_counted:
                message = f"{text.name} must return one column; its query returns {bound.width}"
                self.log.error(*text.at, text.rule, message)

    def _bound(self, text: SqlText, rendered: str) -> _Bound | None:
        """What a query returns; None when it is refused, or cannot be asked about."""
        prefix = self.project.connections.schema_prefix
        try:
            query = only_query(prefixed_sql(rendered, prefix, self.project.by_name), DIALECT)
        except ScriptError as error:
            self.verdicts.report(text, rendered, error.line, str(error))
            return None
        asked = self._asked(query)
        plain = Asked(query.text, query.skipped, ())
        found = self._described(text, rendered, query, (asked or plain).text)
        if found is None:
            return None
        if asked is None or (isinstance(found, BindError) and found.is_syntax):
            # Not of what stands in for a table.
            if asked is not None:
                found = columns_or_error(self.catalog.session, plain.text)
            if isinstance(found, BindError) and found.is_syntax:
                self.verdicts.judge(text, rendered, plain, found)
            return None
        if isinstance(found, BindError):
            self.verdicts.judge(text, rendered, asked, found)
            return None
        certain = all(schema.certain for _, schema in asked.reads)
        kinds = {name: kind if certain else None for name, kind in found}
        complete = all(schema.complete for _, schema in asked.reads)
        return _Bound(Schema(kinds, complete), len(found))

    def _described(
        self, text: SqlText, rendered: str, written: Statement, asked: str
    ) -> list[tuple[str, str]] | BindError | None:
        """What the server says of a statement that is asked about in these words; None when it
        would cut a name in it, which is reported."""
        with cut_names(self.catalog.session, written.text) as found:
            answer = columns_or_error(self.catalog.session, asked)
        cuts = [cut for cut in found if cut.offset is not None]
        for cut in cuts:
            line = written.skipped + written.text.count("\n", 0, cut.offset) + 1
            self.verdicts.report(text, rendered, line, str(cut), is_syntax=False)
        return None if cuts else answer

    def _asked(self, query: Statement) -> Asked | None:
        """The query over the tables as they will be; None where they cannot be put into it."""
        reads: list[tuple[Parts, Schema]] = []

        def rows_of(parts: Parts) -> str | None:
            schemas = (self.catalog.schema, "public") if len(parts) == 1 else parts[:-1]
            for schema in schemas if len(parts) < 3 else ():
                found = self.tables.find(self.catalog, f"{schema}.{parts[-1]}")
                if found is not None:
                    reads.append((parts, found))
                    return _rows(found)
            return None

        try:
            text = with_substitutes(query.text, self.tables.words, rows_of)
        except UnclearError:
            return None
        return Asked(text, query.skipped, reads)


def _rows(schema: Schema) -> str:
    """What stands for a table."""
    cells = (
        f"CAST(NULL AS {kind or 'text'}) AS {quoted(name)}" for name, kind in schema.columns.items()
    )
    return f"SELECT {', '.join(cells)}"
