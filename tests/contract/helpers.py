"""One asset file at a time, run for real in a warehouse: a DuckDB file, a DuckLake, PostgreSQL.

A test takes the fixture `w`, runs asset files and looks at what is in the tables afterwards. What
the databases write differently (names of types, how a view is found) is answered here, so that
a test says the same to all of them.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, ClassVar

import duckdb
import psycopg
import pytest
import yaml

from ecommerce_dagster.bruin.model.asset import Asset
from ecommerce_dagster.bruin.model.interval import Interval
from ecommerce_dagster.bruin.model.postgres_connection import PostgresConnection
from ecommerce_dagster.bruin.problems import ProblemLog
from ecommerce_dagster.bruin.templates.render import RunContext, render
from ecommerce_dagster.shop.embedded_postgres import PostgresServer
from ecommerce_dagster.sources.seeds.seed import Seed
from ecommerce_dagster.sql.checks import Check, CheckResult, TimeUnit, checks_of
from ecommerce_dagster.sql.comparison import Comparison
from ecommerce_dagster.sql.identifiers import relation
from ecommerce_dagster.sql.strategies.registry import (
    lint_materialization,
    lint_postgres_materialization,
)
from ecommerce_dagster.warehouses.base import BuildResult, Writer, nothing
from ecommerce_dagster.warehouses.duckdb.database import comments_of, kind_of
from ecommerce_dagster.warehouses.duckdb.transaction import DuckDBTransaction, check_only
from ecommerce_dagster.warehouses.duckdb.warehouse import DuckDBWarehouse
from ecommerce_dagster.warehouses.ducklake.attach import LAKE
from ecommerce_dagster.warehouses.postgres.warehouse import PostgresWarehouse
from ecommerce_dagster.warehouses.publish import publish
from ecommerce_dagster.warehouses.sql_asset import SqlBuild

FILE = Path("assets/mart/t.sql")
BODY_LINE = 10
TABLE = "materialization: {type: table}"
VIEW = "materialization: {type: view}"
Row = tuple[Any, ...]

ALL = ("duckdb", "ducklake", "postgres")
# A DuckDB file that counts every table as it counts large ones.
LARGE = "duckdb, large table"


def only(*names: str) -> pytest.MarkDecorator:
    """The tests run in these warehouses, and not in the others: `@only("duckdb", "ducklake")`.
    What a test says goes before what its class says."""
    return pytest.mark.only(*names)


everywhere = only(*ALL)
# A DuckLake has DuckDB's SQL, and takes ten times as long.
each_sql = only("duckdb", "postgres")
# DuckDB counts a small table in one scan, and a large one in the cheapest way for each rule.
however_counted = only("duckdb", LARGE, "postgres")


def asset_of(header: str, sql: str = "", kind: str = "duckdb.sql") -> Asset:
    """The asset of a file with this header, called mart.t and of the type `kind` when it says
    nothing else. Its SQL starts at line 10 of the file."""
    definition = {"name": "mart.t", "type": kind, **(yaml.safe_load(header) or {})}
    asset = Asset.model_validate({"path": FILE, "line": 1, **definition})
    return asset.model_copy(update={"body": sql, "body_line": BODY_LINE, "body_path": FILE})


def values(names: str, *rows: str) -> str:
    """A query for these rows: values("a, b", "1, 'x'", "2, 'y'")."""
    if not rows:
        nulls = ", ".join(f"NULL AS {name}" for name in names.split(", "))
        return f"SELECT {nulls} LIMIT 0"
    return f"SELECT * FROM (VALUES {', '.join(f'({row})' for row in rows)}) AS v({names})"


def day(text: str, days: int = 1) -> Interval:
    """The interval of whole days that starts at this date."""
    start = datetime.fromisoformat(text).replace(tzinfo=UTC)
    return Interval(start, start + timedelta(days=days))


Complaints = Callable[..., list[str]]


def _complaints(lint: Callable[[Asset, ProblemLog], None], kind: str) -> Complaints:
    def complaints(header: str, sql: str = "") -> list[str]:
        log = ProblemLog()
        lint(asset_of(header, sql, kind), log)
        return [problem.message for problem in log.errors]

    return complaints


# What `validate` says against the materialization of a file, by its header and its SQL.
every_lint = pytest.mark.parametrize(
    "complaints",
    [
        _complaints(lint_materialization, "duckdb.sql"),
        _complaints(lint_postgres_materialization, "pg.sql"),
    ],
    ids=["duckdb", "postgres"],
)


def renderer(asset: Asset, interval: Interval | None = None) -> Callable[[str], str]:
    return lambda template: render(template, RunContext(interval=interval), asset.name)


class Warehouse(ABC):
    """A warehouse, what a run does to it, and what is in it afterwards."""

    name: ClassVar[str]
    # The type of an asset that is a query in this warehouse.
    asset_type: ClassVar[str]
    # What the database calls a type, by what tests call it.
    type_names: ClassVar[dict[str, str]]
    # What dates the rows that break a check.
    by_time: TimeUnit | None = None

    def checks_of(self, asset: Asset) -> list[Check]:
        """The checks of an asset, as a run asks them."""
        return [replace(check, by_time=self.by_time) for check in checks_of(asset)]

    def asset(self, header: str, sql: str = "") -> Asset:
        return asset_of(header, sql, self.asset_type)

    def run(
        self,
        header: str | Asset,
        sql: str = "",
        *,
        interval: Interval | None = None,
        full_refresh: bool = False,
        strict_window: bool = False,
    ) -> BuildResult:
        """Run the asset file with this header and SQL, and tell what a run would tell."""
        asset = header if isinstance(header, Asset) else self.asset(header, sql)
        build = SqlBuild(asset, renderer(asset, interval), interval, full_refresh, strict_window)
        return self.publish(asset, build, interval)

    @abstractmethod
    def publish(self, asset: Asset, fill: Writer, interval: Interval | None = None) -> BuildResult:
        """Fill the table, ask its checks, publish or not."""

    @abstractmethod
    def check_only(
        self, header: str, compared: Comparison | None = None
    ) -> tuple[CheckResult, ...]:
        """The results of the checks of the table as it is; of those without a threshold, `compared`
        with the past."""

    def checks(self, header: str, sql: str = "") -> dict[str, CheckResult]:
        """Run the file and give its check results by label."""
        return {result.check.label: result for result in self.run(header, sql).results}

    @abstractmethod
    def moments(self, key: str, unit: str, window: Interval | None = None) -> dict[float, int]:
        """The days or hours in which the table mart.t has rows, in seconds since 1970."""

    @abstractmethod
    def sql(self, *statements: str) -> list[Row]:
        """Run statements; the rows of the last one."""

    def rows(self, name: str = "mart.t") -> list[Row]:
        """The rows of a table, sorted by all columns, NULL first."""
        rows = self.sql(f"SELECT * FROM {self.written(name)}")
        return sorted(rows, key=lambda row: [(cell is not None, cell) for cell in row])

    def written(self, name: str) -> str:
        """The name of an asset as SQL writes it."""
        return name

    @abstractmethod
    def types(self, name: str = "mart.t") -> dict[str, str]:
        """The columns of a table or view, with their types as the database calls them."""

    @abstractmethod
    def kind(self, name: str = "mart.t") -> str | None:
        """`table`, `view`, or None."""

    @abstractmethod
    def comments(self) -> dict[str, str]:
        """What the database says of the columns of mart.t, and of the table under ""."""

    def columns(self, name: str = "mart.t") -> dict[str, str]:
        """The columns of a table or view, with their types as tests call them."""
        return {column: self.called(kind) for column, kind in self.types(name).items()}

    def called(self, kind: str) -> str:
        """What tests call a type of the database: text, timestamptz, numeric(10,2)."""
        names = {theirs: ours for ours, theirs in self.type_names.items()}
        bare, bracket, rest = kind.partition("(")
        return names.get(kind) or names.get(bare, bare.lower()) + bracket + rest


@dataclass
class DuckDB(Warehouse):
    """A DuckDB file."""

    name = "duckdb"
    asset_type = "duckdb.sql"
    type_names: ClassVar = {
        "text": "VARCHAR",
        "numeric": "DECIMAL",
        "timestamptz": "TIMESTAMP WITH TIME ZONE",
        "double": "DOUBLE",
    }

    connection: duckdb.DuckDBPyConnection

    def publish(self, asset: Asset, fill: Writer, interval: Interval | None = None) -> BuildResult:
        ask = renderer(asset, interval)
        transaction = DuckDBTransaction(self.connection, asset)
        return publish(transaction, asset, fill, self.checks_of(asset), ask)

    def check_only(
        self, header: str, compared: Comparison | None = None
    ) -> tuple[CheckResult, ...]:
        asset = self.asset(header)
        checks = [replace(check, compared=compared) for check in checks_of(asset)]
        return check_only(self.connection, asset, checks, renderer(asset))

    def moments(self, key: str, unit: str, window: Interval | None = None) -> dict[float, int]:
        return DuckDBWarehouse(lambda: nullcontext(self.connection)).moments(
            "mart.t", key, unit, window
        )

    def sql(self, *statements: str) -> list[Row]:
        for statement in statements:
            self.connection.execute(statement)
        return self.connection.fetchall()

    def written(self, name: str) -> str:
        return relation(name)

    def types(self, name: str = "mart.t") -> dict[str, str]:
        return {row[0]: row[1] for row in self.sql(f"DESCRIBE {relation(name)}")}

    def comments(self) -> dict[str, str]:
        return comments_of(self.connection, "mart.t")

    def kind(self, name: str = "mart.t") -> str | None:
        return kind_of(self.connection, name)


@dataclass
class DuckLake(DuckDB):
    """A DuckLake, its catalogue in a file."""

    name = "ducklake"


@dataclass
class Postgres(Warehouse):
    """A database of a running server."""

    name = "postgres"
    asset_type = "pg.sql"
    type_names: ClassVar = {
        "timestamptz": "timestamp with time zone",
        "timestamp": "timestamp without time zone",
        "double": "double precision",
    }

    server: PostgresServer
    session: psycopg.Connection[Any]
    schema: str = "public"
    root: Path = field(default_factory=Path)

    @property
    def connection(self) -> PostgresConnection:
        """What `.bruin.yml` says."""
        s = self.server
        return PostgresConnection(s.host, s.port, s.database, s.user, s.password, self.schema)

    def away(self, **changes: Any) -> PostgresConnection:
        """A connection that is not quite that of the server."""
        return replace(self.connection, **changes)

    def run(
        self,
        header: str | Asset,
        sql: str = "",
        *,
        interval: Interval | None = None,
        full_refresh: bool = False,
        strict_window: bool = False,
        connection: PostgresConnection | None = None,
        timeout: float | None = None,
        views: Collection[str] = (),
    ) -> BuildResult:
        """Run the asset file with this header and SQL, of a pipeline that makes these views."""
        asset = header if isinstance(header, Asset) else self.asset(header, sql)
        build = SqlBuild(asset, renderer(asset, interval), interval, full_refresh, strict_window)
        fills: dict[str, Writer] = {"pg.sql": build, "pg.seed": Seed(asset, self.root)}
        return PostgresWarehouse(connection or self.connection, views=views).publish(
            asset, fills.get(asset.type, nothing), self.checks_of(asset), renderer(asset, interval),
            timeout,
        )  # fmt: skip

    def publish(self, asset: Asset, fill: Writer, interval: Interval | None = None) -> BuildResult:
        database = PostgresWarehouse(self.connection)
        return database.publish(asset, fill, self.checks_of(asset), renderer(asset, interval))

    def check_only(
        self, header: str, compared: Comparison | None = None
    ) -> tuple[CheckResult, ...]:
        asset = self.asset(header)
        checks = [replace(check, compared=compared) for check in checks_of(asset)]
        return PostgresWarehouse(self.connection).check(asset, checks, renderer(asset))

    def moments(self, key: str, unit: str, window: Interval | None = None) -> dict[float, int]:
        return PostgresWarehouse(self.connection).moments("mart.t", key, unit, window)

    def sql(self, *statements: str) -> list[Row]:
        for statement in statements:
            cursor = self.session.execute(statement.encode())
        return cursor.fetchall() if cursor.description else []

    def types(self, name: str = "mart.t") -> dict[str, str]:
        query = (
            "SELECT attname, format_type(atttypid, atttypmod) FROM pg_attribute"
            f" WHERE attrelid = '{name}'::regclass AND attnum > 0 AND NOT attisdropped"
            " ORDER BY attnum"
        )
        return dict(self.sql(query))

    def comments(self) -> dict[str, str]:
        return dict(
            self.sql(
                "SELECT coalesce(attname::text, ''), description FROM pg_description"
                " LEFT JOIN pg_attribute ON attrelid = objoid AND attnum = objsubid AND attnum > 0"
                " WHERE objoid = 'mart.t'::regclass"
            )
        )

    def kind(self, name: str = "mart.t") -> str | None:
        ((kind,),) = self.sql(
            f"SELECT (SELECT relkind::text FROM pg_class WHERE oid = to_regclass('{name}'))"
        )
        return {"r": "table", "v": "view", None: None}[kind]

    @contextmanager
    def another_session(self) -> Iterator[psycopg.Connection[Any]]:
        with psycopg.connect(self.server.dsn, autocommit=True) as other:
            yield other


@contextmanager
def empty_file(duck: duckdb.DuckDBPyConnection, path: Path) -> Iterator[DuckDB]:
    """A new DuckDB file, in a DuckDB that runs."""
    with duck.cursor() as connection:
        connection.execute(f"ATTACH '{path}' AS shop")
        connection.execute("USE shop")
        yield DuckDB(connection)
        _end_transaction(connection)
        connection.execute("USE memory")
        connection.execute("DETACH shop")


@contextmanager
def empty_lake(lake: duckdb.DuckDBPyConnection) -> Iterator[DuckLake]:
    """A DuckLake, which is emptied afterwards."""
    with lake.cursor() as connection:
        connection.execute(f"USE {LAKE}")
        yield DuckLake(connection)
        _end_transaction(connection)
        schemas: Sequence[Row] = connection.execute(
            f"SELECT schema_name FROM duckdb_schemas() WHERE database_name = '{LAKE}'"
        ).fetchall()
        for (schema,) in schemas:
            connection.execute(f'DROP SCHEMA "{schema}" CASCADE')
        connection.execute("CREATE SCHEMA main")


@contextmanager
def empty_database(database: PostgresServer) -> Iterator[Postgres]:
    """A database of a server, which is emptied afterwards."""
    with psycopg.connect(database.dsn, autocommit=True) as session:
        session.execute("SET TimeZone TO 'UTC'")
        warehouse = Postgres(database, session)
        yield warehouse
        for (schema,) in warehouse.sql(
            "SELECT quote_ident(nspname) FROM pg_namespace"
            " WHERE nspname !~ '^pg_' AND nspname <> 'information_schema'"
        ):
            warehouse.sql(f"DROP SCHEMA {schema} CASCADE")
        warehouse.sql("CREATE SCHEMA public", f"ALTER DATABASE {database.database} RESET ALL")


def _end_transaction(connection: duckdb.DuckDBPyConnection) -> None:
    with suppress(duckdb.TransactionException):
        connection.execute("ROLLBACK")
