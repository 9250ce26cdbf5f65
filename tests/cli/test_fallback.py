"""`fallback_environment`: an environment in a DuckDB file of its own reads what it does not have
from that of another environment."""

from __future__ import annotations

from pathlib import Path

import duckdb
import pytest
from orchestration.helpers import Outcome, Tiny, tables

CONFIG = """default_environment: default
environments:
  default:
    connections:
      duckdb: [{name: duckdb-default, path: production.duckdb}]
  dev:
    fallback_environment: default
    connections:
      duckdb: [{name: duckdb-default, path: dev.duckdb}]
"""


class Shop:
    """raw.a, stg.b and mart.c, built in production.duckdb."""

    def __init__(self, tiny: Tiny) -> None:
        self.tiny = tiny
        self.production, self.dev = tiny.folder / "production.duckdb", tiny.folder / "dev.duckdb"
        (tiny.folder / ".bruin.yml").write_text(CONFIG)
        tiny.sql("raw.a", "SELECT range + 1 AS n FROM range(4)")
        tiny.sql("stg.b", "SELECT n FROM raw.a", "depends: [raw.a]")
        tiny.sql(
            "mart.c",
            "SELECT count(*) AS rows, sum(n) AS total FROM stg.b",
            "depends: [stg.b]\ncolumns: [{name: total, checks: [{name: positive}]}]",
        )
        self.done("run")

    def done(self, *command: str) -> Outcome:
        outcome = self.tiny.ecommerce(*command)
        assert outcome.succeeded, outcome.text
        return outcome

    def in_dev(self, *command: str) -> Outcome:
        return self.done(*command, "--environment", "dev")

    def asked(self, sql: str) -> list[str]:
        return self.in_dev("query", sql, "--output", "csv").stdout.split()[1:]


@pytest.fixture
def shop(tiny: Tiny) -> Shop:
    return Shop(tiny)


def names(file: Path) -> set[str]:
    return set(tables(file))


def test_one_asset_is_built_over_the_tables_of_production(shop: Shop) -> None:
    before = tables(shop.production)
    shop.tiny.sql("stg.b", "SELECT n * 10 AS n FROM raw.a", "depends: [raw.a]")
    shop.in_dev("run", "stg.b")
    assert names(shop.dev) == {"stg.b"}
    # What dev has is its own; the rest is that of production, also in one query.
    assert shop.asked("SELECT sum(n) AS s FROM stg.b") == ["100"]
    assert shop.asked("SELECT total FROM mart.c") == ["10"]
    assert shop.asked(
        "SELECT sum(a.n * b.n) AS s FROM raw.a AS a JOIN stg.b AS b ON b.n = a.n * 10"
    ) == ["300"]

    shop.in_dev("run", "mart.c")
    assert names(shop.dev) == {"stg.b", "mart.c"}
    assert shop.asked("SELECT total FROM mart.c") == ["100"]
    compared = shop.in_dev("diff", "--against", "default", "mart.c")
    assert "total" in compared.stdout
    assert tables(shop.production) == before
    assert shop.done("query", "SELECT total FROM mart.c", "-o", "csv").stdout.split() == [
        "total",
        "10",
    ]


def test_an_increment_begins_with_a_table_of_its_own(shop: Shop) -> None:
    """What a table of production holds is not what dev adds to."""
    shop.tiny.sql(
        "stg.b",
        "SELECT n FROM raw.a WHERE n > 2",
        "depends: [raw.a]\nmaterialization: {type: table, strategy: append}",
        table=False,
    )
    before = tables(shop.production)
    shop.in_dev("run", "stg.b")
    shop.in_dev("run", "stg.b")
    assert shop.asked("SELECT count(*) AS n FROM stg.b") == ["4"]
    assert tables(shop.production) == before


def test_with_a_prefix_too(shop: Shop) -> None:
    text = CONFIG.replace("  dev:\n", "  dev:\n    schema_prefix: me\n")
    (shop.tiny.folder / ".bruin.yml").write_text(text)
    shop.in_dev("run", "mart.c")
    assert names(shop.dev) == {"me_mart.c"}
    assert shop.asked("SELECT total FROM mart.c") == ["10"]


def test_a_try_in_dev_is_over_production_and_gone_again(shop: Shop) -> None:
    shop.in_dev("run", "raw.a")
    before = tables(shop.production), tables(shop.dev)
    tried = shop.in_dev("try", "mart.c")
    assert "PASS  mart.c" in tried.stdout
    assert (tables(shop.production), tables(shop.dev)) == before


def test_production_that_is_not_there_yet_is_an_empty_one(tiny: Tiny) -> None:
    (tiny.folder / ".bruin.yml").write_text(CONFIG)
    tiny.sql("raw.a", "SELECT 1 AS n")
    tiny.sql("stg.b", "SELECT n FROM raw.a", "depends: [raw.a]")
    failed = tiny.ecommerce("run", "stg.b", "--environment", "dev")
    assert failed.code == 1
    assert "SELECT n FROM raw.a" in failed.stdout
    assert "Traceback" not in failed.text
    assert tiny.ecommerce("run", "--environment", "dev").succeeded


def test_while_a_run_has_production_open_its_last_copy_is_read(shop: Shop) -> None:
    with duckdb.connect(str(shop.production)) as busy:
        busy.execute("INSERT INTO raw.a VALUES (1000)")
        shop.in_dev("run", "stg.b")
    assert shop.asked("SELECT max(n) AS n FROM stg.b") == ["4"]


def test_production_that_is_no_database_is_said(tiny: Tiny) -> None:
    (tiny.folder / ".bruin.yml").write_text(CONFIG)
    (tiny.folder / "production.duckdb").write_text("no database" * 1000)
    tiny.sql("raw.a", "SELECT 1 AS n")
    failed = tiny.ecommerce("run", "--environment", "dev")
    assert failed.code == 1
    said = " ".join(failed.text.split())
    assert f"{tiny.folder / 'production.duckdb'} cannot be read beside the warehouse: " in said
    assert "Traceback" not in failed.text


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        (
            "fallback_environment: default",
            "fallback_environment: defualt",
            "there is no other environment 'defualt'; did you mean 'default'?",
        ),
        (
            "fallback_environment: default",
            "fallback_environment: dev",
            "there is no other environment 'dev'; known: default",
        ),
        (
            "{name: duckdb-default, path: production.duckdb}",
            "{name: duckdb-default, path: 'md:shop'}",
            "tables of 'duckdb-default' that are missing are not read from 'default', as one of "
            "the two is no DuckDB file; use a schema_prefix in the same database",
        ),
    ],
    ids=["unknown", "itself", "no file"],
)
def test_what_cannot_be_read_is_told_by_validate(tiny: Tiny, old: str, new: str, told: str) -> None:
    (tiny.folder / ".bruin.yml").write_text(CONFIG.replace(old, new))
    tiny.sql("raw.a", "SELECT 1 AS n")
    said = tiny.ecommerce("validate", "--environment", "dev")
    words = " ".join(said.text.split())
    assert f".bruin.yml 7 error {told}" in words or f".bruin.yml 7 warning {told}" in words
