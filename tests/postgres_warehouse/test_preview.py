"""What is shown of a build before it runs is what its runs do."""

from __future__ import annotations

from typing import Any

import psycopg
import pytest
from contract.test_datavault import HUB, SATELLITE
from contract.test_strategies import APPEND, DELETE, MERGE, REPLACE, TRUNCATE
from contract.test_time_interval import BY_DATE
from warehouse.helpers import day

from ecommerce_dagster.bruin.model.asset import Asset, Column
from ecommerce_dagster.bruin.templates.render import RunContext, render
from ecommerce_dagster.sql.checks import checks_of
from ecommerce_dagster.warehouses.postgres import preview
from ecommerce_dagster.warehouses.sql_asset import AssetError, SqlBuild
from postgres_warehouse.helpers import TABLE, VIEW, Warehouse, asset_of

HISTORY = "materialization: {type: table, strategy: scd2_by_column}\n" + MERGE.split("\n", 2)[2]
HOOKS = """
hooks:
  pre: [{query: "CREATE TABLE IF NOT EXISTS public.log (d date); BEGIN"}]
  post: [{query: "INSERT INTO log VALUES ('{{ start_date }}'); -- one"}]
"""
QUERY = "SELECT id, v, d AS d, d AS ts, id AS hk, 1 AS ld FROM public.src -- all"
EVERY = [TABLE, REPLACE, APPEND, TRUNCATE, DELETE, MERGE, BY_DATE, HISTORY, HUB, SATELLITE, VIEW]
INTERVAL = day("2024-01-01", days=3)


@pytest.fixture
def src(w: Warehouse) -> Warehouse:
    w.sql("CREATE TABLE src (id bigint, v varchar(9), d date)",
          "INSERT INTO src VALUES (1, 'a', '2024-01-01'), (2, 'b', '2024-01-02'), (1, 'c', NULL)")  # fmt: skip
    return w


def built(asset: Asset, *, full_refresh: bool = False) -> SqlBuild:
    context = RunContext(interval=INTERVAL)
    return SqlBuild(asset, lambda text: render(text, context, asset.name), INTERVAL, full_refresh)


def shown(w: Warehouse, asset: Asset) -> tuple[tuple[str, ...], tuple[str, ...]]:
    with preview.asked(w.connection) as server:
        return preview.runs_of(built(asset), server)


def executed(w: Warehouse, statements: tuple[str, ...]) -> None:
    with psycopg.connect(w.server.dsn) as connection:
        for statement in statements:
            connection.execute(statement.encode())


def outcome(w: Warehouse) -> list[Any]:
    """The rows of the table without the times of its history, and of the log."""
    names = [name for name in w.types() if not name.startswith("_valid")]
    quoted = ", ".join(f'"{name}"' for name in names)
    return [w.types(), w.sql(f"SELECT {quoted} FROM mart.t ORDER BY {quoted}"), w.rows("log")]


