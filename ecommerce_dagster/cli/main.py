"""The commands and their options. What they do is imported when they run: `--help` is instant."""

from __future__ import annotations

import os
import re
import sys
from pathlib import Path
from typing import Any

import click

from ecommerce_dagster.bruin.model.platforms import TYPES
from ecommerce_dagster.cli.completion import SHELLS, Name, script_for
from ecommerce_dagster.cli.errors import user_errors
from ecommerce_dagster.cli.garbage_collector import end_without_collection, paused_collector
from ecommerce_dagster.cli.help_sections import WIDEST, Commands, under
from ecommerce_dagster.cli.options import (
    connection_option,
    example,
    output_option,
    pipeline_options,
)

_ASSET = Name("asset", or_file=True)
_against_option = click.option(
    "--against",
    metavar="REF",
    default="published",
    show_default=True,
    help="A branch or commit: changes since the work here left it.",
)
_tolerance_option = click.option(
    "--tolerance",
    "-t",
    type=click.FloatRange(0),
    default=0.0,
    metavar="PERCENT",
    help="Numbers this near are equal.  [0]",
)
_examples_option = click.option(
    "--limit", type=click.IntRange(0), default=3, help="Examples at most.  [3]"
)
_NEW_TYPES = [*TYPES, "ingestr", "python", "empty"]


@click.group(
    cls=Commands,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": WIDEST},
    epilog=example(
        'ecommerce demo\necommerce run --tag mart\necommerce query "SELECT * FROM mart.sales_daily"'
    ),
)
@click.version_option(package_name="ecommerce-dagster")
@click.pass_context
def main(context: click.Context) -> None:
    """Bruin-style pipelines under Dagster: asset files in, checked tables out."""
    end_without_collection()
    # Else colours are for terminals.
    if os.environ.get("NO_COLOR"):
        context.color = False


@under("Run")
@main.command(epilog=example("ecommerce dev\necommerce dev --port 3001"))
@click.option("--port", type=click.IntRange(1, 65535), default=3000, show_default=True)
def dev(port: int) -> None:
    """Start Dagster's web UI for the pipeline here.

    Ctrl-C stops all of it.
    """
    with user_errors():
        from ecommerce_dagster.cli.dev import run_dev

        sys.exit(run_dev(port))


@under("Run")
@main.command(
    epilog=example(
        "ecommerce run\necommerce run mart.sales_daily stg.orders\necommerce run --tag mart\n"
        "ecommerce run --start-date 2026-01-01 --end-date 2026-01-31\n"
        "ecommerce run --reconcile raw.customers --downstream\n"
        'ecommerce run --selector "stg.orders+,tag:mart"\n'
        "ecommerce run --modified+"
    )
)
@click.argument("assets", nargs=-1, type=_ASSET)
@click.option("--tag", "-t", type=Name("tag"), metavar="TAG", help="Only assets with this tag.")
@click.option(
    "--exclude-tag",
    "-x",
    type=Name("tag"),
    metavar="TAG",
    multiple=True,
    help="No assets with this tag.",
)
@click.option("--selector", metavar="TERMS", help="tag: path: file: fqn: n+name+n @name; , is and.")
@click.option("--modified", is_flag=True, help="Only what changed, as `plan` says.")
@click.option(
    "--modified+", "modified_affected", is_flag=True, help="What changed and all that it affects."
)
@_against_option
@click.option("--tried", is_flag=True, help="Take what `try --keep` made, where it is the same.")
@click.option("--downstream", is_flag=True, help="Everything downstream of ASSETS, too.")
@click.option("--start-date", metavar="DATE", help="First day (UTC), or a moment.")
@click.option("--end-date", metavar="DATE", help="Last day, included.  [the start date]")
@click.option("--full-refresh", "-r", is_flag=True, help="Rebuild the tables from scratch.")
@click.option("--reconcile", is_flag=True, help="Also delete rows that are gone from the source.")
@click.option(
    "--only",
    type=click.Choice(["main", "checks"]),
    help="Build without checks, or run checks only.",
)
@click.option("--single-check", metavar="ID", help="Only this check: asset:column:name.")
@click.option("--apply-interval-modifiers", is_flag=True, help="Widen windows as the files say.")
@click.option(
    "--sensor-mode",
    type=click.Choice(["once", "wait", "skip"]),
    default="once",
    show_default=True,
    help="Sensor assets: ask once, wait, or skip them.",
)
@click.option(
    "--continue",
    "proceed",
    is_flag=True,
    help="Resume the last run: only what failed or was skipped.",
)
@click.option("--profile", is_flag=True, help="Print at the end which asset took how long.")
@click.option("--workers", type=click.IntRange(1), help="Ignored: a DuckDB file has one writer.")
@output_option("text", "json")
@pipeline_options
def run(assets: tuple[str, ...], pipeline: Path | None, **options: Any) -> None:
    """Build and check ASSETS, or all assets.

    ASSETS are names or files; all of it is one Dagster run. Without dates everything is brought up
    to what the source holds now. Exit code 0: everything succeeded; 1: something failed, also a
    check that does not block; 2: the files or the options are wrong, or the check of --single-check
    has no answer.
    """
    with user_errors():
        # Nothing that an import makes is garbage: looking for some takes a tenth of a short run.
        with paused_collector():
            from ecommerce_dagster.cli.run import run_from_options

        sys.exit(run_from_options(assets, pipeline, options))


