"""Readers and writers together, for minutes, while Dagster's processes are killed.

    python benchmarks/traffic.py --minutes 5 --kills 5

The shop's rows change all the time, `ecommerce dev` follows them with its sensor, one person runs
assets, another one only checks, a third asks the warehouse, and a program reads the published copy.
Now and then the daemon, the code server or all of `ecommerce dev` is killed and started again. No
reader may fail, see half of a table or see an older one than before; at the end the tables must be
those of a new warehouse and no run may count as running. Exit code 1 when something was otherwise.
"""

from __future__ import annotations

import argparse
import os
import random
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections import defaultdict
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import dagster as dg
import duckdb
import psycopg
from kills import compare_with_new_warehouse, postgres

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests"))
from orchestration.helpers import free_port, processes_of

from data_generator.load import generate
from data_generator.options import Options
from ecommerce_dagster.warehouses.duckdb.published_copy import copy_of

COMMAND = str(Path(sys.executable).with_name("ecommerce"))
CUSTOMERS = ("raw.customers", "stg.customers", "mart.customers_by_country")
# Every customer moves at once: a mart with two countries was written in the middle of it.
MOVE = "UPDATE customers SET country = 'v{n}', updated_at = clock_timestamp()"
ORDER = (
    "INSERT INTO orders (customer_id, order_date, status, total_amount)"
    " SELECT id, now() - interval '1 day' * ({n} % 3), 'pending', 0 FROM customers LIMIT 1"
)
MART = "SELECT country FROM mart.customers_by_country"
VICTIMS = ("dagster._daemon", "api grpc", "dagster dev", "ecommerce dev")
PAUSE = 5.0  # seconds between two changes of the shop
CALM = 180.0  # seconds in which everything has to come to its end


class Traffic:
    """What all users did, and what went wrong."""

    def __init__(self, home: Path, dsn: str) -> None:
        self.home, self.dsn = home, dsn
        self.ended = threading.Event()
        self.faults: list[str] = []
        self.seconds: dict[str, list[float]] = defaultdict(list)
        self.moves = 0

    def repeat(self, name: str, act: Callable[[], object], pause: float = 0.0) -> threading.Thread:
        """Do it until the end, and note how long it took each time."""

        def loop() -> None:
            while not self.ended.is_set():
                began = time.monotonic()
                try:
                    act()
                except Exception as error:
                    self.faults.append(f"{name}: {type(error).__name__}: {error}")
                self.seconds[name].append(time.monotonic() - began)
                self.ended.wait(pause)

        thread = threading.Thread(target=loop, name=name)
        thread.start()
        return thread

    def change(self) -> None:
        """All customers move, and one order is placed, in one transaction."""
        with psycopg.connect(self.dsn) as connection:
            connection.execute(MOVE.format(n=self.moves + 1).encode())
            connection.execute(ORDER.format(n=self.moves + 1).encode())
        self.moves += 1

    def command(self, *arguments: str) -> str:
        """What a command says. One that fails is a fault."""
        done = subprocess.run(
            [COMMAND, *arguments], capture_output=True, text=True, timeout=600, check=False
        )
        if done.returncode:
            words, said = " ".join(arguments), done.stderr or done.stdout
            self.faults.append(f"{words} ended with {done.returncode}: {said}")
        return done.stdout

    def asked(self) -> Callable[[], None]:
        """`ecommerce query`, whose answers never go back."""
        seen = Seen(self.faults, "ecommerce query")
        return lambda: seen.look(self.command("query", MART, "--output", "csv").split()[1:])

    def copied(self) -> Callable[[], None]:
        """Another program that opens the published copy."""
        seen = Seen(self.faults, "the published copy")
        path = str(copy_of(str(self.home / "w.duckdb")))

        def look() -> None:
            with duckdb.connect(path, read_only=True) as connection:
                seen.look([row[0] for row in connection.execute(MART).fetchall()])

        return look


class Seen:
    """A mart over time: of one version each time, and never of an older one."""

    def __init__(self, faults: list[str], reader: str) -> None:
        self._faults, self._reader, self._last = faults, reader, 0

    def look(self, countries: list[str]) -> None:
        if len(countries) != 1:
            self._faults.append(f"{self._reader} saw {countries}")
            return
        version = int(countries[0].removeprefix("v"))
        if version < self._last:
            self._faults.append(f"{self._reader} saw v{version} after v{self._last}")
        self._last = version


