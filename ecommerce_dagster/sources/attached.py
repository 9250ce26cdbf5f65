"""Ingestr assets whose source is a database that DuckDB attaches by an extension."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path

import duckdb

from ecommerce_dagster.bruin.model.asset import Asset
from ecommerce_dagster.bruin.model.interval import Interval
from ecommerce_dagster.sources.relation import ALIAS, RelationIngestion
from ecommerce_dagster.sql.identifiers import literal
from ecommerce_dagster.warehouses.duckdb.extensions import ExtensionError, load_extension
from ecommerce_dagster.warehouses.duckdb.secrets import forget_secret, keep_secret

_LOGIN = "_source_login"


@dataclass(frozen=True)
class SQLiteIngestion(RelationIngestion):
    """How to load one ingestr asset from a SQLite file. Call it with the place for its table."""

    asset: Asset
    path: str
    interval: Interval | None = None
    full_refresh: bool = False
    reconcile: bool = False

    @property
    def label(self) -> str:
        return self.path

    def attach(self, connection: duckdb.DuckDBPyConnection) -> None:
        if not Path(self.path).is_file():
            message = f"the source {self.path} does not exist; correct its path in .bruin.yml"
            raise self.failure(message)
        try:
            load_extension(connection, "sqlite_scanner")
            connection.execute(f"ATTACH {literal(self.path)} AS {ALIAS} (TYPE sqlite, READ_ONLY)")
            # A SQLite file is opened at its first use: use it here, where an error names it.
            known = f"database_name = {literal(ALIAS)}"
            connection.execute(f"SELECT count(*) FROM duckdb_tables() WHERE {known}")
        except (ExtensionError, duckdb.Error) as error:
            connection.execute(f"DETACH DATABASE IF EXISTS {ALIAS}")
            reason = str(error).splitlines()[0]
            raise self.failure(f"{self.path} cannot be read as SQLite: {reason}") from None


@dataclass(frozen=True)
class MySQLIngestion(RelationIngestion):
    """How to load one ingestr asset from MySQL or MariaDB. Call it with the place for its table."""

    asset: Asset
    login: dict[str, str] = field(repr=False)
    interval: Interval | None = None
    full_refresh: bool = False
    reconcile: bool = False

    @property
    def label(self) -> str:
        return f"{self.login['HOST']}:{self.login['PORT']}/{self.login['DATABASE']}"

    @property
    def schema(self) -> str:
        return self.login["DATABASE"]

    def attach(self, connection: duckdb.DuckDBPyConnection) -> None:
        try:
            load_extension(connection, "mysql_scanner")
            keep_secret(connection, _LOGIN, "mysql", self.login)
            connection.execute(f"ATTACH '' AS {ALIAS} (TYPE mysql, READ_ONLY, SECRET {_LOGIN})")
        except (ExtensionError, duckdb.Error) as error:
            secret = re.escape(self.login.get("PASSWORD") or "\0")
            reason = re.sub(secret, "***", str(error).splitlines()[0])
            raise self.failure(f"{self.label} cannot be read as MySQL: {reason}") from None
        finally:
            forget_secret(connection, _LOGIN)
