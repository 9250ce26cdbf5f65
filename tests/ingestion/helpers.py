"""One source database, one warehouse, and loads from the one into the other, for real."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb
import psycopg
import pytest
import yaml
from psycopg import sql

from ecommerce_dagster.bruin.model.asset import Asset
from ecommerce_dagster.bruin.model.interval import Interval
from ecommerce_dagster.bruin.model.postgres_connection import PostgresConnection
from ecommerce_dagster.bruin.templates.render import RunContext, render
from ecommerce_dagster.shop.embedded_postgres import PostgresServer
from ecommerce_dagster.sources.postgres.ingest import Ingestion
from ecommerce_dagster.warehouses.base import BuildResult
from ecommerce_dagster.warehouses.duckdb.database import described
from ecommerce_dagster.warehouses.duckdb.transaction import DuckDBTransaction
from ecommerce_dagster.warehouses.publish import publish
from ecommerce_dagster.warehouses.sql_asset import AssetError, SqlBuild

FILE = Path("assets/raw/t.asset.yml")
LINE = 3
# Two ways into DuckDB: the table itself, in parallel, and a query that Postgres runs.
_numbers = itertools.count(1)

_STAGED = """
materialization:
  {type: table, strategy: time_interval, incremental_key: day, time_granularity: timestamp}
