"""Everything that a run can fail with: the asset's file and line, and every word of it.

One asset for each message, to be read aloud: does it say what, where, and what would be right?
What `ecommerce validate` says before a run is in test_every_error.py, what commands refuse in
test_every_refusal.py.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from itertools import groupby
from pathlib import Path
from typing import NamedTuple

import duckdb
import psycopg
import pytest
from orchestration.helpers import Tiny, free_port

from ecommerce_dagster.shop.embedded_postgres import PostgresServer

WAIT = ("--sensor-mode", "wait")
RECONCILE = ("--reconcile",)
DAY = ("--start-date", "2025-03-05")
TABLE = "{type: table}"
HISTORY = "{type: table, strategy: scd2_by_column}"
BY_TIME = "{type: table, strategy: scd2_by_time, incremental_key: d}"
BY_DAY = "{type: table, strategy: time_interval, incremental_key: d, time_granularity: date}"
APPEND = "{type: table, strategy: append}"
MERGE = "{type: table, strategy: merge}"
DDL = "{type: table, strategy: ddl}"
KEY = "columns:\n  - {name: k, type: integer, primary_key: true}\n"
REBUILD = "run once with --full-refresh to rebuild the table"


class Failing(NamedTuple):
    """A file in which `<<<` marks the line that the message names, and what is said of it.

    NAME in the file, and in what is said, is what its table is called. `before` is the file of an
    earlier run, which succeeds. `also` are other files; `source` is done to the database `pg`
    between the two runs, and needs it.
    """

    text: str
    said: str
    before: str = ""
    options: tuple[str, ...] = ()
    also: Mapping[str, str] = {}
    source: str = ""

    @property
    def suffix(self) -> str:
        return {"/": "sql", '"': "py"}.get(self.text[0], "asset.yml")

    @property
    def name(self) -> str:
        return re.findall(r"^name: (\S+)", self.text, re.MULTILINE)[0]

    @property
    def line(self) -> int | None:
        lines = self.text.splitlines()
        return next((n for n, row in enumerate(lines, 1) if "<<<" in row), None)

    def write(self, tiny: Tiny, name: str, text: str) -> Path:
        for path, other in self.also.items():
            tiny.write(f"pipeline/assets/{path}", other)
        plain = re.sub(r" ?<<<", "", text).replace("NAME", name.rsplit(".", maxsplit=1)[-1])
        return tiny.write(f"pipeline/assets/{name}.{self.suffix}", plain)


def sql(query: str, how: str = TABLE, header: str = "", kind: str = "duckdb.sql") -> str:
    connection = "connection: pg\n" if kind == "pg.sql" else ""
    return (
        f"/* @bruin\nname: shop.NAME\ntype: {kind}\n{connection}materialization: {how}\n{header}@bruin */\n"
        f"{query}\n"
    )


def pg(query: str, how: str = TABLE, header: str = "") -> str:
    return sql(query, how, header, "pg.sql")


def ingestr(table: str, more: str = "", header: str = "", source: str = "pg") -> str:
    return (
        f"name: shop.NAME\ntype: ingestr\n{header}parameters:\n  destination: duckdb\n"
        f"  source_connection: {source}\n  source_table: {table} <<<\n{more}"
    )


def incremental(strategy: str, key: str, more: str = "") -> str:
    return f"  incremental_strategy: {strategy}\n  incremental_key: {key}\n{more}"


def python(code: str, header: str = f"materialization: {TABLE}\n") -> str:
    return f'"""@bruin\nname: shop.NAME\n{header}@bruin"""\n{code}\n'


def returning(rows: str, said: str, imports: str = "import datetime as dt") -> Failing:
    return Failing(python(f"{imports}\ndef materialize(): <<<\n    return {rows}"), said)


def custom(query: str, said: str) -> Failing:
    return Failing(
        sql("SELECT 1 AS n", header=f"custom_checks:\n  - name: c\n    query: {query}\n"), said
    )


def sensor(kind: str, query: str, said: str) -> Failing:
    text = f"name: shop.NAME <<<\ntype: {kind}\nconnection: {'pg' if kind.startswith('pg') else 'duckdb-default'}\n"
    return Failing(f"{text}parameters:\n  {query}\n", said)


FAILURES = {
    "a query in DuckDB": [
        Failing(sql("SELECT DATE '2020-01-01' AS d <<<", BY_DAY),
            "1 of 1 rows lie outside of 2025-03-05 by d (for example 2020-01-01); the query must filter by start_timestamp and end_timestamp", options=DAY),
        Failing(sql("SELECT 1 AS k, 2 AS _valid_from <<<", HISTORY, KEY),
            "the query returns _valid_from, which the strategy fills itself; rename it"),
        Failing(sql("SELECT 1 AS k <<<", HISTORY, KEY),
            "shop.NAME has no column _valid_from, _valid_until, _is_current: another strategy made it; run once with --full-refresh to rebuild the table", before=sql("SELECT 1 AS k")),
        Failing(sql("SELECT 1 AS n <<<", APPEND, "columns: [{name: n, type: integer}]\n"),
            "the column n of shop.NAME is VARCHAR and is declared as integer; run once with --full-refresh to rebuild the table",
            before=sql("SELECT 'x' AS n")),
        Failing(sql("SELECT 'x' AS n <<<", APPEND),
            "the column n of shop.NAME is DATE and now comes as VARCHAR; cast it in the query, or run once with --full-refresh to rebuild the table", before=sql("SELECT DATE '2020-01-01' AS n")),
        Failing(sql("SELECT 1 AS n <<<", MERGE, KEY),
            "the query does not return k, which the strategy needs; it returns n"),
        Failing(sql("SELECT 1 AS k, 2 AS rowid <<<", MERGE, KEY),
            "the strategy tells equal rows apart by DuckDB's rowid, which a column of that name hides; rename the column rowid in the query", before=sql("SELECT 1 AS k, 2 AS rowid")),
        Failing(sql("SELECT 1 AS k, 2 AS d <<<", BY_TIME, KEY),
            "the column d is INTEGER; as the incremental_key of this strategy it must be a date, a timestamp or a timestamptz; cast it in the query"),
        Failing(sql("<<<", DDL, "columns: [{name: n, type: integer, default: nonsense}]\n"),
            "the default of the column n: Conversion Error: Could not convert string 'nonsense' to INT32"),
        Failing(sql("SELECT 'x' AS n <<<", TABLE, "columns: [{name: n, type: integer}]\n"),
            "the column n holds x, which does not fit its type INTEGER"),
        Failing(sql("-- nothing <<<"),
            "there is no query; write a SELECT"),
        Failing(sql("CREATE TABLE x (n int) <<<"),
            "a query is needed here, not CREATE"),
        Failing(sql("SELECT 1 AS n; SELECT 2 AS n <<<"),
            "one query is needed here, not 2 statements"),
        Failing(sql("SELECT 1 AS n,\n  nowhere <<<"),
            'Binder Error: Referenced column "nowhere" was not found because the FROM clause is missing'),
        Failing(sql("SELECT 1 AS n\nFORM t <<<"),
            'Parser Error: syntax error at or near "FORM"'),
        Failing(sql("SELECT CAST(s AS integer) AS n <<< FROM (VALUES ('x')) AS t(s)"),
            "Conversion Error: Could not convert string 'x' to INT32 when casting from source column s"),
        Failing(sql("SELECT '{{ end_date | add_days(n) }}' AS n <<<"),
            "missing variable 'n'; known: bruin, commit_hash, end_date, end_date_nodash, end_datetime, end_timestamp, execution_date, execution_date_nodash, execution_datetime, execution_timestamp, full_refresh, pipeline, run_id, schema_prefix, start_date, start_date_nodash, start_datetime, start_timestamp, this, var"),
        Failing(sql("SELECT 1 AS n", header="hooks:\n  pre:\n    - query: SELECT nowhere <<<\n"),
            'Binder Error: Referenced column "nowhere" was not found because the FROM clause is missing'),
    ],
    "a query in a DuckLake": [
        Failing(sql("CREATE TABLE main.h AS SELECT 1::HUGEINT AS n <<<", "{type: none}", "connection: lake\n"),
            "the column n is HUGEINT: a DuckLake stores HUGEINT as DOUBLE, which rounds it; cast it to DECIMAL(38,0)"),
        Failing(sql("SELECT 1 AS n, [INTERVAL '-1 day'] AS i <<<", TABLE, "connection: lake\n"),
            "the column i holds [-1 day], which a DuckLake does not keep as INTERVAL[]: INTERVAL there means that it has whole milliseconds, no negative part and less than 1,194 hours"),
        Failing(sql("SELECT 1 AS n, {'b': '1'::BIT} AS i <<<", TABLE, "connection: lake\n"),
            "the column i is STRUCT(b BIT): a DuckLake has no BIT; cast it to VARCHAR"),
        Failing(sql("SELECT 1::DOUBLE AS n <<<", APPEND, "connection: lake\n"),
            "the column n of shop.NAME is BIGINT and now comes as DOUBLE; cast it in the query, or run once with --full-refresh to rebuild the table",
            before=sql("SELECT 1::BIGINT AS n", TABLE, "connection: lake\n")),
    ],
    "a query in PostgreSQL": [
        Failing(pg("SELECT DATE '2020-01-01' AS d <<<", BY_DAY),
            "1 of 1 rows lie outside of 2025-03-05 by d (for example 2020-01-01); the query must filter by start_timestamp and end_timestamp", options=DAY),
        Failing(pg("SELECT 1 AS k, 2 AS _valid_from <<<", HISTORY, KEY),
            "the query returns _valid_from, which the strategy fills itself; rename it"),
        Failing(pg("SELECT 1e10::numeric AS n <<<", TABLE, "columns: [{name: n, type: 'numeric(3,1)'}]\n"),
            "the column n holds 10000000000, which does not fit its type numeric(3,1)"),
        Failing(pg("SELECT 99999 AS n <<<", TABLE, "columns: [{name: n, type: smallint}]\n"),
            "the column n holds 99999, which does not fit its type smallint"),
        Failing(pg("SELECT 1 AS n <<<").replace("shop.NAME", "db.shop.NAME"),
            "'db.shop.NAME' is not a table of PostgreSQL; name it schema.table"),
        Failing(pg("SELECT 1 AS n", TABLE, "hooks: {post: [{query: ROLLBACK}]} <<<\n"),
            "ROLLBACK would end the transaction in which the table is built and checked; leave it out, or go back to a SAVEPOINT of the script's own"),
        Failing(pg('SELECT 1 AS n, 2 AS "N" <<<'),
            "the query returns columns with the same name but for case (N, n); rename one"),
        Failing(pg("SELECT 1 AS k <<<", HISTORY, KEY),
            "shop.NAME has no column _valid_from, _valid_until, _is_current: another strategy made it; run once with --full-refresh to rebuild the table", before=pg("SELECT 1 AS k")),
        Failing(pg("SELECT 1 AS n <<<", APPEND, "columns: [{name: n, type: integer}]\n"),
            "the column n of shop.NAME is text and is declared as integer; run once with --full-refresh to rebuild the table",
            before=pg("SELECT 'x' AS n")),
        Failing(pg("SELECT 'x' AS n <<<", APPEND),
            "the column n of shop.NAME is date and now comes as text; cast it in the query, or run once with --full-refresh to rebuild the table", before=pg("SELECT DATE '2020-01-01' AS n")),
        Failing(pg("SELECT 1 AS n <<<", MERGE, KEY),
            "the query does not return k, which the strategy needs; it returns n"),
        Failing(pg("SELECT 1 AS k, 2 AS d <<<", BY_TIME, KEY),
            "the column d is integer; as the incremental_key of this strategy it must be a date, a timestamp or a timestamptz; cast it in the query"),
        Failing(pg("<<<", DDL, "columns: [{name: n, type: integer, default: nonsense}]\n"),
            'the default of the column n: invalid input syntax for type integer: "nonsense"'),
        Failing(pg("<<<", DDL, "columns: [{name: n, type: nonsense}]\n"),
            "the column 'n' has the type 'nonsense', which PostgreSQL does not know"),
        Failing(pg("SELECT 'x' AS n <<<", TABLE, "columns: [{name: n, type: integer}]\n"),
            "the column n holds x, which does not fit its type integer"),
        Failing(pg("-- nothing <<<"),
            "there is no query; write a SELECT"),
        Failing(pg("INSERT INTO x VALUES (1) <<<"),
            "a query is needed here, not INSERT"),
        Failing(pg("SELECT 1 AS n; SELECT 2 AS n <<<"),
            "one query is needed here, not 2 statements"),
        Failing(pg("SELECT 'x AS n <<<"),
            "a quoted text or a comment has no end"),
        Failing(pg("SELECT 1 AS n,\n  nowhere <<<"),
            'column "nowhere" does not exist'),
        Failing(pg("SELECT 1 AS n <<<"),
            "shop.NAME is a materialized view already, not a table", source="CREATE MATERIALIZED VIEW shop.NAME AS SELECT 1"),
        Failing(pg("SELECT 1 AS n <<<"),
            "shop.NAME cannot get other columns while something else needs it: function shop.f_NAME() depends on type shop.NAME; drop that first, and make it again afterwards", before=pg("SELECT 'x' AS n"),
            source="CREATE FUNCTION shop.f_NAME() RETURNS SETOF shop.NAME LANGUAGE sql AS 'SELECT * FROM shop.NAME'"),
        Failing(pg("SELECT 1 AS m <<<"),
            'the view shop.v_NAME needs shop.NAME as it was (column "n" does not exist); change or drop the view first', before=pg("SELECT 1 AS n"),
            source="CREATE VIEW shop.v_NAME AS SELECT n FROM shop.NAME"),
        Failing(pg("SELECT 1 AS m <<<"),
            "shop.NAME cannot get other columns while the view shop.v_NAME needs it, which has rules, triggers or defaults of its own; drop it first", before=pg("SELECT 1 AS n"),
            source="CREATE VIEW shop.v_NAME AS SELECT n FROM shop.NAME; CREATE RULE r AS ON INSERT TO shop.v_NAME DO INSTEAD NOTHING"),
    ],
    "a connection": [
        Failing(sql("SELECT 1 AS n", header="connection: nowhere\n"),
            "FOLDER/.bruin.yml:3: no connection 'nowhere' in the environment 'default'; did you mean 'other'?"),
        Failing(sql("SELECT 1 AS n", header="connection: nolake\n"),
            'the catalogue of the DuckLake at SERVER/d cannot be reached: connection failed: connection to server at "SERVER failed: Connection refused Is the server running on that host and accepting TCP/IP connections?'),
        Failing("name: shop.NAME <<<\ntype: pg.sensor.table\nconnection: down\nparameters: {table: t}\n",
            'PostgreSQL at SERVER/failures cannot be reached: connection failed: connection to server at "SERVER failed: Connection refused'),
        Failing("name: shop.NAME\ntype: duckdb.seed\nconnection: duckdb-default\nparameters:\n  path: http://127.0.0.1:9/a.csv?key=s3cr3t <<<\n",
            "http://SERVER/a.csv cannot be read: [Errno 111] Connection refused"),
        Failing("name: shop.NAME\ntype: duckdb.seed\nconnection: duckdb-default\nparameters:\n  path: http://127.0.0.1:port/a.csv <<<\n",
            "http://127.0.0.1:port/a.csv cannot be read: InvalidURL"),
        Failing(pg("SELECT 1 AS n").replace("connection: pg", "connection: down"),
            'FOLDER/pipeline/assets/shop.NAME.sql:2: PostgreSQL at SERVER/failures cannot be reached: connection failed: connection to server at "SERVER failed: Connection refused'),
    ],
    "a check": [
        Failing(sql("SELECT -1 AS n", header="columns: [{name: n, checks: [{name: positive}]}]\n"),
            "shop.NAME: 1 blocking check failed; the table is as it was before\n  n: positive: 1 of 1 rows break the rule: Each n is above 0."),
        Failing(sql("SELECT 1 AS n", header="columns: [{name: m, checks: [{name: positive}]}]\n"),
            'shop.NAME: 1 blocking check failed; the table is as it was before\n  m: positive: could not be evaluated: Binder Error: Referenced column "m" not found in FROM clause!'),
        custom("SELECT 'x'",
            "shop.NAME: 1 blocking check failed; the table is as it was before\n  c: could not be evaluated: the query returned 'x', which is not a number"),
        custom("SELECT 1, 2",
            "shop.NAME: 1 blocking check failed; the table is as it was before\n  c: could not be evaluated: the query must return one row with one column; it returned 2 columns"),
        custom("SELECT NULL",
            "shop.NAME: 1 blocking check failed; the table is as it was before\n  c: could not be evaluated: the query returned NULL; wrap its answer in coalesce(..., 0)"),
        custom("SELECT nowhere",
            'shop.NAME: 1 blocking check failed; the table is as it was before\n  c: could not be evaluated: Binder Error: Referenced column "nowhere" was not found because the FROM clause is missing'),
    ],
    "a source in PostgreSQL": [
        Failing(ingestr("shop.nowhere"),
            'SERVER/failures: shop.nowhere: relation "shop.nowhere" does not exist'),
        Failing(ingestr("shop.people", source="down"),
            'PostgreSQL at SERVER/failures cannot be reached: connection to server at "SERVER failed: Connection refused'),
        Failing(ingestr("shop.people", incremental("append", "nowhere")),
            "shop.people has no column 'nowhere' (incremental_key); it has id, at, name, amount"),
        Failing(ingestr("shop.people", "  sql_exclude_columns: nowhere\n"),
            "SERVER/failures: shop.people: it has no column nowhere (sql_exclude_columns); it has id, at, name, amount"),
        Failing(ingestr("shop.people", "  sql_exclude_columns: id,at,name,amount\n"),
            "SERVER/failures: shop.people: every column is excluded (sql_exclude_columns)"),
        Failing(ingestr("shop.twice"),
            "SERVER/failures: shop.twice: columns with the same name but for case (a); rename one with `source_table: query:SELECT ...`"),
        Failing(ingestr("shop.none"),
            "SERVER/failures: shop.none: it has no columns"),
        Failing(ingestr("query:SELECT 1/0 AS n"),
            "SERVER/failures: the query: division by zero"),
        Failing(ingestr("shop.people", incremental("delete+insert", "id")),
            "the incremental_key id is integer; an interval needs a date or a timestamp", options=DAY),
        Failing(ingestr("shop.nan", header="columns: [{name: n, type: 'decimal(10,2)'}]\n"),
            "the column n holds NaN, which does not fit its type DECIMAL(10,2)"),
        Failing(ingestr("shop.garbled"),
            "the column n of shop.garbled is NaN in 1 row, which DECIMAL(10,2) cannot hold; correct them, or declare the column as double or varchar"),
        Failing(ingestr("shop.people", incremental("append", "at")),
            "the incremental_key at is NULL or infinite in 1 row of the source and in 0 of shop.NAME: 'append' cannot tell which are new; use 'merge', or another key",
            before=ingestr("shop.people", incremental("append", "at")),
            source="INSERT INTO shop.people VALUES (9, NULL, 'x', 1)"),
        Failing(ingestr("shop.people", incremental("append", "name")),
            "the incremental_key name is text in the source and DATE in shop.NAME: the two are not in the same order; take another key",
            before=sql("SELECT 1 AS id, DATE '2020-01-01' AS name")),
        Failing(ingestr("shop.people", incremental("append", "name")),
            "shop.NAME has no column 'name' (incremental_key) to continue from; run once with --full-refresh to rebuild the table", before=sql("SELECT 1 AS id")),
    ],
    "a source in DuckDB": [
        Failing(ingestr('"query:SELECT id, \'{{ start_date }}\' AS d FROM people"', incremental("merge", "id"),
            header="columns: [{name: id, primary_key: true}]\n", source="other"),
            "source_table is another query for each interval, so that its rows cannot be reconciled; write :interval_start and :interval_end instead", options=RECONCILE),
        Failing(ingestr("main.nowhere", source="other"),
            "FOLDER/other.duckdb has no table 'main.nowhere'; did you mean 'main.people'?"),
        Failing(ingestr("main.people", source="memory"),
            "the source is ':memory:'; expected a file"),
        Failing(ingestr("main.people", source="missing"),
            "the source FOLDER/missing.duckdb does not exist; correct its path in .bruin.yml"),
        Failing(ingestr("main.people", source="text"),
            'FOLDER/text.duckdb cannot be read as a DuckDB database: IO Error: The file "FOLDER/text.duckdb" exists, but it is not a valid DuckDB database file!'),
        Failing(ingestr("main.people", incremental("append", "nowhere"), source="other"),
            "the source has no column 'nowhere' (incremental_key); it has id, name"),
        Failing(ingestr("main.people", "  sql_exclude_columns: nowhere\n", source="other"),
            "the source: it has no column nowhere (sql_exclude_columns); it has id, name"),
        Failing(ingestr("main.people", "  sql_exclude_columns: id,name\n", source="other"),
            "the source: every column is excluded (sql_exclude_columns)"),
    ],
    "a Python asset": [
        Failing(python("if False: <<<\n    def materialize():\n        pass"),
            "the file defines no function materialize(); it is what returns the rows"),
        Failing(python("import sys\n\nraise ValueError('of its own') <<<", ""),
            "ValueError: of its own"),
        Failing(python("import os\nos._exit(3)", "").replace("import os", "import os <<<"),
            "it ended with exit code 3"),
        Failing(python("def materialize():\n    import os\n    os._exit(0)").replace("def mat", "<<<def mat"),
            "it ended before materialize() returned"),
        Failing(python("def materialize():\n    import os, signal\n    os.kill(os.getpid(), signal.SIGKILL)").replace("def mat", "<<<def mat"),
            "it was ended by SIGKILL, perhaps for lack of memory"),
        Failing(python("import time\ntime.sleep(60)", "timeout: 1s <<<\n"),
            'asset "shop.NAME" timed out after 1s'),
        returning("1",
            "materialize() returned an int; return a DataFrame, a pyarrow Table, or dicts, one for each row"),
        returning("[{'a': 1}, 2]",
            "materialize() gave an int among its rows; return a DataFrame, a pyarrow Table, or dicts, one for each row"),
        returning("[{'a': b'x'}, {'a': 'x'}]",
            "the column a holds bytes and texts; return values of one type"),
        returning("[{'a': dt.datetime(2025, 1, 1)}, {'a': dt.datetime(2025, 1, 1, tzinfo=dt.UTC)}]",
            "the column a holds datetimes with a time zone and without; return one kind"),
        returning("[{'a': 10 ** 40}]",
            "the column a holds an integer of more than 38 digits; return texts"),
        returning("[{'a': 1}, {'a': 'x'}]",
            "the column a holds values of int and str; return values of one type (Could not convert 'x' with type str: tried to convert to int64)"),
        returning("[{'a': 1, 'A': 2}]",
            "the columns a and A differ only in case; rename one"),
        returning("[{1: 1, '1': 2}]",
            "the rows have two keys that read 1; use one"),
        returning("pa.table([[1], [2]], ['a', 'a'])",
            "the column a stands twice in the table; rename one", "import pyarrow as pa"),
        returning("pd.DataFrame([[1, 2]], columns=['a', 'a'])",
            "the column a stands twice in the DataFrame; rename one", "import pandas as pd"),
        returning("[{'a': [dt.timedelta(1)]}]",
            "the column a: durations inside of lists or structs cannot be stored; return seconds"),
        returning("(pa.table({'a': rows}) for rows in ([1], ['x']))",
            "the column a is int64 in the first 1 rows and then large_string; return values of one type", "import pyarrow as pa"),
        Failing(python("def materialize():\n    return [{'a': 'x'}]",
            f"materialization: {TABLE}\ncolumns: [{{name: a, type: integer}}]\n").replace("def", "<<<def"),
            "the column a holds x, which does not fit its type INTEGER"),
    ],
    "an asset that waits": [
        sensor("duckdb.sensor.query", "query: SELECT 0\n  timeout: 1s",
            "waited 1 s in vain; `timeout` says how long")._replace(options=WAIT),
        sensor("duckdb.sensor.query", "query: SELECT 0",
            "Sensor didn't return the expected result; `--sensor-mode wait` asks until it does"),
        sensor("duckdb.sensor.query", "query: SELECT 1 +",
            "Parser Error: syntax error at end of input"),
        sensor("pg.sensor.query", "query: SELECT 0",
            "Sensor didn't return the expected result; `--sensor-mode wait` asks until it does"),
        sensor("pg.sensor.query", "query: SELECT 1 +",
            "syntax error at end of input"),
        sensor("pg.sensor.table", "table: shop.nowhere",
            "Sensor didn't return the expected result; `--sensor-mode wait` asks until it does"),
    ],
}  # fmt: skip
CASES = [(kind, failing) for kind, found in FAILURES.items() for failing in found]
IDS = [f"{kind}-{n}" for n, (kind, _) in enumerate(CASES)]
NAMES = [failing.name.replace("NAME", f"a{n:03}") for n, (_, failing) in enumerate(CASES)]
SOURCE = """
CREATE SCHEMA shop;
CREATE TABLE shop.people (id int, at timestamp, name text, amount numeric);
INSERT INTO shop.people VALUES (1, '2025-03-05', 'Ada', 1);
CREATE TABLE shop.twice (a int, "A" int);
CREATE TABLE shop.none ();
CREATE TABLE shop.nan (n numeric);
INSERT INTO shop.nan VALUES ('NaN');
CREATE TABLE shop.garbled (n numeric(10,2));
INSERT INTO shop.garbled VALUES ('NaN');
"""


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory, server: PostgresServer) -> Tiny:
    """A pipeline with all connections that the cases name."""
    with psycopg.connect(server.dsn, autocommit=True) as postgres:
        postgres.execute("CREATE DATABASE failures")
    tiny = Tiny(tmp_path_factory.mktemp("failures").resolve())
    tiny.write("pipeline/pipeline.yml", 'name: shop\nschedule: daily\nstart_date: "2025-01-01"\n')
    tiny.write("text.duckdb", "no database")
    with duckdb.connect(str(tiny.folder / "other.duckdb")) as other:
        other.execute("CREATE TABLE people AS SELECT 1 AS id, 'Ada' AS name")
    login = f"username: {server.user}, password: '{server.password}', database: failures"
    closed = free_port()
    lines = [
        "default_environment: default\nenvironments:\n  default:\n    connections:\n      duckdb:",
        "        - {name: duckdb-default, path: warehouse.duckdb}",
        *(f"        - {{name: {n}, path: {n}.duckdb}}" for n in ("other", "missing", "text")),
        "        - {name: memory, path: ':memory:'}",
        f"        - {{name: nolake, lakehouse: {{format: ducklake, catalog: {{type: postgres, host: 127.0.0.1, port: {closed}, database: d, auth: {{username: u, password: p}}}}, storage: {{path: data}}}}}}",
        "        - {name: lake, lakehouse: {format: ducklake, catalog: {type: duckdb, path: lake.db}, storage: {path: data}}}",
        "      postgres:",
        f"        - {{name: pg, host: {server.host}, port: {server.port}, {login}}}",
        f"        - {{name: down, host: 127.0.0.1, port: {closed}, {login}}}",
    ]
    tiny.write(".bruin.yml", "\n".join(lines) + "\n")
    return tiny


@pytest.fixture(scope="module")
def failed(shop: Tiny, server: PostgresServer) -> dict[str, str]:
    """The errors of all assets, by their names: one run of what was there before, and one for each
    set of options."""
    dsn = server.dsn.rsplit("/", 1)[0] + "/failures"
    with psycopg.connect(dsn, autocommit=True) as postgres:
        postgres.execute(SOURCE)
        for name, (_, failing) in zip(NAMES, CASES, strict=True):
            if failing.before:
                file = failing.write(shop, name, failing.before)
                if failing.suffix != "sql" and failing.before.startswith("/*"):
                    file.rename(file.with_suffix("").with_suffix(".sql"))
        first = shop.ecommerce("run")
        assert first.succeeded, first.text
        for file in (shop.directory / "assets").iterdir():
            file.unlink()
        for name, (_, failing) in zip(NAMES, CASES, strict=True):
            failing.write(shop, name, failing.text)
            if failing.source:
                postgres.execute(failing.source.replace("NAME", name.split(".")[-1]))
    errors: dict[str, str] = {}
    ordered = sorted(zip(NAMES, CASES, strict=True), key=lambda case: case[1][1].options)
    for options, cases in groupby(ordered, key=lambda case: case[1][1].options):
        names = [name for name, _ in cases]
        outcome = shop.ecommerce("run", *names, *options, "--output", "json")
        assert outcome.code == 1, outcome.text
        found = json.loads(outcome.stdout)["assets"]
        errors |= {name: str(found[name]["error"]) for name in names}
    return errors


@pytest.mark.parametrize("number", range(len(CASES)), ids=IDS)
def test_an_asset_that_cannot_be_built(shop: Tiny, failed: dict[str, str], number: int) -> None:
    _, failing = CASES[number]
    name = NAMES[number]
    file = shop.directory / "assets" / f"{name}.{failing.suffix}"
    place = f"{file}:{failing.line}: " if failing.line else ""
    said = failed[name].removeprefix(place)
    assert said != failed[name] or not place
    said = said.replace(str(shop.folder), "FOLDER").replace(name.split(".")[-1], "NAME")
    said = re.sub(r"127\.0\.0\.1(:\d+|\", port \d+)", "SERVER", said)
    lines = len(failing.said.splitlines())  # what follows is DuckDB's drawing, or a traceback
    assert said.splitlines()[:lines] == failing.said.splitlines()