def main() -> int:
    """Minutes of traffic; prints how often and how long, and what went wrong."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--minutes", type=float, default=5)
    parser.add_argument("--kills", type=int, default=5)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    chance = random.Random(options.seed)
    with tempfile.TemporaryDirectory(prefix="traffic-") as folder:
        Path(folder).chmod(0o755)
        home = Path(folder, "home")
        os.environ["ECOMMERCE_HOME"], os.environ["DUCKDB_PATH"] = str(home), str(home / "w.duckdb")
        with postgres(home) as server:
            ours = set(processes_of(home))
            generate(server.dsn, Options())
            traffic = Traffic(home, server.dsn)
            traffic.change()
            traffic.command("run")
            dev = start_dev(home)
            people = [
                traffic.repeat("change of the shop", traffic.change, PAUSE),
                traffic.repeat("ecommerce run", lambda: traffic.command("run", *CUSTOMERS)),
                traffic.repeat(
                    "run --only checks",
                    lambda: traffic.command("run", "stg.customers", "--only", "checks"),
                ),
                traffic.repeat("ecommerce query", traffic.asked()),
                traffic.repeat("reading the copy", traffic.copied(), 0.2),
            ]
            for _ in range(options.kills):
                time.sleep(60 * options.minutes / (options.kills + 1))
                victim = chance.choice(VICTIMS)
                print(f"kill -9 of {victim}: {kill(home, victim)} processes", flush=True)
                dev = started_again(dev, home)
            time.sleep(60 * options.minutes / (options.kills + 1))
            traffic.ended.set()
            for person in people:
                person.join()
            traffic.faults += settle(home)
            stop(dev)
            traffic.command("run")
            if left := [told for pid, told in processes_of(home).items() if pid not in ours]:
                traffic.faults.append(f"processes are left: {left}")
            statuses = runs(home)
            traffic.faults += compare_with_new_warehouse(home)
    for name, seconds in traffic.seconds.items():
        middle, longest = statistics.median(seconds), max(seconds)
        print(f"{len(seconds):6} times {name:<20} median {middle:.2f} s, longest {longest:.2f} s")
    print(f"runs of Dagster: {statuses}")
    print(f"{len(traffic.faults)} faults", *traffic.faults, sep="\n")
    return 1 if traffic.faults else 0


def start_dev(home: Path) -> subprocess.Popen[bytes]:
    """`ecommerce dev` with its sensor."""
    port = free_port()
    with (home / "dev.log").open("ab") as log:
        return subprocess.Popen(
            [COMMAND, "dev", "--port", str(port)], stdout=log, stderr=log, start_new_session=True
        )


def started_again(dev: subprocess.Popen[bytes], home: Path) -> subprocess.Popen[bytes]:
    """A new `ecommerce dev` where the kill ended it, and not only a part that it replaces."""
    with suppress(subprocess.TimeoutExpired):
        dev.wait(20)
    return dev if dev.poll() is None else start_dev(home)


def stop(dev: subprocess.Popen[bytes]) -> None:
    """Ctrl-C, and everything has ended."""
    with suppress(ProcessLookupError):
        dev.send_signal(signal.SIGINT)
    dev.wait(60)


def kill(home: Path, victim: str) -> int:
    """kill -9 of the processes of a kind. How many there were."""
    found = [pid for pid, told in processes_of(home).items() if victim in told]
    for pid in found:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    return len(found)


def settle(home: Path) -> list[str]:
    """Wait until Dagster has nothing more to do: what is still running then is a fault."""
    deadline = time.monotonic() + CALM
    quiet = 0
    while time.monotonic() < deadline:
        quiet = quiet + 1 if not unfinished(home) else 0
        if quiet > 40:
            return []
        time.sleep(1)
    return [f"{run} counts as running" for run in unfinished(home)]


def unfinished(home: Path) -> list[str]:
    with dg.DagsterInstance.from_config(str(home / "dagster")) as instance:
        return [f"{r.run_id} {r.status.value}" for r in instance.get_runs() if not r.is_finished]


def runs(home: Path) -> dict[str, int]:
    """How many runs ended in which way."""
    found: dict[str, int] = defaultdict(int)
    with dg.DagsterInstance.from_config(str(home / "dagster")) as instance:
        for one in instance.get_runs():
            found[one.status.value] += 1
    return dict(found)


if __name__ == "__main__":
    sys.exit(main())
