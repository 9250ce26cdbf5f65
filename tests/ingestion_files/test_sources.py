"""Ingestr assets from SQLite, from files, and from what ingestr itself reads."""

from __future__ import annotations

import contextlib
import functools
import gzip
import importlib.util
import json
import os
import re
import sqlite3
import sys
import urllib.request
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import duckdb
import pytest
from orchestration.helpers import Tiny
from orchestration.object_store import object_store

from ecommerce_dagster.bruin.model.asset import Asset
from ecommerce_dagster.bruin.model.interval import Interval
from ecommerce_dagster.sources import ingestr
from ecommerce_dagster.sources.attached import MySQLIngestion, SQLiteIngestion
from ecommerce_dagster.sources.files import FileIngestion, place_of
from ecommerce_dagster.warehouses.duckdb.database import open_warehouse
from ecommerce_dagster.warehouses.duckdb.extensions import extension_directories
from ecommerce_dagster.warehouses.sql_asset import AssetError
from ingestion_files.helpers import Rows, asset_at, build, rows, types, web_server

DAY = Interval(datetime(2025, 1, 2, tzinfo=UTC), datetime(2025, 1, 3, tzinfo=UTC))
KEYS = "incremental_key: updatedAt, primary_key: Id"
needs_sqlite = pytest.mark.skipif(
    importlib.util.find_spec("duckdb_extension_sqlite_scanner") is None,
    reason="the package duckdb-extension-sqlite-scanner is not installed",
)


