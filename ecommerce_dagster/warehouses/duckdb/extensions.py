"""DuckDB's extensions, from wheels: signed by DuckDB, pinned with it, never downloaded by a run."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import duckdb

from ecommerce_dagster.errors import UnlocatedError
from ecommerce_dagster.sql.identifiers import literal


class ExtensionError(UnlocatedError):
    """An extension that cannot be loaded; the text is for the user."""


def load_extension(connection: duckdb.DuckDBPyConnection, name: str) -> None:
    """Load an extension from its wheel; without one, try to install it. Raises ExtensionError.

    DuckDB checks the signature of what it loads.
    """
    path = _path_of(name)
    try:
        connection.execute(f"LOAD {literal(str(path))}" if path else f"INSTALL {name}; LOAD {name}")
    except duckdb.Error as error:
        raise ExtensionError(
            f"DuckDB's {name.removesuffix('_scanner')} extension cannot be loaded; install the "
            f"package duckdb-extension-{name.replace('_', '-')}=={duckdb.__version__} "
            f"({str(error).strip().splitlines()[0]})"
        ) from None


def _path_of(name: str) -> Path | None:
    found = find_spec(f"duckdb_extension_{name}")
    for folder in (found.submodule_search_locations or []) if found else []:
        path = Path(folder, "extensions", f"v{duckdb.__version__}", f"{name}.duckdb_extension")
        if path.is_file():
            return path
    return None