columns: [{name: id, primary_key: true}]
"""
_STAGED_QUERY = """SELECT * FROM raw.t {% if not full_refresh %}
WHERE day BETWEEN '{{ start_timestamp }}' AND '{{ end_timestamp }}' {% endif %}"""

TABLE, QUERY = "public.t", "query:SELECT * FROM public.t"
# Without the DuckLake, for what is decided before its table is written to, or by the same statements
# as in a DuckDB file.
TWO_PLACES = pytest.mark.parametrize("p", ["_world", "_in_postgres"], indirect=True)


def asset_of(parameters: str | dict[str, Any] = "", rest: str = "") -> Asset:
    """An ingestr asset raw.t of public.t with these parameters and this rest of its file."""
    given = parameters if isinstance(parameters, dict) else yaml.safe_load(parameters) or {}
    defaults = {"source_connection": "pg", "source_table": TABLE, "destination": "duckdb"}
    definition = {"name": "raw.t", "type": "ingestr", "parameters": {**defaults, **given}}
    position = {"path": FILE, "line": LINE}
    return Asset.model_validate({**definition, **(yaml.safe_load(rest) or {}), **position})


def days(first: str, count: int = 1) -> Interval:
    """The interval of whole days from a date on."""
    start = datetime.fromisoformat(first).replace(tzinfo=UTC)
    return Interval(start, start + timedelta(days=count))


def eventually(happens: Callable[[], bool]) -> bool:
    """Whether something happens within seconds."""
    deadline = time.monotonic() + 5
    while not happens():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True


@dataclass
class World:
    """A database of its own in a running server, and a warehouse."""

    server: PostgresServer
    postgres: psycopg.Connection[Any]
    duck: duckdb.DuckDBPyConnection

    @property
    def connection(self) -> PostgresConnection:
        """What `.bruin.yml` says."""
        s = self.server
        return PostgresConnection(s.host, s.port, s.database, s.user, s.password)

    def clear(self) -> None:
        """Make both as new."""
        own = "nspname NOT LIKE 'pg\\_%' AND nspname <> 'information_schema'"
        for (schema,) in self.sql(f"SELECT quote_ident(nspname) FROM pg_namespace WHERE {own}"):
            self.sql(f"DROP SCHEMA {schema} CASCADE")
        self.sql("RESET ALL", "CREATE SCHEMA public")
        for schema in ("raw", "stg"):
            self.duck.execute(f"DROP SCHEMA IF EXISTS {schema} CASCADE")

    def sql(self, *statements: str) -> list[tuple[Any, ...]]:
        """Run statements in Postgres; the rows of the last one."""
        cursor = self.postgres.cursor()
        for statement in statements:
            cursor.execute(sql.SQL(statement))  # type: ignore[arg-type]
        return cursor.fetchall() if cursor.description else []

    def load(
        self,
        parameters: str | dict[str, Any] = "",
        rest: str = "",
        *,
        interval: Interval | None = None,
        full_refresh: bool = False,
        reconcile: bool = False,
        connection: PostgresConnection | None = None,
    ) -> BuildResult:
        """One run of raw.t."""
        asset = asset_of(parameters, rest)
        fill = Ingestion(asset, connection or self.connection, interval, full_refresh, reconcile)
        with fill.prepare(self.duck):
            return publish(
                DuckDBTransaction(self.duck, asset), asset, fill, [], lambda template: template
            )

    def stage(self, *, interval: Interval | None = None) -> BuildResult:
        """One run of stg.t, which is raw.t by day."""
        definition = {"name": "stg.t", "type": "duckdb.sql", **yaml.safe_load(_STAGED)}
        asset = Asset.model_validate(definition)
        asset = asset.model_copy(update={"body": _STAGED_QUERY, "body_path": FILE, "path": FILE})
        context = RunContext(interval=interval, full_refresh=interval is None)
        rebuild, strict = interval is None, interval is not None

        def rendered(template: str) -> str:
            return render(template, context, asset.name)

        fill = SqlBuild(asset, rendered, interval, rebuild, strict_window=strict)
        return publish(DuckDBTransaction(self.duck, asset), asset, fill, [], rendered)

    def failure(self, *args: Any, **kwargs: Any) -> str:
        """The message of a run that fails, after the place that it names, in one line."""
        with pytest.raises(AssetError) as failed:
            self.load(*args, **kwargs)
        place, message = f"{FILE}:{LINE}: ", str(failed.value)
        assert message.startswith(place)
        assert "\n" not in message
        return message.removeprefix(place)

    def uses_an_index(self) -> bool:
        """Whether somebody who is gone has used an index of t."""
        query = "SELECT sum(idx_scan) > 0 FROM pg_stat_user_indexes WHERE relname = 't'"
        return eventually(lambda: bool(self.sql(query)[0][0]))

    def is_alone(self) -> bool:
        """Whether nobody else has a connection to the database."""
        others = (
            "SELECT FROM pg_stat_activity WHERE datname = current_database()"
            " AND backend_type = 'client backend' AND pid <> pg_backend_pid()"
        )
        return eventually(lambda: not self.sql(others))

    def rows(self, query: str = "FROM raw.t ORDER BY ALL") -> list[tuple[Any, ...]]:
        """Rows of the warehouse."""
        return self.duck.execute(query).fetchall()

    def texts(self, column: str = "v") -> list[str | None]:
        """A column of the loaded table as DuckDB writes it, in the order of `id`."""
        query = f'SELECT CAST("{column}" AS VARCHAR) FROM raw.t ORDER BY id'
        return [row[0] for row in self.rows(query)]

    def types(self) -> dict[str, str]:
        """The columns of the loaded table."""
        return described(self.duck, "raw.t")

    def new_role(self, *statements: str, password: str = "secret") -> PostgresConnection:
        """Somebody else, who may read everything and who is made by these statements."""
        role = f"role_{next(_numbers)}"
        self.sql(f"CREATE ROLE {role} LOGIN", "GRANT USAGE ON SCHEMA public TO PUBLIC")
        self.sql("GRANT SELECT ON ALL TABLES IN SCHEMA public TO PUBLIC")
        change = sql.SQL("ALTER ROLE {} PASSWORD {}")
        self.postgres.execute(change.format(sql.Identifier(role), sql.Literal(password)))
        self.sql(*(statement.format(role=role) for statement in statements))
        return replace(self.connection, user=role, password=password)

    @contextmanager
    def session(self) -> Iterator[psycopg.Connection[Any]]:
        """Somebody else in the source database."""
        with psycopg.connect(self.server.dsn, autocommit=True) as other:
            yield other


NewWorld = Callable[[str], World]
