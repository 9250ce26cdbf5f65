"""A second DuckDB file, from which a session reads tables that the first one does not have."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import duckdb

from ecommerce_dagster.sql.identifiers import literal, quoted
from ecommerce_dagster.warehouses.duckdb.database import WarehouseError, when_free
from ecommerce_dagster.warehouses.duckdb.published_copy import copy_of
from ecommerce_dagster.warehouses.query import FALLBACK

_SCHEMAS = "SELECT schema_name FROM duckdb_schemas() WHERE database_name = ? ORDER BY ALL"


def read_also(
    duck: duckdb.DuckDBPyConnection, path: str, *, read_only: bool, on_wait: Callable[[str], None]
) -> None:
    """Read the tables of the file at `path`, or of its published copy where there is one, under
    their names wherever this database has none. A file that does not exist has no tables.

    DuckDB looks for raw.orders in each schema `raw` of the search path, and makes new tables in the
    first. So this database gets the schemas of the other one, unless it is `read_only`. Raises
    WarehouseError.
    """
    copy = copy_of(path)
    file = str(copy) if copy.exists() else path
    if not Path(file).exists():
        return
    attach = f"ATTACH {literal(file)} AS {FALLBACK} (READ_ONLY)"
    try:
        when_free(file, lambda: duck.execute(attach), on_wait)
    except duckdb.Error as error:
        first = str(error).splitlines()[0]
        raise WarehouseError(f"{file} cannot be read beside the warehouse: {first}") from None
    (here,) = duck.execute("SELECT current_database()").fetchone() or ("",)
    own = {str(name) for (name,) in duck.execute(_SCHEMAS, [here]).fetchall()}
    found = [str(name) for (name,) in duck.execute(_SCHEMAS, [FALLBACK]).fetchall()]
    for schema in found:
        if schema not in own and not read_only:
            duck.execute(f"CREATE SCHEMA {quoted(here)}.{quoted(schema)}")
            own.add(schema)
    places = [(here, schema) for schema in ("main", *sorted(own - {"main"}))]
    places += [(FALLBACK, schema) for schema in found]
    path_text = ",".join(f"{quoted(database)}.{quoted(schema)}" for database, schema in places)
    duck.execute(f"SET search_path = {literal(path_text)}")
