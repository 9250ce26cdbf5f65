"""Assets from files that a test writes, and tables as plain rows."""

from __future__ import annotations

import functools
import http.server
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from textwrap import dedent
from typing import Any

import duckdb

from ecommerce_dagster.bruin.asset_files import read_asset
from ecommerce_dagster.bruin.model.asset import Asset
from ecommerce_dagster.bruin.problems import ProblemLog
from ecommerce_dagster.bruin.yaml.located import Position, YamlMapping
from ecommerce_dagster.sql.checks import checks_of
from ecommerce_dagster.sql.identifiers import relation
from ecommerce_dagster.warehouses.base import BuildResult, Writer
from ecommerce_dagster.warehouses.duckdb.database import described
from ecommerce_dagster.warehouses.duckdb.transaction import DuckDBTransaction
from ecommerce_dagster.warehouses.publish import publish

Connection = duckdb.DuckDBPyConnection
Rows = list[tuple[Any, ...]]


def asset_at(path: Path, text: str) -> Asset:
    """The asset that a file with this text defines. The pipeline is the folder above `assets/`."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(dedent(text).lstrip("\n"), encoding="utf-8")
    pipeline = next(folder.parent for folder in path.parents if folder.name == "assets")
    log = ProblemLog()
    asset = read_asset(path, pipeline, YamlMapping(Position(pipeline / "pipeline.yml", 1)), log)
    log.raise_errors()
    assert asset is not None, "the file defines no asset"
    return asset


def build(connection: Connection, asset: Asset, fill: Writer) -> BuildResult:
    """Build the asset and run its checks, as a run does."""
    return publish(
        DuckDBTransaction(connection, asset), asset, fill, checks_of(asset), lambda text: text
    )


def rows(connection: Connection, name: str, order: str = "ALL") -> Rows:
    """The rows of a table, in a stable order."""
    return connection.execute(f"FROM {relation(name)} ORDER BY {order}").fetchall()


def types(connection: Connection, name: str) -> dict[str, str]:
    """The columns of a table and their types."""
    return described(connection, relation(name))


def problems(log: ProblemLog) -> list[str]:
    """What was reported, as `file:line: message`."""
    return [f"{p.path.name}:{p.line}: {p.message}" for p in sorted(log.problems)]


@contextmanager
def web_server(folder: Path) -> Iterator[str]:
    """The address at which the files of a folder are served."""
    quiet = type("Quiet", (http.server.SimpleHTTPRequestHandler,), {"log_message": lambda *a: None})
    handler = functools.partial(quiet, directory=str(folder))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()
