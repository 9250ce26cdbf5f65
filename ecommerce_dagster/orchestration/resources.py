"""Connections of `.bruin.yml` as Dagster resources.

Their configuration holds names and paths only: Dagster's UI shows it. Secrets are read
from `.bruin.yml` and the environment when a run needs them.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any, Self

import dagster as dg
import duckdb
from dagster_duckdb import DuckDBResource
from pydantic import Field, PrivateAttr

from ecommerce_dagster.bruin.config_file import read_connections
from ecommerce_dagster.bruin.model.connections import (
    Connection,
    DuckDBConnection,
    UnusableConnection,
)
from ecommerce_dagster.bruin.model.lakehouse import Lakehouse
from ecommerce_dagster.bruin.model.platforms import PLATFORMS
from ecommerce_dagster.bruin.model.postgres_connection import PostgresConnection
from ecommerce_dagster.bruin.problems import ProblemLog
from ecommerce_dagster.bruin.project import Project
from ecommerce_dagster.orchestration.run_launcher import run_heartbeat
from ecommerce_dagster.orchestration.unfinished_runs import naming_others
from ecommerce_dagster.runtime.environment import publishes_copy, variables_for
from ecommerce_dagster.runtime.plain_names import resource_key
from ecommerce_dagster.warehouses.duckdb.database import WarehouseError
from ecommerce_dagster.warehouses.duckdb.published_copy import outdated, publish_copy
from ecommerce_dagster.warehouses.place import open_place


class WarehouseResource(DuckDBResource):
    """A DuckDB database that runs take turns to write.

    Use it like dagster-duckdb's own: `with warehouse.get_connection() as connection`. The
    connection closes in every case, waits for other runs instead of failing, and is in UTC. When a
    run ends, however it ends, readers get a copy of what it made.
    """

    published_copy: bool = Field(
        default=True, description="Whether readers get a copy of the database after each run."
    )
    read_only: bool = Field(default=False, description="Whether nothing may be written to it.")
    fallback: str = Field(
        default="", description="Another DuckDB file, with the tables that this one does not have."
    )
    unusable: str = Field(default="", description="Why it cannot be opened, where it cannot.")
    _is_written: bool = PrivateAttr(default=False)
    _on_wait: Callable[[str], None] | None = PrivateAttr(default=None)

    @contextmanager
    def yield_for_execution(self, context: dg.InitResourceContext) -> Iterator[Self]:
        """The resource for the length of a run."""
        with _living(context):
            if context.run is not None and context.instance is not None:
                log = context.log or dg.get_dagster_logger()
                self._on_wait = naming_others(log.info, context.instance, context.run.run_id)
            try:
                yield self
            finally:
                # Not of a file that the run only reads from, which another program may own.
                if context.run is not None and self.published_copy and self._is_written:
                    self._publish(context.log or dg.get_dagster_logger())

    def _publish(self, log: logging.Logger) -> None:
        """Publish a copy. The tables are built whether or not that works, so the run does not fail:
        its log, and `ecommerce run`, say so."""
        try:
            publish_copy(self.database, log.info)
        except (OSError, WarehouseError, duckdb.Error) as error:
            log.error(outdated(self.database, error))

    def _waits(self, message: str) -> None:
        (self._on_wait or dg.get_dagster_logger().info)(message)

    def place(self) -> DuckDBConnection:
        """Where the database is. Raises UnusableConnection."""
        if self.unusable:
            raise UnusableConnection(self.unusable)
        return DuckDBConnection(self.database, self.read_only, fallback=self.fallback)

    @contextmanager
    def get_connection(self) -> Iterator[duckdb.DuckDBPyConnection]:
        """An open connection that may write."""
        settings: Mapping[str, Any] = self.connection_config or {}
        with open_place(
            self.place(), read_only=self.read_only, settings=settings, on_wait=self._waits
        ) as connection:
            self._is_written = not self.read_only
            yield connection


class RemoteWarehouseResource(WarehouseResource):
    """A database of MotherDuck, known by its name in `.bruin.yml`. All runs may write at once.

    Use it like dagster-duckdb's own; `database` is for people to read. There is no copy for
    readers: they read the database itself and never wait.
    """

    connection: str = Field(description="The name of the connection in .bruin.yml.")
    config_file: str = Field(description="The path of .bruin.yml.")
    environment: str = Field(default="default", description="The environment in .bruin.yml.")
    published_copy: bool = Field(default=False, description="Always false.")

    def place(self) -> DuckDBConnection:
        """Where the database is and which user connects. Raises UnusableConnection."""
        declared = declared_connection(self.config_file, self.environment, self.connection)
        return declared.duckdb(variables_for(Path(self.config_file)))


class DuckLakeResource(RemoteWarehouseResource):
    """A DuckLake, known by its name in `.bruin.yml`. All runs may write to it at once.

    Use it like dagster-duckdb's own; `database` is for people to read. There is no copy for
    readers: they read the DuckLake itself and never wait.
    """

    def lakehouse(self) -> Lakehouse:
        """The DuckLake of the place. Raises UnusableConnection."""
        found = self.place().lakehouse
        assert found is not None
        return found


class DatabaseResource(dg.ConfigurableResource):  # type: ignore[type-arg]  # that is this class
    """A database, known by its name in `.bruin.yml`."""

    connection: str = Field(description="The name of the connection in .bruin.yml.")
    config_file: str = Field(description="The path of .bruin.yml.")
    environment: str = Field(default="default", description="The environment in .bruin.yml.")

    @contextmanager
    def yield_for_execution(self, context: dg.InitResourceContext) -> Iterator[Self]:
        """The resource for the length of a run."""
        with _living(context):
            yield self

    def declared(self) -> Connection:
        """Where the database is and which user connects, as written. Raises UnusableConnection."""
        return declared_connection(self.config_file, self.environment, self.connection)


class PostgresResource(DatabaseResource):
    """A PostgreSQL database, known by its name in `.bruin.yml`."""

    def settings(self) -> PostgresConnection:
        """Where the database is and which user connects. Raises UnusableConnection."""
        return self.declared().postgres(variables_for(Path(self.config_file)))


def declared_connection(config_file: str, environment: str, name: str) -> Connection:
    """A connection as `.bruin.yml` says. Raises UnusableConnection, ProjectError."""
    log = ProblemLog()
    connections = read_connections(Path(config_file), environment, log)
    log.raise_errors()
    return connections.get(name)


@contextmanager
def _living(context: dg.InitResourceContext) -> Iterator[None]:
    """What others can tell a living run by, in a run."""
    if context.run is None or context.instance is None:
        yield
        return
    with run_heartbeat(context.instance, context.run.run_id):
        yield


def has_resource(connection: Connection) -> bool:
    """Whether a connection is a database; others are read by those who know them."""
    return connection.platform in PLATFORMS


def resources_of(project: Project) -> dict[str, Any]:
    """A resource for each database of the project's environment, by its key."""
    connections = project.connections
    if connections.path is None:
        return {}
    variables = variables_for(connections.path)
    found: dict[str, Any] = {}
    for connection in filter(has_resource, connections.by_name.values()):
        declared: dict[str, Any] = {
            "connection": connection.name,
            "config_file": str(connections.path),
            "environment": connections.environment,
        }
        key = resource_key(connection.name)
        if connection.platform == "duckdb":
            database = _database(connection, variables)
            if connection.is_lakehouse:
                found[key] = _resource(DuckLakeResource, **database, **declared)
            elif connection.is_motherduck:
                found[key] = _resource(RemoteWarehouseResource, **database, **declared)
            else:
                copies = publishes_copy(variables)
                found[key] = _resource(WarehouseResource, **database, published_copy=copies)
        elif connection.platform == "postgres":
            found[key] = _resource(PostgresResource, **declared)
        else:
            found[key] = _resource(DatabaseResource, **declared)
    return found


@cache
def _resource(kind: Callable[..., Any], **settings: str | bool) -> Any:
    """Equal resources are one object: Dagster merges the definitions of two pipelines only so."""
    return kind(**settings)


def _database(connection: Connection, variables: Mapping[str, str]) -> dict[str, Any]:
    """The path of the file, or the address of the DuckLake. While either is not known, a variable
    in it not set for one, what is written and why that does not do."""
    try:
        place = connection.duckdb(variables)
    except UnusableConnection as error:
        written = connection.settings.get("path") or ""
        known = "ducklake" if connection.is_lakehouse else str(written)
        known = "motherduck" if connection.is_motherduck else known
        return {"database": known, "unusable": str(error)}
    lake = place.lakehouse
    database = f"ducklake: {lake.address}" if lake else place.path
    found = {"database": database, "read_only": place.read_only}
    return {**found, "fallback": place.fallback} if place.fallback else found
