"""`ecommerce report`: the pages that Python assets of the layer `report` write, made now."""

from __future__ import annotations

import shutil
import webbrowser
from collections.abc import Sequence
from pathlib import Path

import click

from ecommerce_dagster import local
from ecommerce_dagster.bruin.project import Project
from ecommerce_dagster.cli.run import RunRequest, run_and_report
from ecommerce_dagster.cli.selection import Selection, SelectionError, asset_called

LAYER = "report"


def make_report(project: Project, name: str | None, output: Path | None, *, show: bool) -> int:
    """Run the report's asset and print where its page is; the exit code, 0 when it was written.
    Raises SelectionError for a report that does not exist or that wrote no page."""
    report = _report_called(project, name)
    code = run_and_report(project, RunRequest(Selection(assets=[report]), command="report"))
    if code != 0:
        return code
    page = local.report_file(report)
    if not page.is_file():
        raise SelectionError(f"'{report}' ran and wrote no {page}; see docs/report.md")
    if output is not None:
        page = _copied(page, output)
    click.echo(str(page))
    if show:
        open_page(page)
    return 0


def _copied(page: Path, output: Path) -> Path:
    try:
        output.parent.mkdir(parents=True, exist_ok=True)
        return Path(shutil.copyfile(page, output))
    except OSError as error:
        raise click.ClickException(f"{output} cannot be written: {error.strerror}") from None


def open_page(page: Path) -> None:
    """Show a page in the user's browser."""
    if not webbrowser.open(page.absolute().as_uri()):
        click.echo(f"There is no browser here; open {page} where there is one.", err=True)


def _report_called(project: Project, name: str | None) -> str:
    found = [a.name for a in project.assets if a.type == "python" and _layer(a.name) == LAYER]
    wanted = asset_called(project, name).name if name else None
    if wanted in found or (wanted is None and len(found) == 1):
        return wanted or found[0]
    raise SelectionError(
        f"'{wanted}' is not a report; {_which(found)}" if wanted else _which(found)
    )


def _layer(name: str) -> str:
    return name.rpartition(".")[0].rpartition(".")[2]


def _which(found: Sequence[str]) -> str:
    if found:
        return f"say which report: {', '.join(found)}"
    return f"this pipeline has no report, that is a Python asset called {LAYER}.something"
