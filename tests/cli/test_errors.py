"""Mistakes of a user: one message each, naming the place, an exit code, never a traceback."""

from __future__ import annotations

import re
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest
from orchestration.helpers import (
    Outcome,
    Tiny,
    clean_environment,
    config_with_source,
    findings,
    free_port,
    script,
)

from ecommerce_dagster.bruin.problems import ProjectError
from ecommerce_dagster.shop.embedded_postgres import PostgresServer

GLOSSARY = """
entities:
  Customer:
    attributes:
      Email:
        name: email
        type: string
"""
INGESTED = """
name: main.customers
type: ingestr
parameters:
  source_connection: pg
  source_table: public.customers
  destination: duckdb
"""


@dataclass(frozen=True)
class Mistake:
    """A file with a mistake on one line, marked by `<<<`, and what must be said about it."""

    path: str
    text: str
    said: str

    @property
    def line(self) -> int:
        return next(n for n, row in enumerate(self.text.splitlines(), 1) if "<<<" in row)

    def write(self, tiny: Tiny) -> None:
        tiny.write(self.path, self.text.replace("<<<", ""))

    def place(self) -> str:
        return f"{self.path}:{self.line}: "


def sql(columns: str = "", query: str = "SELECT 1 AS n", more: str = "") -> str:
    return (
        "/* @bruin\nname: main.t\ntype: duckdb.sql\nmaterialization:\n  type: table\n"
        f"{more}{columns}@bruin */\n\n{query}\n"
    )


T = "pipeline/assets/main.t.sql"
IN_THE_FILES = {
    "a missing entity of the glossary": Mistake(
        T,
        sql("columns:\n  - extends: Custmer.Email <<<\n"),
        "the glossary has no entity 'Custmer'; did you mean 'Customer'?",
    ),
    "a missing attribute of the glossary": Mistake(
        T,
        sql("columns:\n  - extends: Customer.Emial <<<\n"),
        "the entity 'Customer' has no attribute 'Emial'; did you mean 'Email'?",
    ),
    "YAML that is none": Mistake(T, sql("columns:\n  - name: n\n   type: x <<<\n"), ""),
    "an unknown check": Mistake(
        T,
        sql("columns:\n  - name: n\n    checks:\n      - name: not_nul <<<\n"),
        "unknown check 'not_nul'; did you mean 'not_null'?",
    ),
    "a misspelt key": Mistake(
        T,
        sql(more="colums: [] <<<\n"),
        "unknown key 'colums' in an asset; did you mean 'columns'?",
    ),
    "an unknown strategy": Mistake(
        T,
        sql().replace("type: table\n", "type: table\n  strategy: mergee <<<\n"),
        "'mergee'; did you mean 'merge'?",
    ),
    "a missing dependency": Mistake(
        T,
        sql(
            query="SELECT name FROM main.people",
            more="depends:\n  - main.people\n  - main.peple <<<\n",
        ),
        "main.peple",
    ),
    "an unknown schedule": Mistake(
        "pipeline/pipeline.yml", "name: tiny\nschedule: dayly <<<\n", "'dayly'"
    ),
    "a start date that is none": Mistake(
        "pipeline/pipeline.yml",
        "name: tiny\nschedule: daily\nstart_date: 2025-02-30x <<<\n",
        "'2025-02-30x'",
    ),
}  # fmt: skip

IN_THE_QUERIES = {
    "a query that does not parse": Mistake(T, sql(query="SELECT 1 AS n\nFORM nowhere <<<"), ""),
    "a query on a missing column": Mistake(
        T,
        sql(query="SELECT\n    nmae <<<\nFROM main.people", more="depends: [main.people]\n"),
        "nmae",
    ),
    "a query on a missing table": Mistake(T, sql(query="SELECT *\nFROM main.peeple <<<"), "peeple"),
}