@under("Look")
@main.command(
    epilog=example(
        'ecommerce query "SELECT * FROM mart.sales_daily"\n'
        "ecommerce query --table mart.top_skus --limit 5 --output csv\n"
        "ecommerce query --table mart.sales_daily -o parquet > sales.parquet\n"
        'ecommerce query -c pg-default -q "SELECT count(*) FROM orders"'
    )
)
@click.argument("sql", required=False)
@click.option("--sql", "-q", "sql_option", metavar="SQL", help="The same as the argument.")
@click.option("--table", type=Name("asset"), metavar="NAME", help="Show this table.")
@click.option(
    "--asset",
    type=Name("asset", or_file=True),
    metavar="NAME",
    help="Run the query of this asset's file.",
)
@connection_option("Another connection of .bruin.yml.")
@click.option("--limit", type=click.IntRange(1), help="Rows at most.  [100 in a table, else all]")
@output_option("table", "json", "csv", "parquet")
@pipeline_options
def query(
    sql: str | None,
    sql_option: str | None,
    table: str | None,
    asset: str | None,
    connection: str | None,
    limit: int | None,
    output: str,
    **options: Any,
) -> None:
    """Query the warehouse, or another connection.

    The query is read-only.
    """
    if sum(bool(given) for given in (sql, sql_option, table, asset)) != 1:
        raise click.UsageError("give one SQL text, or one --table, or one --asset")
    with user_errors():
        from ecommerce_dagster.cli import query as asked
        from ecommerce_dagster.cli.workspace import readable_project

        project, asset = readable_project(options, asset)
        text = sql or sql_option or (asked.table_query(table) if table else "")
        if asset:
            text, own = asked.asset_query(project, asset)
            connection = connection or own
        asked.show_rows(project, text, connection, limit, output)


