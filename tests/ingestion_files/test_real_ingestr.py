"""What ingestr itself reads comes out as by the readers of this project, from the same sources.

Needs the last release of ingestr in Python on PATH: `uv tool install 'ingestr<0.15'`.
"""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote

import duckdb
import psycopg
import pytest
from orchestration.helpers import Tiny

from ecommerce_dagster.shop.embedded_postgres import PostgresServer
from ecommerce_dagster.sources import ingestr
from ingestion_files.mysql_server import PASSWORD, MySQLServer

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        ingestr.program() is None,
        reason="ingestr is not installed here: uv tool install 'ingestr<0.15'",
    ),
]
ROWS = """
(1, 'ä', 12.34, '2025-01-01 00:00:00', '2025-01-01'),
(2, '', -0.01, '2025-01-02 12:30:00.500000', '2025-01-02'),
(3, NULL, NULL, NULL, NULL)
"""
# One name that has to be changed, and types that all of the sources have.
TABLE = (
    'CREATE TABLE {name} (id INTEGER PRIMARY KEY, "eMail" {text}, price {number}, '
    f'"updatedAt" {{moment}}, day DATE); INSERT INTO {{name}} VALUES {ROWS};'
)
COLUMNS = (
    "columns: [{name: id, type: integer, primary_key: true}, {name: e_mail, type: varchar}, "
    "{name: price, type: 'decimal(10,2)'}, {name: updated_at, type: timestamp}, "
    "{name: day, type: date}]\n"
)


# ingestr knows one width of integers, and takes moments for such in UTC.
AS_HERE = {"BIGINT": "INTEGER", "TIMESTAMP WITH TIME ZONE": "TIMESTAMP"}


class Both:
    """One source under two connections: `own`, which is read here, and `any`, which ingestr reads
    by its URI."""

    def __init__(self, tiny: Tiny, own: str, uri: str, table: str) -> None:
        self.tiny, self.table = tiny, table
        config = (tiny.folder / ".bruin.yml").read_text()
        tiny.write(".bruin.yml", f'{config}      {own}\n      db2: [{{name: any, uri: "{uri}"}}]\n')

    def load(self, more: str = "", rest: str = COLUMNS, *arguments: str) -> None:
        for name in ("own", "any"):
            self.tiny.write(
                f"pipeline/assets/{name}.asset.yml",
                f"name: raw.by_{name}\ntype: ingestr\nconnection: duckdb-default\nparameters: "
                f"{{source_connection: {name}, source_table: {self.table}{more and f', {more}'}}}\n"
                f"{rest}",
            )
        outcome = self.tiny.ecommerce("run", *arguments)
        assert outcome.code == 0, outcome.text
        assert PASSWORD not in outcome.text

    def tables(self) -> tuple[Any, Any]:
        """The columns with their types, and the rows, of both."""
        return self._table("own"), self._table("any")

    def _table(self, name: str) -> Any:
        types = self.tiny.query(f"DESCRIBE raw.by_{name}")
        rows = self.tiny.query(f"FROM raw.by_{name} ORDER BY id")
        plain = [tuple(map(_without_zone, row)) for row in rows]
        return [(row[0], AS_HERE.get(row[1], row[1])) for row in types], plain


def _without_zone(value: Any) -> Any:
    aware = isinstance(value, datetime) and value.tzinfo is not None
    return value.astimezone(UTC).replace(tzinfo=None) if aware else value


def made(name: str, text: str, number: str, moment: str) -> str:
    return TABLE.format(name=name, text=text, number=number, moment=moment)


@pytest.fixture(scope="module")
def mysql() -> Iterator[MySQLServer]:
    with MySQLServer() as server:
        server.execute("CREATE DATABASE shop;")
        server.execute(
            "USE shop; SET sql_mode = 'ANSI_QUOTES'; "
            + made("people", "VARCHAR(20)", "DECIMAL(10,2)", "DATETIME(6)")
        )
        yield server


@pytest.fixture
def both(request: pytest.FixtureRequest, tiny: Tiny) -> Both:
    """The source that the test is for."""
    folder: Path = tiny.folder
    match request.param:
        case "sqlite":
            with contextlib.closing(sqlite3.connect(folder / "s.db")) as source:
                source.executescript(made("people", "TEXT", "DECIMAL(10,2)", "TIMESTAMP"))
            return Both(
                tiny, "sqlite: [{name: own, path: s.db}]", f"sqlite:///{folder}/s.db", "main.people"
            )
        case "csv":
            with duckdb.connect() as source:
                source.execute(made("people", "VARCHAR", "DECIMAL(10,2)", "TIMESTAMP"))
                source.execute(f"COPY people TO '{folder}/people.csv'")
            return Both(
                tiny,
                "csv: [{name: own, path: people.csv}]",
                f"csv://{folder}/people.csv",
                "people.csv",
            )
        case "duckdb":
            with duckdb.connect(str(folder / "s.duckdb")) as source:
                source.execute(made("people", "VARCHAR", "DECIMAL(10,2)", "TIMESTAMP"))
            # An entry of the list that is there.
            tiny.write(
                ".bruin.yml",
                (folder / ".bruin.yml")
                .read_text()
                .replace("duckdb:\n", "duckdb:\n        - {name: own, path: s.duckdb}\n"),
            )
            return Both(tiny, "http: []", f"duckdb:///{folder}/s.duckdb", "main.people")
        case "mysql":
            server: MySQLServer = request.getfixturevalue("mysql")
            uri = f"mysql+pymysql://reader:{quote(PASSWORD)}@127.0.0.1:{server.port}/shop"
            return Both(tiny, f"mysql: [{{name: own, {server.connection}}}]", uri, "shop.people")
        case _:
            postgres: PostgresServer = request.getfixturevalue("server")
            with psycopg.connect(postgres.dsn, autocommit=True) as connection:
                connection.execute(
                    "DROP SCHEMA IF EXISTS by_ingestr CASCADE; CREATE SCHEMA by_ingestr"
                )
                connection.execute(made("by_ingestr.people", "text", "numeric(10,2)", "timestamp"))
            login = f"username: {postgres.user}, password: '{postgres.password}', database: {postgres.database}"
            uri = (
                f"postgresql://{postgres.user}:{quote(postgres.password, safe='')}"
                f"@{postgres.host}:{postgres.port}/{postgres.database}"
            )
            own = (
                f"postgres: [{{name: own, host: {postgres.host}, port: {postgres.port}, {login}}}]"
            )
            return Both(tiny, own, uri, "by_ingestr.people")


@pytest.mark.postgres
@pytest.mark.parametrize("both", ["sqlite", "csv", "duckdb", "mysql", "postgres"], indirect=True)
class TestSources:
    def test_the_tables_are_the_same(self, both: Both) -> None:
        both.load()
        own, by_ingestr = both.tables()
        assert own == by_ingestr
        assert len(own[1]) == 3

    def test_what_is_new_is_merged(self, both: Both) -> None:
        for _ in range(2):
            both.load("incremental_strategy: merge, incremental_key: updatedAt")
        own, by_ingestr = both.tables()
        assert own == by_ingestr
        assert len(own[1]) == 3
