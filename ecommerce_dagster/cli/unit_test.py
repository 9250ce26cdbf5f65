"""`ecommerce unit-test`: the tests that stand in the files, with what differs."""

from __future__ import annotations

import json

import click

from ecommerce_dagster.bruin.plurals import counted
from ecommerce_dagster.bruin.problems import from_here
from ecommerce_dagster.bruin.project import Project
from ecommerce_dagster.cli.selection import asset_called
from ecommerce_dagster.runtime.unit_tests.runner import UnitTestResult, run_unit_tests


def report_unit_tests(project: Project, name: str | None, output: str) -> int:
    """Run the tests of one asset, or of all. The exit code: 1 when one fails."""
    assets = [asset_called(project, name)] if name else list(project.assets)
    results = [result for asset in assets for result in run_unit_tests(project, asset)]
    failed = sum(not result.passed for result in results)
    if output == "json":
        tests = [_as_json(result) for result in results]
        print(json.dumps({"success": not failed, "tests": tests}, indent=2))
        return 1 if failed else 0
    for result in results:
        _print(result)
    click.echo(f"{counted(len(results), 'unit test')}, {failed} failed")
    return 1 if failed else 0


def _as_json(result: UnitTestResult) -> dict[str, object]:
    return {
        "asset": result.asset.name,
        "name": result.name,
        "file": str(from_here(result.at.path)),
        "line": result.at.line,
        "passed": result.passed,
        "differences": list(result.differences),
    }


def _print(result: UnitTestResult) -> None:
    if result.passed:
        click.echo(f"{click.style('PASS', fg='green')}  {result.asset.name}: {result.name}")
        return
    place = f"{from_here(result.at.path)}:{result.at.line}"
    click.echo(f"{click.style('FAIL', fg='red')}  {result.asset.name}: {result.name}  ({place})")
    for difference in result.differences:
        click.echo("\n".join(f"        {line}" for line in difference.split("\n")))
