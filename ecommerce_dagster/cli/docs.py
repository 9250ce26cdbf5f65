"""`ecommerce docs`: the data catalogue of a pipeline, as a folder of pages."""

from __future__ import annotations

from pathlib import Path

import click

from ecommerce_dagster import local
from ecommerce_dagster.bruin.project import Project
from ecommerce_dagster.cli.instance import existing_instance
from ecommerce_dagster.cli.report import open_page
from ecommerce_dagster.pages.catalogue import catalogue_of
from ecommerce_dagster.pages.entries import Catalogue
from ecommerce_dagster.pages.site import write_site


def write_docs(project: Project, output: Path | None, *, show: bool) -> None:
    """Write the pages and say where they are. Raises FolderError."""
    folder = output or local.state_dir() / "docs"
    page = write_site(_catalogue(project), folder)
    click.echo(str(page))
    if show:
        open_page(page)


def _catalogue(project: Project) -> Catalogue:
    """With the state of the assets where Dagster has run."""
    with existing_instance() as instance:
        return catalogue_of(project, instance)
