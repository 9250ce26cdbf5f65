"""All checks of a warehouse that was built, in one process: ours, or a naive query for each rule.

    python checks.py ours|naive|ours-columns|naive-columns|publish|trust WAREHOUSE

`-columns` leaves out the queries in `custom_checks`, which are the same SQL in both ways. Checks
that compare a table with its past are no query, and left out.
`publish` builds all SQL assets anew with their checks in one transaction, so that nothing unchecked
is seen; `trust` builds and commits first, and then checks. Prints the seconds, without the start.
"""

import json
import sys
import time
from pathlib import Path

import duckdb

from ecommerce_dagster.bruin.model.anomalies import AnomalyCheck
from ecommerce_dagster.bruin.model.asset import Asset, CustomCheck
from ecommerce_dagster.bruin.templates.render import RunContext
from ecommerce_dagster.orchestration.build import load_project
from ecommerce_dagster.sql.checks import Check, broken_by, checks_of
from ecommerce_dagster.sql.identifiers import quoted, relation
from ecommerce_dagster.warehouses.duckdb.database import open_warehouse
from ecommerce_dagster.warehouses.duckdb.transaction import DuckDBTransaction, check_only
from ecommerce_dagster.warehouses.publish import publish
from ecommerce_dagster.warehouses.sql_asset import SqlBuild

how, warehouse = sys.argv[1:]
project = load_project(Path(__file__).resolve().parents[3] / "asset_specs")
assets = [a for a in project.assets if a.name.startswith(("raw.", "stg.", "mart."))]
context = RunContext(full_refresh=True, variables=project.variables)


def wanted_of(asset: Asset) -> list[Check]:
    return [
        c
        for c in checks_of(asset)
        if not isinstance(c.rule, AnomalyCheck)
        and (c.column is not None or not how.endswith("-columns"))
    ]


def naive(duck: duckdb.DuckDBPyConnection, asset: Asset) -> int:
    """One query for each rule, as most tools ask it: count the rows that break it."""
    checks, table = wanted_of(asset), relation(asset.name)
    for check in checks:
        if check.column is None:
            assert isinstance(check.rule, CustomCheck)
            query = project.render(check.rule.query, context, asset)
        elif check.rule.name == "unique":
            name = quoted(check.column.name)
            query = f"SELECT count({name}) - count(DISTINCT {name}) FROM {table}"
        else:
            query = f"SELECT count(*) FROM {table} WHERE {broken_by(check)}"
        duck.execute(query).fetchall()
    return len(checks)


def ours(duck: duckdb.DuckDBPyConnection, asset: Asset) -> int:
    wanted = wanted_of(asset)
    results = check_only(duck, asset, wanted, lambda t: project.render(t, context, asset))
    assert all(result.passed for result in results)
    return len(results)


def built(duck: duckdb.DuckDBPyConnection, asset: Asset) -> int:
    if asset.type != "duckdb.sql":
        return 0

    def render(template: str) -> str:
        return project.render(template, context, asset)

    checks = wanted_of(asset)
    fill = SqlBuild(asset, render, None, True)
    transaction = DuckDBTransaction(duck, asset)
    if how == "publish":
        return len(publish(transaction, asset, fill, checks, render).results)
    publish(transaction, asset, fill, [], render)
    return len(check_only(duck, asset, checks, render))


ways = {"ours": ours, "naive": naive, "publish": built, "trust": built}
way = ways[how.removesuffix("-columns")]
with open_warehouse(warehouse) as duck:
    began = time.perf_counter()
    count = sum(way(duck, asset) for asset in assets)
    seconds = time.perf_counter() - began
print(json.dumps({"seconds": seconds, "checks": count}))