@pytest.fixture
def tiny(tiny: Tiny, monkeypatch: pytest.MonkeyPatch) -> Tiny:
    """Paths in messages count from where the user is."""
    monkeypatch.chdir(tiny.folder)
    tiny.write("glossary.yml", GLOSSARY)
    tiny.sql("main.people", "SELECT 'x' AS name, 'a@b.c' AS email")
    return tiny


def messages(text: str) -> list[str]:
    """The lines that name a place."""
    return [line for line in text.splitlines() if re.search(r"\.(sql|yml):\d+: ", line)]


def assert_one_finding(outcome: Outcome, mistake: Mistake) -> None:
    assert (outcome.code, outcome.stderr) == (1, ""), outcome.text
    [found] = findings(outcome)
    assert found.startswith(f"{mistake.place()}error: ")
    assert mistake.said in found
    assert outcome.stdout.endswith("\n\n1 error, 0 warnings in 1 file\n")


def assert_one_message(outcome: Outcome, code: int, mistake: Mistake) -> None:
    assert outcome.code == code, outcome.text
    assert "Traceback" not in outcome.text
    found = messages(outcome.stderr)
    assert len(found) == 1, outcome.text
    assert mistake.place() in found[0]
    assert mistake.said in found[0]


class TestAMistakeInAFile:
    @pytest.mark.parametrize("mistake", IN_THE_FILES.values(), ids=IN_THE_FILES)
    def test_validate_names_it_with_file_and_line(self, tiny: Tiny, mistake: Mistake) -> None:
        mistake.write(tiny)
        assert_one_finding(tiny.ecommerce("validate"), mistake)

    @pytest.mark.parametrize("mistake", IN_THE_QUERIES.values(), ids=IN_THE_QUERIES)
    def test_validate_proves_the_queries_too(self, tiny: Tiny, mistake: Mistake) -> None:
        mistake.write(tiny)
        assert_one_finding(tiny.ecommerce("validate"), mistake)
        assert not tiny.warehouse.exists()

    @pytest.mark.parametrize("mistake", IN_THE_FILES.values(), ids=IN_THE_FILES)
    def test_a_run_names_it_and_builds_nothing(self, tiny: Tiny, mistake: Mistake) -> None:
        mistake.write(tiny)
        outcome = tiny.ecommerce("run")
        assert_one_message(outcome, 2, mistake)
        assert outcome.stdout == ""
        assert not tiny.warehouse.exists()

    @pytest.mark.parametrize("mistake", IN_THE_QUERIES.values(), ids=IN_THE_QUERIES)
    def test_a_run_names_a_query_that_cannot_work(self, tiny: Tiny, mistake: Mistake) -> None:
        mistake.write(tiny)
        outcome = tiny.ecommerce("run")
        assert outcome.code in {1, 2}
        assert "Traceback" not in outcome.text
        [found] = messages(outcome.text)
        assert mistake.place() in found
        assert mistake.said in found

    def test_validate_needs_no_data_to_find_nothing_wrong(self, tiny: Tiny) -> None:
        tiny.sql("main.t", "SELECT name FROM main.people", "depends: [main.people]")
        outcome = tiny.ecommerce("validate")
        assert (outcome.code, outcome.stderr) == (0, "")
        assert outcome.stdout == "tiny: 2 assets and 0 checks are valid\n"
        assert not tiny.warehouse.exists()


SEVERAL = [
    Mistake(
        "pipeline/assets/a.sql",
        sql("columns:\n  - extends: Custmer.Email <<<\n").replace("main.t", "main.a"),
        "'Custmer'",
    ),
    Mistake(
        "pipeline/assets/b.sql",
        sql("columns:\n  - name: n\n    checks:\n      - name: not_nul <<<\n").replace(
            "main.t", "main.b"
        ),
        "'not_nul'",
    ),
    Mistake("pipeline/assets/c.asset.yml", "name: main.c\ntype: [ingestr <<<\n", ""),
    Mistake("pipeline/pipeline.yml", "name: tiny\nschedul: daily <<<\n", "'schedul'"),
]


