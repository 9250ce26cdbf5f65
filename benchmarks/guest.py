"""The package as a guest in a Dagster project, with the tools that a user has: does all of it work?

    python benchmarks/guest.py                       the installed versions of Dagster and DuckDB
    python benchmarks/guest.py --dagster 1.12.22     another version, of all Dagster packages
    python benchmarks/guest.py --keep /tmp/guest     leave the project there, to look at it

Makes a project with `create-dagster`, installs the wheel of this checkout beside dagster-dbt with
dbt-duckdb and dagster-dlt, scaffolds two pipelines, and puts a Python asset and an asset of dlt
upstream of one of them and a model of dbt downstream. Prints a line for each thing that was tried,
and what a command printed where it failed. Exit code 1 when one did. Needs the package registry.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
# The versions of dbt from 1.11 on fetch a part of themselves from elsewhere.
PEERS = ("dagster-dbt", "dbt-core<1.11", "dbt-duckdb<1.11", "dagster-dlt", "dlt[duckdb]")
COMPONENT = "ecommerce_dagster.BruinPipelineComponent"
FILES = {
    # Her assets are in one process with ours: a DuckDB file has one writer.
    "src/her/defs/executor.py": """\
import dagster as dg

@dg.definitions
def defs():
    return dg.Definitions(executor=dg.in_process_executor)
""",
    "src/her/defs/rates.py": """\
import dagster as dg
import duckdb

@dg.asset(key=["ext", "rates"])
def rates() -> None:
    with duckdb.connect("warehouse.duckdb") as connection:
        connection.execute("CREATE SCHEMA IF NOT EXISTS ext")
        connection.execute("CREATE OR REPLACE TABLE ext.rates AS SELECT 'USD' AS code, 1.1 AS rate")
""",
    "src/her/defs/visits.py": """\
import dagster as dg
import dlt
from dagster_dlt import DagsterDltResource, DagsterDltTranslator, dlt_assets

@dlt.source
def web():
    @dlt.resource(write_disposition="replace")
    def visits():
        yield [{"day": "2026-01-01", "visits": 7}, {"day": "2026-01-02", "visits": 9}]
    return visits

class Keys(DagsterDltTranslator):
    def get_asset_spec(self, data):
        return super().get_asset_spec(data).replace_attributes(
            key=dg.AssetKey(["web", "visits"]), deps=[])

@dlt_assets(
    dlt_source=web(),
    dlt_pipeline=dlt.pipeline(
        "web", destination=dlt.destinations.duckdb("warehouse.duckdb"), dataset_name="web"),
    dagster_dlt_translator=Keys())
def visits(context: dg.AssetExecutionContext, dlt: DagsterDltResource):
    yield from dlt.run(context=context)

@dg.definitions
def defs():
    return dg.Definitions(assets=[visits], resources={"dlt": DagsterDltResource()})
""",
    "src/her/defs/models.py": """\
from pathlib import Path
import dagster as dg
from dagster_dbt import DbtCliResource, DbtProject, dbt_assets

project = DbtProject(Path(__file__).parents[3] / "dbt")
project.prepare_if_dev()

@dbt_assets(manifest=project.manifest_path)
def models(context: dg.AssetExecutionContext, dbt: DbtCliResource):
    yield from dbt.cli(["build"], context=context).stream()

@dg.definitions
def defs():
    return dg.Definitions(assets=[models], resources={"dbt": DbtCliResource(project)})
""",
    "dbt/dbt_project.yml": "name: shop\nprofile: shop\nmodels: {+materialized: table}\n",
    "dbt/profiles.yml": """\
shop:
  target: dev
  outputs: {dev: {type: duckdb, path: "{{ env_var('WAREHOUSE') }}", schema: dbt}}
""",
    "dbt/models/sources.yml": """\
version: 2
sources:
  - name: mart
    tables:
      - name: money
        meta: {dagster: {asset_key: [mart, money]}}
""",
    "dbt/models/best_day.sql": "SELECT max(dollars) AS dollars FROM {{ source('mart', 'money') }}",
}
# Files of the pipeline `sales`: what others make, and a table of it.
SALES = {
    "ext/ext.rates.asset.yml": "name: ext.rates\ntype: duckdb.source\n"
    "meta: {dagster_asset_key: ext/rates}\n",
    "ext/web.visits.asset.yml": "name: web.visits\ntype: duckdb.source\n"
    "meta: {dagster_asset_key: web/visits}\n",
    "mart/mart.money.sql": """\
