"""Tables that a query may find although no asset of the pipeline makes them."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from functools import cached_property
from pathlib import Path

import duckdb

from ecommerce_dagster.bruin.asset_files import asset_paths, possible_names
from ecommerce_dagster.bruin.discovery import other_pipelines
from ecommerce_dagster.bruin.model.connections import DuckDBConnection, UnusableConnection
from ecommerce_dagster.bruin.problems import ProblemLog, did_you_mean
from ecommerce_dagster.bruin.project import Project
from ecommerce_dagster.bruin.yaml.parsing import text_to_search
from ecommerce_dagster.sql.used_tables import key_of
from ecommerce_dagster.warehouses.duckdb.database import (
    MissingWarehouse,
    WarehouseError,
    database_name,
)
from ecommerce_dagster.warehouses.ducklake.attach import LAKE, attach_lake

_NAME = re.compile(r"^(?:(?:--|#)\s*@bruin\.)?name:[ \t]*(.+)$", re.MULTILINE)
_STORED = """
SELECT schema_name, table_name, list(column_name) FROM duckdb_columns()
WHERE NOT internal GROUP BY ALL
"""


class ExternalTables:
    """What the other pipelines of the checkout make, and what is in the warehouse already.

    Looked up when a table seems to be missing, which is seldom. `asks` says whether the catalog of
    a DuckLake may be asked, which can be on another machine.
    """

    def __init__(
        self, project: Project, variables: Mapping[str, str], *, asks: bool = True
    ) -> None:
        self._project, self._asks = project, asks
        self._place = _place_of(project, variables)

    @property
    def database(self) -> str | None:
        """What the warehouse is called in a query that names it."""
        if self._place is None:
            return None
        if self._place.lakehouse:
            return LAKE
        return self._place.motherduck_database or database_name(self._place.path)

    def has(self, name: str) -> bool:
        """Whether another program makes a table, or has made it."""
        return self.is_of_other_pipeline(name) or key_of(name) in (self._stored or ())

    def columns(self, name: str) -> Collection[str]:
        """The columns of a table in the warehouse; none when it is not there, or cannot be looked
        at now."""
        return (self._stored or {}).get(key_of(name), ())

    def is_of_other_pipeline(self, name: str) -> bool:
        """Whether another pipeline of the checkout makes a table of this name."""
        return key_of(name) in self._of_others

    def is_surely_missing(self, name: str) -> bool:
        """Whether a table that was not found cannot be another program's.

        It stands in a schema that this pipeline fills, or is called like a table of another one.
        """
        if self._stored is None:
            return False
        *schema, table = name.lower().split(".")
        made = [asset.name.lower().split(".") for asset in self._project.assets]
        if not schema:
            return any(parts[-1] == table for parts in made)
        return any(parts[:-1][-1:] == schema[-1:] for parts in made)

    def explained(self, name: str) -> str:
        """That a table is missing, and what to do about it."""
        hint = did_you_mean(name, [asset.name for asset in self._project.assets])
        if hint.startswith("known"):
            hint = "if other code makes it, describe it in an asset of type duckdb.source"
        return f"the table '{name}' is made by no asset, hook or script of this pipeline; {hint}"

    @cached_property
    def _of_others(self) -> set[str]:
        folders = other_pipelines(self._project.directory, self._project.checkout)()
        log = ProblemLog()
        return {
            key_of(name)
            for folder in folders
            for path in asset_paths(folder, log)
            for name in names_in(path, folder)
        }

    @cached_property
    def _stored(self) -> Mapping[str, Collection[str]] | None:
        """The columns of the tables in the warehouse, by their keys; None when it cannot be looked
        at now."""
        place = self._place
        if place is not None and place.motherduck_database is not None:
            return None
        if place is None or not (place.lakehouse or Path(place.path).exists()):
            return {}
        if place.lakehouse and not self._asks:
            return None
        try:
            # Not in turn with others: what writes to a file now may take long.
            path = ":memory:" if place.lakehouse else place.path
            with duckdb.connect(path, read_only=not place.lakehouse) as connection:
                if place.lakehouse:
                    attach_lake(connection, place.lakehouse, LAKE, read_only=True)
                rows = connection.execute(_STORED).fetchall()
                return {key_of(f"{schema}.{table}"): columns for schema, table, columns in rows}
        except MissingWarehouse:
            return {}
        except (WarehouseError, duckdb.Error):
            return None


def other_names(project: Project, log: ProblemLog) -> list[str]:
    """Tables that are not to be judged: of assets that are switched off, that cannot be read, or
    that others depend on."""
    found = set(project.disabled)
    found |= {d.asset for asset in project.assets for d in asset.depends if d.asset}
    read = {asset.path for asset in project.assets}
    for path in {problem.path for problem in log.errors} - read:
        is_asset = path.is_relative_to(project.directory)
        if is_asset and len(path.relative_to(project.directory).parts) > 1:
            found |= set(names_in(path, project.directory))
    known = {key_of(asset.name) for asset in project.assets}
    return sorted(name for name in found if name and key_of(name) not in known)


def names_in(path: Path, directory: Path) -> Iterator[str]:
    """What the asset in a file may be called, without reading it as one."""
    yield from possible_names(path, directory)
    for name in _NAME.findall(text_to_search(path)):
        yield name.strip(" \"'\r")


def _place_of(project: Project, variables: Mapping[str, str]) -> DuckDBConnection | None:
    """Where the tables of the pipeline are, when that can be looked at from here."""
    for asset in project.assets:
        connection = project.connections.by_name.get(project.connection_name(asset))
        if connection is not None and connection.platform == "duckdb":
            try:
                place = connection.duckdb(variables)
            except UnusableConnection:
                return None
            return place if place.path != ":memory:" or place.lakehouse else None
    return None