class TestSeveralMistakesInSeveralFiles:
    @pytest.fixture
    def broken(self, tiny: Tiny) -> Tiny:
        for mistake in SEVERAL:
            mistake.write(tiny)
        return tiny

    def test_validate_names_all_of_them_at_once(self, broken: Tiny) -> None:
        outcome = broken.ecommerce("validate")
        assert outcome.code == 1
        found = findings(outcome)
        assert len(found) == len(SEVERAL)
        for mistake in SEVERAL:
            assert any(one.startswith(mistake.place()) and mistake.said in one for one in found)

    def test_loading_the_code_location_fails_with_the_same_text(self, broken: Tiny) -> None:
        expected = findings(broken.ecommerce("validate"))
        broken.write(
            "code_location.py",
            "from ecommerce_dagster import build_defs\n"
            f"defs = build_defs({str(broken.directory)!r})\n",
        )
        loaded = subprocess.run(
            [script("dagster"), "definitions", "validate", "-f", "code_location.py"],
            env=clean_environment(DAGSTER_HOME=""),
            cwd=broken.folder,
            text=True,
            capture_output=True,
            timeout=60,
            check=False,
        )
        assert loaded.returncode == 1
        for finding in expected:
            place, message = finding.split(": error: ")
            assert f"{place}: {message.partition(' [')[0]}" in loaded.stdout

    def test_python_gets_them_in_one_exception(self, broken: Tiny) -> None:
        with pytest.raises(ProjectError) as caught:
            broken.definitions()
        assert len(caught.value.problems) == 4
        assert len(str(caught.value).splitlines()) == 4


class TestTheSource:
    @pytest.fixture
    def ingesting(self, tiny: Tiny) -> Tiny:
        tiny.write("pipeline/assets/main.customers.asset.yml", INGESTED)
        return tiny

    def test_a_server_that_is_not_there(self, ingesting: Tiny) -> None:
        port = free_port()
        ingesting.write(".bruin.yml", config_with_source(host="127.0.0.1", port=port, password="x"))
        outcome = ingesting.ecommerce("run")
        assert_fails_once(outcome, f"PostgreSQL at 127.0.0.1:{port}/shop cannot be reached", 1)
        assert "pipeline/assets/main.customers.asset.yml:" in outcome.text

    def test_a_wrong_password_which_is_not_shown(
        self, ingesting: Tiny, server: PostgresServer
    ) -> None:
        secret = "wrong-Password-4711"
        ingesting.write(
            ".bruin.yml", config_with_source(host=server.host, port=server.port, password=secret)
        )
        outcome = ingesting.ecommerce("run")
        assert_fails_once(outcome, "password authentication failed", 1)
        assert secret not in outcome.text

    def test_a_table_that_is_not_there(self, ingesting: Tiny, server: PostgresServer) -> None:
        ingesting.write(
            ".bruin.yml",
            config_with_source(host=server.host, port=server.port, password=server.password),
        )
        outcome = ingesting.ecommerce("run")
        assert_fails_once(outcome, 'relation "public.customers" does not exist', 1)
        assert server.password not in outcome.text

    def test_a_variable_that_is_not_set(self, ingesting: Tiny) -> None:
        text = config_with_source(host="${NOBODY_SETS_THIS}", port=5432, password="x")
        ingesting.write(".bruin.yml", text)
        outcome = ingesting.ecommerce("run")
        assert_fails_once(outcome, "the connection 'pg' needs NOBODY_SETS_THIS", 1)
        line = text.splitlines().index("        - name: pg") + 1
        assert f".bruin.yml:{line}: " in outcome.text

    def test_the_rest_is_built_all_the_same(self, ingesting: Tiny) -> None:
        ingesting.write(".bruin.yml", config_with_source(host="127.0.0.1", port=1, password="x"))
        ingesting.ecommerce("run")
        assert ingesting.query("FROM main.people") == [("x", "a@b.c")]

    def test_a_source_that_cannot_be_read_is_left_out_with_a_word(self, ingesting: Tiny) -> None:
        config = config_with_source(host="127.0.0.1", port=1, password="x")
        ingesting.write(".bruin.yml", config.replace("postgres:\n", "mongo:\n"))
        outcome = ingesting.ecommerce("validate")
        [found] = findings(outcome)
        assert found.startswith("pipeline/assets/main.customers.asset.yml:")
        assert "mongo" in found


