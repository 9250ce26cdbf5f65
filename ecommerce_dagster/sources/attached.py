"""Ingestr assets whose source is a database that DuckDB attaches by an extension."""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from pathlib import Path

import duckdb

from ecommerce_dagster.bruin.model.asset import Asset
from ecommerce_dagster.bruin.model.interval import Interval
from ecommerce_dagster.sources.parameters import incremental_key_of
from ecommerce_dagster.sources.relation import ALIAS, RelationIngestion, SourceRows
from ecommerce_dagster.sql.column_names import meant
from ecommerce_dagster.sql.identifiers import literal, quoted
from ecommerce_dagster.warehouses.duckdb.database import described
from ecommerce_dagster.warehouses.duckdb.extensions import ExtensionError, load_extension
from ecommerce_dagster.warehouses.duckdb.secrets import forget_secret, keep_secret

_LOGIN = "_source_login"
# Left to itself the extension makes a BOOLEAN of each TINYINT(1), shows a TIMESTAMP in the time
# zone of the server, and lets no query take longer than five minutes.
_EXACT = {
    "mysql_tinyint1_as_boolean": "false",
    "mysql_session_time_zone": "'+00:00'",
    "mysql_query_timeout_enabled": "false",
}
_DIGITS = 38  # of a DECIMAL in DuckDB


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
            for setting, value in _EXACT.items():
                connection.execute(f"SET {setting} = {value}")
            keep_secret(connection, _LOGIN, "mysql", self.login)
            connection.execute(f"ATTACH '' AS {ALIAS} (TYPE mysql, READ_ONLY, SECRET {_LOGIN})")
        except (ExtensionError, duckdb.Error) as error:
            secret = re.escape(self.login.get("PASSWORD") or "\0")
            reason = re.sub(secret, "***", str(error).splitlines()[0])
            raise self.failure(f"{self.label} cannot be read as MySQL: {reason}") from None
        finally:
            forget_secret(connection, _LOGIN)

    def rows_in(self, connection: duckdb.DuckDBPyConnection) -> SourceRows:
        """The table or the query. What DuckDB would round, or compare otherwise than MySQL, comes
        as it is stored."""
        source = super().rows_in(connection)
        if source.table is None:
            return source
        source.require_table(self.label)
        kinds = source.columns()
        wide = self._wide(connection, source.table) - {*self.excluded}
        if wide:
            source = self._as_texts(connection, source, kinds, wide)
        key = meant(incremental_key_of(self.asset) or "", kinds)
        if key is None or kinds[key] != "VARCHAR":
            return source
        # A condition on a text would be MySQL's, to whom B is larger than a; not one on this.
        cells = {name: quoted(name) for name in kinds}
        return source.with_columns(cells | {key: f"{quoted(key)} || ''"})

    def _wide(self, connection: duckdb.DuckDBPyConnection, table: str) -> set[str]:
        """The columns of a table whose DECIMALs have more digits than DuckDB's."""
        schema, name = table.split(".", 1)
        asked = (
            "SELECT column_name FROM information_schema.columns WHERE data_type = 'decimal' "
            f"AND numeric_precision > {_DIGITS} AND table_schema = {_text(schema)} "
            f"AND table_name = {_text(name)}"
        )
        return {str(row[0]) for row in connection.execute(f"FROM {_query(asked)}").fetchall()}

    def _as_texts(
        self,
        connection: duckdb.DuckDBPyConnection,
        source: SourceRows,
        kinds: dict[str, str],
        texts: set[str],
    ) -> SourceRows:
        """The same rows with these columns as MySQL writes them."""
        cells = (
            f"CAST({_name(name)} AS CHAR) AS {_name(name)}" if name in texts else _name(name)
            for name in kinds
        )
        table = ".".join(map(_name, (source.table or "").split(".", 1)))
        rows = _query(f"SELECT {', '.join(cells)} FROM {table}")
        arriving = described(connection, rows)
        return replace(source, relation=rows).with_columns(
            {
                name: _converted(name, arriving[name], "VARCHAR" if name in texts else kind)
                for name, kind in kinds.items()
            }
        )


def _query(sql: str) -> str:
    """What MySQL answers, as a relation."""
    return f"mysql_query({literal(ALIAS)}, {literal(sql)})"


def _name(name: str) -> str:
    """An identifier in SQL for MySQL."""
    return f"`{name.replace('`', '``')}`"


def _text(text: str) -> str:
    """A text in SQL for MySQL, in every mode of its server."""
    return f"X'{text.encode().hex()}'"


def _converted(name: str, arriving: str, kind: str) -> str:
    """A column of a query as it would come from a table: a JSON, say, comes as BLOB."""
    if arriving == kind:
        return quoted(name)
    return f"decode({quoted(name)})" if arriving == "BLOB" else f"CAST({quoted(name)} AS {kind})"
