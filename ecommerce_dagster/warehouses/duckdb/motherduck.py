"""MotherDuck as a warehouse: a database of it, attached by DuckDB's extension of that name.

The token stands in a setting of the session only: in the ATTACH it would show in
duckdb_databases(), and in error texts. The extension asks MotherDuck for its newest version when it
is loaded, and gives up after ten seconds.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from tempfile import TemporaryDirectory
from typing import Any

import duckdb

from ecommerce_dagster.bruin.model.connections import DuckDBConnection
from ecommerce_dagster.sql.identifiers import literal, quoted
from ecommerce_dagster.warehouses.duckdb.database import WarehouseError, connected
from ecommerce_dagster.warehouses.duckdb.extensions import ExtensionError, load_extension


@contextmanager
def open_motherduck(
    place: DuckDBConnection, *, settings: Mapping[str, Any] | None = None
) -> Iterator[duckdb.DuckDBPyConnection]:
    """A connection in which the tables of the database are those without one; closed in every
    case. Raises WarehouseError."""
    if not place.token:
        raise WarehouseError(
            f"{place.path} cannot be opened without a token; write `token: ${{MOTHERDUCK_TOKEN}}` "
            "in .bruin.yml, and set that in the environment or in .env"
        )
    with ExitStack() as stack:
        # What does not fit into memory would else be written to the current folder.
        folder = stack.enter_context(TemporaryDirectory(prefix="motherduck-"))
        own = {"temp_directory": folder, **(settings or {})}
        connection = stack.enter_context(connected(":memory:", settings=own))
        try:
            load_extension(connection, "motherduck")
            for statement in statements(place):
                connection.execute(statement)
        except (ExtensionError, duckdb.Error) as error:
            reason = " ".join(str(error).split())
            for written in (place.token, literal(place.token)[1:-1]):
                reason = reason.replace(written, "***")
            if "Failed to download" in reason:
                reason = f"it does not answer ({reason.rpartition('exception: ')[2]}"
            raise WarehouseError(f"MotherDuck: {place.path} cannot be opened: {reason}") from None
        yield connection


def statements(place: DuckDBConnection) -> list[str]:
    """What makes the tables of a database those of the session, once the extension is loaded."""
    return [
        f"SET motherduck_token = {literal(place.token)}",
        f"ATTACH {literal(place.path)}",
        f"USE {quoted(place.motherduck_database or '')}",
    ]
