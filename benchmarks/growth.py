"""What the shop's pipeline costs as the shop grows: seconds and memory of each size.

    python benchmarks/growth.py --orders 1000000 --orders 3000000 --orders 10000000
    python benchmarks/growth.py --orders 1000000 --lake      # tables in a DuckLake on this disk

Three items an order, a year of days, everything built anew. Ends with the slowest assets and where
their time went. Nothing is left behind; ten million orders need 10 GB in the meantime.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent / "speed"))
from groups import SELECTOR
from measure import Case, run
from shop import A_YEAR, BIN, filled, server

SLOWEST = 6


def main() -> int:
    """Measure each size and print it."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--orders", type=int, action="append", required=True)
    parser.add_argument("--lake", action="store_true", help="tables in a DuckLake")
    options = parser.parse_args()
    for orders in options.orders:
        with tempfile.TemporaryDirectory(prefix="growth-") as name:
            folder = Path(name)
            folder.chmod(0o755)
            print(f"{orders:,} orders{' in a DuckLake' if options.lake else ''}", flush=True)
            _measure(folder, orders, lake=options.lake)
    return 0


def _measure(folder: Path, orders: int, *, lake: bool) -> None:
    with server(folder / "postgres") as postgres:
        began = time.monotonic()
        shop = filled(postgres, "grown", _options(orders))
        print(f"  generated in {time.monotonic() - began:.0f} s", flush=True)
        environment = shop.environment | {
            "ECOMMERCE_HOME": str(folder / "state"),
            "DUCKDB_PATH": str(folder / "warehouse.duckdb"),
            "PATH": f"{BIN}:{shop.environment['PATH']}",
        }
        if lake:
            environment |= _lake(environment, folder / "lake")
        command = [str(BIN / "ecommerce"), "run", "--profile", "--selector", SELECTOR]
        found = run(Case("run", command, environment, patience=7200))
        tables = folder / ("lake" if lake else "warehouse.duckdb")
        files = tables.rglob("*") if lake else [tables]
        size = sum(file.stat().st_size for file in files if file.is_file())
        print(f"  {found.seconds:.1f} s, {found.cpu:.1f} CPU-s, peak {found.peak:.0f} MB")
        print(f"  tables on disk: {size / 1e6:.0f} MB", flush=True)
        for line in _profile(found.output)[: SLOWEST + 1]:
            print(f"  {line}", flush=True)


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
