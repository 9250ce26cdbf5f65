"""Everything that commands refuse: what they print, word for word, and the exit code.

One command for each message, to be read aloud: does it say what, where, and what would be right?
"""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Mapping
from functools import partial
from textwrap import indent
from typing import NamedTuple

import pytest
from orchestration.helpers import LAKE_CONFIG, Tiny, clean_environment, invoke

from ecommerce_dagster.shop.embedded_postgres import PostgresServer

CONFIG = """default_environment: default
environments:
  default:
    connections:
      duckdb:
        - {name: duckdb-default, path: warehouse.duckdb}
        - {name: text, path: text.duckdb}
        - {name: below, path: text.duckdb/below.duckdb}
        - {name: "null", path: "a\\0b"}
        - {name: list, path: [a]}
        - {name: switch, path: x.duckdb, read_only: perhaps}
        - {name: unset, path: "${NOBODY_SETS_THIS}/x.duckdb"}
        - {name: brace, path: "${open"}
      postgres:
        - {name: pg, host: HOST, port: PORT, username: USER, password: "PASSWORD", database: postgres}
        - {name: port, host: h, port: 99999, username: u, database: d}
        - {name: mode, host: h, username: u, database: d, ssl_mode: requird}
        - {name: half, host: h}
"""


# Unit tests that cannot be judged: below `- name: t`, indented.
INPUTS = "inputs: [{asset: main.people, rows: [{id: 1}]}]"
EXPECTED = "expected: {count: 1}"
UNIT_TESTS = {
    "inptus: []": "unknown key 'inptus' in a unit test; did you mean 'inputs'?",
    "inputs: 1": "`inputs` must be a list (`- item` lines)",
    "inputs: [1]": "inputs: an input is `asset: name` with its `rows`",
    "inputs: [{asset: main.people, rows: 1}]": "inputs: the rows of main.people must be a list of mappings",
    "inputs: [{asset: main.people}]": "the input main.people has no rows and declares no columns",
    "fixtures: [peple]": "there is no fixture 'peple' in pipeline.yml or fixtures/; did you mean 'people'?",
    "fixtures: [broken]": "FOLDER/pipeline/fixtures/broken.json: this is not JSON (Expecting property name enclosed in double quotes: line 1 column 2 (char 1))",
    f"{INPUTS}": "the test says nothing of what is `expected`: rows, count or ctes",
    f"{INPUTS}\nexpected: {{cuont: 1}}": "unknown key 'cuont' in `expected`; did you mean 'count'?",
    f"{INPUTS}\nexpected: {{rows: 1}}": "the expected rows must be a list of mappings",
    f"{INPUTS}\nexpected: {{count: many}}": "the expected count must be a whole number, not 'many'",
    f"{INPUTS}\nexpected: {{rows: [], match: exactly}}": "`match` is 'exactly'; expected exact or subset",
    f"{INPUTS}\nexpected: {{ctes: {{piad: {{count: 1}}}}}}": "the query has no CTE 'piad'; did you mean 'paid'?",
    f"{INPUTS}\nexecution_time: soon\n{EXPECTED}": "execution_time: 'soon' is not a time",
    f"inputs: []\n{EXPECTED}": "Catalog Error: Table with name people does not exist! A table that the query reads is missing; its rows are given below `inputs`",
}


class Refused(NamedTuple):
    """Commands without `ecommerce`, the last of which is refused, and what it says at the end.

    `files` are written below the folder of the pipeline's project, or removed.
    """

    command: str
    said: str
    code: int = 2
    files: Mapping[str, str | None] = {}

    def __repr__(self) -> str:
        return self.command


def asset(header: str, query: str = "SELECT 1 AS n", kind: str = "duckdb.sql") -> Mapping[str, str]:
    text = f"/* @bruin\nname: main.t\ntype: {kind}\n{header}@bruin */\n{query}\n"
    return {"pipeline/assets/main.t.sql": text}


PYTHON = '"""@bruin\nname: report.t\n{}@bruin"""\n'
PAGE = "from ecommerce_dagster.local import report_file\nreport_file('report.t').parent.mkdir(exist_ok=True)\nreport_file('report.t').touch()"
TESTS = "unit_tests:\n  - name: t\n    inputs: [{asset: main.people, rows: [{id: 1}]}]\n    expected: {ctes: {a: {count: 1}}}\n"
LAKE = {".bruin.yml": LAKE_CONFIG}
query = partial(Refused, code=1)

