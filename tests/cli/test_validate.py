"""`ecommerce validate`: what it tells people and programs, and whom it asks."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import duckdb
import psycopg
import pytest
from orchestration.helpers import (
    ROOT,
    Outcome,
    Tiny,
    clean_environment,
    config_with_source,
    free_port,
    on_a_terminal,
)

from ecommerce_dagster.shop.embedded_postgres import PostgresServer

INGESTED = """name: raw.people
type: ingestr
parameters:
  source_connection: pg
  source_table: {table}
  destination: duckdb
columns:
  - name: nmae
"""


@pytest.fixture
def tiny(tiny: Tiny, monkeypatch: pytest.MonkeyPatch) -> Tiny:
    monkeypatch.chdir(tiny.folder)
    tiny.sql("main.people", "SELECT 'x' AS name")
    return tiny


def issues(outcome: Outcome) -> list[dict[str, Any]]:
    found = json.loads(outcome.stdout)
    assert set(found) == {"valid", "issues"}
    assert found["valid"] == (outcome.code == 0)
    return list(found["issues"])


def places(outcome: Outcome) -> list[tuple[str, int, str]]:
    return [(issue["file"], issue["line"], issue["rule"]) for issue in issues(outcome)]


class TestJson:
    def test_a_valid_pipeline_has_no_issues(self, tiny: Tiny) -> None:
        outcome = tiny.ecommerce("validate", "--output", "json")
        assert (outcome.code, issues(outcome), outcome.stderr) == (0, [], "")

    def test_each_issue_has_its_place_and_nothing_else_is_printed(self, tiny: Tiny) -> None:
        tiny.sql("main.t", "SELECT\n  nmae\nFROM main.people", "depends: [main.people]")
        outcome = tiny.ecommerce("validate", "-o", "json")
        assert outcome.code == 1
        assert outcome.stderr == ""
        [issue] = issues(outcome)
        assert issue.pop("message").startswith("the query does not bind: Referenced column")
        assert issue == {
            "rule": "query-binds",
            "severity": "error",
            "file": "pipeline/assets/main.t.sql",
            "line": 10,
        }

    def test_warnings_alone_leave_it_valid(self, tiny: Tiny) -> None:
        tiny.sql("main.t", "SELECT 1 AS n", "depends: [main.people]")
        outcome = tiny.ecommerce("validate", "-o", "json")
        [issue] = issues(outcome)
        assert (issue["severity"], issue["rule"]) == ("warning", "unused-depends")
        assert outcome.code == 0

    def test_files_that_cannot_be_read_are_issues_too(self, tiny: Tiny) -> None:
        tiny.write("pipeline/pipeline.yml", "name: [\n")
        tiny.write("pipeline/assets/main.t.sql", "/* @bruin\n}{\n@bruin */\nSELECT 1")
        found = places(tiny.ecommerce("validate", "-o", "json"))
        assert ("pipeline/pipeline.yml", 1, "valid-yaml") in found
        assert ("pipeline/assets/main.t.sql", 2, "valid-yaml") in found


class TestTheText:
    @pytest.fixture
    def said(self, tiny: Tiny) -> Outcome:
        tiny.sql("main.a", "SELECT 1 AS n", "depends: [main.people]")
        tiny.sql("main.b", "SELECT 1 AS n", "depends: [main.people]\ntags: [a, a]\nowne: x")
        tiny.sql("main.c", "SELECT nope")
        return tiny.ecommerce("validate")

    def test_findings_are_grouped_by_file_errors_first_each_with_its_rule(
        self, said: Outcome
    ) -> None:
        assert (said.code, said.stderr) == (1, "")
        lines = [
            re.sub(r"  (the query|nothing in|unknown key) .*  ", "  ... ", line)
            for line in said.stdout.splitlines()
        ]
        assert lines == [
            "pipeline/assets/main.b.sql",
            "  8  error    ... [unknown-asset-fields]",
            "  6  warning  ... [unused-depends]",
            "  7  warning  the tag 'a' stands twice; remove one  [duplicate-tags]",
            "",
            "pipeline/assets/main.c.sql",
            "  9  error    ... [query-binds]",
            "",
            "pipeline/assets/main.a.sql",
            "  6  warning  ... [unused-depends]",
            "",
            "2 errors, 3 warnings in 3 files",
        ]  # fmt: skip

    def test_with_warnings_alone_it_is_valid(self, tiny: Tiny) -> None:
        tiny.sql("main.a", "SELECT 1 AS n", "depends: [main.people]")
        outcome = tiny.ecommerce("validate")
        assert (outcome.code, outcome.stderr) == (0, "")
        assert outcome.stdout.splitlines()[-2:] == [
            "0 errors, 1 warning in 1 file",
            "tiny: 2 assets and 0 checks are valid",
        ]

    def test_only_a_terminal_gets_colours_and_none_with_no_color(
        self, tiny: Tiny, said: Outcome
    ) -> None:
        assert "\x1b" not in said.stdout
        coloured = on_a_terminal(clean_environment(), "validate", "--fast")
        assert "\x1b[31merror" in coloured
        assert "\x1b[33mwarning" in coloured
        plain = on_a_terminal(clean_environment(NO_COLOR="1"), "validate", "--fast")
        assert "  8  error    " in plain
        assert "\x1b" not in plain


class TestWhatIsValidated:
    def test_fast_leaves_the_queries_alone(self, tiny: Tiny) -> None:
        tiny.sql("main.t", "SELECT nmae FROM main.people", "depends: [main.people]")
        assert tiny.ecommerce("validate", "--fast").code == 0
        assert tiny.ecommerce("validate").code == 1

    def test_one_file_has_its_own_issues_only(self, tiny: Tiny) -> None:
        bad = tiny.sql("main.bad", "SELECT nmae FROM main.people", "depends: [main.people]")
        good = tiny.sql("main.good", "SELECT name FROM main.people", "depends: [main.people]")
        assert tiny.ecommerce("validate", str(good)).code == 0
        outcome = tiny.ecommerce("validate", str(bad), "-o", "json")
        assert places(outcome) == [("pipeline/assets/main.bad.sql", 9, "query-binds")]

    def test_so_has_a_folder_inside_of_a_pipeline(self, tiny: Tiny) -> None:
        tiny.sql("main.bad", "SELECT nmae FROM main.people", "depends: [main.people]")
        tiny.write(
            "pipeline/assets/b/main.b.sql", "/* @bruin\ntype: duckdb.sq\n@bruin */\nSELECT 1"
        )
        outcome = tiny.ecommerce("validate", "pipeline/assets/b", "-o", "json")
        assert {place[0] for place in places(outcome)} == {"pipeline/assets/b/main.b.sql"}

    def test_all_pipelines_below_a_folder(self, tiny: Tiny) -> None:
        tiny.write("other/pipeline.yml", "name: other\n")
        header = "/* @bruin\nname: main.o\ntype: duckdb.sql\nmaterialization: {type: table}\n"
        tiny.write("other/assets/o.sql", header + "@bruin */\nSELECT 1 AS n FROM main.people\n")
        outcome = tiny.ecommerce("validate", ".")
        assert outcome.code == 0, outcome.stderr
        assert outcome.stdout.splitlines() == [
            "other: 1 asset and 0 checks are valid",
            "tiny: 1 asset and 0 checks are valid",
        ]
        tiny.write(
            "other/assets/p.sql",
            "/* @bruin\nname: main.people\ntype: duckdb.sql\n@bruin */\nSELECT 1",
        )
        outcome = tiny.ecommerce("validate", ".", "-o", "json")
        assert "asset-key-unique" in {issue["rule"] for issue in issues(outcome)}
        assert outcome.code == 1

    def test_a_variable_that_is_given_counts(self, tiny: Tiny) -> None:
        tiny.write("pipeline/pipeline.yml", "name: tiny\nvariables: {c: {default: name}}\n")
        tiny.sql("main.t", "SELECT {{ var.c }} FROM main.people", "depends: [main.people]")
        assert tiny.ecommerce("validate").code == 0
        assert tiny.ecommerce("validate", "--var", "c=nmae").code == 1

    def test_no_pipeline_around_a_file_is_wrong_usage(self, tiny: Tiny) -> None:
        file = tiny.write("loose.sql", "SELECT 1")
        outcome = tiny.ecommerce("validate", str(file))
        assert outcome.code == 2
        assert "there is no pipeline.yml" in outcome.stderr
        assert tiny.ecommerce("validate", "nowhere").code == 2


class TestSources:
    def test_a_server_that_answers_is_asked_for_its_columns(
        self, tiny: Tiny, server: PostgresServer
    ) -> None:
        password = server.password
        tiny.write(
            ".bruin.yml", config_with_source(host=server.host, port=server.port, password=password)
        )
        with psycopg.connect(server.dsn, autocommit=True) as connection:
            connection.execute("CREATE SCHEMA proof CREATE TABLE people (id int, name text)")
        tiny.write("pipeline/assets/p.asset.yml", INGESTED.format(table="proof.people"))
        tiny.sql("main.t", "SELECT id + 1 AS n, nmae\nFROM raw.people", "depends: [raw.people]")
        tiny.sql("main.u", "SELECT age FROM raw.people", "depends: [raw.people]")
        outcome = tiny.ecommerce("validate", "-o", "json")
        assert outcome.stderr == ""
        assert places(outcome) == [
            ("pipeline/assets/main.u.sql", 9, "query-binds"),
            ("pipeline/assets/p.asset.yml", 8, "declared-columns-exist"),
        ]

    def test_a_table_that_is_not_there_is_a_warning(
        self, tiny: Tiny, server: PostgresServer
    ) -> None:
        password = server.password
        tiny.write(
            ".bruin.yml", config_with_source(host=server.host, port=server.port, password=password)
        )
        tiny.write("pipeline/assets/p.asset.yml", INGESTED.format(table="proof.peeple"))
        tiny.write(
            "pipeline/assets/q.asset.yml",
            INGESTED.format(table="'query: SELECT 1 AS nmae'").replace("raw.people", "raw.q"),
        )
        outcome = tiny.ecommerce("validate", "-o", "json")
        assert places(outcome) == [("pipeline/assets/p.asset.yml", 5, "source-table-exists")]
        assert outcome.code == 0
        assert password not in outcome.text

    def test_one_that_does_not_answer_is_noted_and_its_columns_are_believed(
        self, tiny: Tiny
    ) -> None:
        port = free_port()
        tiny.write(".bruin.yml", config_with_source(host="127.0.0.1", port=port, password="s3cr3t"))
        for name in ("raw.people", "raw.others"):
            text = INGESTED.format(table="proof.people").replace("raw.people", name)
            tiny.write(f"pipeline/assets/{name}.asset.yml", text)
        tiny.sql("main.u", "SELECT age FROM raw.people", "depends: [raw.people]")
        outcome = tiny.ecommerce("validate", "-o", "json")
        assert (outcome.code, issues(outcome)) == (0, [])
        assert outcome.stderr.count(f"note: PostgreSQL at 127.0.0.1:{port}/shop cannot be") == 1
        assert "s3cr3t" not in outcome.text


@pytest.mark.parametrize(
    ("schedule", "code"),
    [("", 0), ("*/15 2-4 l * mon#1", 0), ("@midnight", 0), ("0 0 30 2 *", 1), ("fortnightly", 1)],
)
def test_neither_dagster_nor_a_warehouse_is_opened_and_only_what_reads_files_imported(
    tmp_path: Path, schedule: str, code: int
) -> None:
    pipeline = ROOT / "asset_specs"
    if schedule:
        pipeline = tmp_path / "pipeline"
        pipeline.mkdir()
        text = f"name: p\nschedule: '{schedule}'\nstart_date: 2024-01-01\n"
        (pipeline / "pipeline.yml").write_text(text)
    script = (
        "import sys\nfrom ecommerce_dagster.shop.commands import main\n"
        f"try: main(['validate', {str(pipeline)!r}])\n"
        f"except SystemExit as end: assert end.code == {code}, end.code\n"
        "unwanted = {'asyncio', 'dagster', 'filelock', 'jsonschema', 'psycopg', 'sqlglot'}\n"
        "assert not unwanted & set(sys.modules), unwanted & set(sys.modules)\n"
        f"assert 'packaging.requirements' not in sys.modules or not {schedule!r}\n"
        "assert 'ecommerce_dagster.runtime.builders' not in sys.modules\n"
    )
    home = tmp_path / "home"
    environment = clean_environment(ECOMMERCE_HOME=str(home))
    subprocess.run([sys.executable, "-c", script], cwd=ROOT, env=environment, check=True)
    assert not home.exists()


class TestNames:
    """Columns of a seed are bound as its table calls them."""

    @pytest.fixture
    def trips(self, tiny: Tiny) -> Tiny:
        columns = "columns: [{name: VendorID, type: integer, checks: [{name: positive}]}]"
        definition = (
            f"name: raw.trips\ntype: duckdb.seed\nparameters: {{path: trips.csv}}\n{columns}"
        )
        tiny.write("pipeline/assets/trips.asset.yml", definition)
        tiny.write("pipeline/assets/trips.csv", "VendorID\n1\n")
        return tiny

    def test_a_new_table_has_snake_case_names(self, trips: Tiny) -> None:
        query = trips.sql("main.t", "SELECT vendor_id FROM raw.trips", "depends: [raw.trips]")
        assert trips.ecommerce("validate").code == 0
        assert trips.ecommerce("run").code == 0
        assert trips.query("SELECT vendor_id FROM main.t") == [(1,)]
        query.write_text(query.read_text().replace("vendor_id", "VendorID"))
        refused = trips.ecommerce("validate")
        assert refused.code == 1
        assert "vendor_id" in refused.stdout + refused.stderr

    def test_a_table_with_the_names_of_the_file_keeps_them(self, trips: Tiny) -> None:
        trips.sql("main.t", "SELECT VendorID FROM raw.trips", "depends: [raw.trips]")
        with duckdb.connect(str(trips.warehouse)) as connection:
            connection.execute('CREATE SCHEMA raw; CREATE TABLE raw.trips ("VendorID" INTEGER)')
        assert trips.ecommerce("validate").code == 0
        assert trips.ecommerce("run").code == 0
        assert trips.query("SELECT VendorID FROM main.t") == [(1,)]

    def test_two_columns_of_one_name_are_an_error(self, trips: Tiny) -> None:
        trips.write("pipeline/assets/trips.csv", "VendorID,vendor_id\n1,2\n")
        refused = trips.ecommerce("validate", "-o", "json")
        assert ("pipeline/assets/trips.asset.yml", 3, "valid-naming") in places(refused)
