"""What two pipelines of one code location must not share, such as names of assets."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence

from ecommerce_dagster.bruin.model.connections import Connection, UnusableConnection
from ecommerce_dagster.bruin.model.platforms import PLATFORMS
from ecommerce_dagster.bruin.problems import ProblemLog, from_here
from ecommerce_dagster.bruin.project import Project
from ecommerce_dagster.runtime.asset_types import ASSET_TYPES, connections_of, unsupported
from ecommerce_dagster.runtime.environment import variables_for
from ecommerce_dagster.runtime.lint.project import lint_keys
from ecommerce_dagster.runtime.plain_names import job_name, resource_key


def lint_together(
    projects: Sequence[Project], log: ProblemLog, replaced: Collection[str] = ()
) -> None:
    """Report asset keys, names and connections that several pipelines have, and that mean different
    things. `replaced` are the keys of connections that are not opened."""
    lint_keys(projects, log)
    _lint_names(projects, log)
    _lint_connections(projects, log, replaced)


def used_databases(project: Project) -> Iterator[Connection]:
    """The connections that are databases, and that the pipeline's assets need."""
    names = {
        name
        for asset in project.assets
        if asset.type in ASSET_TYPES and unsupported(project, asset) is None
        for name in connections_of(project, asset)
    }
    for name, connection in project.connections.by_name.items():
        if name in names and connection.platform in PLATFORMS:
            yield connection


def _lint_names(projects: Sequence[Project], log: ProblemLog) -> None:
    """The name is that of a job, a schedule and sensors."""
    names: dict[str, Project] = {}
    for project in projects:
        pipeline, first = project.pipeline, names.setdefault(job_name(project), project)
        if first is not project:
            message = (
                f"'{pipeline.name}' has the job name {job_name(project)}, as "
                f"'{first.pipeline.name}' in {from_here(first.pipeline.path)}; rename one"
            )
            log.error(*pipeline.at("name"), "pipeline-name-unique", message)


def _lint_connections(
    projects: Sequence[Project], log: ProblemLog, replaced: Collection[str]
) -> None:
    """One name is one resource: tables of one pipeline would go to the other's database."""
    found: dict[str, Connection] = {}
    for project in projects:
        for connection in used_databases(project):
            key = resource_key(connection.name)
            first = found.setdefault(key, connection)
            if key in replaced or _database(first) == _database(connection):
                continue
            message = (
                f"the connection '{connection.name}' is another database than '{first.name}' in "
                f"{from_here(first.path)}:{first.line}, and both are the resource {key}; rename one"
            )
            log.error(connection.path, connection.line, "connection-key-unique", message)


def _database(connection: Connection) -> object:
    """What tells databases apart."""
    variables = variables_for(connection.path)
    try:
        if connection.platform == "duckdb":
            return connection.duckdb(variables)
        if connection.platform == "postgres":
            return connection.postgres(variables)
    except UnusableConnection:
        pass
    return connection.path, connection.name