REFUSED = [
    # Which assets, checks and days.
    Refused("run nowhere", "there is no asset 'nowhere'; known: main.people"),
    Refused("run --tag nowhere",
            "no assets found with include tag 'nowhere'; known: a"),
    Refused("run --tag a --exclude-tag a", "no asset matches the selection"),
    Refused("run --selector size:1",
            "'size:' is not a selector; known: tag:, path:, file:, fqn:, state:modified"),
    Refused("run --selector 1+", "nothing matches '1+'; known: main.people"),
    Refused("run --selector nowhere+", "nothing matches 'nowhere+'; known: main.people"),
    Refused("run --single-check main.people:id:unique",
            "there is no check 'main.people:id:unique'; none is known"),
    Refused("run main.t",
            "warning: pipeline/assets/main.t.sql:3: 'main.t' is left out: the type bq.sql is for another platform; supported: duckdb, postgres\nnone of the selected assets can run here", files=asset("", kind="bq.sql")),
    Refused("run --continue",
            "there is no earlier run to go on with; leave out --continue"),
    Refused("run main.people && run --continue",
            "the last run finished; there is nothing to go on with; leave out --continue"),
    Refused("run --start-date soon",
            "'soon' is not a date; write 2026-01-31 or '2026-01-31 12:00:00'"),
    Refused("run --end-date 2025-01-01", "an end date needs a start date"),
    Refused("run --start-date '2025-01-01 12:00'",
            "'2025-01-01 12:00' is a moment and not a day; give an end as well"),
    Refused("run --start-date 2025-01-02 --end-date 2025-01-01",
            "the end '2025-01-01' is before the start '2025-01-02'"),
    Refused("run --start-date 9999-12-31",
            "'9999-12-31' is too late; the last day is 9999-12-30"),
    Refused("run --start-date 0001-01-01T00:00+10:00 --end-date 2025-01-01",
            "'0001-01-01T00:00+10:00' is outside of the years 1 to 9999 in UTC"),
    Refused("render main.t --start-date 9999-12-30 --apply-interval-modifiers",
            "FOLDER/pipeline/assets/main.t.sql:4: '48h': the interval leaves the years 1 to 9999", code=1,
        files=asset("interval_modifiers: {end: 48h}\n")),
    Refused("run --var a", "--var a: write name=value"),
    Refused("run --var '{'",
            "--var {: this is not JSON (Expecting property name enclosed in double quotes: line 1 column 2 (char 1))"),
    Refused("show nowhere", "there is no asset 'nowhere'; known: main.people"),
    # Which pipeline.
    Refused("validate other/empty.sql",
            "there is no pipeline.yml in or above FOLDER/other", files={"other/empty.sql": ""}),
    Refused("format other",
            "there is no pipeline.yml in, below or above FOLDER/other", files={"other/empty.sql": ""}),
    Refused("run --pipeline .",
            ". holds several pipelines; name one of pipeline, second", files={"second/pipeline.yml": "name: second\n"}),
    Refused("run --environment prod",
            ".bruin.yml:2: there is no environment 'prod'; known: default"),
    Refused("status main.t", "ASSETS need --history"),
    # What to ask, and of whom.
    Refused("query",
            "give one SQL text, or one --table, or one --asset"),
    query('run && query "SELEC 1"',
            'Parser Error: syntax error at or near "SELEC"\n\nLINE 1: SELEC 1\n        ^'),
    query("run && query \"COPY (SELECT 1) TO 'x.csv'\"", "COPY can change something; this command only reads"),
    query('run && query "CREATE TABLE t (n int)"',
            "CREATE can change something; this command only reads"),
    query("run && query --table main.nowhere",
            'Catalog Error: Table with name nowhere does not exist!\nDid you mean "people"?\n\nLINE 1: SELECT * FROM "main"."nowhere"\n                      ^'),
    Refused("query --asset nowhere", "there is no asset 'nowhere'; known: main.people"),
    query('query -c pg "SELECT nowhere"', 'column "nowhere" does not exist'),
    query('query -c pg "CREATE TABLE t (n int)"',
            "the statement returns no rows; this command is read-only"),
    query('query -c pg "SELECT 1; SELECT 2"', "one statement is needed here"),
    Refused('query -c nowhere "SELECT 1"',
            "FOLDER/.bruin.yml:3: no connection 'nowhere' in the environment 'default'; known: below, brace, duckdb-default, half, list, mode, null, pg, port, switch, text, unset"),
    Refused('query -c pg "SELECT 1"',
            "the connection 'pg' needs a .bruin.yml; there is none", files={".bruin.yml": None}),
    Refused('query -c unset "SELECT 1"',
            "FOLDER/.bruin.yml:12: the connection 'unset' needs NOBODY_SETS_THIS; set it in the environment or in .env"),
    Refused('query -c brace "SELECT 1"',
            "FOLDER/.bruin.yml:13: the connection 'brace' has a path that cannot be filled in; write ${NAME}"),
    Refused('query -c port "SELECT 1"',
            "FOLDER/.bruin.yml:16: the connection 'port' has the port '99999'; expected a number from 1 to 65535"),
    Refused('query -c mode "SELECT 1"',
            "FOLDER/.bruin.yml:17: the connection 'mode' has the ssl_mode 'requird'; did you mean 'require'?"),
    Refused('query -c half "SELECT 1"',
            "FOLDER/.bruin.yml:18: the connection 'half' has no database, username"),
    Refused('query -c switch "SELECT 1"',
            "FOLDER/.bruin.yml:11: the connection 'switch' is read_only: 'perhaps'; expected true or false"),
    Refused('query -c list "SELECT 1"',
            "FOLDER/.bruin.yml:10: the connection 'list' has a path that is not a plain value"),
    Refused('query -c "null" "SELECT 1"',
            "FOLDER/.bruin.yml:9: the connection 'null' has the path 'a b', which no file can have"),
    query('query -c text "SELECT 1"',
            'FOLDER/text.duckdb cannot be opened as a DuckDB database: IO Error: The file "FOLDER/text.duckdb" exists, but it is not a valid DuckDB database file!'),
    query('query "SELECT 1"',
            "FOLDER/warehouse.duckdb does not exist yet; run the pipeline first"),
    Refused('query -c pg "SELECT 1"',
            "FOLDER/.bruin.yml:1: no connection 'pg' in the environment 'default'; none is known", files={".bruin.yml": ""}),
    query("run main.t",
            "main.t\n└─ FOLDER/text.duckdb/below.duckdb cannot be created: FOLDER/text.duckdb is a file", files=asset("connection: below\n")),
    # What is to be tested.
    query("unit-test",
            "unit tests are for queries; this asset is of the type duckdb.source\n1 unit test, 1 failed", files={"pipeline/assets/main.t.asset.yml": f"name: main.t\ntype: duckdb.source\n{TESTS}"}),
    query("unit-test",
            "the CTEs of this query cannot be told apart\n1 unit test, 1 failed", files=asset(TESTS, "WITH a AS (FROM main.people) SELECT 5! AS n FROM a")),
    # What is to be written.
    Refused("new asset 'a b'", "'a b' is not an asset name; write schema.table"),
    query("new asset main.people",
            "Error: main.people exists already: FOLDER/pipeline/assets/main.people.sql"),
    query("new asset main.new",
            "Error: FOLDER/pipeline/assets/main/main.new.sql exists already; choose another name", files={"pipeline/assets/main/main.new.sql": "/* @bruin\nname: x.y\ntype: duckdb.sql\n@bruin */\nSELECT 1"}),
    Refused("new pipeline pipeline",
            "nothing was written, because there is already: FOLDER/pipeline/pipeline.yml"),
    Refused("docs --output taken",
            "taken holds other files; name a new folder, or one of a catalogue", files={"taken/notes.txt": ""}),
    Refused("docs --output text.duckdb/docs",
            "text.duckdb/docs cannot be written: Not a directory"),
    Refused("report",
            "this pipeline has no report, that is a Python asset called report.something"),
    Refused("report main.people",
            "'main.people' is not a report; this pipeline has no report, that is a Python asset called report.something"),
    Refused("report",
            "'report.t' ran and wrote no FOLDER/state/reports/t.html; see docs/report.md", files={"pipeline/assets/report.t.py": PYTHON.format("")}),
    query("report --output text.duckdb/page.html",
            "Error: text.duckdb/page.html cannot be written: File exists", files={"pipeline/assets/report.t.py": PYTHON.format("") + PAGE}),
    query("query -c pg 'SELECT 1' -o parquet",
            "the connection 'pg' is of type postgres; only rows of duckdb can be written as parquet; choose csv or json"),
    # The history of a DuckLake.
    Refused("warehouse snapshots",
            "FOLDER/.bruin.yml:6: the connection 'duckdb-default' is not a DuckLake; only a connection with a 'lakehouse' has snapshots"),
    query("run && warehouse rollback 99 --yes",
            "there is no snapshot 99; the kept ones are 0 to 1", files=LAKE),
    query("run && warehouse rollback 1 main.nowhere --yes",
            "there is no table 'main.nowhere'; did you mean 'main.people'?", files=LAKE),
    query("warehouse snapshots",
            "FOLDER/lake.db does not exist yet; run the pipeline first", files=LAKE),
]  # fmt: skip