class TestServer:
    @pytest.mark.parametrize("header", EVERY)
    def test_the_shown_statements_do_what_two_runs_do(self, src: Warehouse, header: str) -> None:
        asset = asset_of(header + HOOKS, QUERY)
        first, later = shown(src, asset)
        executed(src, first)
        assert shown(src, asset)[1] == later
        executed(src, later)
        expected = outcome(src)
        src.sql("DROP SCHEMA mart CASCADE", "DROP TABLE log")
        for _ in range(2):
            src.run(asset, interval=INTERVAL)
        assert outcome(src) == expected

    def test_nothing_is_executed(self, src: Warehouse) -> None:
        asset = asset_of(TABLE, "SELECT pg_sleep(600) AS a, nextval('n') AS n")
        src.sql("CREATE SEQUENCE n")
        first, _ = shown(src, asset)
        assert first[0] == 'CREATE SCHEMA IF NOT EXISTS "mart"'
        assert src.sql("SELECT nextval('n')") == [(1,)]
        assert src.kind() is None

    def test_a_table_with_other_columns_is_altered_or_made_anew(self, src: Warehouse) -> None:
        src.sql("CREATE SCHEMA mart", "CREATE TABLE mart.t (id int)")
        _, appended = shown(src, asset_of(APPEND, "SELECT id, v FROM src"))
        assert 'ALTER TABLE "mart"."t" ALTER COLUMN "id" TYPE bigint' in appended
        assert 'ALTER TABLE "mart"."t" ADD COLUMN "v" character varying(9)' in appended
        _, replaced = shown(src, asset_of(TABLE, "SELECT id, v FROM src"))
        assert 'DROP TABLE "mart"."t"' in replaced

    def test_what_a_run_would_refuse_is_told(self, src: Warehouse) -> None:
        src.sql("CREATE SCHEMA mart", "CREATE TABLE mart.t (id date)")
        with pytest.raises(
            AssetError, match=r"t\.sql:10: the column id of mart\.t is date and now"
        ):
            shown(src, asset_of(APPEND, "SELECT 1 AS id"))

    def test_a_query_that_does_not_bind_has_no_known_columns(self, src: Warehouse) -> None:
        with pytest.raises(preview.UnknownColumns, match='"nope" does not exist'):
            shown(src, asset_of(TABLE, "SELECT * FROM nope"))

    def test_declared_tables_are_only_brought_up_to_date(self, src: Warehouse) -> None:
        header = "materialization: {type: table, strategy: ddl}\ncolumns: [{name: a, type: int}"
        first, later = shown(src, asset_of(header + "]"))
        assert (first[1:], later) == (('CREATE TABLE "mart"."t" (\n  "a" integer\n)',), ())
        src.run(header + "]")
        assert shown(src, asset_of(header + ", {name: b, type: text}]"))[1] == (
            'ALTER TABLE "mart"."t" ADD COLUMN "b" text',
        )


class TestFiles:
    @pytest.mark.parametrize("header", EVERY)
    def test_where_the_file_says_everything_they_say_what_the_server_says(
        self, src: Warehouse, header: str
    ) -> None:
        columns = "columns: [{name: id, type: int8}, {name: v, update_on_merge: true}]"
        query = "SELECT id, v::text AS v, d, d AS ts, id AS hk, 1 AS ld FROM public.src"
        asset = asset_of(header if "columns" in header else f"{header}\n{columns}", query)
        said = {column.name: column for column in (*asset.columns, Column(name="v"))}
        said["v"] = said["v"].model_copy(update={"type": "text"})
        build = built(asset.model_copy(update={"columns": tuple(said.values())}))
        files = preview.runs_of(build, preview.Files("public"))
        with preview.asked(src.connection) as server:
            assert files == preview.runs_of(build, server)

    def test_a_star_stands_for_the_declared_columns(self) -> None:
        header = f"{TABLE}\ncolumns: [{{name: a, type: 'timestamp'}}, {{name: B}}]"
        first, _ = preview.runs_of(built(asset_of(header, "SELECT * FROM x")), preview.Files("s"))
        assert first[-1] == (
            'CREATE TABLE "mart"."t" AS\nSELECT "a", "B"\nFROM pg_temp."_query" AS source'
        )

    def test_columns_that_nobody_names_are_not_known(self) -> None:
        with pytest.raises(preview.UnknownColumns, match="neither the query nor the file"):
            preview.runs_of(built(asset_of(TABLE, "SELECT * FROM x")), preview.Files("s"))


def test_checks_are_in_the_words_of_postgres(src: Warehouse) -> None:
    src.sql("CREATE SCHEMA mart", 'CREATE TABLE mart.t ("ID" bigint, r real)')
    asset = asset_of(
        """
        columns:
          - {name: id, checks: [{name: pattern, value: "[0-9]+"}, {name: relationships}],
             foreign_key: {table: src, column: id}}
          - {name: r, checks: [{name: max, value: 0.1}]}
        """
    )
    with preview.asked(src.connection) as server:
        found = [preview.check_sql(server, asset, check) for check in checks_of(asset)]
    assert found == [
        'SELECT * FROM "mart"."t"\nWHERE CAST("ID" AS text) !~ \'^(?:[0-9]+)$\'',
        'SELECT * FROM "mart"."t"\nWHERE "mart"."t"."ID" IS NOT NULL AND NOT EXISTS (\n'
        '  SELECT 1 FROM "public"."src" AS parent WHERE parent."id" = "mart"."t"."ID"\n)',
        'SELECT * FROM "mart"."t"\nWHERE "r" > \'0.1\'',
    ]
    for query in found:
        src.sql(query)
