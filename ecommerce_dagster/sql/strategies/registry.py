"""All strategies by the names that files call them, and what keeps an asset from using one.

To add a strategy: write the function, add it to STRATEGIES.
"""

from __future__ import annotations

from ecommerce_dagster.bruin.model.asset import Asset
from ecommerce_dagster.bruin.problems import ProblemLog, did_you_mean
from ecommerce_dagster.sql.strategies import common, ddl, history, merge, vault
from ecommerce_dagster.sql.strategies.base import Strategy, append, create

_HUB = Strategy(vault.add_keys, vault.create_keys, needs_primary_key=True)
STRATEGIES: dict[str, Strategy] = {
    "create+replace": Strategy(create, rebuilds=True),
    "append": Strategy(append),
    "truncate+insert": Strategy(common.truncate_insert),
    "delete+insert": Strategy(common.delete_insert, needs_incremental_key=True),
    "merge": Strategy(merge.merge, merge.create, needs_primary_key=True),
    "time_interval": Strategy(
        common.time_interval,
        needs_incremental_key=True,
        needs_time=True,
        moved=common.delete_moved,
    ),
    "scd2_by_column": Strategy(
        history.by_column,
        history.create,
        needs_primary_key=True,
        fills=tuple(history.COLUMNS),
    ),
    "scd2_by_time": Strategy(
        history.by_time,
        history.create,
        needs_primary_key=True,
        needs_incremental_key=True,
        needs_instants=True,
        fills=tuple(history.COLUMNS),
        complaints=history.complaints,
    ),
    "datavault_hub": _HUB,
    "datavault_link": _HUB,
    "datavault_satellite": Strategy(
        vault.add_to_satellite,
        vault.create_satellite,
        needs_primary_key=True,
        complaints=vault.complaints,
    ),
    # It takes no rows: `ddl.declaration` makes its table.
    "ddl": Strategy(lambda load: [], complaints=ddl.complaints),
}


def strategy_name(asset: Asset) -> str:
    """The strategy of a table asset; create+replace when its file names none."""
    return asset.materialization.strategy or "create+replace"


def lint_materialization(asset: Asset, log: ProblemLog) -> None:
    """Report a materialization that cannot work."""
    how = asset.materialization
    at = how.at("strategy") if how.path == asset.path else asset.at()
    for complaint in complaints_of(asset):
        log.error(*at, "materialization-config", complaint)


def lint_postgres_materialization(asset: Asset, log: ProblemLog) -> None:
    """Report a materialization that cannot work in PostgreSQL."""
    if strategy_name(asset) == "ddl":
        # Which types there are only the database knows.
        columns = (c.model_copy(update={"type": c.type and "text"}) for c in asset.columns)
        asset = asset.model_copy(update={"columns": tuple(columns)})
    lint_materialization(asset, log)


def complaints_of(asset: Asset) -> list[str]:
    """Why the materialization of an asset cannot work."""
    how, name = asset.materialization, strategy_name(asset)
    if how.type != "table":
        wrong = f"a strategy ('{how.strategy}') needs `type: table`, this is '{how.type}'"
        return [wrong] if how.strategy else []
    strategy = STRATEGIES.get(name)
    if strategy is None:
        return [f"unknown strategy '{name}'; {did_you_mean(name, STRATEGIES)}"]
    found: list[str] = []
    if strategy.needs_incremental_key and not how.incremental_key:
        found.append(f"the strategy '{name}' needs an 'incremental_key' (a column)")
    if strategy.needs_primary_key and not asset.primary_key:
        found.append(f"the strategy '{name}' needs a column with `primary_key: true`")
    if strategy.needs_time and not how.time_granularity:
        found.append(f"the strategy '{name}' needs `time_granularity: date` or `timestamp`")
    return [*found, *strategy.complaints(asset)]
