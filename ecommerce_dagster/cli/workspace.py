"""Which pipeline a command is about."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ecommerce_dagster import local
from ecommerce_dagster.bruin.project import Project
from ecommerce_dagster.orchestration.build import load_project


def open_project(
    pipeline: Path | None, config_file: Path | None, environment: str | None
) -> Project:
    """The pipeline that the user named, else the one of this checkout. Raises ProjectError."""
    local.load_environment()
    return load_project(
        pipeline or local.PIPELINE, config_file=config_file, environment=environment
    )


def resources_for(project: Project) -> dict[str, Any]:
    """The embedded PostgreSQL in place of the connection that nobody configured."""
    if project.directory != local.PIPELINE or local.brings_own_postgres():
        return {}
    from ecommerce_dagster.orchestration.embedded import EmbeddedPostgresResource

    return {"pg_default": EmbeddedPostgresResource.for_folder(local.postgres_data())}