@pytest.fixture
def project(tiny: Tiny, server: PostgresServer, monkeypatch: pytest.MonkeyPatch) -> Tiny:
    """A pipeline with one table; commands are given in its project's folder."""
    tiny.sql("main.people", "SELECT 1 AS id", "tags: [a]")
    login = {
        "HOST": server.host,
        "PORT": str(server.port),
        "USER": server.user,
        "PASSWORD": server.password,
    }
    tiny.write(
        ".bruin.yml", re.sub("HOST|PORT|USER|PASSWORD", lambda found: login[found[0]], CONFIG)
    )
    tiny.write("text.duckdb", "no database")
    monkeypatch.chdir(tiny.folder)
    return tiny


def last_words(project: Tiny, refused: Refused) -> tuple[int, str]:
    for path, text in refused.files.items():
        if text is None:
            (project.folder / path).unlink()
        else:
            project.write(path, text)
    environment = clean_environment(ECOMMERCE_HOME=str(project.folder / "state"))
    code, text = 0, ""
    for command in refused.command.split(" && "):
        arguments = shlex.split(command)
        named = {"--pipeline", "validate", "format", "pipeline"} & set(arguments)
        pipeline = [] if named else ["--pipeline", "pipeline"]
        outcome = invoke(environment, *arguments, *pipeline)
        code, text = outcome.code, outcome.stderr or outcome.stdout
    folder = str(project.folder.resolve())
    text = text.replace(folder, "FOLDER")
    return code, re.sub(r"^(PASS|FAIL) .*|^.*\d s$", "", text, flags=re.MULTILINE).strip()


