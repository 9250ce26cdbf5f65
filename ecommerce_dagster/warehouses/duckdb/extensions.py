"""DuckDB's extensions, from wheels: signed by DuckDB, pinned with it, never downloaded by a run."""

from __future__ import annotations

import os
from contextlib import suppress
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import duckdb

from ecommerce_dagster.bruin.paths import cache_folder
from ecommerce_dagster.errors import UnlocatedError, installing
from ecommerce_dagster.sql.identifiers import literal

# The extras of this package that bring the wheels; `sources` brings all others.
_EXTRAS = {"ducklake": "lakehouse", "httpfs": "lakehouse", "postgres_scanner": "postgres"}


class ExtensionError(UnlocatedError):
    """An extension that cannot be loaded; the text is for the user."""


@cache
def extension_directories() -> list[str]:
    """Where DuckDB looks for an extension by its name, as for a query that reads a URL and for a
    script with INSTALL and LOAD: a folder with links to those of wheels, then DuckDB's own.

    The first is where INSTALL puts the others. Empty, for DuckDB's own alone, where no folder can
    be kept.
    """
    found = find_spec("duckdb")
    if found is None or found.origin is None:
        return []
    packages = Path(found.origin).parent.parent
    folder = cache_folder() / "extensions"
    with duckdb.connect() as connection:
        row = connection.execute("PRAGMA platform").fetchone()
    links = folder / f"v{duckdb.__version__}" / str(row[0] if row else "")
    try:
        links.mkdir(parents=True, exist_ok=True)
        pattern = f"duckdb_extension_*/extensions/v{duckdb.__version__}/*.duckdb_extension"
        for file in packages.glob(pattern):
            # With that of SQLite a file of it would pass for a DuckDB database.
            if not file.name.startswith("sqlite"):
                _link(links / file.name, file)
    except OSError:
        return []
    return [str(folder), _own()]


def extension_settings() -> dict[str, Any]:
    """The settings that make DuckDB look there. Before 1.5 it knows one folder only."""
    folders = extension_directories()
    if not folders:
        return {}
    if tuple(map(int, duckdb.__version__.split(".")[:2])) < (1, 5):
        return {"extension_directory": folders[0]}
    return {"extension_directories": folders}


def _own() -> str:
    """Where DuckDB itself keeps extensions."""
    return str(Path("~/.duckdb/extensions").expanduser())


def _link(link: Path, file: Path) -> None:
    """Make a link to a file, in one step: others may be loading what it is of now."""
    with suppress(OSError):
        if link.samefile(file):
            return
    new = link.with_name(f"{link.name}.{os.getpid()}")
    new.symlink_to(file)
    new.replace(link)


def load_extension(connection: duckdb.DuckDBPyConnection, name: str) -> None:
    """Load an extension from its wheel; without one, try to install it. Raises ExtensionError.

    DuckDB checks the signature of what it loads.
    """
    path = _path_of(name)
    try:
        connection.execute(f"LOAD {literal(str(path))}" if path else f"INSTALL {name}; LOAD {name}")
    except duckdb.Error as error:
        reason = str(error).strip().splitlines()[0]
        raise ExtensionError(
            f"DuckDB's {_called(name)} extension cannot be loaded; {_remedy(name)} ({reason})"
        ) from None


def why_missing(name: str) -> str | None:
    """What to install so that an extension need not be fetched from the network; None when it is
    on this machine."""
    installed = f"v{duckdb.__version__}/*/{name}.duckdb_extension"
    folders = extension_directories() or [_own()]
    if _path_of(name) or any(any(Path(folder).glob(installed)) for folder in folders):
        return None
    return f"DuckDB's {_called(name)} extension is not installed here; {_remedy(name)}"


def _called(name: str) -> str:
    return name.removesuffix("_scanner")


def _remedy(name: str) -> str:
    """A wheel carries the binary for one version of DuckDB, and asks pip for that version."""
    if find_spec(f"duckdb_extension_{name}") is None:
        return installing(_EXTRAS.get(name, "sources"))
    package = f"duckdb-extension-{name.replace('_', '-')}"
    return (
        f"the package {package} is for another DuckDB than {duckdb.__version__}: "
        f"pip install {package}=={duckdb.__version__}"
    )


def _path_of(name: str) -> Path | None:
    found = find_spec(f"duckdb_extension_{name}")
    for folder in (found.submodule_search_locations or []) if found else []:
        path = Path(folder, "extensions", f"v{duckdb.__version__}", f"{name}.duckdb_extension")
        if path.is_file():
            return path
    return None
