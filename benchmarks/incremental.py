"""How long a load takes when everything is read, and when one row in a hundred has changed.

    python benchmarks/incremental.py 100000 1000000

Tables of so many rows, in a PostgreSQL of its own. Prints the median of three loads of each kind,
in seconds, and what the part costs of the whole.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from pathlib import Path

import duckdb
import psycopg

from ecommerce_dagster.bruin.model.asset import Asset
from ecommerce_dagster.bruin.model.interval import interval_between
from ecommerce_dagster.bruin.model.postgres_connection import PostgresConnection
from ecommerce_dagster.shop.embedded_postgres import EmbeddedPostgres
from ecommerce_dagster.sources.postgres.ingest import Ingestion
from ecommerce_dagster.warehouses.duckdb.database import open_warehouse
from ecommerce_dagster.warehouses.duckdb.transaction import DuckDBTransaction
from ecommerce_dagster.warehouses.publish import publish

ROUNDS = 3
# There are a hundred days, so that a day is one row in a hundred as well. Rows come in the order of
# time, as in a shop, or each page has some of every day: then no index helps.
FIRST_DAY, A_DAY = "2024-01-01", interval_between("2024-02-20", None)
_TABLE = """
CREATE TABLE {name} (id bigint PRIMARY KEY, at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL, name text, amount numeric(12, 2));
INSERT INTO {name}
    SELECT n, '{day}Z'::timestamptz + {nth} * interval '1 day', '{day}Z', 'name ' || n, n % 997
    FROM generate_series(1, {rows}) n;
CREATE INDEX ON {name} (at);
CREATE INDEX ON {name} (updated_at);
ANALYZE {name}
"""
_IN_ORDER, _EVERYWHERE = "(n - 1) * 100 / {rows}", "n % 100"
_WAYS = {
    "merge by watermark": ("merge", _IN_ORDER),
    "delete+insert of a day": ("delete+insert", _IN_ORDER),
    "delete+insert of a day that is on every page": ("delete+insert", _EVERYWHERE),
}


def asset_of(name: str, strategy: str) -> Asset:
    key = "updated_at" if strategy == "merge" else "at"
    return Asset.model_validate(
        {
            "name": f"raw.{name}",
            "type": "ingestr",
            "parameters": {
                "source_connection": "pg",
                "source_table": f"public.{name}",
                "incremental_strategy": strategy,
                "incremental_key": key,
            },
            "columns": [{"name": "id", "primary_key": True}],
        }
    )


def seconds(duck: duckdb.DuckDBPyConnection, fill: Ingestion) -> tuple[float, int]:
    """How long a load takes, and how many rows it wrote."""
    started = time.perf_counter()
    with fill.prepare(duck):
        built = publish(DuckDBTransaction(duck, fill.asset), fill.asset, fill, [], str)
    return time.perf_counter() - started, built.loaded.rows_written or 0


def measure(
    source: PostgresConnection,
    postgres: psycopg.Connection,
    duck: duckdb.DuckDBPyConnection,
    rows: int,
    markdown: bool,
) -> None:
    for number, (words, (strategy, nth)) in enumerate(_WAYS.items()):
        name = f"t_{rows}_{number}"
        day = nth.format(rows=rows)
        table = _TABLE.format(name=name, day=FIRST_DAY, nth=f"({day})", rows=rows)
        postgres.execute(table.encode())
        asset = asset_of(name, strategy)
        seconds(duck, Ingestion(asset, source))
        full, part, keys = [], [], []
        for _ in range(ROUNDS):
            full.append(seconds(duck, Ingestion(asset, source, full_refresh=True))[0])
            change = (
                f"UPDATE {name} SET amount = amount + 1, updated_at = now() WHERE id % 100 = 50"
            )
            postgres.execute(change.encode())
            interval = None if strategy == "merge" else A_DAY
            took, written = seconds(duck, Ingestion(asset, source, interval))
            assert written == rows // 100, written
            part.append(took)
            if strategy == "merge":
                postgres.execute(change.encode())
                alone = asset.model_copy(update={"meta": {"compare_keys": False}})
                keys.append(seconds(duck, Ingestion(alone, source))[0])
        whole, some = statistics.median(full), statistics.median(part)
        told = f"{statistics.median(keys):.2f}" if keys else ""
        cells = (
            f"{rows:,} rows, {words}",
            f"{whole:.2f}",
            f"{some:.2f}",
            f"{some / whole:.2f}",
            told,
        )
        print(f"| {' | '.join(cells)} |" if markdown else "  ".join(cells))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("rows", type=int, nargs="*", default=[100_000, 1_000_000])
    parser.add_argument("--markdown", action="store_true")
    options = parser.parse_args()
    head = ("", "full, seconds", "1 %, seconds", "ratio", "1 %, keys not compared")
    if options.markdown:
        print(f"| {' | '.join(head)} |\n| --- | --: | --: | --: | --: |")
    with tempfile.TemporaryDirectory(prefix="incremental-") as folder:
        Path(folder).chmod(0o755)
        with EmbeddedPostgres(Path(folder, "server")) as server:
            source = PostgresConnection(
                server.host, server.port, server.database, server.user, server.password
            )
            with (
                psycopg.connect(server.dsn, autocommit=True) as postgres,
                open_warehouse(str(Path(folder, "warehouse.duckdb"))) as duck,
            ):
                for rows in options.rows:
                    measure(source, postgres, duck, rows, options.markdown)


if __name__ == "__main__":
    main()