@pytest.mark.parametrize("number", range(len(REFUSED)), ids=[each.command for each in REFUSED])
def test_a_command_that_is_refused(project: Tiny, number: int) -> None:
    refused = REFUSED[number]
    code, text = last_words(project, refused)
    assert code == refused.code
    assert text.split("\n\nError: ")[-1] == refused.said


@pytest.fixture
def judged(project: Tiny) -> list[str]:
    """What is said of each of the unit tests: one run of all."""
    project.write("pipeline/fixtures/people.yml", "asset: main.people\nrows: [{id: 1}]\n")
    project.write("pipeline/fixtures/broken.json", "{")
    whole = [t if "expected" in t or t == INPUTS else f"{t}\n{EXPECTED}" for t in UNIT_TESTS]
    tests = [f"  - name: t\n{indent(text, '    ')}\n" for text in whole]
    project.sql(
        "main.t",
        "WITH paid AS (SELECT * FROM main.people) SELECT id FROM paid",
        f"unit_tests:\n{''.join(tests)}",
    )
    outcome = project.ecommerce("unit-test", "main.t", "--output", "json")
    assert outcome.code == 1, outcome.text
    return [
        each["differences"][0].replace(str(project.folder.resolve()), "FOLDER")
        for each in json.loads(outcome.stdout)["tests"]
    ]


def test_a_unit_test_that_cannot_be_judged(judged: list[str]) -> None:
    assert judged == list(UNIT_TESTS.values())
