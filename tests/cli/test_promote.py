"""`ecommerce try --keep` and `ecommerce run --tried`: what was tried is published without being
built again, where a build would make the same."""

from __future__ import annotations

from collections.abc import Iterator

import duckdb
import psycopg
import pytest
from orchestration.helpers import LAKE_CONFIG, Outcome, Tiny, config_with_source, tables

from ecommerce_dagster.shop.embedded_postgres import PostgresServer

MART = "SELECT n % 3 AS part, count(*) AS rows, sum(n) AS total FROM stg.b GROUP BY 1"
CHECKED = "columns: [{name: total, checks: [{name: positive}]}]\ndepends: [stg.b]"


class Shop:
    """raw.a, stg.b that reads it, mart.c that reads that: built in one kind of warehouse."""

    def __init__(self, tiny: Tiny, type: str) -> None:
        self.tiny, self.type = tiny, type
        self.write("raw.a", "SELECT n FROM generate_series(1, 50) AS t(n)")
        self.write("stg.b", "SELECT n FROM raw.a", "depends: [raw.a]")
        self.write("mart.c", MART, CHECKED)
        self.done("run")

    def write(self, name: str, query: str, *more: str, how: str = "{type: table}") -> None:
        lines = (f"name: {name}", f"type: {self.type}", f"materialization: {how}", *more)
        header = "\n".join(lines)
        self.tiny.write(f"pipeline/assets/{name}.sql", f"/* @bruin\n{header}\n@bruin */\n{query}\n")

    def change(self, query: str = "SELECT n + 1 AS n FROM raw.a") -> None:
        self.write("stg.b", query, "depends: [raw.a]")

    def done(self, *command: str) -> Outcome:
        outcome = self.tiny.ecommerce(*command)
        assert outcome.succeeded, outcome.text
        return outcome

    def asked(self, sql: str) -> list[str]:
        connection = "pg" if self.type == "pg.sql" else "duckdb-default"
        told = self.done("query", sql, "--connection", connection, "--output", "csv")
        return told.stdout.split()[1:]

    def schemas(self) -> list[str]:
        found = self.asked("SELECT schema_name FROM information_schema.schemata")
        return [name for name in found if name.startswith("try_")]


@pytest.fixture(params=["duckdb", "ducklake", pytest.param("postgres", marks=pytest.mark.postgres)])
def shop(request: pytest.FixtureRequest, tiny: Tiny) -> Iterator[Shop]:
    if request.param == "postgres":
        server: PostgresServer = request.getfixturevalue("database")
        place = (server.host, server.port, server.password, server.user)
        (tiny.folder / ".bruin.yml").write_text(config_with_source(*place, server.database))
        tiny.write("pipeline/pipeline.yml", "name: tiny\ndefault_connections: {postgres: pg}\n")
        yield Shop(tiny, "pg.sql")
        with psycopg.connect(server.dsn, autocommit=True) as postgres:
            found = postgres.execute("SELECT nspname FROM pg_namespace").fetchall()
            tried = [name for (name,) in found if name.startswith("try_")]
            for schema in ("raw", "stg", "mart", *tried):
                postgres.execute(f"DROP SCHEMA IF EXISTS {schema} CASCADE".encode())
        return
    if request.param == "ducklake":
        (tiny.folder / ".bruin.yml").write_text(LAKE_CONFIG)
    yield Shop(tiny, "duckdb.sql")


SUM = "SELECT sum(n) AS s FROM stg.b"


def test_what_was_tried_is_published_and_the_rest_goes(shop: Shop) -> None:
    shop.change()
    tried = shop.done("try", "--keep")
    assert tried.stderr.splitlines()[-1] == (
        "kept; `ecommerce run --modified+ --tried` publishes what is still as it was tried"
    )
    assert len(shop.schemas()) == 2
    assert shop.asked(SUM) == ["1275"]

    published = shop.done("run", "--modified+", "--tried")

    assert "published as tried: stg.b, mart.c" in published.stderr
    assert "1/1 checks" in published.stdout
    assert shop.asked(SUM) == ["1325"]
    assert shop.asked("SELECT sum(total) AS s FROM mart.c") == ["1325"]
    assert shop.schemas() == []
    assert "changed since the last builds: nothing" in shop.done("try").stderr
    # Built anew it is the same.
    before = shop.asked("SELECT * FROM mart.c ORDER BY part")
    shop.done("run", "stg.b", "--downstream")
    assert shop.asked("SELECT * FROM mart.c ORDER BY part") == before


def test_other_rows_upstream_have_it_built_anew(shop: Shop) -> None:
    shop.change()
    shop.done("try", "--keep")
    shop.write("raw.a", "SELECT n FROM generate_series(1, 49) AS t(n)")
    shop.done("run", "raw.a")
    shop.write("mart.d", "SELECT n FROM raw.a", "depends: [raw.a]")
    published = shop.done("run", "--modified+", "--tried")
    assert "built anew: stg.b: raw.a has other rows now" in published.stderr
    assert "built anew: mart.c: stg.b is not published as it was tried" in published.stderr
    assert "not tried: mart.d" in published.stderr
    assert shop.asked(SUM) == [str(sum(range(2, 51)))]