@under("Look")
@main.command(
    epilog=example(
        "ecommerce diff mart.sales_daily mart.orders_daily\n"
        "ecommerce diff pg-default:orders raw.orders --key id\n"
        "ecommerce diff lake:mart.sales_daily@yesterday\n"
        "ecommerce diff --against production --environment dev\n"
        "ecommerce diff --against production mart.sales_daily -o markdown"
    )
)
@click.argument("tables", nargs=-1, type=_ASSET, metavar="[TABLE]...")
@click.option("--against", metavar="ENV", help="Compare with this environment; TABLES are assets.")
@click.option("--key", metavar="COLUMNS", help="Match rows by these, with commas.  [primary key]")
@click.option("--exclude", metavar="COLUMNS", help="Leave these out, with commas.")
@_tolerance_option
@connection_option("The connection of tables that name none.")
@_examples_option
@click.option("--fail-if-diff", is_flag=True, help="Exit with 1 when something differs.")
@output_option("text", "json", "markdown", "html")
@pipeline_options
def diff(
    tables: tuple[str, ...],
    against: str | None,
    key: str | None,
    exclude: str | None,
    tolerance: float,
    connection: str | None,
    limit: int,
    fail_if_diff: bool,
    output: str,
    **options: Any,
) -> None:
    """Compare two tables, row by row.

    A TABLE is [CONNECTION:]SCHEMA.TABLE. Of a DuckLake, TABLE@yesterday, @2026-01-31 or @SNAPSHOT
    is what it was; alone it is compared with what it is now.
    """
    if not against and len(tables) not in {1, 2}:
        raise click.UsageError("name two tables, or an environment with --against")
    if not against and len(tables) == 1 and "@" not in tables[0]:
        raise click.UsageError(f"name a table to compare {tables[0]} with, or add @yesterday")
    with user_errors():
        from ecommerce_dagster.cli.diff import compare_environments, compare_two, print_differences
        from ecommerce_dagster.cli.workspace import readable_project
        from ecommerce_dagster.runtime.diff.compare import How

        how = How(
            _names(key) or None,
            excluded=_names(exclude),
            tolerance=tolerance,
            examples=limit,
        )
        here = readable_project(options)[0]
        if against:
            production = readable_project({**options, "environment": against})[0]
            found = compare_environments(production, here, tables, how)
        else:
            before, after = (*tables, None)[:2]
            assert before is not None
            found = compare_two(here, before, after, connection, how)
        print_differences(found, output)
        sys.exit(1 if fail_if_diff and not all(each.is_none for each in found) else 0)


def _names(text: str | None) -> list[str]:
    """What is written with commas."""
    return [name for part in (text or "").split(",") if (name := part.strip())]


@under("Look")
@main.command(
    epilog=example(
        "ecommerce status\n"
        "ecommerce status --exit-code --output json\n"
        "ecommerce status --history stg.product_variants --limit 30"
    )
)
@click.argument("assets", nargs=-1, type=_ASSET)
@click.option("--history", is_flag=True, help="Print how the checks of ASSETS ended over time.")
@click.option(
    "--limit",
    type=click.IntRange(1),
    default=10,
    show_default=True,
    help="Results of each check, with --history.",
)
@click.option("--exit-code", is_flag=True, help="Exit with 1 when something failed or is stale.")
@output_option("text", "json")
@pipeline_options
def status(
    assets: tuple[str, ...],
    history: bool,
    limit: int,
    exit_code: bool,
    output: str,
    **options: Any,
) -> None:
    """Print what failed last, what is stale, what is running.

    An asset is stale when it was never built, is older than something that it reads or than its
    freshness allows, or when its definition has changed since.

    With --history: of each check of ASSETS, or of all assets, since when it fails or passes, and
    how many bad rows its last results had, the latest last.
    """
    if assets and not history:
        raise click.UsageError("ASSETS need --history")
    with user_errors():
        from ecommerce_dagster.cli.check_history import print_history
        from ecommerce_dagster.cli.status import print_status
        from ecommerce_dagster.cli.workspace import project_from_options

        project = project_from_options(options)[0]
        if history:
            is_well = print_history(project, assets, limit, output)
        else:
            is_well = print_status(project, output)
        sys.exit(0 if is_well or not exit_code else 1)


@under("Look")
@main.command(epilog=example("ecommerce doctor\necommerce doctor --output json"))
@output_option("text", "json")
@pipeline_options
def doctor(output: str, **options: Any) -> None:
    """Look for what is wrong with the operation.

    Versions, connections, locks, disks, daemon, sensors, queue, failures and alerts, each with what
    to do. Nothing is written or started, and what does not answer is left after ten seconds. Exit
    code 0: no problem; 1: one at least; 2: wrong options.
    """
    with user_errors():
        from ecommerce_dagster.cli.doctor import print_findings

        sys.exit(print_findings(options, output))


@under("Look")
@main.command(
    epilog=example(
        "ecommerce metrics\necommerce metrics --textfile ecommerce.prom\n"
        "ecommerce metrics --port 9464"
    )
)
@click.option(
    "--textfile",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Replace this file, in one step.",
)
@click.option("--port", type=click.IntRange(1, 65535), help="Serve them until Ctrl-C.")
@click.option("--host", default="127.0.0.1", show_default=True, help="Serve at this address.")
@pipeline_options
def metrics(textfile: Path | None, port: int | None, host: str, **options: Any) -> None:
    """Print the numbers of `doctor` for Prometheus.

    And for each asset its last success, rows and seconds, for each check its bad rows, and the runs
    by status.
    """
    if textfile is not None and port is not None:
        raise click.UsageError("give a --textfile or a --port, not both")
    with user_errors():
        from ecommerce_dagster.cli import metrics as measured

        measured.publish(options, textfile, port, host)


