"""`ecommerce docs`: the data catalogue of a pipeline, as a folder of pages."""

from __future__ import annotations

import os
from pathlib import Path

import click

from ecommerce_dagster import local
from ecommerce_dagster.bruin.project import Project
from ecommerce_dagster.cli.instance import existing_instance
from ecommerce_dagster.cli.report import LAYER, open_page
from ecommerce_dagster.pages.catalogue import Elsewhere, catalogue_of
from ecommerce_dagster.pages.entries import Catalogue
from ecommerce_dagster.pages.site import write_site


def write_docs(project: Project, output: Path | None, *, show: bool) -> None:
    """Write the pages and say where they are. Raises FolderError."""
    folder = output or local.state_dir() / "docs"
    page = write_site(_catalogue(project, _elsewhere(project, folder)), folder)
    click.echo(str(page))
    if show:
        open_page(page)


def _elsewhere(project: Project, folder: Path) -> Elsewhere:
    """What pages can link to. Pages among the local state find the reports there, and Dagster where
    `ecommerce dev` shows it; others are for other machines, and Dagster is where the pipeline
    says."""
    address = str(project.pipeline.meta.get("dagster_url", ""))
    if not folder.absolute().is_relative_to(local.state_dir()):
        return Elsewhere(address, public=True)
    reports = {asset.name: local.report_file(asset.name) for asset in project.assets}
    return Elsewhere(
        address or "http://127.0.0.1:3000",
        {
            name: Path(os.path.relpath(page, folder)).as_posix()
            for name, page in reports.items()
            if name.startswith(f"{LAYER}.") and page.is_file()
        },
    )


def _catalogue(project: Project, elsewhere: Elsewhere) -> Catalogue:
    """With the state of the assets where Dagster has run."""
    with existing_instance() as instance:
        return catalogue_of(project, instance, elsewhere)
