"""Views that need a table which gets other columns: they are made again, or the table stays.

PostgreSQL drops no table that a view needs, and changes no type that it uses. So the views are
dropped and made again in the same transaction, with their owners, rights and comments, and so are
the rights on the table. A view that cannot be made again is named in an error, and all stays as it
was.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass

import psycopg

from ecommerce_dagster.sql.identifiers import quoted
from ecommerce_dagster.sql.load_result import LoadError
from ecommerce_dagster.warehouses.postgres.catalog import Catalog, Table
from ecommerce_dagster.warehouses.postgres.session import ask, error_message, run

_VIEWS = """
WITH RECURSIVE needing (oid, depth) AS (
  SELECT %s::oid, 0
  UNION
  SELECT ev_class, depth + 1 FROM needing
  JOIN pg_depend ON refobjid = needing.oid AND refclassid = 'pg_class'::regclass
    AND classid = 'pg_rewrite'::regclass
  JOIN pg_rewrite ON pg_rewrite.oid = objid AND ev_class <> needing.oid
)
SELECT view, nspname, relname, pg_get_viewdef(view),
  coalesce(array_to_string(reloptions, ', '), ''),
  pg_get_userbyid(relowner),
  EXISTS (SELECT FROM pg_rewrite WHERE ev_class = view AND rulename <> '_RETURN')
    OR EXISTS (SELECT FROM pg_trigger WHERE tgrelid = view)
    OR EXISTS (SELECT FROM pg_attrdef WHERE adrelid = view)
FROM (
  SELECT oid AS view, max(depth) AS depth FROM needing WHERE depth > 0 GROUP BY oid
) AS found
JOIN pg_class ON pg_class.oid = view JOIN pg_namespace ON pg_namespace.oid = relnamespace
WHERE relkind = 'v' ORDER BY depth, view
"""
_RIGHTS = """
SELECT format('GRANT %%s%%s ON %%s TO %%s%%s', privilege_type, column_name, %s::text,
  CASE grantee WHEN 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(grantee)) END,
  CASE WHEN is_grantable THEN ' WITH GRANT OPTION' ELSE '' END)
FROM (
  SELECT '' AS column_name, relowner, (aclexplode(relacl)).*
  FROM pg_class WHERE oid = %s::oid
  UNION ALL
  SELECT format(' (%%I)', attname), relowner, (aclexplode(attacl)).*
  FROM pg_attribute JOIN pg_class ON pg_class.oid = attrelid
  WHERE attrelid = %s::oid AND NOT attisdropped
) AS rights WHERE grantee <> relowner
"""
_COMMENTS = """
SELECT CASE objsubid WHEN 0 THEN format('COMMENT ON VIEW %%s IS %%L', %s::text, description)
  ELSE format('COMMENT ON COLUMN %%s.%%I IS %%L', %s::text, attname, description) END
FROM pg_description LEFT JOIN pg_attribute ON attrelid = objoid AND attnum = objsubid
WHERE objoid = %s::oid AND classoid = 'pg_class'::regclass
"""


@dataclass(frozen=True)
class _View:
    """A view, and the statements that make it what it is."""

    name: str
    sql: str
    statements: tuple[str, ...]


@dataclass(frozen=True)
class Dependents:
    """What depends on the tables of a database. `remade` are the views, by their names in lower
    case, that the pipeline makes itself: one that does not fit is dropped until it does."""

    catalog: Catalog
    remade: frozenset[str] = frozenset()

    @contextmanager
    def recreating_dependent_views(self, table: Table, changes: list[str]) -> Iterator[None]:
        """Make `table` anew inside of this. What became of the views is added to `changes`.

        Raises LoadError when something that depends on it cannot be kept.
        """
        session = self.catalog.session
        ((table_oid,),) = ask(session, "SELECT to_regclass(%s)::oid", table.sql)
        views, rights = self._views(table, table_oid), self._rights(table.sql, table_oid)
        try:
            self._drop(table, views)
            yield
        except psycopg.errors.DependentObjectsStillExist as error:
            raise LoadError(
                f"{table} cannot get other columns while something else needs it: "
                f"{' '.join((error.diag.message_detail or error_message(error)).split())}; "
                "drop that first, and make it again afterwards"
            ) from error
        for view in views:
            self._restore(table, view, changes)
        for statement in rights:
            # What a right was about may be gone.
            with suppress(psycopg.errors.UndefinedColumn), session.transaction():
                run(session, statement)

    def _drop(self, table: Table, views: list[_View]) -> None:
        for view in reversed(views):
            try:
                run(self.catalog.session, f"DROP VIEW {view.sql}")
            except psycopg.errors.InsufficientPrivilege as error:
                raise LoadError(
                    f"{table} cannot get other columns while the view {view.name} needs it: "
                    f"{error_message(error)}"
                ) from error

    def _restore(self, table: Table, view: _View, changes: list[str]) -> None:
        try:
            with self.catalog.session.transaction():
                for statement in view.statements:
                    run(self.catalog.session, statement)
        except psycopg.Error as error:
            if self.catalog.session.closed:
                raise
            if view.name.lower() not in self.remade:
                raise LoadError(
                    f"the view {view.name} needs {table} as it was ({error_message(error)}); "
                    "change or drop the view first"
                ) from error
            changes.append(
                f"the view {view.name} does not fit any more ({error_message(error)}); "
                "it is dropped until its asset runs"
            )

    def _views(self, table: Table, table_oid: int | None) -> list[_View]:
        """The views that need a table, each after those that it needs itself."""
        found: list[_View] = []
        views = ask(self.catalog.session, _VIEWS, table_oid)
        for oid, schema, name, query, options, owner, special in views:
            sql = f"{quoted(schema)}.{quoted(name)}"
            if special:
                raise LoadError(
                    f"{table} cannot get other columns while the view {schema}.{name} needs "
                    "it, which has rules, triggers or defaults of its own; drop it first"
                )
            with_options = f" WITH ({options})" if options else ""
            comments = ask(self.catalog.session, _COMMENTS, sql, sql, oid)
            statements = (
                f"CREATE VIEW {sql}{with_options} AS\n{query.rstrip().rstrip(';')}",
                *(row[0] for row in comments),
                *self._rights(sql, oid),
                f"ALTER VIEW {sql} OWNER TO {quoted(owner)}",
            )
            found.append(_View(f"{schema}.{name}", sql, statements))
        return found

    def _rights(self, relation: str, oid: int | None) -> list[str]:
        found = ask(self.catalog.session, _RIGHTS, relation, oid, oid)
        return [row[0] for row in found]
