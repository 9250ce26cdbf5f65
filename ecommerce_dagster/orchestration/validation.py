"""Everything that can be said of a pipeline before anything runs. Does not import Dagster."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import Any

from ecommerce_dagster.bruin.policy import lint_policy
from ecommerce_dagster.bruin.problems import ProblemLog
from ecommerce_dagster.bruin.project import Project, read_project
from ecommerce_dagster.orchestration.environment import variables_for
from ecommerce_dagster.orchestration.lint import lint


def validated(
    folder: Path,
    log: ProblemLog,
    *,
    note: Callable[[str], None],
    fast: bool = False,
    config_file: Path | None = None,
    environment: str | None = None,
    variables: Mapping[str, Any] | None = None,
    variant: str | None = None,
) -> Project | None:
    """Report what is wrong in the pipeline in `folder`.

    `fast` judges the files alone; else every query is bound as well, and sources are asked for
    their columns. `note` gets what kept one from being asked. None when there is no pipeline.
    """
    project = read_project(
        folder,
        log,
        config_file=config_file,
        environment=environment,
        variables=variables,
        variant=variant,
    )
    if project is None:
        return None
    lint(project, log)
    lint_policy(project, log, {} if fast else _bound(project, log, note))
    return project


def _bound(
    project: Project, log: ProblemLog, note: Callable[[str], None]
) -> Mapping[str, Collection[str]]:
    """Bind every query. The columns that each returns."""
    from ecommerce_dagster.ingestion.source_columns import SourceColumns
    from ecommerce_dagster.warehouse.binding import bind_project

    known = variables_for(project.connections.path)
    with SourceColumns(project, known, log, note) as columns:
        return bind_project(project, log, source_columns=columns, variables=known)
