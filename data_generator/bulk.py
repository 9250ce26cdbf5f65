"""Foreign keys and indexes out of the way of a large load.

Checking a foreign key row by row costs more than everything else in a large load; checking all
rows at once is cheap. All of it happens in the load's transaction: a reader of the database
from outside sees the constraints and indexes always in place, and a load that fails leaves them so.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
from psycopg import sql

from data_generator.job import Progress

_TABLES = ["product_variants", "orders", "order_items"]

_OWNED = """
SELECT bool_and(pg_has_role(current_user, relowner, 'USAGE')) FROM pg_class
WHERE relnamespace = 'public'::regnamespace AND relname = ANY(%s)
"""
_FOREIGN_KEYS = """
SELECT relname, conname, pg_get_constraintdef(c.oid)
FROM pg_constraint AS c JOIN pg_class AS t ON t.oid = c.conrelid
WHERE c.contype = 'f' AND t.relnamespace = 'public'::regnamespace AND relname = ANY(%s)
ORDER BY relname, conname
"""
_INDEXES = """
SELECT c.relname, pg_get_indexdef(i.indexrelid)
FROM pg_index AS i JOIN pg_class AS c ON c.oid = i.indexrelid
JOIN pg_class AS t ON t.oid = i.indrelid
WHERE NOT i.indisunique AND t.relnamespace = 'public'::regnamespace AND t.relname = ANY(%s)
ORDER BY c.relname
"""


def may_alter(connection: psycopg.Connection[Any]) -> bool:
    """Tell whether the role may drop and add the constraints of the tables."""
    return connection.execute(_OWNED, [_TABLES]).fetchone() == (True,)


@contextmanager
def without_constraints(
    connection: psycopg.Connection[Any], progress: Progress | None
) -> Iterator[None]:
    """Drop the foreign keys and plain indexes, and put back the same ones after the block.

    Locks the tables until the transaction ends. An exception in the block leaves putting them back
    to the rollback.
    """
    connection.execute("SET LOCAL maintenance_work_mem = '256MB'")
    connection.execute("SET LOCAL work_mem = '64MB'")
    restore: list[bytes | sql.Composed] = []
    for name, definition in connection.execute(_INDEXES, [_TABLES]).fetchall():
        connection.execute(sql.SQL("DROP INDEX public.{}").format(sql.Identifier(name)))
        restore.append(definition.encode())
    for table, name, definition in connection.execute(_FOREIGN_KEYS, [_TABLES]).fetchall():
        names = sql.Identifier(table), sql.Identifier(name)
        connection.execute(sql.SQL("ALTER TABLE public.{} DROP CONSTRAINT {}").format(*names))
        add = sql.SQL("ALTER TABLE public.{} ADD CONSTRAINT {} {}")
        restore.append(add.format(*names, sql.SQL(definition)))
    yield
    for done, statement in enumerate(restore):
        if progress:
            progress("indexes", done, len(restore))
        connection.execute(statement)
    if progress:
        progress("indexes", len(restore), len(restore))