class Loads:
    """A warehouse in a folder, and loads into raw.t."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.warehouse = folder, str(folder / "warehouse.db")

    def asset(self, text: str = "name: raw.t\ntype: ingestr\n") -> Asset:
        return asset_at(self.folder / "assets/t.asset.yml", text)

    def run(
        self,
        kind: Any,
        place: object,
        table: str,
        parameters: str = "",
        rest: str = "",
        **more: Any,
    ) -> Rows:
        listed = "".join(f"  {one.strip()}\n" for one in parameters.split(", ") if one)
        text = f"name: raw.t\ntype: ingestr\nparameters:\n  source_table: '{table}'\n{listed}{rest}"
        asset = self.asset(text)
        fill = kind(asset, str(place), **more)
        with open_warehouse(self.warehouse) as connection:
            with fill.prepare(connection):
                assert build(connection, asset, fill).published
            return rows(connection, "raw.t")

    def fails(self, *arguments: Any, **more: Any) -> str:
        with pytest.raises(AssetError) as caught:
            self.run(*arguments, **more)
        return re.sub(r"/\S*/", "", str(caught.value))

    def types(self) -> dict[str, str]:
        with duckdb.connect(self.warehouse) as connection:
            return types(connection, "raw.t")


@pytest.fixture
def loads(tmp_path: Path) -> Loads:
    return Loads(tmp_path)


@needs_sqlite
class TestSQLite:
    @pytest.fixture
    def people(self, tmp_path: Path) -> Iterator[sqlite3.Connection]:
        with contextlib.closing(sqlite3.connect(tmp_path / "s.db", isolation_level=None)) as source:
            source.executescript(
                "CREATE TABLE people (Id INTEGER, eMail TEXT, updatedAt TIMESTAMP);"
                "INSERT INTO people VALUES (1, 'a', '2025-01-01'), (2, 'bb', '2025-01-02'), (3, NULL, '2025-01-03')"
            )
            yield source

    def load(self, loads: Loads, parameters: str = "", table: str = "people", **more: Any) -> Rows:
        return loads.run(SQLiteIngestion, loads.folder / "s.db", table, parameters, **more)

    def test_a_table_comes_whole(self, loads: Loads, people: sqlite3.Connection) -> None:
        assert [row[:2] for row in self.load(loads)] == [(1, "a"), (2, "bb"), (3, None)]
        assert loads.types() == {"id": "BIGINT", "e_mail": "VARCHAR", "updated_at": "TIMESTAMP"}

    def test_a_merge_goes_on_and_masks(self, loads: Loads, people: sqlite3.Connection) -> None:
        parameters = f"incremental_strategy: merge, {KEYS}, mask: e_mail:stars"
        self.load(loads, parameters)
        people.executescript(
            "UPDATE people SET eMail = 'new', updatedAt = '2025-01-04' WHERE Id = 1;"
            "INSERT INTO people VALUES (4, 'd', '2025-01-05')"
        )
        found = self.load(loads, parameters)
        assert [row[:2] for row in found] == [(1, "***"), (2, "**"), (3, None), (4, "*")]

    def test_a_window_is_loaded_anew(self, loads: Loads, people: sqlite3.Connection) -> None:
        parameters = f"incremental_strategy: delete+insert, {KEYS}"
        self.load(loads, parameters)
        people.execute("DELETE FROM people")
        people.execute("INSERT INTO people VALUES (9, 'z', '2025-01-02 23:59:59')")
        found = self.load(loads, parameters, interval=DAY)
        assert [row[0] for row in found] == [1, 3, 9]

    def test_append_takes_what_is_later(self, loads: Loads, people: sqlite3.Connection) -> None:
        parameters = "incremental_strategy: append, incremental_key: Id"
        self.load(loads, parameters)
        people.execute("INSERT INTO people VALUES (4, 'd', '2025-01-05')")
        assert [row[0] for row in self.load(loads, parameters)] == [1, 2, 3, 4]

    def test_a_query_is_asked(self, loads: Loads, people: sqlite3.Connection) -> None:
        found = self.load(loads, table="query:SELECT max(Id) AS n FROM people -- all")
        assert found == [(3,)]

    def test_what_cannot_be_read_is_said(self, loads: Loads, people: sqlite3.Connection) -> None:
        assert "has no table 'main.peple'; did you mean 'main.people'?" in loads.fails(
            SQLiteIngestion, loads.folder / "s.db", "peple"
        )
        assert "gone.db does not exist" in loads.fails(
            SQLiteIngestion, loads.folder / "gone.db", "t"
        )
        Path(loads.folder, "no.db").write_text("x" * 200)
        assert "cannot be read as SQLite" in loads.fails(
            SQLiteIngestion, loads.folder / "no.db", "t"
        )
        people.execute("INSERT INTO people VALUES (4, 'd', 'tomorrow')")
        assert "t.asset.yml:4: " in loads.fails(SQLiteIngestion, loads.folder / "s.db", "people")


@pytest.mark.skipif(
    importlib.util.find_spec("duckdb_extension_mysql_scanner") is None,
    reason="the package duckdb-extension-mysql-scanner is not installed",
)
def test_a_mysql_that_does_not_answer_is_said_without_its_password(loads: Loads) -> None:
    login = {"HOST": "127.0.0.1", "PORT": "9", "DATABASE": "d", "USER": "u", "PASSWORD": "s3cr3t"}

    def kind(asset: Asset, place: str) -> MySQLIngestion:
        return MySQLIngestion(asset, login)

    said = loads.fails(kind, "", "t")
    assert "127.0.0.1:9/d cannot be read as MySQL: " in said
    assert "s3cr3t" not in said + repr(MySQLIngestion(loads.asset(), login))


class TestFiles:
    def load(
        self, loads: Loads, name: str, text: str | bytes, parameters: str = "", rest: str = ""
    ) -> Rows:
        data = text.encode() if isinstance(text, str) else text
        Path(loads.folder, name).write_bytes(data)
        return loads.run(FileIngestion, loads.folder / name, name, parameters, rest)

    def test_csv_json_and_parquet(self, loads: Loads) -> None:
        text = "aB,t\n1,x\n2,\n"
        expected = [(1, "x"), (2, None)]
        assert self.load(loads, "a.csv", text) == expected
        assert self.load(loads, "a.csv.gz", gzip.compress(text.encode())) == expected
        assert self.load(loads, "a.tsv", text.replace(",", "\t")) == expected
        assert self.load(loads, "a.data", text, "file_type: csv") == expected
        assert self.load(loads, "a.jsonl", '{"aB": 1, "t": "x"}\n{"aB": 2}\n') == expected
        assert self.load(loads, "a.json", '[{"aB": 1, "t": "x"}, {"aB": 2}]') == expected
        duckdb.sql("SELECT 1 AS \"aB\", 'x' AS t UNION ALL SELECT 2, NULL").write_parquet(
            str(loads.folder / "a.parquet")
        )
        assert loads.run(FileIngestion, loads.folder / "a.parquet", "a") == expected
        assert list(loads.types()) == ["a_b", "t"]

    def test_several_files_at_once(self, loads: Loads) -> None:
        for n in (1, 2):
            Path(loads.folder, f"part{n}.csv").write_text(f"n\n{n}\n")
        assert loads.run(FileIngestion, loads.folder / "part*.csv", "x") == [(1,), (2,)]

    def test_strategies_masks_and_declared_types_are_those_of_any_source(
        self, loads: Loads
    ) -> None:
        rest = "columns: [{name: id, type: varchar, primary_key: true}, {name: eMail, mask: stars}]"
        merge = "incremental_strategy: merge"
        assert self.load(loads, "a.csv", "id,eMail\n007,a\n", merge, rest) == [("007", "*")]
        found = self.load(loads, "a.csv", "id,eMail\n007,abc\n008,\n", merge, rest)
        assert found == [("007", "***"), ("008", None)]

    def test_what_cannot_be_read_is_said(self, loads: Loads) -> None:
        fails = functools.partial(loads.fails, FileIngestion)
        assert "gone.csv does not exist; correct its path" in fails(loads.folder / "gone.csv", "x")
        assert "add `file_type:`" in fails(loads.folder / "a.bin", "x")
        assert "has no tables to ask" in fails(loads.folder / "a.csv", "query:SELECT 1")
        Path(loads.folder, "b.csv").write_text("a,b\n1,2,3\n")
        assert "t.asset.yml:4: " in fails(loads.folder / "b.csv", "x")
        assert "t.asset.yml:4: " in fails("http://127.0.0.1:9/a.csv", "x")

    def test_a_web_server(self, loads: Loads) -> None:
        Path(loads.folder, "a.csv").write_text("aB,t\n1,x\n")
        with web_server(loads.folder) as address:
            assert loads.run(FileIngestion, f"{address}/a.csv", "x") == [(1, "x")]

    def test_a_query_of_an_asset_reads_a_url(
        self, tiny: Tiny, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("HOME", str(tiny.folder))
        monkeypatch.setenv("XDG_CACHE_HOME", str(tiny.folder / "cache"))
        extension_directories.cache_clear()
        tiny.write("a.csv", "n\n1\n")
        with web_server(tiny.folder) as address:
            tiny.sql("main.t", f"SELECT * FROM read_csv('{address}/a.csv')")
            tiny.sql("main.script", "INSTALL httpfs;\nLOAD httpfs;\nSELECT 1", table=False)
            outcome = tiny.ecommerce("run")
        assert outcome.code == 0, outcome.text
        assert tiny.query("FROM main.t") == [(1,)]
        extension_directories.cache_clear()

    def test_s3(self, tiny: Tiny) -> None:
        with object_store("bucket") as address:
            who = "AWS4-HMAC-SHA256 Credential=lake/20250101/us-east-1/s3/aws4_request"
            for n in (1, 2):
                request = urllib.request.Request(
                    f"{address}/bucket/day/{n}.csv",
                    f"n\n{n}\n".encode(),
                    {"Authorization": who, "Content-Type": "text/csv"},
                    method="PUT",
                )
                urllib.request.urlopen(request, timeout=20).close()
            connect(
                tiny,
                f"s3: [{{name: s3, bucket_name: bucket, access_key_id: lake, secret_access_key: '${{KEY}}', endpoint_url: '{address}'}}]",
            )
            ingest(tiny, "s3", "day/*.csv#csv")
            outcome = tiny.ecommerce("run", KEY="s3cr3tkey")
        assert outcome.code == 0, outcome.text
        assert tiny.query("FROM raw.t ORDER BY ALL") == [(1,), (2,)]
        assert "s3cr3tkey" not in outcome.text

    @pytest.mark.parametrize(
        ("base", "table", "expected"),
        [
            ("a.csv", "whatever", "a.csv"),
            ("", "data/b.csv#csv", "data/b.csv"),
            ("data/", "b.csv", "data/b.csv"),
            ("https://host/files", "b.csv", "https://host/files/b.csv"),
            ("https://host/a.csv", "x", "https://host/a.csv"),
            ("data", "https://host/b.csv", "https://host/b.csv"),
        ],
    )
    def test_a_connection_and_a_table_name_a_file(
        self, base: str, table: str, expected: str
    ) -> None:
        assert place_of(base, table) == expected


def connect(tiny: Tiny, more: str) -> None:
    config = (tiny.folder / ".bruin.yml").read_text()
    tiny.write(".bruin.yml", f"{config}      {more}\n")


def ingest(tiny: Tiny, connection: str, table: str, more: str = "") -> None:
    tiny.write(
        "pipeline/assets/t.asset.yml",
        f"name: raw.t\ntype: ingestr\nconnection: duckdb-default\nparameters: {{source_connection: {connection}, source_table: '{table}'{more}}}\n",
    )


# What ingestr does, as far as a test can have it: rows of a SQLite file into a DuckDB file, by its
# environment. Keeps what it was told.
PROGRAM = f"""#!{sys.executable}
import json, os, sqlite3, sys
import duckdb
told = {{"arguments": sys.argv[1:], "environment": dict(os.environ)}}
open(os.environ["TOLD"], "w").write(json.dumps(told))
uri = os.environ["SOURCE_URI"]
if "broken" in uri:
    sys.exit(f"cannot log in with {{uri}}")
