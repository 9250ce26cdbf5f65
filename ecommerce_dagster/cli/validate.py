"""`ecommerce validate`: everything that is wrong in the files, before anything runs."""

from __future__ import annotations

from pathlib import Path

import click

from ecommerce_dagster import local
from ecommerce_dagster.bruin.problems import ProblemLog
from ecommerce_dagster.bruin.project import read_project
from ecommerce_dagster.orchestration.lint import lint
from ecommerce_dagster.warehouse.checks import checks_of


def report_problems(
    directory: Path | None, config_file: Path | None, environment: str | None
) -> int:
    """Print errors and warnings. The exit code: 1 when there is an error."""
    local.load_environment()
    log = ProblemLog()
    project = read_project(
        directory or local.PIPELINE, log, config_file=config_file, environment=environment
    )
    if project is not None:
        lint(project, log)
    for problem in log.warnings:
        click.echo(f"warning: {problem}", err=True)
    for problem in log.errors:
        click.echo(f"error: {problem}", err=True)
    if log.errors:
        click.echo(f"{len(log.errors)} errors, {len(log.warnings)} warnings", err=True)
        return 1
    assert project is not None
    checks = sum(len(checks_of(asset)) for asset in project.assets)
    click.echo(
        f"{project.pipeline.name}: {len(project.assets)} assets and {checks} checks are valid"
    )
    return 0
