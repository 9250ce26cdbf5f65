"""Tables and their columns as PostgreSQL knows them.

Names of files are matched without case, as in the files themselves: the same name first, else one
that differs in case. What does not exist yet gets the name that SQL without quotes finds.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Protocol

from ecommerce_dagster.sql.identifiers import quoted
from ecommerce_dagster.sql.load_result import LoadError
from ecommerce_dagster.sql.postgres_types import PostgresTypes, resolved
from ecommerce_dagster.warehouses.postgres.session import Session, ask, configure, run

# The incoming rows, stored: the query is read once, before anything of the table changes.
STAGED = 'pg_temp."_query"'
STAGE = 'CREATE TEMP TABLE "_query" ON COMMIT DROP AS'

_KINDS = {
    "r": "table", "p": "table", "v": "view", "m": "materialized view", "f": "foreign table",
}  # fmt: skip


@dataclass(frozen=True)
class Table:
    """A table, a view or the like, or with no `kind` the place for one."""

    schema: str
    name: str
    kind: str | None = None

    @property
    def sql(self) -> str:
        return f"{quoted(self.schema)}.{quoted(self.name)}"

    def __str__(self) -> str:
        return f"{self.schema}.{self.name}"


class Names(Protocol):
    """Who knows what a file means by a name."""

    def find(self, name: str) -> Table:
        """What is called `name` ([schema.]table)."""
        ...

    def columns(self, relation: str) -> dict[str, str]:
        """The types of the columns of a relation, which is SQL, by their names and in order."""
        ...


@dataclass(frozen=True)
class Catalog:
    """What the database of a session holds. `schema` is that of names without one."""

    session: Session
    schema: str

    @classmethod
    def of(cls, session: Session, schema: str) -> Catalog:
        """The catalogue of a session that looks into `schema` first for names without one."""
        catalog = cls(session, schema)
        ((path,),) = ask(session, "SHOW search_path")
        configure(session, "search_path", f"{quoted(catalog.actual_schema(schema))}, {path}")
        # That a name is cut is said by a notice.
        configure(session, "client_min_messages", "notice")
        return catalog

    def find(self, name: str) -> Table:
        schema, table = parts(name, self.schema)
        schema = self.actual_schema(schema)
        found = ask(
            self.session,
            "SELECT relname, relkind::text FROM pg_class WHERE lower(relname) = lower(%s)"
            " AND relnamespace = to_regnamespace(%s) AND relkind::text = ANY (%s)"
            " ORDER BY relname = %s DESC, relname = lower(relname) DESC LIMIT 1",
            table, quoted(schema), list(_KINDS), table,
        )  # fmt: skip
        if not found:
            return Table(schema, table.lower())
        ((actual, kind),) = found
        return Table(schema, actual, _KINDS[kind])

    def actual_schema(self, name: str) -> str:
        """The schema that a file means by `name`."""
        found = ask(
            self.session,
            "SELECT nspname FROM pg_namespace WHERE lower(nspname) = lower(%s)"
            " ORDER BY nspname = %s DESC, nspname = lower(nspname) DESC LIMIT 1",
            name, name,
        )  # fmt: skip
        return str(found[0][0]) if found else name.lower()

    def columns(self, relation: str) -> dict[str, str]:
        rows = ask(
            self.session,
            "SELECT attname, format_type(atttypid, atttypmod) FROM pg_attribute"
            " WHERE attrelid = to_regclass(%s) AND attnum > 0 AND NOT attisdropped ORDER BY attnum",
            relation,
        )
        return {str(name): str(kind) for name, kind in rows}

    def comments(self, relation: str) -> dict[str, str]:
        """The comments on the columns of a relation, in lower case, and on itself by an empty
        name."""
        return dict(
            ask(
                self.session,
                "SELECT coalesce(lower(attname), ''), description FROM pg_description"
                " LEFT JOIN pg_attribute ON attrelid = objoid AND attnum = objsubid AND attnum > 0"
                " WHERE objoid = to_regclass(%s) AND classoid = 'pg_class'::regclass",
                relation,
            )
        )

    def types(self, written: Iterable[str]) -> PostgresTypes:
        """The types of the database, with those that a file has `written` so."""

        def known(names: list[str]) -> dict[str, str]:
            query = (
                "SELECT name, format_type(to_regtype(name), NULL)"
                " FROM unnest(%s::text[]) AS given(name) WHERE to_regtype(name) IS NOT NULL"
            )
            return dict(ask(self.session, query, names))

        return PostgresTypes(resolved(written, known))

    def has_schema(self, name: str) -> bool:
        """Whether there is a schema of exactly this name."""
        ((found,),) = ask(self.session, "SELECT to_regnamespace(%s) IS NOT NULL", quoted(name))
        return bool(found)

    def ensure_schema(self, table: Table) -> None:
        """Create the schema of a table. Who may not create one can use one that is there."""
        if not self.has_schema(table.schema):
            run(self.session, f"CREATE SCHEMA IF NOT EXISTS {quoted(table.schema)}")


def parts(name: str, schema: str) -> tuple[str, str]:
    """The schema, which is `schema` when none is said, and the table of a name. Raises LoadError
    for a name of three parts or more."""
    *schemas, table = name.split(".")
    if len(schemas) > 1:
        raise LoadError(f"'{name}' is not a table of PostgreSQL; name it schema.table")
    return schemas[0] if schemas else schema, table
