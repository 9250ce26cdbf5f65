"""How fast this is, beside the alternatives, on this machine, in turns.

    make bench
    python benchmarks/speed --only loads --rounds 3      # one group; see --help

Makes a PostgreSQL of its own with a small shop and a large one, and an environment for each
alternative, in a folder that stays (.ecommerce/bench), so that the next time is quicker. Replaces
the tables in docs/performance.md. All of it takes about 15 minutes on two cores.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
import subprocess
import sys
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from functools import cached_property
from importlib.metadata import version
from pathlib import Path

import psycopg
from files import write_pipeline
from groups import LARGE_TABLES, PIPELINE, SCRIPTS, Pipelines, Place, loads, own_loads
from measure import Case, compare
from pages import markdown, table_of, write
from peers import REQUIREMENTS, ROOT, Peer, install
from shop import BIN, LARGE, SMALL, Shop, filled, server, tripled

PAGE = ROOT / "docs" / "performance.md"
# The versions that the figures are of.
OWN = ("dagster", "duckdb", "duckdb-extension-postgres-scanner", "psycopg", "sqlglot")
ROWWISE = 50_000  # orders


@dataclass
class Bench:
    """What the groups share: made when the first one asks for it."""

    home: Path
    rounds: int
    stack: ExitStack

    @cached_property
    def postgres(self) -> Shop:
        folder = self.home / "postgres"
        # The server has an account of its own when this runs as root.
        self.home.chmod(0o755)
        return Shop(self.stack.enter_context(server(folder)))

    @cached_property
    def small(self) -> Shop:
        return filled(self.postgres.server, "small", SMALL)

    @cached_property
    def large(self) -> Shop:
        return filled(self.postgres.server, "large", LARGE)

    @cached_property
    def place(self) -> Place:
        folder = self.home / "place"
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        return Place(folder)

    @cached_property
    def dlt(self) -> Peer:
        return install("dlt", self.home)

    @cached_property
    def ingestr(self) -> Peer:
        return install("ingestr", self.home)

    def loads(self) -> str:
        return table_of(compare(loads(self.large, self.place, self.dlt, self.ingestr), self.rounds))

    def loads3(self) -> str:
        tripled(self.large)
        tables = tuple(f"{table}_3x" for table in LARGE_TABLES)
        return table_of(compare(own_loads(self.large, self.place, tables), self.rounds))

    def incremental(self) -> str:
        command = [sys.executable, str(ROOT / "benchmarks" / "incremental.py"), "--markdown"]
        return _output([*command, "1000000", "3000000"])

    def small_pipeline(self) -> str:
        return self._pipeline(self.small)

    def large_pipeline(self) -> str:
        return self._pipeline(self.large)

    def _pipeline(self, shop: Shop) -> str:
        pipelines = Pipelines(shop, self.place, self.dlt)
        pipelines.prepare()
        return table_of(compare(pipelines.cases(), self.rounds))

    def checks(self) -> str:
        """In one process each, without its start."""
        pipelines = Pipelines(self.large, self.place, self.dlt)
        (ours,) = (case for case in pipelines.cases() if case.name.startswith("ours"))
        ours.before()
        subprocess.run(
            ours.command, env=dict(ours.environment), check=True, stdout=subprocess.DEVNULL
        )
        found: dict[str, list[float]] = {way: [] for way in _WAYS}
        for _ in range(max(self.rounds, 5)):
            for way in _WAYS:
                script = [sys.executable, str(SCRIPTS / "checks.py")]
                said = json.loads(_output([*script, way, self.place.path("ours")]))
                found[way].append(said["seconds"])
        return _medians({words: found[way] for way, words in _WAYS.items()}, "seconds")

    def files(self) -> str:
        """Seconds of the part that is measured, in processes of their own."""
        found: dict[str, list[float]] = {}
        for words, count, chain in _FILES:
            folder = write_pipeline(self.place.folder / f"files{count}", count, chain)
            script = [sys.executable, str(SCRIPTS / "load_files.py"), str(folder)]
            found[f"definitions of {words}"] = [float(_output(script)) for _ in range(self.rounds)]
        return _medians(found, "seconds")

    def backfill(self) -> str:
        pipelines = Pipelines(self.large, self.place, self.dlt)
        return table_of(compare([*pipelines.backfill(), pipelines.bare()], self.rounds))

    def commands(self) -> str:
        """Beside the import of Dagster, which a command that runs something cannot do without."""
        one, many = (
            write_pipeline(self.place.folder / f"commands{count}", count) for count in (1, 1000)
        )
        ecommerce = str(BIN / "ecommerce")
        commands = {
            "`import dagster`": [sys.executable, "-c", "import dagster"],
            "`ecommerce run`, one SQL asset with three checks": [ecommerce, "run", str(one)],
            "`ecommerce validate`, the shop": [ecommerce, "validate", str(PIPELINE)],
            "`ecommerce validate`, 1,000 files, all SQL bound": [ecommerce, "validate", str(many)],
            "`ecommerce --help`": [ecommerce, "--help"],
        }
        cases = [Case(words, command, self._plain) for words, command in commands.items()]
        return table_of(compare(cases, max(self.rounds, 5)))

    def generator(self) -> str:
        shop = filled(self.postgres.server, "generated", (*LARGE, "--orders", "1"))
        rowwise = Case(
            f"{ROWWISE:,} orders, row by row",
            [sys.executable, str(SCRIPTS / "rowwise.py"), str(ROWWISE)],
            shop.environment,
            lambda: _without_orders(shop),
        )
        command = [str(BIN / "generate-data"), "--dsn", shop.server.dsn, *LARGE]
        few = Case(
            f"{ROWWISE:,} orders, `generate-data`, with 200,000 customers and 20,000 products",
            [*command, "--orders", str(ROWWISE)],
            shop.environment,
            lambda: _without_orders(shop),
        )
        many = Case("1,000,000 orders, `generate-data`", command, shop.environment)
        return table_of(compare([rowwise, few, many], min(self.rounds, 2)))

    @property
    def _plain(self) -> dict[str, str]:
        return {name: os.environ[name] for name in ("PATH", "HOME")}


# How many files, and how many of them read one after the other.
_FILES = (
    ("1,000 files", 1000, 10),
    ("5,000 files", 5000, 10),
    ("3,000 files, each of which reads the one before", 3000, 3000),
)
_WAYS = {
    "naive": "one naive query for each rule",
    "ours": "ours",
    "naive-columns": "one naive query for each rule, without `custom_checks`",
    "ours-columns": "ours, without `custom_checks`",
    "trust": "build all SQL assets, commit, check",
    "publish": "build, check, then publish",
}
GROUPS: dict[str, tuple[Callable[[Bench], str], str]] = {
    "loads": (Bench.loads, "1,000,000 orders and 3,000,000 items, in full"),
    "loads3": (Bench.loads3, "three times as many"),
    "incremental": (Bench.incremental, "one row in a hundred has changed"),
    "small": (Bench.small_pipeline, "the whole pipeline, 500 orders"),
    "large": (Bench.large_pipeline, "the whole pipeline, 1,000,000 orders"),
    "backfill": (Bench.backfill, "a year by its days"),
    "checks": (Bench.checks, "all checks of the large shop"),
    "files": (Bench.files, "many files"),
    "commands": (Bench.commands, "what a person waits for"),
    "generator": (Bench.generator, "test data"),
}


def main() -> int:
    parser = argparse.ArgumentParser(
        "python benchmarks/speed",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--only", action="append", choices=GROUPS, metavar="GROUP", help="|".join(GROUPS)
    )
    parser.add_argument("--rounds", type=int, default=3, help="runs of each case at most  [3]")
    options = parser.parse_args()
    home = ROOT / ".ecommerce" / "bench"
    home.mkdir(parents=True, exist_ok=True)
    shutil.rmtree(home / "postgres", ignore_errors=True)
    with ExitStack() as stack:
        bench = Bench(home, options.rounds, stack)
        for name in options.only or GROUPS:
            measure, words = GROUPS[name]
            print(f"{name}: {words}", file=sys.stderr, flush=True)
            text = f"{measure(bench)}\n\nLoad of the machine afterwards: {os.getloadavg()[0]:.1f}."
            write(PAGE, name, text)
            print(text, flush=True)
    write(PAGE, "versions", _versions())
    return 0


def _versions() -> str:
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    machine = f"{os.cpu_count()} cores, {memory:.0f} GiB, {platform.system()}"
    own = ", ".join(f"{name} {version(name)}" for name in OWN)
    others = ", ".join(
        name.replace("==", " ") for name in (*REQUIREMENTS["dlt"], *REQUIREMENTS["ingestr"])
    )
    return f"{machine}, Python {platform.python_version()}. Ours: {own}. Others: {others}."


def _output(command: list[str]) -> str:
    return subprocess.run(command, check=True, text=True, capture_output=True).stdout.strip()


def _medians(found: dict[str, list[float]], unit: str) -> str:
    rows = []
    for words, seconds in found.items():
        low, median, high = min(seconds), sorted(seconds)[len(seconds) // 2], max(seconds)
        rows.append((words, f"{median:.2f} ({low:.2f} to {high:.2f})"))
    return markdown(("", unit), rows)


def _without_orders(shop: Shop) -> None:
    with psycopg.connect(shop.server.dsn, autocommit=True) as connection:
        connection.execute("TRUNCATE orders, order_items RESTART IDENTITY")


if __name__ == "__main__":
    sys.exit(main())
