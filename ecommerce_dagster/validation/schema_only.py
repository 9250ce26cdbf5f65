"""A warehouse in memory whose tables have columns and no rows: where queries are tried out.

Nothing outside of it can be reached from it: no file, no network, no extension.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cached_property
from typing import Self

import duckdb

from ecommerce_dagster.sql.identifiers import quoted, relation, schema_of
from ecommerce_dagster.sql.used_tables import (
    Use,
    aliases_read,
    key_of,
    used_tables,
    used_tables_of_each,
)

# Stands for the columns that a table may have beside the known ones. Where it comes out of a query,
# other columns would come out as well.
OTHERS = "_columns_that_are_not_known_"

_CONFIG: dict[str, str | bool | int | float | list[str]] = {
    "allow_persistent_secrets": False,
    "autoinstall_known_extensions": False,
    "autoload_known_extensions": False,
    "memory_limit": "512MB",
    "python_enable_replacements": False,
    "threads": 1,
}


# No query runs here. Without an optimizer, which each statement else prepares, DuckDB makes a table
# or a view in 0.06 ms in place of 0.1. Names and types are found before.
_WITHOUT_OPTIMIZER = "PRAGMA disable_optimizer"


@dataclass(frozen=True)
class Schema:
    """What is known of a table: types by column, None for a type that is not known.

    It has no other columns when it is `complete`.
    """

    columns: Mapping[str, str | None] = field(default_factory=dict)
    complete: bool = False

    @property
    def certain(self) -> bool:
        """Whether everything is known."""
        return self.complete and None not in self.columns.values()

    def has(self, name: str) -> bool:
        """Whether there is a column of that name, in whatever case."""
        return name.lower() in {column.lower() for column in self.columns}

    def type_of(self, name: str) -> str | None:
        """The type of a column, if it is known."""
        return next(
            (t for column, t in self.columns.items() if column.lower() == name.lower()), None
        )


class SchemaOnlyWarehouse:
    """The tables of a pipeline without their rows.

    `schemas_uncertain` and `macros_uncertain` tell that a script made some of which less is known
    than it seems; `has_hidden_makers` that something may make tables which cannot be known.
    """

    def __init__(self, database: str | None, names: Iterable[str]) -> None:
        """`database` is what the warehouse is called, `names` the tables that it is to hold."""
        self.schemas_uncertain = False
        self.macros_uncertain = False
        self.has_hidden_makers = False
        self._schemas: dict[str, Schema] = {}
        self._kinds: dict[str, str] = {}
        self._unmade: set[str] = set()
        # To ask DuckDB for one that is there takes a quarter of the time of a table.
        self._schemas_made: set[str] = set()
        self._uses: dict[str, list[Use] | None] = {}
        self._connection = duckdb.connect(":memory:", config=_CONFIG)
        parts = [name.lower().split(".") for name in names]
        schemas = {part for name in parts for part in name[-2:-1]}
        catalogs = {name[0] for name in parts if len(name) == 3} - schemas
        self._database = database if database and database.lower() not in schemas else None
        for catalog in {*catalogs, *filter(None, [self._database])}:
            try:
                self._connection.execute(f"ATTACH ':memory:' AS {quoted(catalog)}")
            except duckdb.Error:
                self._database = None if catalog == self._database else self._database
        self._connection.execute("SET enable_external_access = false")
        self._connection.execute(_WITHOUT_OPTIMIZER)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self._connection.close()

    @cached_property
    def shared_session(self) -> duckdb.DuckDBPyConnection:
        """A connection for all assets that only have queries, and leave nothing of use in it."""
        session = self.session()
        session.execute(_WITHOUT_OPTIMIZER)
        return session

    def session(self) -> duckdb.DuckDBPyConnection:
        """A connection of its own, as an asset with a script has one: for what ends with it."""
        cursor = self._connection.cursor()
        if self._database:
            cursor.execute(f"USE {quoted(self._database)}")
        return cursor

    def read_uses(self, texts: Iterable[str]) -> None:
        """Find out which tables these statements name, in less time than one by one."""
        new = dict.fromkeys(text for text in texts if text not in self._uses)
        self._uses.update(used_tables_of_each(self._connection, new))

    def uses(self, sql: str) -> list[Use] | None:
        """The tables that a statement names; None when it cannot be parsed."""
        if sql not in self._uses:
            self._uses[sql] = used_tables(self._connection, sql)
        return self._uses[sql]

    def aliases_read(self, sql: str) -> frozenset[str] | None:
        """The aliases that a query reads beside them; None when it cannot be parsed."""
        return aliases_read(self._connection, sql)

    def schema(self, key: str) -> Schema | None:
        """What is known of a table, by its key; None when nothing is known."""
        return self._schemas.get(key)

    def lacks(self, key: str) -> bool:
        """Whether the table is known and could not be made here."""
        return key in self._unmade

    def note(self, name: str, schema: Schema, kind: str) -> None:
        """Note a table or a view that a script has made here."""
        self._schemas[key_of(name)], self._kinds[key_of(name)] = schema, kind
        self._unmade.discard(key_of(name))

    def make(self, session: duckdb.DuckDBPyConnection, name: str, schema: Schema) -> None:
        """Make a table of this name with these columns, in place of what there is."""
        key, around = key_of(name), schema_of(name)
        with suppress(duckdb.Error):
            if around and around not in self._schemas_made:
                session.execute(f"CREATE SCHEMA IF NOT EXISTS {around}")
                self._schemas_made.add(around)
        self.remove(session, name)
        self._schemas[key] = schema
        kind = "TABLE" if schema.certain and schema.columns else "VIEW"
        try:
            session.execute(_creation(kind, name, schema))
            self.note(name, schema, kind)
        except duckdb.Error:
            # A type that exists elsewhere only, or a name that DuckDB does not take.
            self._schemas[key] = Schema(dict.fromkeys(schema.columns), complete=False)
            self._unmade.add(key)

    def doubt(self, key: str) -> None:
        """Something changes the table in a way that cannot be followed."""
        if key in self._schemas:
            columns = self._schemas[key].columns
            self._schemas[key] = Schema(dict.fromkeys(columns), complete=False)

    def remove(self, session: duckdb.DuckDBPyConnection, name: str) -> None:
        """Remove what was made under this name, and what is known of it."""
        self._schemas.pop(key_of(name), None)
        kind = self._kinds.pop(key_of(name), None)
        with suppress(duckdb.Error):
            if kind is not None:
                session.execute(f"DROP {kind} IF EXISTS {relation(name)}")

    def restore(self, session: duckdb.DuckDBPyConnection, statement: str) -> None:
        """Make those tables again that a statement removed."""
        self._schemas_made.clear()
        text = statement.lower().replace('"', "")
        for key, schema in list(self._schemas.items()):
            name = key.replace('"', "")
            if name.removeprefix("main.") in text and key in self._kinds:
                try:
                    session.execute(f"DESCRIBE {key}")
                except duckdb.Error:
                    self._kinds.pop(key)
                    self.make(session, name.removeprefix("main."), schema)


def _creation(kind: str, name: str, schema: Schema) -> str:
    if kind == "TABLE":
        columns = ", ".join(f"{quoted(column)} {t}" for column, t in schema.columns.items())
        return f"CREATE TABLE {relation(name)} ({columns})"
    cells = [
        f"{f'CAST(NULL AS {t})' if t else 'NULL'} AS {quoted(column)}"
        for column, t in schema.columns.items()
    ]
    if not schema.complete or not cells:
        cells.append(f"NULL AS {quoted(OTHERS)}")
    return f"CREATE OR REPLACE VIEW {relation(name)} AS SELECT {', '.join(cells)} WHERE FALSE"