/* @bruin
name: mart.money
type: duckdb.sql
materialization: {type: table}
depends: [mart.sales_orders_daily, ext.rates, web.visits]
columns:
  - {name: day, type: date, primary_key: true, checks: [{name: not_null}, {name: unique}]}
@bruin */
SELECT d.ordered_on AS day, d.amount * r.rate AS dollars, v.visits
FROM mart.sales_orders_daily d CROSS JOIN ext.rates r
LEFT JOIN web.visits v ON v.day = d.ordered_on::text
""",
}
# A pipeline with days, for a backfill.
DAYS = """\
/* @bruin
name: mart.days
type: duckdb.sql
materialization:
  type: table
  strategy: time_interval
  incremental_key: day
  time_granularity: date
depends: [mart.sales_orders_daily]
columns:
  - {name: day, type: date, checks: [{name: not_null}]}
@bruin */
SELECT CAST(day AS DATE) AS day, (SELECT count(*) FROM mart.sales_orders_daily) AS n
FROM generate_series(DATE '{{ start_date }}', DATE '{{ end_date }}', INTERVAL 1 DAY) AS s(day)
"""
BACKFILL = """mutation ($p: LaunchBackfillParams!) { launchPartitionBackfill(backfillParams: $p) {
    __typename ... on LaunchBackfillSuccess { backfillId } ... on PythonError { message } } }"""
STATUS = """query ($id: String!) { partitionBackfillOrError(backfillId: $id) {
    ... on PartitionBackfill { status } } }"""


class Failed(Exception):
    """What was tried does not work; the text is what a command printed."""


class Guest:
    """The project, its environment, and what was tried in it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "her"
        self.python = folder / "venv" / "bin" / "python"
        self.variables = {
            **{k: v for k, v in os.environ.items() if not k.startswith(("DAGSTER_", "ECOMMERCE_"))},
            "PATH": f"{self.python.parent}:{os.environ['PATH']}",
            "VIRTUAL_ENV": str(folder / "venv"),
            "DAGSTER_HOME": str(folder / "home"),
            # Else dlt goes on with the state of an earlier project, in the user's home.
            "DLT_DATA_DIR": str(folder / "dlt"),
            "WAREHOUSE": str(self.folder / "warehouse.duckdb"),
            "PYTHONPATH": "src",
        }
        self.failed = 0
        (folder / "home").mkdir()

    def tries(self, what: str, work: Callable[[], object]) -> None:
        """Do it, and print what it was, how it ended, and how many seconds it took."""
        start = time.monotonic()
        try:
            said = work()
        except (Failed, AssertionError) as error:
            self.failed += 1
            print(f"FAIL  {what}\n{str(error)[-3000:]}", flush=True)
        else:
            detail = f": {said}" if isinstance(said, str) else ""
            print(f"PASS  {what}{detail}  {time.monotonic() - start:.1f} s", flush=True)

    def run(self, *command: str | Path, cwd: Path | None = None) -> str:
        """What a command prints. Raises Failed unless its exit code is 0."""
        done = subprocess.run(
            [str(word) for word in command],
            cwd=cwd or self.folder,
            env=self.variables,
            text=True,
            capture_output=True,
            check=False,
        )
        if done.returncode:
            raise Failed(f"{' '.join(map(str, command))}\n{done.stdout}{done.stderr}")
        return done.stdout

    def dg(self, *arguments: str) -> str:
        return self.run(self.python.with_name("dg"), *arguments)

    def write(self, files: dict[str, str], folder: Path) -> None:
        for name, text in files.items():
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")

    def rows(self, query: str) -> Any:
        script = (
            "import duckdb, json, sys\n"
            "with duckdb.connect('warehouse.duckdb', read_only=True) as connection:\n"
            "    rows = connection.execute(sys.argv[1]).fetchall()\n"
            "print(json.dumps(rows, default=str))"
        )
        return json.loads(self.run(self.python, "-c", script, query))