@under("Look")
@main.command(epilog=example("ecommerce docs --open\necommerce docs --output public/data"))
@click.option(
    "--output",
    "-o",
    type=click.Path(file_okay=False, path_type=Path),
    help="The folder of the pages.  [.ecommerce/docs]",
)
@click.option("--open", "show", is_flag=True, help="Show the first page in the browser.")
@pipeline_options
def docs(output: Path | None, show: bool, **options: Any) -> None:
    """Write the data catalogue.

    Its pages show assets, columns, checks, lineage and glossary, and can be searched.
    """
    with user_errors():
        from ecommerce_dagster.cli.docs import write_docs
        from ecommerce_dagster.cli.workspace import project_from_options

        project, _ = project_from_options(options)
        write_docs(project, output, show=show)


@under("Look")
@main.command(epilog=example("ecommerce report --open\necommerce report --output sales.html"))
@click.argument("asset", required=False, type=_ASSET)
@click.option(
    "--output",
    "-o",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Put a copy of the page there.",
)
@click.option("--open", "show", is_flag=True, help="Show the page in the browser.")
@pipeline_options
def report(asset: str | None, output: Path | None, show: bool, **options: Any) -> None:
    """Rebuild the report page from the current tables.

    ASSET says which page, when there are several.
    """
    with user_errors():
        from ecommerce_dagster.cli.report import make_report
        from ecommerce_dagster.cli.workspace import project_from_options

        project, asset = project_from_options(options, asset)
        sys.exit(make_report(project, asset, output, show=show))


@under("Write")
@main.command(
    epilog=example(
        "ecommerce validate\necommerce validate asset_specs --output json\n"
        "ecommerce validate asset_specs/assets/stg/stg.orders.sql --fast"
    )
)
@click.argument("path", required=False, type=click.Path(exists=True, path_type=Path))
@click.option(
    "--fast", is_flag=True, help="Check the files only: no query is bound, no source is asked."
)
@output_option("text", "json")
@pipeline_options
def validate(
    path: Path | None, pipeline: Path | None, fast: bool, output: str, **options: Any
) -> None:
    """Report every mistake in the files. Nothing is run.

    PATH is a pipeline's folder, one that holds several, or a file. Every query is bound against the
    tables that it will meet, without data. Exit code 0: nothing is wrong, but for warnings; 1:
    something is; 2: wrong options.
    """
    with user_errors():
        from ecommerce_dagster.cli.validate import report_problems
        from ecommerce_dagster.cli.workspace import pipelines_here, variables_of

        options["variables"] = variables_of(options["variables"])
        path = path or pipeline or pipelines_here()
        sys.exit(report_problems(path, options, fast=fast, output=output))


@under("Write")
@main.command(
    epilog=example(
        "ecommerce plan\necommerce plan --against HEAD\necommerce plan --against HEAD -o markdown"
    )
)
@_against_option
@output_option("text", "json", "markdown")
@pipeline_options
def plan(against: str, output: str, **options: Any) -> None:
    """Print what the changes in the files do to the tables.

    Of each table downstream it says, column by column, whether it breaks, has other values or is
    not affected, and what has to be built again. Without --against, changes are those since each
    table was last built. Every query is bound first, as by `validate`. Exit code 0: nothing is
    wrong, whatever changed; 1: something in the files is; 2: they cannot be compared.
    """
    with user_errors():
        from ecommerce_dagster.cli.plan import print_plan

        sys.exit(print_plan(against, options, output))