@pytest.fixture
def local(tiny: Tiny) -> Shop:
    """A shop in a DuckDB file."""
    return Shop(tiny, "duckdb.sql")


def test_the_query_is_not_run_again(local: Shop) -> None:
    local.change()
    local.done("try", "--keep")
    (schema,) = [name for name in local.schemas() if name.endswith("_stg")]
    with duckdb.connect(str(local.tiny.warehouse)) as duck:
        duck.execute(f"UPDATE {schema}.b SET n = 1000 WHERE n = 2")
    local.done("run", "--modified+", "--tried")
    assert local.asked("SELECT max(n) AS n FROM stg.b") == ["1000"]


OTHERWISE = (
    ("SELECT n FROM raw.a, other.t", "{type: table}", "it reads other.t, which is no asset"),
    (
        "SELECT n, current_date AS day FROM raw.a",
        "{type: table}",
        "its query depends on the moment it runs at (current_date)",
    ),
    (
        "SELECT n, random() AS r FROM raw.a",
        "{type: table}",
        "its query depends on the moment it runs at (random)",
    ),
    (
        "SELECT n FROM raw.a, read_csv('{folder}/a.csv')",
        "{type: table}",
        "it is not known what its query reads",
    ),
    (
        "SELECT n FROM raw.a WHERE n > 1",
        "{type: table, strategy: append}",
        "its strategy is append, which keeps rows of what is there",
    ),
)


def test_what_may_come_out_otherwise_is_built_anew(local: Shop) -> None:
    with duckdb.connect(str(local.tiny.warehouse)) as duck:
        duck.execute("CREATE SCHEMA other")
        duck.execute("CREATE TABLE other.t AS SELECT 1 AS o")
    (local.tiny.folder / "a.csv").write_text("c\n1\n")
    for number, (query, how, _) in enumerate(OTHERWISE):
        text = query.replace("{folder}", str(local.tiny.folder))
        local.write(f"mart.x{number}", text, "depends: [raw.a]", how=how)
    local.write("mart.y", "SELECT n FROM mart.x0", "depends: [mart.x0]")
    local.done("try", "--keep")
    published = local.done("run", "--modified+", "--tried")
    for number, (_, _, reason) in enumerate(OTHERWISE):
        assert f"built anew: mart.x{number}: {reason}" in published.stderr
    assert "built anew: mart.y: mart.x0 is not published as it was tried" in published.stderr


def test_a_file_that_was_changed_since_and_an_upstream_that_is_left_out(local: Shop) -> None:
    local.change()
    local.done("try", "--keep")
    alone = local.done("run", "mart.c", "--tried")
    assert "built anew: mart.c: stg.b is not published as it was tried" in alone.stderr
    assert len(local.schemas()) == 2
    local.change("SELECT n + 2 AS n FROM raw.a")
    changed = local.done("run", "--modified+", "--tried")
    assert "built anew: stg.b: its file, or what it uses, is not what was tried" in changed.stderr
    assert local.asked(SUM) == ["1375"]


def test_raw_tables_that_the_run_builds_may_be_others(local: Shop) -> None:
    local.change()
    local.done("try", "--keep")
    whole = local.done("run", "--tried")
    assert "built anew: stg.b: raw.a is built in the same run" in whole.stderr


def test_a_check_that_fails_keeps_all_as_it_was(local: Shop) -> None:
    local.change()
    local.done("try", "--keep")
    (schema,) = [name for name in local.schemas() if name.endswith("_mart")]
    with duckdb.connect(str(local.tiny.warehouse)) as duck:
        duck.execute(f"UPDATE {schema}.c SET total = -1")
    before = local.asked("SELECT * FROM mart.c ORDER BY part")
    failed = local.tiny.ecommerce("run", "--modified+", "--tried")
    assert failed.code == 1
    assert local.asked("SELECT * FROM mart.c ORDER BY part") == before
    # What was kept is there until the next try.
    assert len(local.schemas()) == 2
    dropped = local.done("try")
    assert "dropping the schemas try_" in dropped.stderr
    assert "that were kept" in dropped.stderr
    assert local.schemas() == []


def test_what_cannot_be_kept_or_taken_is_refused(local: Shop) -> None:
    for code, command, told in (
        (2, ("run", "--tried"), "no tables were kept; make some with `ecommerce try --keep`"),
        (
            2,
            ("run", "--tried", "--start-date", "2025-01-01"),
            "--tried is for tables that are built whole, without dates",
        ),
        (2, ("try", "--keep", "--empty"), "only tables with all of their rows can be kept"),
    ):
        refused = local.tiny.ecommerce(*command)
        assert (refused.code, refused.stdout) == (code, "")
        assert told in " ".join(refused.stderr.replace("│", "").split())


def test_readers_of_the_copy_see_what_is_published_and_nothing_of_the_rest(local: Shop) -> None:
    copy = local.tiny.folder / "warehouse.published.duckdb"
    local.change()
    local.done("try", "--keep")
    local.done("run", "--modified+", "--tried")
    assert tables(copy) == tables(local.tiny.warehouse)
    with duckdb.connect(str(copy), read_only=True) as duck:
        found = duck.execute("SELECT schema_name FROM duckdb_schemas()").fetchall()
    assert not [name for (name,) in found if name.startswith("try_")]
