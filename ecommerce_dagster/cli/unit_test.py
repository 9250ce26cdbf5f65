"""`ecommerce unit-test`: the tests that stand in the files, with what differs."""

from __future__ import annotations

import click

from ecommerce_dagster.bruin.project import Project
from ecommerce_dagster.cli.show import asset_called
from ecommerce_dagster.warehouse.unit_tests import run_unit_tests


def report_unit_tests(project: Project, name: str | None) -> int:
    """Run the tests of one asset, or of all. The exit code: 1 when one fails."""
    assets = [asset_called(project, name)] if name else list(project.assets)
    results = [result for asset in assets for result in run_unit_tests(project, asset)]
    for result in results:
        word = click.style("PASS", fg="green") if result.passed else click.style("FAIL", fg="red")
        click.echo(f"{word}  {result.asset.name}: {result.name}")
        for difference in result.differences:
            click.echo(f"        {difference}")
    failed = sum(not result.passed for result in results)
    click.echo(f"{len(results)} unit tests, {failed} failed")
    return 1 if failed else 0
