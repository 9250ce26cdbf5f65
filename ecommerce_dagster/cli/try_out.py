"""`ecommerce try`: changed assets are built beside production, checked, compared and dropped."""

from __future__ import annotations

import os
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
from ecommerce_dagster.cli.outcome import succeeded
from ecommerce_dagster.cli.planning import planned
from ecommerce_dagster.cli.progress import Reporter, console_of
from ecommerce_dagster.cli.run import RunInterrupted, RunRequest, run
from ecommerce_dagster.cli.selection import Selection, SelectionError, select
from ecommerce_dagster.cli.workspace import located, opened
from ecommerce_dagster.runtime.asset_types import unsupported
from ecommerce_dagster.runtime.diff.compare import How
from ecommerce_dagster.runtime.diff.sides import Side
from ecommerce_dagster.runtime.diff.tables import Pair
from ecommerce_dagster.runtime.environment import publishes_copy, variables_for
from ecommerce_dagster.runtime.own_tables import tables_to_read
from ecommerce_dagster.runtime.subset import Wish, subset_of, tables_there, views_of, wish_of
from ecommerce_dagster.runtime.throwaway import Throwaway, reason_to_leave_out, throwaway
from ecommerce_dagster.runtime.warehouses import WAREHOUSES
from ecommerce_dagster.warehouses.duckdb.published_copy import publish_copy

_COPIES = "ECOMMERCE_PUBLISHED_COPY"


def try_from_options(assets: Sequence[str], options: Mapping[str, Any]) -> int:
    """`ecommerce try` with the options of its command. The exit code."""
    wish = _wish(options)
    folder, names = located(assets, options["pipeline"])
    project = opened(folder, options)
    tried = _tried(project, names, options)
    if not tried:
        return 0
    connections = list(dict.fromkeys(project.connection_name(project.by_name[n]) for n in tried))
    with _quietly(project, connections):
        state = local.state_dir() / "try"
        local.make_private("try")
        with throwaway(state, project, connections, _tell) as made:
            return _try(project, tried, made, wish, options)


def _wish(options: Mapping[str, Any]) -> Wish | None:
    try:
        return wish_of(options["sample"], options["by"], options["days"], options["empty"])
    except ValueError as error:
        raise click.UsageError(str(error)) from None


def _tried(project: Project, names: Sequence[str], options: Mapping[str, Any]) -> list[str]:
    """The assets to be built: those that are named and all downstream of them, else those that
    changed and what that affects. Prints what changed and what is left out."""
    if names:
        chosen = select(project, Selection(assets=names, downstream=True))
    else:
        plan = planned(project, options)
        chosen = plan.to_run
        click.echo(f"changed since {plan.since}: {', '.join(plan.changed) or 'nothing'}", err=True)
    tried = []
    for name in chosen:
        asset = project.by_name[name]
        reason = unsupported(project, asset) or reason_to_leave_out(asset)
        if reason:
            click.echo(f"left out: {name}: {reason}", err=True)
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
    found, own = project.connections.get(connection), tables_to_read(project, connection)
    known, prefix = WAREHOUSES[found.platform], project.connections.schema_prefix

    def ask(sql: str) -> list[tuple[Any, ...]]:
        return known.ask(found, sql, None, _tell)[1]

    def physical(name: str) -> str:
        return prefixed_name(name, prefix if name in own else "")

    assets = [a for a in project.assets if project.connection_name(a) == connection]
    tables = tables_there(assets, physical, ask)
    here = {table.asset.name for table in tables}
    read = {d.asset for name in tried for d in project.by_name[name].depends}
    upstream = [name for name in project.by_name if name in (read & here) - {*tried}]
    if not upstream:
        return
    subset = subset_of(tables, upstream, wish, ask)
    others = [table for table in tables if table.asset.name not in tried]
    queries = views_of(
        others, subset, lambda name: prefixed_name(name, beside.connections.schema_prefix)
    )
    known.create_views(found, queries, _tell)
    part = [name for name in upstream if name in subset.conditions]
    whole = [name for name in upstream if name not in subset.conditions]
    _tell(f"read: {subset.of}: {', '.join(part)}" + f"; all rows: {', '.join(whole)}" * bool(whole))


@contextmanager
def _own_instance() -> Iterator[dg.DagsterInstance]:
    """An instance for this run alone, which goes away with its records."""
    with TemporaryDirectory(prefix="try-") as folder:
        (Path(folder) / "dagster.yaml").write_text(local.NO_SETTINGS)
        with dg.DagsterInstance.local_temp(folder) as own:
            yield own


@contextmanager
def _quietly(project: Project, connections: Sequence[str]) -> Iterator[None]:
    """Without copies of the warehouse for readers, who are to see nothing of it. At the end their
    copy is again as the warehouse is."""
    found = [project.connections.get(name) for name in connections]
    places = [c.duckdb(variables_for(c.path)) for c in found if c.platform == "duckdb"]
    files = [p.path for p in places if p.lakehouse is None and p.motherduck_database is None]
    copies = [publishes_copy(variables_for(c.path)) for c in found]
    before = os.environ.get(_COPIES)
    os.environ[_COPIES] = "off"
    try:
        yield
    finally:
        if before is None:
            del os.environ[_COPIES]
        else:
            os.environ[_COPIES] = before
    for file in files if all(copies) else ():
        if Path(file).exists():
            publish_copy(file, _tell)


def _tell(message: str) -> None:
    click.echo(message, err=True)
