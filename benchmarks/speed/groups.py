"""What is compared with what."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from dbt_project import write_dbt_project
from measure import Case
from peers import ROOT, Peer
from shop import BIN, Shop

from ecommerce_dagster.bruin.project import Project
from ecommerce_dagster.orchestration.build import load_project
from ecommerce_dagster.sql.checks import checks_of

PIPELINE = ROOT / "asset_specs"
SCRIPTS = Path(__file__).parent / "scripts"
LAYERS = ("raw", "stg", "mart")
SELECTOR = " ".join(f"{layer}.*" for layer in LAYERS)
LARGE_TABLES = ("orders", "order_items")
TABLES = ("customers", "products", "product_variants", *LARGE_TABLES)


@dataclass(frozen=True)
class Place:
    """A folder for what the cases write."""

    folder: Path

    def new(self, name: str) -> Callable[[], None]:
        """What empties a warehouse, and all that stands beside it."""

        def empty() -> None:
            for file in self.folder.glob(f"{name}*"):
                file.unlink()

        return empty

    def path(self, name: str) -> str:
        return str(self.folder / f"{name}.duckdb")


def _script(name: str, *arguments: str, python: str = sys.executable) -> list[str]:
    return [python, str(SCRIPTS / name), *arguments]


def loads(shop: Shop, place: Place, dlt: Peer, ingestr: Peer) -> list[Case]:
    """Orders and items, all of them, into DuckDB."""
    return [
        *own_loads(shop, place, LARGE_TABLES),
        Case("bare COPY, thrown away", _script("bare_copy.py", *LARGE_TABLES), shop.environment),
        Case(
            "dlt",
            _script("dlt_load.py", place.path("dlt"), *LARGE_TABLES, python=dlt.python),
            shop.environment,
            place.new("dlt"),
        ),
        Case(
            "ingestr",
            [
                "/bin/sh",
                "-ec",
                " && ".join(_ingestr(ingestr, shop, place, t) for t in LARGE_TABLES),
            ],
            shop.environment | {"DISABLE_TELEMETRY": "true"},
            place.new("ingestr"),
        ),
    ]


def own_loads(shop: Shop, place: Place, tables: tuple[str, ...]) -> list[Case]:
    """The bare statement, and ours."""
    return [
        Case(
            "bare CREATE TABLE AS",
            _script("bare_ctas.py", place.path("bare"), *tables),
            shop.environment,
            place.new("bare"),
        ),
        Case(
            "ours",
            _script("ours_load.py", place.path("ours"), *tables),
            shop.environment,
            place.new("ours"),
        ),
    ]


def _ingestr(peer: Peer, shop: Shop, place: Place, table: str) -> str:
    return (
        f'{peer.script("ingestr")} ingest --yes --progress log --source-uri "$DSN"'
        f" --source-table public.{table} --dest-uri duckdb:///{place.path('ingestr')}"
        f" --dest-table raw.{table}"
    )


@dataclass(frozen=True)
class Pipelines:
    """The whole pipeline, by us and by others, each from a cold start."""

    shop: Shop
    place: Place
    dlt: Peer

    @cached_property
    def project(self) -> Project:
        return load_project(PIPELINE)

    @property
    def shape(self) -> list[tuple[str, list[str], list[str]]]:
        """Name, dependencies and names of checks of each table."""
        return [
            (
                asset.name,
                [d.asset for d in asset.depends if d.asset],
                [str(number) for number, _ in enumerate(checks_of(asset))],
            )
            for asset in self.project.assets
            if asset.name.startswith(LAYERS)
        ]

    def prepare(self) -> None:
        """Write what the others read."""
        folder = self.place.folder
        (folder / "shape.json").write_text(json.dumps(self.shape))
        if not (folder / "dbt").exists():
            write_dbt_project(self.project, folder / "dbt")

    def cases(self) -> list[Case]:
        floor = self._environment("floor") | {"SHAPE": str(self.place.folder / "shape.json")}
        peer = self._environment("peer")
        dagster = str(BIN / "dagster")
        materialize = ("asset", "materialize", "--select")
        dbt = f"{self.dlt.script('dbt')} build --quiet --project-dir . --profiles-dir ."
        load = " ".join(_script("dlt_load.py", peer["WAREHOUSE"], *TABLES, python=self.dlt.python))
        definitions = str(SCRIPTS / "dlt_dbt_definitions.py")
        return [
            Case(
                "Dagster's floor: as many assets and checks that do nothing",
                [dagster, *materialize, "*", "-f", str(SCRIPTS / "floor.py")],
                floor,
                self._new("floor"),
            ),
            Case(
                "ours, `ecommerce run`",
                [str(BIN / "ecommerce"), "run", "--selector", SELECTOR],
                self._environment("ours"),
                self._new("ours"),
            ),
            Case(
                "dlt, then `dbt build`, without Dagster",
                ["/bin/sh", "-ec", f"{load} && {dbt}"],
                peer,
                self._new("peer"),
                self.place.folder / "dbt",
            ),
            Case(
                "dagster-dlt and dagster-dbt, `dagster asset materialize`",
                [self.dlt.script("dagster"), *materialize, "*", "-f", definitions],
                peer,
                self._new("peer"),
                self.place.folder / "dbt",
            ),
        ]

    def backfill(self) -> list[Case]:
        """Everything at once, and the same year by its days, in one run."""
        command = [str(BIN / "ecommerce"), "run", "--selector", SELECTOR]
        days = ["--start-date", "2025-01-01", "--end-date", "2025-12-31"]
        environment, anew = self._environment("ours"), self._new("ours")
        return [
            Case("`ecommerce run`", command, environment, anew),
            Case("`ecommerce run`, 365 partitions", [*command, *days], environment, anew),
        ]

    def bare(self) -> Case:
        """The statements of all tables, and nothing else."""
        command = _script("bare_pipeline.py", self.place.path("bare"), str(PIPELINE))
        return Case("bare statements", command, self.shop.environment, self.place.new("bare"))

    def _new(self, name: str) -> Callable[[], None]:
        """Empty a warehouse, and Dagster's records."""
        empty = self.place.new(name)

        def anew() -> None:
            empty()
            for folder in ("dagster", "state", "dlt"):
                shutil.rmtree(self.place.folder / folder, ignore_errors=True)
                (self.place.folder / folder).mkdir()
            settings = self.place.folder / "dagster" / "dagster.yaml"
            settings.write_text("telemetry: {enabled: false}\n")

        return anew

    def _environment(self, name: str) -> Mapping[str, str]:
        folder, warehouse = self.place.folder, self.place.path(name)
        scripts = self.dlt.bin if name == "peer" else BIN
        environment = self.shop.environment | {
            "DAGSTER_TELEMETRY_ENABLED": "false",
            "ECOMMERCE_HOME": str(folder / "state"),
            "DUCKDB_PATH": warehouse,
            "WAREHOUSE": warehouse,
            "DBT_PROJECT": str(folder / "dbt"),
            "DLT_PIPELINES": str(folder / "dlt"),
            "TABLES": ",".join(TABLES),
            "PATH": f"{scripts}:{self.shop.environment['PATH']}",
        }
        if name == "ours":
            return environment  # It makes a home for Dagster, with settings of its own.
        return environment | {"DAGSTER_HOME": str(folder / "dagster")}