@under("Write")
@main.command(
    name="try",
    epilog=example(
        "ecommerce try\necommerce try mart.sales_daily\necommerce try --against main -o markdown\n"
        "ecommerce try mart.sales_daily --sample 1%\n"
        "ecommerce try --keep && ecommerce run --modified+ --tried"
    ),
)
@click.argument("assets", nargs=-1, type=_ASSET)
@_against_option
@_tolerance_option
@_examples_option
@click.option(
    "--sample", metavar="PERCENT", help="Only so many of the rows: 1%, by the values of a key."
)
@click.option("--by", metavar="COLUMN", help="The key of --sample.  [that of most tables]")
@click.option("--days", type=click.IntRange(1), help="Only rows of the last days.")
@click.option("--empty", is_flag=True, help="No rows: whether it can be built.")
@click.option("--keep", is_flag=True, help="Keep the tables, for `run --tried`.")
@click.option("--fail-if-diff", is_flag=True, help="Exit with 1 when a table differs.")
@output_option("text", "json", "markdown", "html")
@pipeline_options
def try_out(assets: tuple[str, ...], **options: Any) -> None:
    """Build what changed beside production, and compare.

    Without ASSETS it is what `plan` says; else these and all downstream of them. They are built in
    schemas of their own, over the tables that are there, and checked; then each is compared with
    the table that is there, and dropped again. No other table is written, and no run recorded. With
    --sample, --days or --empty they read a part of the tables upstream, and are not compared. Exit
    code 0: all was built and passed its checks.
    """
    with user_errors():
        from ecommerce_dagster.cli.try_out import try_from_options

        sys.exit(try_from_options(assets, options))


@under("Look")
@main.command(epilog=example("ecommerce show mart.top_skus\necommerce show --output json"))
@click.argument("asset", required=False, type=_ASSET)
@output_option("text", "json")
@pipeline_options
def show(asset: str | None, output: str, **options: Any) -> None:
    """Print the definition of ASSET, or of all assets.

    Glossary, defaults and templates are resolved.
    """
    with user_errors():
        from ecommerce_dagster.cli import show as shown
        from ecommerce_dagster.cli.workspace import project_from_options

        project, name = project_from_options(options, asset)
        shown.show(project, name, output)


@under("Look")
@main.command(
    epilog=example(
        "ecommerce render mart.sales_daily --start-date 2026-01-31\n"
        "ecommerce render asset_specs/assets/stg/stg.orders.sql --full-refresh"
    )
)
@click.argument("asset", type=_ASSET)
@click.option("--start-date", metavar="DATE", help="First day (UTC), or a moment.")
@click.option("--end-date", metavar="DATE", help="Last day, included.  [the start date]")
@click.option("--full-refresh", "-r", is_flag=True, help="Print the SQL of a full refresh.")
@click.option("--apply-interval-modifiers", is_flag=True, help="Widen windows as the files say.")
@output_option("text", "json")
@pipeline_options
def render(
    asset: str,
    start_date: str | None,
    end_date: str | None,
    full_refresh: bool,
    apply_interval_modifiers: bool,
    output: str,
    **options: Any,
) -> None:
    """Print the SQL that a run would execute for ASSET.

    ASSET is a name or a file. Nothing is executed.
    """
    with user_errors():
        from ecommerce_dagster.cli.render import render_asset
        from ecommerce_dagster.cli.workspace import project_from_options

        project, name = project_from_options(options, asset)
        render_asset(
            project,
            name or asset,
            start_date=start_date,
            end_date=end_date,
            full_refresh=full_refresh,
            apply_interval_modifiers=apply_interval_modifiers,
            output=output,
        )


@under("Look")
@main.command(epilog=example("ecommerce lineage stg.orders\necommerce lineage stg.orders --full"))
@click.argument("asset", type=_ASSET)
@click.option(
    "--full", is_flag=True, help="Show all upstream and downstream assets, not just direct ones."
)
@output_option("text", "json")
@pipeline_options
def lineage(asset: str, full: bool, output: str, **options: Any) -> None:
    """Print the assets upstream and downstream of ASSET."""
    with user_errors():
        from ecommerce_dagster.cli import show as shown
        from ecommerce_dagster.cli.workspace import project_from_options

        project, name = project_from_options(options, asset)
        shown.lineage(project, name or asset, output, full=full)


