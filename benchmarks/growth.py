"""What the shop's pipeline costs as the shop grows, and what many files do: seconds and memory of
each size, and the exponent of the growth (1 where twice as much takes twice as long).

    python benchmarks/growth.py --orders 1000000 --orders 3000000 --orders 10000000
    python benchmarks/growth.py --orders 1000000 --lake      # tables in a DuckLake on this disk
    python benchmarks/growth.py --files 1000 --files 3000 --files 10000 --chain 10

Three items an order, a year of days, everything built anew, and beside it the bare statements. Ends
with the slowest assets and where their time went. Nothing is left behind; ten million orders need
10 GB in the meantime.
"""

from __future__ import annotations

import argparse
import math
import os
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent / "speed"))
from files import write_pipeline
from groups import PIPELINE, SCRIPTS, SELECTOR
from measure import Case, run
from shop import A_YEAR, BIN, filled, server

SLOWEST = 6


def main() -> int:
    """Measure each size and print it."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n\n")[0])
    parser.add_argument("--orders", type=int, action="append", default=[])
    parser.add_argument("--files", type=int, action="append", default=[])
    parser.add_argument("--chain", type=int, default=10, help="files, each of the one before")
    parser.add_argument("--lake", action="store_true", help="tables in a DuckLake")
    options = parser.parse_args()
    costs: dict[str, list[tuple[int, float]]] = {}
    for orders in options.orders:
        with tempfile.TemporaryDirectory(prefix="growth-") as name:
            folder = Path(name)
            folder.chmod(0o755)
            print(f"{orders:,} orders{' in a DuckLake' if options.lake else ''}", flush=True)
            for what, cost in _measure(folder, orders, lake=options.lake).items():
                costs.setdefault(what, []).append((orders, cost))
    for files in options.files:
        for what, cost in _measure_files(files, options.chain).items():
            costs.setdefault(what, []).append((files, cost))
    for what, points in costs.items():
        if len(points) > 1:
            print(f"{what}: exponent {exponent(points):.2f}")
    return 0


def exponent(points: Sequence[tuple[int, float]]) -> float:
    """The b of cost = a * size ** b that fits the points best (least squares of the logarithms)."""
    xs, ys = ([math.log(value) for value in values] for values in zip(*points, strict=True))
    middle, level = sum(xs) / len(xs), sum(ys) / len(ys)
    slope = sum((x - middle) * (y - level) for x, y in zip(xs, ys, strict=True))
    return slope / sum((x - middle) ** 2 for x in xs)


def _measure(folder: Path, orders: int, *, lake: bool) -> dict[str, float]:
    with server(folder / "postgres") as postgres:
        began = time.monotonic()
        shop = filled(postgres, "grown", _options(orders))
        print(f"  generated in {time.monotonic() - began:.0f} s", flush=True)
        environment = shop.environment | {
            "ECOMMERCE_HOME": str(folder / "state"),
            "DUCKDB_PATH": str(folder / "warehouse.duckdb"),
            "PATH": f"{BIN}:{shop.environment['PATH']}",
        }
        script = [sys.executable, str(SCRIPTS / "bare_pipeline.py")]
        command = [*script, str(folder / "bare.duckdb"), str(PIPELINE)]
        bare = run(Case("bare", command, environment, patience=7200))
        (folder / "bare.duckdb").unlink()
        if lake:
            environment |= _lake(environment, folder / "lake")
        command = [str(BIN / "ecommerce"), "run", "--profile", "--selector", SELECTOR]
        found = run(Case("run", command, environment, patience=7200))
        tables = folder / ("lake" if lake else "warehouse.duckdb")
        files = tables.rglob("*") if lake else [tables]
        size = sum(file.stat().st_size for file in files if file.is_file())
        for name, one in (("run", found), ("bare", bare)):
            print(f"  {name}: {one.seconds:.1f} s, {one.cpu:.1f} CPU-s, peak {one.peak:.0f} MB")
        print(f"  tables on disk: {size / 1e6:.0f} MB", flush=True)
        for line in _profile(found.output)[: SLOWEST + 1]:
            print(f"  {line}", flush=True)
    return {
        "seconds of a run": found.seconds,
        "memory of a run": found.peak,
        "seconds of the bare statements": bare.seconds,
        "memory of the bare statements": bare.peak,
    }


def _measure_files(files: int, chain: int) -> dict[str, float]:
    """Of a pipeline of so many small SQL assets."""
    with tempfile.TemporaryDirectory(prefix="growth-") as name:
        folder = write_pipeline(Path(name, "pipeline"), files, chain)
        script = [sys.executable, str(SCRIPTS / "load_files.py"), str(folder)]
        environment = {name: os.environ[name] for name in ("PATH", "HOME")}
        definitions = run(Case("definitions", script, environment))
        command = [str(BIN / "ecommerce"), "validate", str(folder)]
        validate = run(Case("validate", command, environment))
    inside = definitions.inside or definitions.seconds
    print(f"{files:,} files in chains of {chain:,}")
    print(f"  definitions: {inside:.1f} s, peak {definitions.peak:.0f} MB")
    print(f"  validate: {validate.seconds:.1f} s, peak {validate.peak:.0f} MB", flush=True)
    return {
        "seconds of definitions": inside,
        "seconds of validate": validate.seconds,
        "memory of definitions": definitions.peak,
        "memory of validate": validate.peak,
    }


def _options(orders: int) -> tuple[str, ...]:
    """The other tables grow with the orders, as in a shop."""
    customers, products = str(orders // 5), str(max(orders // 50, 50))
    return (*A_YEAR, "--customers", customers, "--products", products, "--orders", str(orders))


def _lake(environment: Mapping[str, str], folder: Path) -> dict[str, str]:
    folder.mkdir()
    names = ("HOST", "PORT", "USER", "PASSWORD", "DB")
    catalogue = {f"LAKE_POSTGRES_{name}": environment[f"POSTGRES_{name}"] for name in names}
    store = ("S3_ENDPOINT", "S3_REGION", "S3_ACCESS_KEY", "S3_SECRET_KEY")
    return {
        **catalogue,
        **dict.fromkeys((f"LAKE_{name}" for name in store), ""),
        "LAKE_PATH": str(folder),
        "ECOMMERCE_ENVIRONMENT": "lake",
    }


def _profile(output: str) -> list[str]:
    """The table that `--profile` ends with."""
    lines = output.splitlines()
    begin = next(number for number, line in enumerate(lines) if line.startswith("seconds"))
    return [line for line in lines[begin:] if line.strip()]


if __name__ == "__main__":
    sys.exit(main())
