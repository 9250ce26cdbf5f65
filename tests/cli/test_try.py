"""`ecommerce try`: what changed is built beside production, compared with it, and gone again."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import duckdb
import psycopg
import pytest
from orchestration.helpers import (
    LAKE_CONFIG,
    ROOT,
    Outcome,
    Tiny,
    clean_environment,
    config_with_source,
    ended,
    eventually,
    script,
    tables,
    tables_of,
)

from ecommerce_dagster.bruin.model.lakehouse import CatalogFile, Lakehouse
from ecommerce_dagster.shop.embedded_postgres import PostgresServer
from ecommerce_dagster.warehouses.ducklake.attach import open_lake

CHECKED = "columns: [{name: n, checks: [{name: positive}]}]"


@pytest.fixture
def built(tiny: Tiny) -> Tiny:
    """raw.a, stg.b that reads it, mart.c that reads that: built."""
    pipeline(tiny)
    assert tiny.ecommerce("run").succeeded
    return tiny


def pipeline(tiny: Tiny) -> None:
    tiny.sql("raw.a", "SELECT range + 1 AS n FROM range(4)")
    tiny.sql("stg.b", "SELECT n FROM raw.a", f"depends: [raw.a]\n{CHECKED}")
    tiny.sql("mart.c", "SELECT count(*) AS rows, sum(n) AS total FROM stg.b", "depends: [stg.b]")


def change(tiny: Tiny, query: str = "SELECT n FROM raw.a WHERE n < 4") -> None:
    tiny.sql("stg.b", query, f"depends: [raw.a]\n{CHECKED}")


def runs(tiny: Tiny) -> int:
    folder = tiny.folder / "state" / "dagster" / "history" / "runs"
    return len(list(folder.glob("*.db")))


def schemas(tiny: Tiny) -> set[str]:
    found = tiny.query("SELECT schema_name FROM information_schema.schemata")
    return {str(name) for (name,) in found if str(name).startswith("try_")}


class TestAChange:
    def test_what_changed_and_what_reads_it_is_compared_and_nothing_else_happens(
        self, built: Tiny
    ) -> None:
        change(built)
        before, ran = tables(built.warehouse), runs(built)

        tried = built.ecommerce("try")

        assert tried.succeeded, tried.text
        assert "changed since the last builds: stg.b" in tried.stderr
        lines = tried.stdout.splitlines()
        assert [line.split()[1] for line in lines if line.startswith("PASS")] == ["stg.b", "mart.c"]
        assert lines[lines.index("") + 3 :] == [
            "stg.b: 4 rows, then 3, compared as whole rows: 1 removed",
            "  removed  n 4",
            "mart.c: 1 row, compared as whole rows: 1 added, 1 removed",
            "  added    rows 3, total 6",
            "  removed  rows 4, total 10",
            "2 tables: 0 equal, 2 not",
        ]
        assert tables(built.warehouse) == before
        assert (runs(built), schemas(built)) == (ran, set())
        assert built.ecommerce("try", "--fail-if-diff", "-o", "markdown").code == 1
        assert built.ecommerce("status").succeeded

    def test_no_change_is_nothing_to_try_and_named_assets_are(self, built: Tiny) -> None:
        assert built.ecommerce("try").stdout == ""
        named = built.ecommerce("try", "raw.a", "--fail-if-diff")
        assert named.succeeded, named.text
        assert named.stdout.splitlines()[-1] == "3 tables: 3 equal, 0 not"

    def test_a_check_that_fails_is_told_and_nothing_is_published(self, built: Tiny) -> None:
        change(built, "SELECT n - 1 AS n FROM raw.a")
        before = tables(built.warehouse)
        tried = built.ecommerce("try")
        assert tried.code == 1
        assert "stg.b: not compared: it was not built" in tried.stdout
        assert "1 of 4 rows" in tried.stdout
        assert tables(built.warehouse) == before
        assert schemas(built) == set()

    def test_what_could_write_elsewhere_is_left_out_and_said(self, built: Tiny) -> None:
        built.sql("plain", "SELECT n FROM raw.a", "depends: [raw.a]")
        built.sql("mart.script", "CREATE TABLE IF NOT EXISTS mart.s AS FROM raw.a", table=False)
        hooks = "hooks: {pre: [{query: DELETE FROM raw.a}]}"
        built.sql("mart.hooked", "SELECT 1 AS n", hooks)
        built.sql("mart.new", "SELECT 1 AS n")
        before = tables(built.warehouse)
        tried = built.ecommerce("try")
        assert tried.succeeded, tried.text
        for said in (
            "left out: plain: its name has no schema to tell the two apart by",
            "left out: mart.script: it is a script, which may write anywhere",
            "left out: mart.hooked: its hooks may write anywhere",
        ):
            assert said in tried.stderr
        assert "mart.new: not compared: mart.new: there is no table 'mart.new'" in tried.stdout
        assert tables(built.warehouse) == before
        refused = built.ecommerce("try", "plain")
        assert (refused.code, refused.stdout) == (2, "")
        assert "none of the selected assets can be tried" in refused.stderr


class TestOtherWarehouses:
    def test_a_ducklake(self, tiny: Tiny) -> None:
        (tiny.folder / ".bruin.yml").write_text(LAKE_CONFIG)
        pipeline(tiny)
        assert tiny.ecommerce("run").succeeded
        change(tiny)
        place = Lakehouse(
            CatalogFile("duckdb", str(tiny.folder / "lake.db")), str(tiny.folder / "data")
        )
        with open_lake(place, read_only=True) as lake:
            before = tables_of(lake)
        tried = tiny.ecommerce("try")
        assert tried.succeeded, tried.text
        assert tried.stdout.splitlines()[-1] == "2 tables: 0 equal, 2 not"
        with open_lake(place, read_only=True) as lake:
            assert tables_of(lake) == before

    def test_postgresql(self, tiny: Tiny, database: PostgresServer) -> None:
        place = (database.host, database.port, database.password, database.user)
        (tiny.folder / ".bruin.yml").write_text(config_with_source(*place, database.database))
        tiny.write("pipeline/pipeline.yml", "name: tiny\ndefault_connections: {postgres: pg}\n")
        for name, query in (("s.a", "SELECT 1 AS n"), ("s.b", "SELECT n FROM s.a")):
            tiny.write(
                f"pipeline/assets/{name}.sql",
                f"/* @bruin\nname: {name}\ntype: pg.sql\nmaterialization: {{type: table}}\n"
                f"@bruin */\n{query}\n",
            )
        with psycopg.connect(database.dsn, autocommit=True) as postgres:
            postgres.execute("DROP SCHEMA IF EXISTS s CASCADE")
        assert tiny.ecommerce("run").succeeded
        file = tiny.folder / "pipeline" / "assets" / "s.b.sql"
        file.write_text(file.read_text().replace("SELECT n", "SELECT n + 1 AS n"))
        tried = tiny.ecommerce("try")
        assert tried.succeeded, tried.text
        assert "  added    n 2" in tried.stdout
        with psycopg.connect(database.dsn) as postgres:
            assert postgres.execute("SELECT n FROM s.b").fetchall() == [(1,)]
            found = postgres.execute("SELECT nspname FROM pg_namespace").fetchall()
            assert not [name for (name,) in found if name.startswith("try_")]
            postgres.execute("DROP SCHEMA s CASCADE")


class TestAnEnd:
    def test_what_a_killed_process_left_is_dropped_by_the_next(self, built: Tiny) -> None:
        state = built.folder / "state" / "try"
        code = f"""
