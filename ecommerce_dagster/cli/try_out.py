"""`ecommerce try`: changed assets are built beside production, checked, compared and dropped."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import click
import dagster as dg

from ecommerce_dagster import local
from ecommerce_dagster.bruin.project import Project
from ecommerce_dagster.bruin.schema_prefix import prefixed_name
from ecommerce_dagster.cli.diff import Compared, compare, print_differences
from ecommerce_dagster.cli.errors import tell
from ecommerce_dagster.cli.outcome import succeeded
from ecommerce_dagster.cli.planning import planned
from ecommerce_dagster.cli.progress import Reporter, console_of
from ecommerce_dagster.cli.run import RunInterrupted, RunRequest, run
from ecommerce_dagster.cli.selection import Selection, SelectionError, select
from ecommerce_dagster.cli.without_copies import unseen
from ecommerce_dagster.cli.workspace import located, opened
from ecommerce_dagster.runtime.asset_types import has_table, unsupported
from ecommerce_dagster.runtime.diff.compare import How
from ecommerce_dagster.runtime.diff.session import Side
from ecommerce_dagster.runtime.diff.tables import Pair
from ecommerce_dagster.runtime.environment_tables import tables_to_read
from ecommerce_dagster.runtime.existing_tables import Database, fingerprints
from ecommerce_dagster.runtime.kept_tables import Kept, tables_read
from ecommerce_dagster.runtime.plan.impact import Side as PlanSide
from ecommerce_dagster.runtime.subset import Wish, subset_of, views_of, wish_of
from ecommerce_dagster.runtime.try_tables import (
    Throwaway,
    drop_left,
    has_left,
    reason_to_leave_out,
    throwaway,
)
from ecommerce_dagster.runtime.warehouses import WAREHOUSES


def try_from_options(assets: Sequence[str], options: Mapping[str, Any]) -> int:
    """`ecommerce try` with the options of its command. The exit code."""
    wish, state = _wish(options), local.state_dir() / "try"
    folder, names = located(assets, options["pipeline"])
    project = opened(folder, options)
    tried = _tried(project, names, options)
    if not tried and not has_left(state):
        return 0
    used = tried or [a.name for a in project.assets if has_table(a)]
    connections = list(dict.fromkeys(project.connection_name(project.by_name[n]) for n in used))
    with unseen(project, connections):
        local.make_private("try")
        drop_left(state, project, tell)
        if not tried:
            return 0
        with throwaway(state, project, connections, tell) as made:
            return _try(project, tried, made, wish, options)


def _wish(options: Mapping[str, Any]) -> Wish | None:
    try:
        wish = wish_of(options["sample"], options["by"], options["days"], options["empty"])
    except ValueError as error:
        raise click.UsageError(str(error)) from None
    if wish and options["keep"]:
        raise click.UsageError("only tables with all of their rows can be kept")
    return wish


def _tried(project: Project, names: Sequence[str], options: Mapping[str, Any]) -> list[str]:
    """The assets to be built: those that are named and all downstream of them, else those that
    changed and what that affects. Prints what changed and what is left out."""
    if names:
        chosen = select(project, Selection(assets=names, downstream=True))
    else:
        plan = planned(project, options)
        chosen = plan.to_run
        tell(f"changed since {plan.since}: {', '.join(plan.changed) or 'nothing'}")
    tried = []
    for name in chosen:
        asset = project.by_name[name]
        reason = unsupported(project, asset) or reason_to_leave_out(asset)
        if reason:
            tell(f"left out: {name}: {reason}")
        else:
            tried.append(name)
    if names and not tried:
        raise SelectionError("none of the selected assets can be tried")
    return tried


def _try(
    project: Project,
    tried: Sequence[str],
    made: Throwaway,
    wish: Wish | None,
    options: Mapping[str, Any],
) -> int:
    output = options["output"]
    console = console_of(sys.stdout if output == "text" else sys.stderr)
    own = project.connections.schema_prefix
    there = {name: tables_to_read(project, name) for name in made.connections}
    beside = replace(
        project, connections=replace(project.connections, schema_prefix=f"{made.prefix}{own}")
    )
    side = PlanSide(project)
    read = tables_read(side, tried) - {*tried} if options["keep"] else set()
    before = fingerprints(project, read, tell)
    if wish is not None:
        for name in made.connections:
            _show_a_part(project, beside, tried, name, wish)
    request = RunRequest(
        selection=Selection(assets=tried), command="try", is_of_code_location=False
    )
    reporter = Reporter(console, tried, None)
    try:
        outcomes, problems = run(beside, tried, request, reporter, _own_instance)
    except RunInterrupted:
        raise KeyboardInterrupt("Interrupted. Nothing is left of it.") from None
    if options["keep"]:
        # Of tables that others wrote meanwhile it is not known which rows were read.
        after = fingerprints(project, read, tell)
        same = {name: text for name, text in after.items() if before.get(name) == text}
        prefix = beside.connections.schema_prefix
        good = [name for name in tried if outcomes[name].status == "success"]
        made.kept = Kept.of(side, prefix, good, same)
    about = [outcomes[name] for name in beside.by_name if name in tried]
    reporter.finish(about, problems)
    how = How(tolerance=options["tolerance"], examples=options["limit"])
    found = []
    for outcome in about:
        prefixed = outcome.name in there[project.connection_name(project.by_name[outcome.name])]
        pair = _pair(project, beside, outcome.name, own if prefixed else "")
        if outcome.status != "success":
            found.append(Compared(pair, None, "it was not built"))
        elif wish is not None:
            found.append(Compared(pair, None, f"it was built of {wish.description}"))
        else:
            found.append(compare(project, pair, how))
    if output == "text":
        click.echo()
    print_differences(found, output)
    if made.kept:
        tell("kept; `ecommerce run --modified+ --tried` publishes what is still as it was tried")
    differs = options["fail_if_diff"] and not all(each.is_none for each in found)
    return 0 if succeeded(about, problems) and not differs else 1


def _pair(project: Project, beside: Project, name: str, prefix: str) -> Pair:
    asset = project.by_name[name]
    connection = project.connections.get(project.connection_name(asset))
    before = prefixed_name(name, prefix)
    after = prefixed_name(name, beside.connections.schema_prefix)
    return Pair(
        name,
        Side(connection, before, label=before),
        Side(connection, after, label=f"{name} as tried"),
        asset,
        project.shows_rows(asset),
    )


def _show_a_part(
    project: Project, beside: Project, tried: Sequence[str], connection: str, wish: Wish
) -> None:
    """Put views beside the tables that are not tried, which show a part of their rows."""
    database = Database(project, connection, tell)
    tables = database.tables()
    here = {table.asset.name for table in tables}
    read = {d.asset for name in tried for d in project.by_name[name].depends}
    upstream = [name for name in project.by_name if name in (read & here) - {*tried}]
    if not upstream:
        return
    subset = subset_of(tables, upstream, wish, database.ask)
    others = [table for table in tables if table.asset.name not in tried]
    queries = views_of(
        others, subset, lambda name: prefixed_name(name, beside.connections.schema_prefix)
    )
    found = project.connections.get(connection)
    WAREHOUSES[found.platform].create_views(found, queries, tell)
    part = [name for name in upstream if name in subset.conditions]
    whole = [name for name in upstream if name not in subset.conditions]
    tell(f"read: {subset.of}: {', '.join(part)}" + f"; all rows: {', '.join(whole)}" * bool(whole))


@contextmanager
def _own_instance() -> Iterator[dg.DagsterInstance]:
    """An instance for this run alone, which goes away with its records."""
    with TemporaryDirectory(prefix="try-") as folder:
        (Path(folder) / "dagster.yaml").write_text(local.NO_SETTINGS)
        with dg.DagsterInstance.local_temp(folder) as own:
            yield own
