"""One asset file at a time, run for real in a database of a running server."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import psycopg
import yaml

from ecommerce_dagster.bruin.connections import PostgresConnection
from ecommerce_dagster.bruin.interval import Interval
from ecommerce_dagster.bruin.models import Asset
from ecommerce_dagster.bruin.templates import RunContext, render
from ecommerce_dagster.embedded_postgres import PostgresServer
from ecommerce_dagster.ingestion.seed import Seed
from ecommerce_dagster.postgres_warehouse import PostgresWarehouse
from ecommerce_dagster.warehouse.checks import CheckResult, checks_of
from ecommerce_dagster.warehouse.interface import Fill, Published, nothing
from ecommerce_dagster.warehouse.sql_asset import SqlBuild

FILE = Path("assets/mart/t.sql")
BODY_LINE = 10
TABLE = "materialization: {type: table}"
VIEW = "materialization: {type: view}"


def asset_of(header: str, sql: str = "") -> Asset:
    """The asset of a file with this header, called mart.t when it says nothing else. Its SQL
    starts at line 10 of the file."""
    definition = {"name": "mart.t", "type": "pg.sql", **(yaml.safe_load(header) or {})}
    asset = Asset.model_validate({"path": FILE, "line": 1, **definition})
    return asset.model_copy(update={"body": sql, "body_line": BODY_LINE, "body_path": FILE})


def values(names: str, *rows: str) -> str:
    """A query for these rows: values("a, b", "1, 'x'", "2, 'y'")."""
    if not rows:
        nothing = ", ".join(f"NULL AS {name}" for name in names.split(", "))
        return f"SELECT {nothing} LIMIT 0"
    return f"SELECT * FROM (VALUES {', '.join(f'({row})' for row in rows)}) AS v({names})"


@dataclass
class Warehouse:
    """A database, what a run does to it, and what is in it afterwards."""

    server: PostgresServer
    session: psycopg.Connection[Any]
    schema: str = "public"
    root: Path = field(default_factory=Path)

    @property
    def connection(self) -> PostgresConnection:
        """What `.bruin.yml` says."""
        s = self.server
        return PostgresConnection(s.host, s.port, s.database, s.user, s.password, self.schema)

    def run(
        self,
        header: str | Asset,
        sql: str = "",
        *,
        interval: Interval | None = None,
        connection: PostgresConnection | None = None,
        full_refresh: bool = False,
        strict_window: bool = False,
        timeout: float | None = None,
        views: Collection[str] = (),
    ) -> Published:
        """Run the asset file with this header and SQL, of a pipeline that makes these views."""
        asset = header if isinstance(header, Asset) else asset_of(header, sql)
        renderer = _renderer(asset, interval)
        fills: dict[str, Fill] = {
            "pg.sql": SqlBuild(asset, renderer, interval, full_refresh, strict_window),
            "pg.seed": Seed(asset, self.root),
        }
        return PostgresWarehouse(connection or self.connection, views=views).publish(
            asset, fills.get(asset.type, nothing), checks_of(asset), renderer, timeout
        )

    def checks(self, header: str, sql: str = "") -> dict[str, CheckResult]:
        """Run the file and give its check results by label."""
        return {result.check.label: result for result in self.run(header, sql).results}

    def check_only(self, header: str) -> tuple[CheckResult, ...]:
        asset = asset_of(header)
        return PostgresWarehouse(self.connection).check(
            asset, checks_of(asset), _renderer(asset, interval=None)
        )

    def sql(self, *statements: str) -> list[tuple[Any, ...]]:
        """Run statements; the rows of the last one."""
        for statement in statements:
            cursor = self.session.execute(statement.encode())
        return cursor.fetchall() if cursor.description else []

    def rows(self, name: str = "mart.t") -> list[tuple[Any, ...]]:
        """The rows of a table, sorted by all columns, NULL first."""
        rows = self.sql(f"SELECT * FROM {name}")
        return sorted(rows, key=lambda row: [(cell is not None, cell) for cell in row])

    def types(self, name: str = "mart.t") -> dict[str, str]:
        query = (
            "SELECT attname, format_type(atttypid, atttypmod) FROM pg_attribute"
            f" WHERE attrelid = '{name}'::regclass AND attnum > 0 AND NOT attisdropped"
            " ORDER BY attnum"
        )
        return dict(self.sql(query))

    def kind(self, name: str = "mart.t") -> str | None:
        ((kind,),) = self.sql(
            f"SELECT (SELECT relkind::text FROM pg_class WHERE oid = to_regclass('{name}'))"
        )
        return {"r": "table", "v": "view", None: None}[kind]

    @contextmanager
    def another_session(self) -> Iterator[psycopg.Connection[Any]]:
        with psycopg.connect(self.server.dsn, autocommit=True) as other:
            yield other

    def away(self, **changes: Any) -> PostgresConnection:
        """A connection that is not quite that of the server."""
        return replace(self.connection, **changes)


def _renderer(asset: Asset, interval: Interval | None) -> Any:
    return lambda template: render(template, RunContext(interval=interval), asset.name)