import os
from pathlib import Path
import duckdb
from ecommerce_dagster.orchestration.build import load_project
from ecommerce_dagster.runtime.try_tables import throwaway
project = load_project(Path({str(built.directory)!r}))
with throwaway(Path({str(state)!r}), project, ["duckdb-default"], print) as made:
    with duckdb.connect({str(built.warehouse)!r}) as duck:
        duck.execute(f"CREATE SCHEMA {{made.prefix}}mart")
        duck.execute(f"CREATE TABLE {{made.prefix}}mart.t AS SELECT 1 AS n")
    os._exit(9)
"""
        assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 9
        (left,) = schemas(built)
        change(built)
        tried = built.ecommerce("try")
        assert tried.succeeded, tried.text
        assert f"dropping the schemas {left.removesuffix('mart')}*" in tried.stderr
        assert schemas(built) == set()
        assert list(state.iterdir()) == []

    def test_ctrl_c_leaves_nothing(self, built: Tiny) -> None:
        endless = "SELECT count(*) AS n FROM range(10_000_000_000) AS a(n), range(1000) AS b(m)"
        built.sql("mart.d", f"{endless}, raw.a", "depends: [raw.a]")
        before = tables(built.warehouse)
        process = subprocess.Popen(
            [script("ecommerce"), "try", "raw.a", "--pipeline", str(built.directory)],
            env=clean_environment(ECOMMERCE_HOME=str(built.folder / "state")),
            text=True,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
        )
        note = built.folder / "state" / "try"
        assert eventually(lambda: list(note.glob("*.json")), 60)
        assert process.stdout is not None
        line = process.stdout.readline()
        while line and not line.startswith("PASS"):
            line = process.stdout.readline()
        process.send_signal(signal.SIGINT)
        outcome: Outcome = ended(process)
        assert outcome.code == 130
        assert "Interrupted. Nothing is left of it." in outcome.stderr
        assert "Traceback" not in outcome.text
        assert tables(built.warehouse) == before
        assert schemas(built) == set()
        assert list(note.iterdir()) == []


def test_the_script_of_the_page_writes_the_comment_of_a_pull_request(built: Tiny) -> None:
    page = (ROOT / "docs" / "changing.md").read_text()
    (text,) = re.findall(r"```sh\n(# review.sh.*?)```", page, re.DOTALL)
    git = ("git", "-C", str(built.folder), "-c", "user.name=a", "-c", "user.email=a@example.com")
    for arguments in (("init", "-q", "-b", "main"), ("add", "."), ("commit", "-qm", "first")):
        subprocess.run([*git, *arguments], check=True)
    bin_folder = str(Path(script("ecommerce")).parent)
    environment = clean_environment(
        ECOMMERCE_HOME=str(built.folder / "state"), PATH=f"{bin_folder}:{os.environ['PATH']}"
    )
    for query, code in (("SELECT n FROM raw.a WHERE n < 4", 0), ("SELECT -n AS n FROM raw.a", 1)):
        change(built, query)
        done = subprocess.run(
            ["sh", "-c", text, "review.sh", "main"],
            cwd=built.directory,
            env=environment,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
        assert done.returncode == code, done.stderr
        comment = (built.directory / "comment.md").read_text()
        assert "### What changes" in comment
        assert "stg.b" in comment
    assert "it was not built" in comment


def test_readers_of_the_copy_see_nothing_of_it(built: Tiny) -> None:
    copy = built.folder / "warehouse.published.duckdb"
    before = tables(copy)
    change(built)
    assert built.ecommerce("try").succeeded
    assert tables(copy) == before
    asked = built.ecommerce("query", "SELECT sum(n) AS n FROM stg.b", "--output", "csv")
    assert (asked.stdout.split(), asked.stderr) == (["n", "10"], "")
    with duckdb.connect(str(copy), read_only=True) as duck:
        assert not duck.execute(
            "SELECT 1 FROM duckdb_schemas() WHERE schema_name LIKE 'try%'"
        ).fetchall()
