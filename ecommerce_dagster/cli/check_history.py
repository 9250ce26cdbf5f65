"""`ecommerce status --history`: how each check ended over time."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import click

from ecommerce_dagster.bruin.model.asset import Asset
from ecommerce_dagster.bruin.problems import from_here, printable
from ecommerce_dagster.bruin.project import Project
from ecommerce_dagster.cli.instance import existing_instance
from ecommerce_dagster.cli.selection import Selection, select
from ecommerce_dagster.orchestration.check_history import CheckHistory, PastResult, histories_of
from ecommerce_dagster.orchestration.unfinished_runs import clock
from ecommerce_dagster.sql.checks import Check, checks_of

Found = tuple[Check, CheckHistory | None]


def print_history(project: Project, names: Sequence[str], limit: int, output: str) -> bool:
    """Print the last results of the checks of these assets, or of all. Whether none failed last."""
    chosen = set(select(project, Selection(names)))
    assets = [asset for asset in project.assets if asset.name in chosen]
    with existing_instance() as instance:
        histories = histories_of(instance, project, assets, limit)
    checks = {asset.name: [(c, histories.get(c.id)) for c in checks_of(asset)] for asset in assets}
    if output == "json":
        found = [{"asset": name, "checks": [_as_json(*c) for c in checks[name]]} for name in checks]
        click.echo(json.dumps({"pipeline": project.pipeline.name, "assets": found}, indent=2))
    else:
        for asset in assets:
            # Of all assets, those that have none would be in the way.
            if checks[asset.name] or names:
                _print(asset, checks[asset.name])
    return all(history.is_passing for history in histories.values())


def _as_json(check: Check, history: CheckHistory | None) -> dict[str, Any]:
    return {
        "check": check.label,
        "id": check.id,
        "blocking": check.blocking,
        "file": str(from_here(check.rule.path)),
        "line": check.rule.line,
        "status": _status(history),
        "since": history.streak[0].at if history else None,
        "since_or_earlier": history.began_earlier if history else False,
        "results": [asdict(result) for result in history.results] if history else [],
    }


def _status(history: CheckHistory | None) -> str:
    return "unknown" if history is None else "passing" if history.is_passing else "failing"


def _print(asset: Asset, checks: Sequence[Found]) -> None:
    click.secho(asset.name, bold=True)
    if not checks:
        click.echo("  has no checks")
        return
    rows = [(check.label, _since(history), _course(history)) for check, history in checks]
    label, since = (max(len(row[n]) for row in rows) for n in (0, 1))
    for row, (_, history) in zip(rows, checks, strict=True):
        failing = history is not None and not history.is_passing
        state = click.style(f"{row[1]:{since}}", fg="red" if failing else None)
        click.echo(printable(f"  {row[0]:{label}}  ") + f"{state}  {row[2]}".rstrip())
        if failing and history:
            for line in history.results[-1].message.splitlines()[:1]:
                click.echo(printable(f"  {'':{label}}  {line}"))


def _since(history: CheckHistory | None) -> str:
    if history is None:
        return "never ran"
    before = " or before" if history.began_earlier else ""
    return f"{_status(history)} since {clock(history.streak[0].at)}{before}"


def _course(history: CheckHistory | None) -> str:
    """The number of bad rows of each result; for one that has none, how it ended."""
    if history is None:
        return ""
    numbers = " ".join(map(_number, history.results))
    share = history.results[-1].bad_share
    return f"bad rows {numbers}" + (f" ({share:.1%} of all)" if share else "")


def _number(result: PastResult) -> str:
    if result.bad_rows is not None:
        return f"{result.bad_rows:,}"
    return "passed" if result.passed else "failed"
