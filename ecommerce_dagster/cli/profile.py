"""Where the time of a run went: the source, the build, the checks, and Dagster around them."""

from __future__ import annotations

from collections.abc import Sequence

from rich.markup import escape
from rich.table import Table

from ecommerce_dagster.cli.outcome import AssetOutcome, Spent


def profile_table(outcomes: Sequence[AssetOutcome], everything: float) -> Table:
    """Seconds of each asset, the slowest first, and of all of them. `everything` is what the run
    took: what no asset took is Dagster's start and end."""
    table = Table(box=None, padding=(0, 2), header_style="dim", pad_edge=False)
    table.add_column("seconds")
    for title in ("source", "build", "checks", "Dagster", "all"):
        table.add_column(title, justify="right")
    ran = [outcome for outcome in outcomes if outcome.seconds is not None]
    for outcome in sorted(ran, key=lambda one: -(one.seconds or 0)):
        table.add_row(escape(outcome.name), *_cells(outcome.spent, outcome.seconds or 0))
    spent = [outcome.spent for outcome in ran]
    assets = sum(outcome.seconds or 0 for outcome in ran)
    table.add_row("start and end of the run", *_cells(Spent(), everything - assets))
    total = Spent(
        sum(one.source for one in spent),
        sum(one.build for one in spent),
        sum(one.checks for one in spent),
    )
    table.add_row("all", *_cells(total, everything), style="bold")
    return table


def _cells(spent: Spent, seconds: float) -> list[str]:
    parts = (spent.source, spent.build, spent.checks)
    return [f"{part:.2f}" for part in (*parts, max(seconds - sum(parts), 0.0), seconds)]
