"""`ecommerce plan`: what the changes in the files do to the tables."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import click

from ecommerce_dagster import local
from ecommerce_dagster.bruin.plurals import counted
from ecommerce_dagster.bruin.problems import Problem, ProblemLog, from_here, printable
from ecommerce_dagster.bruin.project import read_project
from ecommerce_dagster.cli.planning import SINCE_BUILT, Plan, planned
from ecommerce_dagster.cli.tables import markdown_table
from ecommerce_dagster.cli.workspace import pipeline_of, variables_of
from ecommerce_dagster.orchestration.rebuilds import Rebuild
from ecommerce_dagster.runtime.plan.definitions import Change
from ecommerce_dagster.runtime.plan.impact import Impact
from ecommerce_dagster.runtime.validate import validated

_COLOURS = {"breaking": "red", "removed": "red", "changed": "yellow", "added": "green"}
_HOW = {
    "run": "a run builds it whole",
    "partitions": "by its partitions",
    "full-refresh": "what is loaded stays as it is without --full-refresh",
    "restricted": "its rows stay: it must not be refreshed",
}


def print_plan(against: str, options: Mapping[str, Any], output: str) -> int:
    """Print what changed and what that does. The exit code: 1 when the files have an error."""
    folder = pipeline_of(options["pipeline"])
    local.load_environment(folder)
    given = {
        "config_file": options["config_file"],
        "environment": options["environment"],
        "variables": variables_of(options["variables"]),
        "variant": options["variant"],
    }
    log, read = ProblemLog(), ProblemLog()
    validated(folder, log, note=lambda text: click.echo(f"note: {text}", err=True), **given)
    project = read_project(folder, read, **given)
    # Assets that cannot be read would be taken for such as are gone.
    plan = None
    if project is not None and not read.errors:
        plan = planned(project, {**options, "against": against})
    if output == "json":
        click.echo(json.dumps(_as_json(plan, log.errors), indent=2))
    else:
        lines = _markdown if output == "markdown" else _text
        for problem in log.errors:
            click.secho(f"error: {problem}", fg="red", err=output == "text")
        for line in lines(plan) if plan is not None else ():
            click.echo(line)
    return int(bool(log.errors))


def _as_json(plan: Plan | None, problems: Sequence[Problem]) -> dict[str, Any]:
    comparison = plan.comparison if plan is not None else None
    return {
        "pipeline": plan.project.pipeline.name if plan is not None else None,
        "since": plan.since if plan is not None else None,
        "valid": not problems,
        "issues": [
            {
                "rule": problem.rule,
                "file": str(from_here(problem.path)),
                "line": problem.line,
                "message": printable(problem.message),
            }
            for problem in problems
        ],
        "changes": [
            {
                "asset": changed.asset,
                "kind": change.kind,
                "message": printable(change.words),
                "file": _file(change, plan),
                "line": change.line,
            }
            for changed in (comparison.changes if comparison else ())
            for change in changed.changes
        ],
        "impacts": [
            {
                "asset": impact.asset,
                "verdict": impact.verdict,
                "columns": dict(impact.columns),
                "because": list(impact.because),
            }
            for impact in (comparison.impacts if comparison else ())
        ],
        "checks": plan.checked_again if plan is not None else [],
        "rebuilds": [
            {
                "asset": rebuild.asset,
                "how": rebuild.how,
                "partitions": [list(each) for each in rebuild.partitions],
                "partition_count": rebuild.count,
                "rows": rebuild.rows,
                "seconds": rebuild.seconds,
            }
            for rebuild in (plan.rebuilds if plan is not None else ())
        ],
        "run": plan.to_run if plan is not None else [],
    }


def _file(change: Change, plan: Plan | None) -> str:
    """Where a change is, as a user here would write it; of what is gone, in its pipeline."""
    path = change.path
    if plan is not None and not path.is_relative_to(plan.project.checkout):
        parts = path.parts
        name = plan.project.directory.name
        return str(Path(*parts[parts.index(name) :])) if name in parts else path.name
    return str(from_here(path))


def _text(plan: Plan) -> Iterator[str]:
    yield click.style(_summary(plan), bold=True)
    if plan.comparison.changes:
        yield from _title("Changed")
    for changed in plan.comparison.changes:
        yield f"  {changed.asset}"
        for change in changed.changes:
            yield f"    {_file(change, plan)}:{change.line}: {printable(change.words)}"
    yield from _tables(plan.comparison.impacts)
    if plan.checked_again:
        yield from _title("Checked again, with the same rows")
        yield f"  {', '.join(plan.checked_again)}"
    if plan.rebuilds:
        yield from _title("To build again")
        width = max(len(rebuild.asset) for rebuild in plan.rebuilds)
        for rebuild in plan.rebuilds:
            yield f"  {rebuild.asset:{width}}  {_cost(rebuild)}; {_how(rebuild)}"
    if commands := list(_commands(plan)):
        yield from _title("Do it with")
        yield from (f"  {command}" for command in commands)


def _title(text: str) -> Iterator[str]:
    yield from ("", click.style(text, fg="cyan"))


def _summary(plan: Plan) -> str:
    impacts = plan.comparison.impacts
    same = sum(impact.verdict == "unaffected" for impact in impacts)
    if not plan.comparison.changes:
        return f"{plan.project.pipeline.name}: nothing changed since {plan.since}"
    changed = counted(len(plan.comparison.changes), "asset")
    return (
        f"{plan.project.pipeline.name}: {changed} changed since {plan.since}, "
        f"{counted(len(impacts) - same, 'table')} affected, {same} downstream not affected"
    )


def _tables(impacts: Sequence[Impact]) -> Iterator[str]:
    shown = [impact for impact in impacts if impact.verdict != "unaffected"]
    if shown:
        yield from _title("Tables")
    width = max((len(impact.asset) for impact in shown), default=0)
    for impact in shown:
        verdict = click.style(f"{impact.verdict:8}", fg=_COLOURS[impact.verdict])
        yield f"  {impact.asset:{width}}  {verdict}  {printable(_columns(impact))}"
    same = [impact.asset for impact in impacts if impact.verdict == "unaffected"]
    if same:
        yield from _title("Not affected, although they read what changed")
        yield f"  {', '.join(same)}"


def _columns(impact: Impact) -> str:
    """Which columns of a table are affected, and of whose changes."""
    upstream = [name for name in impact.because if name != impact.asset]
    because = f"; by {', '.join(upstream)}" if upstream else ""
    verdicts = set(impact.columns.values())
    if not verdicts:
        return f"all of it{because}"
    if len(verdicts) == 1:
        return f"all columns{because}"
    found: dict[str, list[str]] = {}
    for column, verdict in impact.columns.items():
        if verdict != "unaffected":
            found.setdefault(verdict, []).append(column)
    order = [v for v in ("breaking", "removed", "changed", "added") if v in found]
    return "; ".join(f"{verdict}: {', '.join(found[verdict])}" for verdict in order) + because


def _cost(rebuild: Rebuild) -> str:
    if rebuild.rows is None and rebuild.seconds is None:
        return "rows and seconds unknown"
    rows = "rows unknown" if rebuild.rows is None else counted(rebuild.rows, "row")
    seconds = "seconds unknown" if rebuild.seconds is None else _seconds(rebuild.seconds)
    return f"{rows}, {seconds}"


def _seconds(seconds: float) -> str:
    return "less than 1 s" if seconds < 1 else f"{seconds:,.0f} s"


def _how(rebuild: Rebuild) -> str:
    if rebuild.how != "partitions":
        return _HOW[rebuild.how]
    if not rebuild.partitions:
        return "no partition was built yet"
    ranges = [a if a == b else f"{a} to {b}" for a, b in rebuild.partitions]
    return f"{counted(rebuild.count, 'partition')}: {', '.join(ranges)}"


def _commands(plan: Plan) -> Iterator[str]:
    """What brings the tables up to the files."""
    whole = [rebuild.asset for rebuild in plan.rebuilds if rebuild.how == "full-refresh"]
    rest = [name for name in plan.affected if name not in whole]
    keys = [key for rebuild in plan.rebuilds for each in rebuild.partitions for key in each]
    dates = f" --start-date {min(keys)} --end-date {max(keys)}" if keys else ""
    if whole:
        yield f"ecommerce run {' '.join(whole)} --full-refresh"
        # What is built is no change any more.
        if rest:
            yield f"ecommerce run {' '.join(rest)}{dates}"
    elif rest:
        against = "" if plan.since == SINCE_BUILT else f" --against {plan.since}"
        yield f"ecommerce run --modified+{against}{dates}"
    if plan.checked_again:
        yield f"ecommerce run {' '.join(plan.checked_again)} --only checks"


def _markdown(plan: Plan) -> Iterator[str]:
    yield f"### {_summary(plan)}"
    changed = [
        (one.asset, f"`{_file(change, plan)}:{change.line}`", change.words)
        for one in plan.comparison.changes
        for change in one.changes
    ]
    yield from _table(("changed", "where", "what"), changed)
    impacts = plan.comparison.impacts
    affected = [impact for impact in impacts if impact.verdict != "unaffected"]
    rows = [(impact.asset, impact.verdict, _columns(impact)) for impact in affected]
    yield from _table(("table", "verdict", "columns"), rows)
    same = [impact.asset for impact in impacts if impact.verdict == "unaffected"]
    if same:
        yield from ("", f"Not affected, although they read what changed: {', '.join(same)}.")
    if plan.checked_again:
        yield from ("", f"Checked again, with the same rows: {', '.join(plan.checked_again)}.")
    yield from _table(
        ("to build again", "rows and seconds", "how"),
        [(rebuild.asset, _cost(rebuild), _how(rebuild)) for rebuild in plan.rebuilds],
    )
    if commands := list(_commands(plan)):
        yield from ("", "```sh", *commands, "```")


def _table(titles: Sequence[str], rows: Sequence[Sequence[str]]) -> Iterator[str]:
    if rows:
        yield ""
        yield from markdown_table(titles, [list(map(_cell, row)) for row in rows])


def _cell(text: str) -> str:
    return printable(text).replace("|", "\\|")