@under("Write")
@main.command(
    "unit-test",
    epilog=example(
        "ecommerce unit-test\necommerce unit-test stg.orders\n"
        "ecommerce unit-test asset_specs/assets/stg/stg.orders.sql --output json"
    ),
)
@click.argument("asset", required=False, type=_ASSET)
@output_option("text", "json")
@pipeline_options
def unit_test(asset: str | None, output: str, **options: Any) -> None:
    """Run the unit tests of ASSET, or of all assets.

    They run in memory. ASSET is a name, a file, or the folder of a pipeline. Exit code 0: all
    passed; 1: one failed.
    """
    with user_errors():
        from ecommerce_dagster.cli.unit_test import report_unit_tests
        from ecommerce_dagster.cli.workspace import project_from_options

        project, name = project_from_options(options, asset)
        sys.exit(report_unit_tests(project, name, output))


@under("Write")
@main.command(
    "format",
    epilog=example("ecommerce format\necommerce format asset_specs --check"),
)
@click.argument("paths", nargs=-1, type=click.Path(exists=True, path_type=Path))
@click.option("--check", is_flag=True, help="Change nothing; exit 1 and name what would change.")
def format_(paths: tuple[Path, ...], check: bool) -> None:
    """Rewrite asset files in canonical form.

    PATHS are files or folders; without them all files of the pipeline are meant. Keys get the order
    of the format; comments stay with them; the code below a header is never touched, nor what a
    definition says. Exit code 1: a file cannot be read, and was left alone.
    """
    with user_errors():
        from ecommerce_dagster.cli.format import format_files
        from ecommerce_dagster.cli.workspace import pipelines_here

        sys.exit(format_files(paths or (pipelines_here(),), check=check))


@under("Write")
@main.group(
    epilog=example("ecommerce new asset mart.returns\necommerce new pipeline pipelines/sales")
)
def new() -> None:
    """Write the file of an asset, or a new pipeline."""


@new.command(
    "asset",
    epilog=example(
        "ecommerce new asset mart.returns\necommerce new asset raw.returns --type ingestr\n"
        "ecommerce new asset ref.countries --type duckdb.seed"
    ),
)
@click.argument("name")
@click.option(
    "--type",
    "kind",
    metavar="TYPE",
    type=click.Choice(_NEW_TYPES),
    default="duckdb.sql",
    show_default=True,
    help=f"One of {', '.join(_NEW_TYPES)}.",
)
@pipeline_options
def new_asset(name: str, kind: str, **options: Any) -> None:
    """Write the file of the asset NAME (schema.table).

    It is valid as it stands.
    """
    if not re.fullmatch(r"[\w-]+(\.[\w-]+)*", name):
        raise click.UsageError(f"'{name}' is not an asset name; write schema.table")
    with user_errors():
        from ecommerce_dagster.cli.new import create_asset
        from ecommerce_dagster.cli.workspace import readable_project

        create_asset(readable_project(options)[0], name, kind)


@new.command("pipeline", epilog=example("ecommerce new pipeline pipelines/sales"))
@click.argument("folder", type=click.Path(path_type=Path))
def new_pipeline(folder: Path) -> None:
    """Write a pipeline that runs into FOLDER.

    It has a file that is loaded and a table with checks.
    """
    with user_errors():
        from ecommerce_dagster.cli.new import create_pipeline

        create_pipeline(folder)


@under("Set up")
@main.group(epilog=example("ecommerce connections list\necommerce connections test pg-default"))
def connections() -> None:
    """List and test the connections of .bruin.yml."""


@connections.command(
    "list", epilog=example("ecommerce connections list\necommerce connections list --output json")
)
@output_option("text", "json")
@pipeline_options
def list_(output: str, **options: Any) -> None:
    """Print the connections of the environment."""
    with user_errors():
        from ecommerce_dagster.cli.connections import list_connections
        from ecommerce_dagster.cli.workspace import project_from_options

        list_connections(project_from_options(options)[0], output)


@connections.command(
    epilog=example("ecommerce connections test\necommerce connections test pg-default")
)
@click.argument("name", required=False, type=Name("connection"))
@output_option("text", "json")
@pipeline_options
def test(name: str | None, output: str, **options: Any) -> None:
    """Test the connection NAME, or all connections."""
    with user_errors():
        from ecommerce_dagster.cli.connections import check_connections
        from ecommerce_dagster.cli.workspace import project_from_options

        sys.exit(check_connections(project_from_options(options)[0], name, output))


@under("Set up")
@main.group(epilog=example("ecommerce alerts test"))
def alerts() -> None:
    """Try the receivers of alerts.

    They are those that `notifications` of the files name. A sensor tells them what fails.
    """


