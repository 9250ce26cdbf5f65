"""kill -9 at random moments: is every table as before or as after, and does the next run heal all?

    python benchmarks/kills.py --kills 200 --seed 1

The shop's data changes, a run starts and is killed (or PostgreSQL is, or both), and everything that
a user could notice is looked at. Then a run without a kill must make what a new warehouse would
hold. Everything is in a temporary folder. Exit code 1 when something was not as it should be.
"""

from __future__ import annotations

import argparse
import os
import random
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from importlib import import_module
from pathlib import Path

import psycopg
from filelock import FileLock

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests"))
from orchestration.helpers import processes_of, tables

from data_generator.load import generate
from data_generator.options import Options
from ecommerce_dagster.shop.commands import main as ecommerce
from ecommerce_dagster.shop.embedded_postgres import EmbeddedPostgres, PostgresServer

# Each way of loading, and few enough assets for hundreds of runs.
PIPELINE = (
    *("run", "raw.customers", "raw.orders", "stg.customers", "stg.orders"),
    *("mart.customers_by_age", "mart.customers_by_country"),
)
CHANGES = (
    "UPDATE customers SET country = 'v{n}', updated_at = clock_timestamp() WHERE id % 7 = {n} % 7",
    "UPDATE orders SET status = 'shipped', updated_at = clock_timestamp() WHERE id % 11 = {n} % 11",
    "INSERT INTO orders (customer_id, order_date, status, total_amount)"
    " SELECT id, now() - interval '1 hour' * ({n} % 24), 'pending', 0 FROM customers LIMIT 1",
    "DELETE FROM orders WHERE status = 'pending' AND total_amount = 0 AND id % 3 = {n} % 3",
)
# A run takes about this long; later moments come after its end.
LONGEST = 2.5


def main() -> int:
    """Kill, look, heal, compare; print what was found."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    chance = random.Random(options.seed)
    faults: list[str] = []
    moments: Counter[str] = Counter()
    with tempfile.TemporaryDirectory(prefix="kills-") as folder:
        Path(folder).chmod(0o755)
        home = Path(folder, "home")
        os.environ["ECOMMERCE_HOME"], os.environ["DUCKDB_PATH"] = str(home), str(home / "w.duckdb")
        with postgres(home) as server:
            generate(server.dsn, Options())
            faults += run(home)
        for number in range(1, options.kills + 1):
            victim = chance.choice(["the run", "the run", "the run", "PostgreSQL", "both"])
            found, moment = one_kill(home, number, victim, chance.uniform(0, LONGEST))
            moments[f"{victim}, {moment}"] += 1
            faults += [f"kill {number} of {victim}: {fault}" for fault in found]
            print(f"{number:4}  {victim:<10}  {moment:<14} {'; '.join(found) or 'ok'}", flush=True)
        with postgres(home):
            faults += compare_with_new_warehouse(home)
    for kind, count in sorted(moments.items()):
        print(f"{count:4}  {kind}")
    print(f"{options.kills} kills, {len(faults)} faults", *faults, sep="\n")
    return 1 if faults else 0


def one_kill(home: Path, number: int, victim: str, after: float) -> tuple[list[str], str]:
    """What is wrong after one kill, and what the kill met."""
    before = tables(home / "w.duckdb")
    with postgres(home) as server:
        change(server.dsn, number)
        runner = start(*PIPELINE)
        time.sleep(after)
        met = "while it ran" if os.waitpid(runner, os.WNOHANG) == (0, 0) else "after its end"
        if victim != "the run":
            os.kill(postmaster(home), signal.SIGKILL)
        if met == "while it ran":
            if victim != "PostgreSQL":
                with suppress(ProcessLookupError):
                    os.killpg(runner, signal.SIGKILL)
            os.waitpid(runner, 0)
    faults = look(home)
    between = tables(home / "w.duckdb")
    with postgres(home):
        faults += run(home)
    after_all = tables(home / "w.duckdb")
    torn = [t for t, h in between.items() if h not in (before.get(t), after_all.get(t))]
    return faults + [f"{table} is neither as before nor as after" for table in torn], met


def look(home: Path) -> list[str]:
    """Locks and processes that were left behind."""
    faults = []
    lock = FileLock(f"{home / 'w.duckdb'}.lock")
    try:
        lock.acquire(timeout=2)
        lock.release()
    except TimeoutError:
        faults.append("the warehouse is locked")
    deadline = time.monotonic() + 20
    while left := processes_of(home):
        if time.monotonic() > deadline:
            faults.append(f"processes are left: {left}")
            break
        time.sleep(0.1)
    return faults


def compare_with_new_warehouse(home: Path) -> list[str]:
    """Tables that differ from those of a warehouse that is built from nothing."""
    killed = tables(home / "w.duckdb")
    for file in home.glob("w.*"):
        file.unlink()
    faults = run(home)
    clean = tables(home / "w.duckdb")
    return faults + [
        f"{table} differs from a clean build"
        for table in clean
        if killed.get(table) != clean[table]
    ]


def change(dsn: str, number: int) -> None:
    """Another state of the shop's data."""
    with psycopg.connect(dsn) as connection:
        for statement in CHANGES:
            connection.execute(statement.format(n=number).encode())


def run(home: Path) -> list[str]:
    """A run to its end."""
    _, status = os.waitpid(start(*PIPELINE), 0)
    output = (home / "output.log").read_text(errors="replace")
    code = os.waitstatus_to_exitcode(status)
    return [] if code == 0 else [f"a run ended with {code}: {output[-600:]}"]


def start(*arguments: str) -> int:
    """`ecommerce ...` in a process of its own. A fork saves importing everything each time."""
    child = os.fork()
    if child:
        return child
    os.setsid()
    output = os.open(f"{os.environ['ECOMMERCE_HOME']}/output.log", os.O_CREAT | os.O_WRONLY)
    os.ftruncate(output, 0)
    for stream in (1, 2):
        os.dup2(output, stream)
    code = 1
    try:
        ecommerce(list(arguments), standalone_mode=True)
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else 1
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


@contextmanager
def postgres(home: Path) -> Iterator[PostgresServer]:
    """The shop's server, named in the environment of what is started."""
    with EmbeddedPostgres(home / "postgres") as server:
        os.environ.update(server.environment())
        yield server


def postmaster(home: Path) -> int:
    return int((home / "postgres" / "pgdata" / "postmaster.pid").read_text().split()[0])


if __name__ == "__main__":
    # What every run needs, once: the forks share it.
    for module in ("run", "workspace"):
        import_module(f"ecommerce_dagster.cli.{module}")
    sys.exit(main())
