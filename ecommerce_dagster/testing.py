"""Help for the tests of a pipeline: the rows that the query of one file returns, in memory."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import duckdb

from ecommerce_dagster.bruin.discovery import PIPELINE_FILES
from ecommerce_dagster.bruin.model.asset import Asset
from ecommerce_dagster.bruin.problems import ProblemLog, did_you_mean
from ecommerce_dagster.bruin.project import Project, find_upwards, read_project
from ecommerce_dagster.errors import ConfigurationError, UnlocatedError
from ecommerce_dagster.runtime.unit_tests.runner import query_over
from ecommerce_dagster.sql.used_tables import key_of, used_tables
from ecommerce_dagster.warehouses.sql_asset import AssetError

Rows = Sequence[Mapping[str, Any]]


def run_asset(
    path: str | Path,
    inputs: Mapping[str, Rows] | None = None,
    *,
    variables: Mapping[str, Any] | None = None,
    execution_time: datetime | str | None = None,
) -> list[dict[str, Any]]:
    """The rows that the query of an asset returns over given rows.

    The query runs in a DuckDB in memory; no warehouse is opened and no check is run. A query for
    PostgreSQL is put in DuckDB's words, as `ecommerce unit-test` does.

    Args:
        path: The file of a SQL asset, in a folder of a pipeline.
        inputs: The rows of the tables that it reads, by name. Columns have the types that the file
            of the table declares, else those of the values. Tables that are not given are empty,
            when their files declare columns.
        variables: Values for variables of pipeline.yml, by name, in place of their defaults.
        execution_time: The moment that SQL's own clocks tell, in UTC unless it says otherwise. Its
            day is the interval of the run. Default: now, and yesterday.

    Returns:
        The rows in the order of the query, each by the names of its columns.

    Raises:
        ProjectError: The pipeline cannot be read.
        ConfigurationError: The file is not an asset of a pipeline.
        AssetError: The query cannot run over these rows.
    """
    project, asset = _asset_in(Path(path).resolve(), variables)
    given = dict(inputs or {})
    when = {"execution_time": str(execution_time) if execution_time else None}
    try:
        with query_over(project, asset, when, given) as (connection, query):
            _require_read(connection, query, given)
            cursor = connection.execute(query)
            names = [str(column[0]) for column in cursor.description or ()]
            return [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]
    except (UnlocatedError, ValueError, duckdb.Error) as error:
        text = str(error).strip()
        if isinstance(error, duckdb.CatalogException):
            text = f"{text.splitlines()[0]} Rows of the tables that it reads are given in `inputs`."
        raise AssetError(f"{asset.path}:{asset.body_line}: {text}") from None


def _asset_in(path: Path, variables: Mapping[str, Any] | None) -> tuple[Project, Asset]:
    """The asset of a file, and its pipeline."""
    found = find_upwards(path.parent, PIPELINE_FILES)
    if found is None:
        raise ConfigurationError(
            f"{path} is in no pipeline; none of its folders has a pipeline.yml"
        )
    log = ProblemLog()
    project = read_project(found.parent, log, variables=variables)
    log.raise_errors()
    assets = project.assets if project is not None else ()
    asset = next((each for each in assets if path in {each.path, each.body_path}), None)
    if project is None or asset is None:
        names = [each.path.name for each in assets]
        hint = did_you_mean(path.name, names)
        raise ConfigurationError(f"{path} is no asset of the pipeline in {found.parent}; {hint}")
    return project, asset


def _require_read(
    connection: duckdb.DuckDBPyConnection, query: str, inputs: Mapping[str, Rows]
) -> None:
    """Refuse rows of a table that the query does not read. Raises ValueError."""
    uses = used_tables(connection, query)
    if uses is None:
        return
    read = {use.key: ".".join(use.parts) for use in uses}
    for name in inputs:
        if key_of(name) not in read:
            hint = did_you_mean(name, read.values())
            raise ValueError(f"the query does not read '{name}'; {hint}")