class TestTheWarehouse:
    def test_a_folder_that_cannot_be_created(self, tiny: Tiny) -> None:
        tiny.write("file", "in the way")
        config = (tiny.folder / ".bruin.yml").read_text()
        tiny.write(".bruin.yml", config.replace("warehouse.duckdb", "file/warehouse.duckdb"))
        outcome = tiny.ecommerce("run")
        assert_fails_once(outcome, f"{tiny.folder}/file/warehouse.duckdb cannot be created", 1)

    def test_a_file_that_is_no_database(self, tiny: Tiny) -> None:
        tiny.warehouse.write_text("This is a letter to my aunt. " * 500)
        outcome = tiny.ecommerce("run")
        assert_fails_once(outcome, f"{tiny.warehouse} cannot be opened as a DuckDB database", 1)

    def test_a_variable_in_its_path_that_is_not_set(self, tiny: Tiny) -> None:
        config = (tiny.folder / ".bruin.yml").read_text()
        tiny.write(".bruin.yml", config.replace("warehouse.duckdb", "${NOBODY_SETS_THIS}"))
        outcome = tiny.ecommerce("run")
        assert_fails_once(outcome, "NOBODY_SETS_THIS", 1)

    def test_no_bruin_yml_at_all(self, tiny: Tiny) -> None:
        (tiny.folder / ".bruin.yml").unlink()
        assert "there is no .bruin.yml" in tiny.ecommerce("validate").stdout
        outcome = tiny.ecommerce("run")
        assert outcome.code == 1
        assert "there is none" in outcome.stdout

    def test_a_connection_that_is_not_in_it_names_the_nearest_one(self, tiny: Tiny) -> None:
        tiny.write(T, sql(more="connection: duckdb-defalt\n"))
        [told] = findings(tiny.ecommerce("validate"))
        assert told.startswith(f"{T}:")
        assert "'duckdb-defalt'" in told
        assert "did you mean 'duckdb-default'?" in told
        outcome = tiny.ecommerce("run", "main.t")
        assert_fails_once(outcome, "did you mean 'duckdb-default'?", 1, outcome.stdout)

    def test_an_unknown_environment_names_the_nearest_one(self, tiny: Tiny) -> None:
        outcome = tiny.ecommerce("validate", "--environment", "defualt")
        assert outcome.code == 1
        assert "no environment 'defualt'; did you mean 'default'?" in outcome.stdout


class TestNoPipeline:
    def test_a_folder_without_one_says_what_is_missing(self, tiny: Tiny) -> None:
        (tiny.directory / "pipeline.yml").unlink()
        outcome = tiny.ecommerce("validate")
        assert outcome.code == 1
        [found] = findings(outcome)
        assert found.startswith("pipeline/pipeline.yml:1: error: this file does not exist")

    def test_a_pipeline_without_assets_has_nothing_to_run(self, tiny: Tiny) -> None:
        Path(tiny.directory, "assets", "main.people.sql").unlink()
        outcome = tiny.ecommerce("run")
        assert outcome.code == 2
        assert "Traceback" not in outcome.text


def assert_fails_once(outcome: Outcome, message: str, code: int, where: str = "") -> None:
    assert outcome.code == code, outcome.text
    assert (where or outcome.text).count(message) == 1, outcome.text
    assert "Traceback" not in outcome.text
