"""Which extensions of DuckDB a pipeline needs, and whether they are on this machine."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from ecommerce_dagster.bruin.model.asset import Asset
from ecommerce_dagster.bruin.model.connections import Connection, UnusableConnection
from ecommerce_dagster.bruin.problems import ProblemLog
from ecommerce_dagster.bruin.project import Project
from ecommerce_dagster.runtime.asset_types import ASSET_TYPES, connections_of, unsupported
from ecommerce_dagster.runtime.environment import variables_for
from ecommerce_dagster.warehouses.duckdb.extensions import why_missing
from ecommerce_dagster.warehouses.ducklake.attach import extensions_of

# By the platforms of sources that DuckDB attaches.
_SOURCES = {"mysql": "mysql_scanner", "postgres": "postgres_scanner", "sqlite": "sqlite_scanner"}


def lint_extensions(project: Project, log: ProblemLog) -> None:
    """Warn of each extension that a run would fetch from the network, at the first asset that
    needs it."""
    asked: set[str] = set()
    of_warehouses = _of_warehouses(project)
    runnable = (a for a in project.assets if a.type in ASSET_TYPES and not unsupported(project, a))
    for asset in runnable:
        for name in _needed_by(project, asset, of_warehouses):
            if name in asked:
                continue
            asked.add(name)
            missing = why_missing(name)
            if missing is not None:
                log.warning(*asset.at("type"), "missing-extension", missing)


def _needed_by(
    project: Project, asset: Asset, of_warehouses: Mapping[str, Sequence[str]]
) -> Iterator[str]:
    known = project.connections.by_name
    if asset.type == "ingestr":
        source = known.get(asset.parameter("source_connection"))
        if source is not None and source.platform in _SOURCES:
            yield _SOURCES[source.platform]
    for name in connections_of(project, asset):
        yield from of_warehouses.get(name, ())


def _of_warehouses(project: Project) -> Mapping[str, Sequence[str]]:
    """What each connection to a DuckDB needs, by its name."""
    variables = variables_for(project.connections.path)
    return {
        name: [*_of_warehouse(connection, variables)]
        for name, connection in project.connections.by_name.items()
        if connection.platform == "duckdb"
    }


def _of_warehouse(connection: Connection, variables: Mapping[str, str]) -> Iterator[str]:
    try:
        place = connection.duckdb(variables)
    except UnusableConnection:
        return  # which is reported where its asset is
    if place.motherduck_database is not None:
        yield "motherduck"
    if place.lakehouse is not None:
        yield from extensions_of(place.lakehouse)
