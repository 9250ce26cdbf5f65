"""`ecommerce status`: what failed last, what is stale and what is running, without a browser."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import click

from ecommerce_dagster.bruin.plurals import counted
from ecommerce_dagster.bruin.problems import from_here, printable
from ecommerce_dagster.bruin.project import Project
from ecommerce_dagster.cli.instance import existing_instance
from ecommerce_dagster.orchestration.status import Failure, PipelineStatus, Stale, status_of
from ecommerce_dagster.orchestration.unfinished_runs import LivingRun, clock


def print_status(project: Project, output: str) -> bool:
    """Print the status of a pipeline. Whether nothing failed and nothing is stale."""
    with existing_instance() as instance:
        status = status_of(project, instance)
    if output == "json":
        click.echo(json.dumps(_as_json(project, status), indent=2))
    else:
        _print(project, status)
    return not status.failed and not status.stale


def _as_json(project: Project, status: PipelineStatus) -> dict[str, Any]:
    return {
        "pipeline": project.pipeline.name,
        "assets": len(status.assets),
        "failed": [{**asdict(one), "file": str(from_here(one.file))} for one in status.failed],
        "stale": [asdict(one) for one in status.stale],
        "running": [asdict(one) for one in status.running],
    }


def _print(project: Project, status: PipelineStatus) -> None:
    failed = len({failure.asset for failure in status.failed})
    click.secho(
        f"{project.pipeline.name}: {counted(len(status.assets), 'asset')}, {failed} failed, "
        f"{len(status.stale)} stale, {counted(len(status.running), 'run')} not ended",
        bold=True,
    )
    _section("Failed", "red", [_failure(one) for one in status.failed])
    _section("Stale", "yellow", [_stale(one) for one in status.stale])
    _section("Running", "green", [_run(one) for one in status.running])


def _section(title: str, colour: str, rows: Sequence[tuple[str, str, str]]) -> None:
    """Rows of a name, a moment and words, one below the other."""
    if not rows:
        return
    click.echo()
    click.secho(title, fg=colour)
    name, at = (max(len(row[n]) for row in rows) for n in (0, 1))
    for row in rows:
        first, *more = row[2].splitlines() or [""]
        click.echo(printable(f"  {row[0]:{name}}  {row[1]:{at}}  {first}").rstrip())
        for line in more:
            click.echo(printable(f"  {'':{name}}  {'':{at}}  {line}"))


def _failure(failure: Failure) -> tuple[str, str, str]:
    kind = "" if failure.blocking else " (does not block)"
    check = f"{failure.check}{kind}: " if failure.check else ""
    place = f"{from_here(failure.file)}:{failure.line}"
    return failure.asset, clock(failure.at), f"{check}{failure.message}\n{place}"


def _stale(stale: Stale) -> tuple[str, str, str]:
    return stale.asset, clock(stale.built_at) if stale.built_at else "", "; ".join(stale.reasons)


def _run(run: LivingRun) -> tuple[str, str, str]:
    process = f", process {run.process}" if run.process is not None else ""
    words = {
        "queued": "waits in the queue",
        "running": "",
        "gone": "its process is gone; `ecommerce run --continue` does the rest",
    }[run.state]
    said = f"; {words}" if words else ""
    return f"run {run.run_id[:8]}", f"since {clock(run.since)}", f"{run.by}{process}{said}"