@alerts.command("test", epilog=example("ecommerce alerts test\necommerce alerts test -o json"))
@output_option("text", "json")
@pipeline_options
def alerts_test(output: str, **options: Any) -> None:
    """Send a message to each receiver.

    Exit code 0: all were sent; 1: one could not be, or there is no receiver.
    """
    with user_errors():
        from ecommerce_dagster.cli.alerts import send_trial
        from ecommerce_dagster.cli.workspace import project_from_options

        sys.exit(send_trial(project_from_options(options)[0], output))


@under("Set up")
@main.group(
    epilog=example(
        "ecommerce warehouse snapshots --table mart.sales_daily\n"
        "ecommerce warehouse rollback 41 mart.sales_daily\necommerce warehouse maintain"
    )
)
def warehouse() -> None:
    """Show and maintain the history of a DuckLake."""


_connection_option = connection_option("The connection.  [that of the pipeline's tables]")


@warehouse.command(
    epilog=example(
        "ecommerce warehouse snapshots\necommerce warehouse snapshots --table mart.sales_daily"
    )
)
@click.option(
    "--table", type=Name("asset"), metavar="NAME", help="Only those that changed this table."
)
@click.option("--limit", type=click.IntRange(1), default=20, show_default=True, help="How many.")
@_connection_option
@output_option("text", "json")
@pipeline_options
def snapshots(
    table: str | None, limit: int, connection: str | None, output: str, **options: Any
) -> None:
    """List the latest snapshots.

    Each with what it changed, when, and in which run.
    """
    with user_errors():
        from ecommerce_dagster.cli.warehouse import list_snapshots
        from ecommerce_dagster.cli.workspace import project_from_options

        project, _ = project_from_options(options)
        list_snapshots(project, connection, table, limit, output)


@warehouse.command(
    epilog=example(
        "ecommerce warehouse rollback 41\necommerce warehouse rollback 41 mart.sales_daily"
    )
)
@click.argument("snapshot", type=click.IntRange(0))
@click.argument("tables", nargs=-1, type=Name("asset"))
@click.option("--yes", "-y", is_flag=True, help="Do not ask.")
@_connection_option
@pipeline_options
def rollback(
    snapshot: int, tables: tuple[str, ...], yes: bool, connection: str | None, **options: Any
) -> None:
    """Restore TABLES, or all tables and views, to SNAPSHOT.

    That makes a new snapshot, so that it can be undone in the same way. Dagster keeps its record of
    the runs: it does not know that the tables are older.
    """
    with user_errors():
        from ecommerce_dagster.cli.warehouse import roll_back_tables
        from ecommerce_dagster.cli.workspace import project_from_options

        if not yes:
            what = ", ".join(tables) or "all tables and views"
            click.confirm(f"Restore {what} to snapshot {snapshot}?", abort=True)
        roll_back_tables(project_from_options(options)[0], connection, snapshot, tables)


@warehouse.command(
    epilog=example("ecommerce warehouse maintain\necommerce warehouse maintain --keep-days 30")
)
@click.option(
    "--keep-days",
    type=click.IntRange(1),
    default=7,
    show_default=True,
    help="Keep the snapshots of this many days.",
)
@_connection_option
@pipeline_options
def maintain(keep_days: int, connection: str | None, **options: Any) -> None:
    """Expire old snapshots and tidy the files.

    Small files are merged, files that are no longer used are deleted.
    """
    with user_errors():
        from ecommerce_dagster.cli.warehouse import maintain_lake
        from ecommerce_dagster.cli.workspace import project_from_options

        maintain_lake(project_from_options(options)[0], connection, keep_days)


@under("Set up")
@main.command(
    epilog=example(
        'eval "$(ecommerce completion bash)"\n'
        "ecommerce completion zsh > ~/.zfunc/_ecommerce\n"
        "ecommerce completion fish > ~/.config/fish/completions/ecommerce.fish"
    )
)
@click.argument("shell", type=click.Choice(SHELLS))
def completion(shell: str) -> None:
    """Print what makes a shell complete these commands.

    With it, Tab completes commands, options, assets, tags, connections and files.
    """
    click.echo(script_for(shell, main))