rows = [(1, "x"), (2, "y")]
with duckdb.connect(os.environ["DESTINATION_URI"].removeprefix("duckdb:///")) as target:
    target.execute('CREATE TABLE "rows" ("itemId" INTEGER, t VARCHAR, _dlt_id VARCHAR)')
    target.executemany('INSERT INTO "rows" VALUES (?, ?, NULL)', rows)
"""


class TestIngestr:
    @pytest.fixture
    def told(self, tiny: Tiny, monkeypatch: pytest.MonkeyPatch) -> Path:
        program = tiny.write("bin/ingestr", PROGRAM)
        program.chmod(0o755)
        monkeypatch.setenv("PATH", f"{program.parent}:{os.environ['PATH']}")
        monkeypatch.setenv("TOLD", str(tiny.folder / "told.json"))
        return tiny.folder / "told.json"

    def test_secrets_reach_it_by_its_environment_alone(self, tiny: Tiny, told: Path) -> None:
        connect(tiny, "stripe: [{name: pay, api_key: '${KEY}'}]")
        ingest(tiny, "pay", "charges", ", incremental_strategy: merge, primary_key: itemId")
        outcome = tiny.ecommerce("run", KEY="t0ps3cret&")
        assert outcome.code == 0, outcome.text
        assert tiny.query("FROM raw.t ORDER BY ALL") == [(1, "x"), (2, "y")]
        found = json.loads(told.read_text())
        assert found["environment"]["SOURCE_URI"] == "stripe://?api_key=t0ps3cret%26"
        assert found["environment"]["SOURCE_TABLE"] == "charges"
        assert found["arguments"] == ["ingest", "--yes", "--progress", "log"]

    def test_its_errors_are_shown_without_secrets(self, tiny: Tiny, told: Path) -> None:
        connect(tiny, "stripe: [{name: pay, api_key: '${KEY}', broken: 'yes'}]")
        ingest(tiny, "pay", "charges")
        outcome = tiny.ecommerce("run", KEY="t0ps3cret&")
        assert outcome.code == 1
        assert "ingestr could not read the source:\n   cannot log in with ***" in outcome.text
        assert "t0ps3cret" not in outcome.text

    def test_without_it_the_asset_is_left_out(
        self, tiny: Tiny, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(ingestr, "program", lambda: None)
        if ingestr.shutil.which("ingestr"):
            pytest.skip("ingestr is installed on this machine")
        connect(tiny, "stripe: [{name: pay, api_key: k}]")
        ingest(tiny, "pay", "charges")
        tiny.sql("main.other", "SELECT 1 AS n")
        outcome = tiny.ecommerce("run")
        assert outcome.code == 0, outcome.text
        assert "it reads from stripe" in outcome.text
        assert "pip install ingestr" in outcome.text

    def test_ingestr_itself(self, tiny: Tiny) -> None:
        if ingestr.program() is None:
            pytest.skip("ingestr is not installed")
        path = tiny.folder / "s.db"
        with contextlib.closing(sqlite3.connect(path)) as source:
            source.executescript(
                "CREATE TABLE people (Id INTEGER PRIMARY KEY, eMail TEXT); INSERT INTO people VALUES (1, 'a')"
            )
        connect(tiny, f"db2: [{{name: any, uri: 'sqlite:///{path}'}}]")
        ingest(tiny, "any", "main.people")
        outcome = tiny.ecommerce("run")
        assert outcome.code == 0, outcome.text
        assert tiny.query("SELECT id, e_mail FROM raw.t") == [(1, "a")]

    @pytest.mark.parametrize(
        ("platform", "settings", "expected"),
        [
            (
                "mongo",
                {"host": "h", "port": "1", "username": "u", "password": "p@/"},
                "mongodb://u:p%40%2F@h:1/",
            ),
            ("mssql", {"host": "h", "database": "d", "driver": "x y"}, "mssql://h/d?driver=x+y"),
            ("notion", {"name": "n", "api_key": "k"}, "notion://?api_key=k"),
            (
                "shopify",
                {"url": "s.myshopify.com", "api_key": "k"},
                "shopify://s.myshopify.com?api_key=k",
            ),
            ("sqlite", {"path": "/x/y.db"}, "sqlite:///x/y.db"),
            ("db2", {"uri": "any://thing"}, "any://thing"),
        ],
    )
    def test_a_connection_as_ingestr_names_it(
        self, platform: str, settings: dict[str, str], expected: str
    ) -> None:
        assert ingestr.uri_of(platform, settings) == expected