def main() -> int:
    """Try everything; the exit code."""
    # A shell that starts this in the background has SIGINT ignored, and so would every server that
    # is started here.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--dagster", help="a version of Dagster, as 1.12.22")
    parser.add_argument("--python", default="3.11")
    parser.add_argument("--keep", type=Path, help="a new folder for the project")
    options = parser.parse_args()
    folder = options.keep or Path(tempfile.mkdtemp(prefix="guest-"))
    folder.mkdir(parents=True, exist_ok=True)
    try:
        guest = Guest(folder)
        guest.tries("create-dagster makes a project", lambda: create(guest, folder))
        guest.tries(
            "the wheel installs beside dagster-dbt and dagster-dlt",
            lambda: install(guest, folder, options.python, options.dagster),
        )
        if guest.failed == 0:
            as_a_component(guest)
            in_one_location(guest)
            guest.tries("a backfill over all through the web server", lambda: backfill(guest))
            guest.tries("the command line, beside Dagster", lambda: command_line(guest))
        return min(guest.failed, 1)
    finally:
        if not options.keep:
            shutil.rmtree(folder)


def create(guest: Guest, folder: Path) -> None:
    """What the page of Dagster on new projects says to type."""
    uv = ROOT / "scripts" / "uv"
    guest.run(uv, "tool", "run", "create-dagster", "project", "her", "--no-uv-sync", cwd=folder)


def install(guest: Guest, folder: Path, python: str, dagster: str | None) -> str:
    """The wheel and what stands beside it; how large the environment is, and which Dagster."""
    uv = ROOT / "scripts" / "uv"
    guest.run(uv, "build", "--wheel", "--quiet", "--out-dir", folder / "dist", ROOT, cwd=folder)
    guest.run(uv, "venv", "--quiet", "--python", python, folder / "venv", cwd=folder)
    [wheel] = (folder / "dist").glob("*.whl")
    fixed = []
    if dagster:
        _, minor, patch = dagster.split(".")
        # Dagster's integrations of a release have a number of their own: 0.28.22 with 1.12.22.
        of_release = f"0.{int(minor) + 16}.{patch}"
        fixed = [f"dagster=={dagster}"]
        fixed += [f"dagster-{name}=={of_release}" for name in ("dbt", "dlt", "duckdb", "postgres")]
    guest.run(
        *(
            uv,
            "pip",
            "install",
            "--quiet",
            "--python",
            guest.python,
            f"{wheel}[postgres,webserver]",
        ),
        *("dagster-dg-cli", *PEERS, *fixed),
    )
    version = (
        "import dagster, duckdb; print(dagster.__version__, 'with DuckDB', duckdb.__version__)"
    )
    return f"Dagster {guest.run(guest.python, '-c', version).strip()}"


def as_a_component(guest: Guest) -> None:
    """Found, scaffolded, checked, run."""

    def listed() -> None:
        found = guest.dg("list", "components", "--package", "ecommerce_dagster", "--json")
        assert COMPONENT in found, found

    def scaffolded() -> None:
        for name in ("sales", "marketing"):
            guest.dg("scaffold", "defs", COMPONENT, name)

    def launched() -> None:
        guest.dg("launch", "--assets", "*")
        for name in ("sales", "marketing"):
            found = guest.rows(f"SELECT count(*), sum(orders) FROM mart.{name}_orders_daily")
            assert found == [[2, 3]], found

    guest.tries("dg list components shows the component", listed)
    guest.tries("dg scaffold defs writes two pipelines", scaffolded)
    guest.tries("dg check yaml", lambda: guest.dg("check", "yaml") and None)
    guest.tries("dg check defs", lambda: guest.dg("check", "defs") and None)
    guest.tries("dg launch runs both, step by step in processes of their own", launched)


def in_one_location(guest: Guest) -> None:
    """Her Python asset and dlt's upstream of a file, a model of dbt downstream."""

    def edges() -> None:
        guest.write(FILES, guest.folder)
        guest.write(SALES, guest.folder / "src/her/defs/sales/assets")
        listed = json.loads(guest.dg("list", "defs", "--json"))
        upstream = {each["asset_key"]: set(each["dependency_keys"]) for each in listed["assets"]}
        assert upstream["mart/money"] == {"mart/sales_orders_daily", "ext/rates", "web/visits"}
        assert upstream["best_day"] == {"mart/money"}, upstream
        assert len(upstream) == 8, sorted(upstream)

    def launched() -> None:
        guest.dg("launch", "--assets", "*")
        assert guest.rows("SELECT dollars, visits FROM mart.money ORDER BY 1") == [
            ["27.390", 7],
            ["132.000", 9],
        ], guest.rows("FROM mart.money")
        assert guest.rows("FROM dbt.best_day") == [["132.000"]]

    guest.tries("edges to a Python asset, dlt's asset and a model of dbt", edges)
    guest.tries("dg launch runs all of them, in order", launched)


