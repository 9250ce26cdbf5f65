"""Trying SQL out in an empty warehouse: what it returns, or why DuckDB refuses it.

A refusal counts only when everything that it depends on is known: a validator that cries wolf is
worse than none.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass

import duckdb
from duckdb import StatementType

from ecommerce_dagster.errors import UnlocatedError
from ecommerce_dagster.sql.identifiers import quoted, relation
from ecommerce_dagster.sql.statements import ScriptError
from ecommerce_dagster.validation.bind_errors import BindError, bind_error_of
from ecommerce_dagster.validation.schema_only import OTHERS, Schema, SchemaOnlyWarehouse
from ecommerce_dagster.warehouses.duckdb import script
from ecommerce_dagster.warehouses.duckdb.database import described, kind_of
from ecommerce_dagster.warehouses.query import text_of

_BOUND = "_bound"
_READS_OR_WRITES = {
    StatementType.DELETE,
    StatementType.INSERT,
    StatementType.MERGE_INTO,
    StatementType.UPDATE,
}
_MAKES = {StatementType.ALTER, StatementType.CREATE, StatementType.DROP}
# What has no say in how later statements bind.
_WITHOUT_EFFECT = {
    StatementType.ANALYZE,
    StatementType.COPY,
    StatementType.EXPLAIN,
    StatementType.EXPORT,
    StatementType.TRANSACTION,
    StatementType.VACUUM,
}
_HARMLESS = re.compile(
    r"\s*((RE)?SET\s+(GLOBAL\s+|SESSION\s+|LOCAL\s+)?(access_mode|\w*memory\w*|\w*threads|timezone|"
    r"temp_directory|preserve_insertion_order|enable_progress_bar\w*|s3_\w+|http_\w+)\b"
    r"|CHECKPOINT\b|FORCE\s+CHECKPOINT\b|CALL\s+(enable|disable)_logging\b)",
    re.IGNORECASE,
)
_SECRET = re.compile(r"\s*(CREATE\s+(OR\s+REPLACE\s+)?|DROP\s+)(\w+\s+)?SECRET\b", re.IGNORECASE)
_MACRO = re.compile(r"\s*CREATE\s+(OR\s+REPLACE\s+)?(TEMP\w*\s+)?(MACRO|FUNCTION)\b", re.IGNORECASE)
_PLAIN_TYPE = re.compile(
    r"BOOLEAN|U?(TINY|SMALL|BIG|HUGE)INT|U?INTEGER|FLOAT|DOUBLE|DECIMAL\(\d+,\d+\)|VARCHAR|UUID"
    r"|DATE|TIME|TIMESTAMP( WITH TIME ZONE)?"
)
# Columns chosen by their names: whether others are among them cannot be seen.
_BY_NAME = re.compile(r"\bCOLUMNS\s*\(|\*\s*(NOT\s+)?(I?LIKE|GLOB|SIMILAR)\b", re.IGNORECASE)


@dataclass(frozen=True)
class Bound:
    """A query that binds: what is known of its result, and the SQL by which to read it.

    `reads` are the keys of the tables that it names.
    """

    schema: Schema
    rows: str
    reads: frozenset[str]


class RefusedError(UnlocatedError):
    """A query that does not bind."""

    def __init__(self, refusal: BindError) -> None:
        super().__init__(refusal.message)
        self.refusal = refusal


class DryRun:
    """The connection of one asset, which it may share with others when it `has_scripts` not.

    It is `opaque` once a statement was left out that may change how later ones bind.
    """

    def __init__(self, warehouse: SchemaOnlyWarehouse, *, has_scripts: bool) -> None:
        self.opaque = False
        # One of its own takes 0.13 ms: it begins with a temporary database.
        self.session = warehouse.session() if has_scripts else warehouse.shared_session
        self._warehouse = warehouse
        self._has_extensions = False

    def bind(self, query: str) -> Bound:
        """What a query returns. Raises RefusedError."""
        try:
            rows = self._staged(query)
            columns = _columns_of(self.session, rows)
        except (duckdb.Error, ScriptError, RuntimeError) as error:
            raise RefusedError(bind_error_of(error)) from None
        known = self._known(query)
        result = _result(columns, query, known, stored=rows.endswith('_stored"'))
        if known is not None and self._may_read_others(query, known):
            result = Schema(dict.fromkeys(result.columns), result.complete)
        return Bound(
            result,
            rows,
            frozenset(use.key for use in self._warehouse.uses(query) or ()),
        )

    def refusal(self, query: str) -> BindError | None:
        """Why a query does not bind; None when it does."""
        try:
            self._staged(query)
        except (duckdb.Error, ScriptError, RuntimeError) as error:
            return bind_error_of(error)
        return None

    def binds(self, query: str) -> bool:
        """Whether one of our own queries, and no statement that a file holds, binds for sure.

        It takes a third of the time of `refusal`, which has to say why not.
        """
        try:
            self.session.sql(query)
        except (duckdb.Error, RuntimeError):
            return False
        return True

    def apply_script(self, text: str) -> Iterator[tuple[BindError, str]]:
        """Do what a script does to tables, without its data: each refusal, with its statement.

        What reaches outside of the warehouse is left out.
        """
        try:
            statements = self.session.extract_statements(text)
        except (duckdb.Error, RuntimeError) as error:
            yield bind_error_of(error), text
            self.opaque = self._warehouse.has_hidden_makers = True
            return
        if any(not text_of(statement) for statement in statements):
            # DuckDB cuts a PIVOT into statements without a text.
            self.opaque = self._warehouse.has_hidden_makers = True
            return
        skipped = 0
        for statement in statements:
            refusal = self._tried(statement)
            if refusal is not None:
                begin = len(statement.query) - len(statement.query.lstrip())
                line = refusal.line or statement.query.count("\n", 0, begin) + 1
                yield BindError(refusal.kind, refusal.message, line + skipped), statement.query
            skipped += statement.query.count("\n")

    def is_certain(self, refusal: BindError, sql: str) -> bool:
        """Whether DuckDB would refuse `sql` in a real warehouse too, as far as columns and types
        are concerned. (Whether an object is missing depends on all scripts of a pipeline.)"""
        if refusal.kind == "shape":
            return True
        if refusal.kind == "syntax":
            return not self._has_extensions
        if refusal.kind == "unknown" or self.opaque:
            return False
        if refusal.kind == "object":
            return True
        known = self._known(sql)
        if known is None:
            return False
        # A table has a rowid, and what stands for one without its types is a view.
        by_name = refusal.kind == "column" and "rowid" not in refusal.message
        return all(schema.complete if by_name else schema.certain for schema in known)

    def missing(self, sql: str) -> list[str] | None:
        """The tables that `sql` names and that do not exist; None when it cannot be parsed."""
        uses = self._warehouse.uses(sql)
        if uses is None or any(self._warehouse.lacks(use.key) for use in uses):
            return None
        names = [".".join(use.parts) for use in uses if self._warehouse.schema(use.key) is None]
        return [name for name in dict.fromkeys(names) if not self.exists(name)]

    def exists(self, name: str) -> bool:
        """Whether there is a table or a view of this name."""
        return kind_of(self.session, name) is not None

    def is_null(self, rows: str, column: str) -> bool:
        """Whether a column, which DESCRIBE calls an INTEGER, is nothing but NULL."""
        name = quoted(column)
        try:
            found = self.session.execute(
                f"SELECT typeof(any_value({name})) FROM {rows} WHERE FALSE"
            ).fetchone()
        except duckdb.Error:
            return True
        return bool(found and found[0] == '"NULL"')

    def schema_made(self, name: str) -> Schema | None:
        """What is known of a table that a script made; None when there is none."""
        try:
            columns = described(self.session, relation(name))
        except duckdb.Error:
            return None
        loose = self.opaque or self._warehouse.schemas_uncertain
        return _result(columns, "", None if loose else [], stored=False)

    def _staged(self, query: str) -> str:
        """What to read a query by. One that itself names what others are read by meets none."""
        if _BOUND in query.lower() and self.session is self._warehouse.shared_session:
            self.session = self._warehouse.session()
        return script.stage(self.session, _BOUND, query)

    def _known(self, sql: str) -> list[Schema] | None:
        """What is known of the tables that `sql` names; None when it may name others."""
        uses = self._warehouse.uses(sql)
        if uses is None or self.opaque or self._warehouse.macros_uncertain:
            return None
        made = Schema(complete=not self._warehouse.schemas_uncertain)
        schemas = [self._warehouse.schema(use.key) for use in uses]
        return [made if schema is None else schema for schema in schemas]

    def _may_read_others(self, query: str, known: list[Schema]) -> bool:
        """Whether an alias that is read may be a column, in a table that is not known in full."""
        if all(schema.complete for schema in known):
            return False
        aliases = self._warehouse.aliases_read(query)
        return aliases is None or not all(
            any(schema.has(alias) for schema in known) for alias in aliases
        )

    def _tried(self, statement: duckdb.Statement) -> BindError | None:
        """Why DuckDB refuses a statement of a script; None when it does not."""
        kind, sql = statement.type, text_of(statement)
        if kind in _WITHOUT_EFFECT or _HARMLESS.match(sql):
            return None
        if kind == StatementType.SELECT:
            view = f"CREATE OR REPLACE TEMP VIEW {_BOUND} AS\n{sql}"
            return _of_content(self._executed(view, lines_above=1))
        if kind in _READS_OR_WRITES:
            return _of_content(self._executed(f"EXPLAIN {sql}"))
        if kind in _MAKES and not _SECRET.match(sql):
            return self._made(sql, is_drop=kind == StatementType.DROP)
        self._lose_track(kind)
        return None

    def _made(self, sql: str, *, is_drop: bool) -> BindError | None:
        """Tables are made without their rows, which may be many."""
        known = self._known(sql)
        refusal = self._executed(f"{sql}\nWITH NO DATA")
        if refusal is not None and refusal.kind == "syntax":
            refusal = self._executed(sql)
        if is_drop:
            self._warehouse.restore(self.session, sql)
        elif refusal is not None:
            self._warehouse.has_hidden_makers = True
            for use in self._warehouse.uses(sql) or ():
                self._warehouse.doubt(use.key)
        elif known is None or not all(schema.certain for schema in known):
            self._warehouse.schemas_uncertain = True
            self._warehouse.macros_uncertain |= _MACRO.match(sql) is not None
        return refusal

    def _lose_track(self, kind: StatementType) -> None:
        """A statement is left out after which this connection is another one."""
        self.opaque = True
        self._has_extensions |= kind == StatementType.LOAD
        if kind not in {StatementType.LOAD, StatementType.SET, StatementType.ATTACH}:
            self._warehouse.has_hidden_makers = True

    def _executed(self, sql: str, lines_above: int = 0) -> BindError | None:
        try:
            self.session.execute(sql)
        except (duckdb.Error, RuntimeError) as error:
            refusal = bind_error_of(error)
            line = refusal.line - lines_above if refusal.line else None
            return BindError(refusal.kind, refusal.message, line)
        return None


def _columns_of(session: duckdb.DuckDBPyConnection, rows: str) -> dict[str, str]:
    """The columns of what is called `rows`: name to type. DuckDB's Python knows plain types without
    a statement, in 0.02 ms; DESCRIBE takes 0.15."""
    with suppress(duckdb.Error):
        # As deep as DESCRIBE makes it, by which runs ask: views over views have a limit.
        relation = session.sql(f"SELECT * FROM (SELECT * FROM {rows})")
        types = list(map(str, relation.types))
        if all(map(_PLAIN_TYPE.fullmatch, types)):
            return dict(zip(relation.columns, types, strict=True))
    return described(session, rows)


def _of_content(refusal: BindError | None) -> BindError | None:
    """What is wrong in a statement, and not with putting it into another one: DESCRIBE x is a
    query, and cannot be a view."""
    return None if refusal is None or refusal.kind == "syntax" else refusal


def _result(
    columns: dict[str, str], query: str, known: list[Schema] | None, *, stored: bool
) -> Schema:
    """What is known of a result with these columns, of a query over tables `known` so well.

    A `stored` result is a PIVOT's, whose columns depend on the data.
    """
    all_complete = known is not None and all(schema.complete for schema in known)
    all_typed = known is not None and not any(None in s.columns.values() for s in known)
    complete = all_complete or not (
        known is None or _BY_NAME.search(query) or any(OTHERS in name for name in columns)
    )
    return Schema(
        {
            name: kind if all_typed and OTHERS not in kind else None
            for name, kind in columns.items()
            if OTHERS not in name
        },
        complete and not stored,
    )