def backfill(guest: Guest) -> str:
    """What the dialog of the UI sends for all assets and three days."""
    sales = guest.folder / "src/her/defs/sales"
    guest.write({"mart/mart.days.sql": DAYS}, sales / "assets")
    with (sales / "pipeline.yml").open("a", encoding="utf-8") as pipeline:
        pipeline.write("start_date: 2026-01-01\n")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    log = (guest.folder / "dev.log").open("w")
    command = [str(guest.python.with_name("dg")), "dev", "--port", str(port)]
    server = subprocess.Popen(
        command,
        cwd=guest.folder,
        env=guest.variables,
        stdout=log,
        stderr=log,
        start_new_session=True,
    )
    try:
        keys = awaited(lambda: assets_of(port), 300)
        days = {"ranges": [{"start": "2026-01-01", "end": "2026-01-03"}]}
        chosen = [
            {"assetKey": key, "partitions": days if key["path"] == ["mart", "days"] else None}
            for key in keys
        ]
        params = {"partitionsByAssets": chosen}
        [launched] = graphql(port, BACKFILL, {"p": params}).values()
        assert launched["__typename"] == "LaunchBackfillSuccess", launched
        awaited(lambda: ended(port, launched["backfillId"]), 300)
    finally:
        # Ctrl-C, which reaches the servers that it has started, too.
        os.killpg(server.pid, signal.SIGINT)
        try:
            server.wait(120)
        except subprocess.TimeoutExpired:
            os.killpg(server.pid, signal.SIGKILL)
        log.close()
    found = guest.rows("SELECT count(*) FROM mart.days")
    assert found == [[3]], found
    return f"{len(keys)} assets"


def assets_of(port: int) -> list[Any]:
    nodes = graphql(port, "{ assetNodes { assetKey { path } isMaterializable } }", {})["assetNodes"]
    return [node["assetKey"] for node in nodes if node["isMaterializable"]]


def ended(port: int, backfill_id: str) -> bool:
    """Whether the backfill has succeeded. Raises Failed when it has not."""
    status = graphql(port, STATUS, {"id": backfill_id})["partitionBackfillOrError"]["status"]
    if status in ("FAILED", "CANCELED", "COMPLETED_FAILED"):
        raise Failed(f"the backfill is {status}")
    return status in ("COMPLETED", "COMPLETED_SUCCESS")


def graphql(port: int, query: str, variables: dict[str, Any]) -> dict[str, Any]:
    request = urllib.request.Request(  # a server on this machine
        f"http://127.0.0.1:{port}/graphql",
        json.dumps({"query": query, "variables": variables}).encode(),
        {"Content-Type": "application/json"},
    )
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:  # noqa: S310 - a server of this script, on this machine
            said = json.load(answer)
    except urllib.error.HTTPError as error:
        raise Failed(error.read().decode()) from None
    if said.get("errors"):
        raise Failed(str(said["errors"]))
    return dict(said["data"])


def awaited(ask: Callable[[], Any], seconds: float) -> Any:
    """What `ask` answers as soon as that is something; a server may not be there yet."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        try:
            if found := ask():
                return found
        except OSError:
            pass
        time.sleep(1)
    raise Failed(f"nothing after {seconds:.0f} s")


def command_line(guest: Guest) -> None:
    """`ecommerce` in her project, with the same files and tables."""
    pipeline = "src/her/defs/marketing"
    ecommerce = guest.python.with_name("ecommerce")
    guest.run(ecommerce, "validate", pipeline)
    guest.run(ecommerce, "run", "--pipeline", pipeline)
    guest.run(ecommerce, "new", "pipeline", "pipelines/more")
    guest.run(ecommerce, "validate", "pipelines/more")


if __name__ == "__main__":
    sys.exit(main())
