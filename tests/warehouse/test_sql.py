"""The SQL of a file, however it is written: what runs, and which line an error names."""

from __future__ import annotations

import re

import pytest

from ecommerce_dagster.warehouses.duckdb import script
from ecommerce_dagster.warehouses.sql_asset import AssetError
from warehouse.helpers import TABLE, VIEW, Warehouse, day

KINDS = pytest.mark.parametrize("header", [TABLE, VIEW], ids=["table", "view"])


class TestOneQuery:
    @KINDS
    @pytest.mark.parametrize(
        "sql",
        [
            "SELECT 1 AS n",
            "SELECT 1 AS n;",
            "SELECT 1 AS n -- note",
            "SELECT 1 AS n; -- note",
            "SELECT 1 AS n /* note */ ;;\n\n",
            "-- note; with a semicolon\nSELECT 1 AS n\n-- another\n",
            "/* SELECT 2; */ SELECT 1 AS n",
            "FROM (SELECT 1 AS n)",
            "FROM (VALUES (1)) AS v(n) SELECT n",
            "WITH one AS (SELECT 1 AS n), two AS (FROM one) SELECT n FROM two",
            "WITH RECURSIVE r(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM r WHERE n < 1) FROM r",
            "(SELECT 1 AS n)",
            "SELECT 1 AS n UNION SELECT 1",
            "SELECT n FROM (PIVOT (SELECT 1 AS n, 'a' AS k) ON k IN ('a') USING count(*))",
            "SELECT length('?') AS n WHERE '$1' <> '{}' AND '%s' = '%s' AND ':x' <> ';'",
        ],
    )
    def test_may_be_written_in_many_ways(self, w: Warehouse, header: str, sql: str) -> None:
        for _ in range(2):
            w.run(header, sql)
            assert w.sql("SELECT n, typeof(n) IN ('INTEGER', 'BIGINT') FROM mart.t") == [(1, True)]

    def test_may_be_very_long(self, w: Warehouse) -> None:
        numbers = ",\n".join(f"({n}, '{n:0>40}')" for n in range(20_000))
        w.run(TABLE, f"SELECT * FROM (VALUES {numbers}) AS v(n, text)")
        assert w.sql("SELECT count(*), max(n) FROM mart.t") == [(20_000, 19_999)]

    def test_may_summarize_a_table(self, w: Warehouse) -> None:
        w.run("name: raw.t\n" + TABLE, "SELECT 1 AS a, 'x' AS b")
        w.run(TABLE, "FROM (SUMMARIZE raw.t);")
        assert w.sql("SELECT column_name, min FROM mart.t") == [("a", "1"), ("b", "x")]
        with pytest.raises(AssetError, match=r't.sql:11: Parser Error: .* near "SUMMARIZE"'):
            w.run(TABLE, "-- DuckDB takes it in parentheses only\nSUMMARIZE raw.t")

    @pytest.mark.parametrize(
        "sql",
        [
            "PIVOT sales ON month USING sum(amount) GROUP BY shop ORDER BY shop",
            "PIVOT sales ON month USING sum(amount) GROUP BY shop; -- note",
            "WITH p AS (PIVOT sales ON month USING sum(amount) GROUP BY shop) SELECT * FROM p;",
        ],
    )
    @pytest.mark.parametrize("strategy", ["create+replace", "append", "merge"])
    def test_may_pivot_into_columns_that_only_the_data_knows(
        self, w: Warehouse, sql: str, strategy: str
    ) -> None:
        header = f"""
        materialization: {{type: table, strategy: {strategy}}}
        columns:
          - {{name: shop, primary_key: true}}
          - {{name: feb, type: bigint, update_on_merge: true, checks: [{{name: positive}}]}}
        """
        w.sql("CREATE TABLE sales AS SELECT * FROM (VALUES ('a', 'jan', 1), ('a', 'feb', 2),"
              " ('b', 'feb', 3)) AS v(shop, month, amount)")  # fmt: skip
        w.run(header, sql)
        w.sql("UPDATE sales SET amount = 30 WHERE amount = 3")
        w.sql("INSERT INTO sales VALUES ('c', 'mar', 4)")
        assert w.run(header, sql).published
        assert w.types() == {"shop": "VARCHAR", "feb": "BIGINT", "jan": "HUGEINT", "mar": "HUGEINT"}
        assert w.sql("SELECT * FROM mart.t WHERE shop = 'b' AND feb = 30") == [
            ("b", 30, None, None)
        ]

    def test_a_view_cannot_pivot_so_and_says_it(self, w: Warehouse) -> None:
        with pytest.raises(AssetError, match=r"PIVOT statements .* cannot be used in views"):
            w.run(VIEW, "PIVOT (SELECT 1 AS a, 2 AS b) ON a USING sum(b)")

    @KINDS
    @pytest.mark.parametrize(
        ("sql", "complaint"),
        [
            ("", "the file has no query below its header"),
            ("  \n ", "the file has no query below its header"),
            ("-- only a note", "there is no query"),
            (";;", "there is no query"),
            ("SELECT 1 AS n; SELECT 2 AS n", "one query is needed here, not 2 statements"),
            ("CREATE TABLE x AS SELECT 1; SELECT 1; SELECT 2", "not 3 statements"),
            ("PIVOT (SELECT 1 AS a) ON a USING count(*); SELECT 1", "not 2 statements"),
            ("CREATE TABLE x AS SELECT 1", "a query is needed here, not CREATE"),
            ("INSERT INTO x SELECT 1", "a query is needed here, not INSERT"),
            ("EXPLAIN SELECT 1", "a query is needed here, not EXPLAIN"),
            ("SELECT ? AS n", "parameter"),
            ("SELECT $1 AS n", "parameter"),
        ],
    )
    def test_anything_else_is_refused(
        self, w: Warehouse, header: str, sql: str, complaint: str
    ) -> None:
        w.run(TABLE, "SELECT 'old' AS n")
        with pytest.raises(AssetError, match=re.escape(complaint)) as error:
            w.run(header, sql)
        assert str(error.value).startswith("assets/mart/t.sql:10: ")
        assert (w.kind(), w.rows()) == ("table", [("old",)])

    def test_a_variable_of_the_program_is_no_table(self, w: Warehouse) -> None:
        for name in ("connection", "query", "asset", "script", "name", "statement"):
            with pytest.raises(AssetError, match=f"Table with name {name} does not exist"):
                w.run(TABLE, f"SELECT * FROM {name}")


class TestNames:
    @KINDS
    @pytest.mark.parametrize(
        "name",
        ["mart.t", "raw.my-table", "alone", "my-table", "shop.mart.t", "MART.T", "select.from",
         "grün.表", "mart.a_b-c", "other.mart.t"],
    )  # fmt: skip
    def test_an_asset_may_be_called(self, w: Warehouse, header: str, name: str) -> None:
        w.sql("ATTACH ':memory:' AS other")
        try:
            header = f"name: {name}\n{header}\ncolumns: [{{name: n, checks: [{{name: unique}}]}}]"
            for number in (1, 2):
                built = w.run(header, f"SELECT {number} AS n")
                assert built.published
                assert built.columns == {"n": "INTEGER"}
                assert w.rows(name) == [(number,)]
                assert w.kind(name) == w.kind(name.upper()) == w.kind(name.lower())
            assert not w.run(header, "SELECT unnest([1, 1]) AS n").published
            assert w.rows(name) == [(2,)]
        finally:
            w.sql("DETACH other")

    def test_columns_may_be_called_anything(self, w: Warehouse) -> None:
        header = """
        materialization: {type: table, strategy: merge}
        columns: [{name: order, primary_key: true}, {name: 'it"s', update_on_merge: true},
                  {name: "o'clock", update_on_merge: true}]
        """
        for number in (1, 2):
            sql = f"""SELECT 1 AS "order", {number} AS "it""s", {number} AS "o'clock", 1 AS größe"""
            w.run(header, sql)
        assert list(w.types()) == ["order", 'it"s', "o'clock", "größe"]
        assert w.rows() == [(1, 2, 2, 1)]

    def test_a_table_elsewhere_does_not_count(self, w: Warehouse) -> None:
        w.sql("CREATE SCHEMA raw")
        w.sql("CREATE TABLE raw.t AS SELECT 1")
        w.sql("CREATE TEMP TABLE t AS SELECT 1")
        assert (w.kind("mart.t"), w.kind("t"), w.kind("raw.t")) == (None, None, "table")
        w.sql("DROP TABLE temp.t")


class TestErrorsNameTheLine:
    """The SQL starts at line 10."""

    @pytest.mark.parametrize("header", [TABLE, VIEW, "{}"], ids=["table", "view", "script"])
    @pytest.mark.parametrize(
        ("sql", "line"),
        [
            ("SELECT nope", 10),
            ("SELECT 1 AS a,\n       nope", 11),
            ("SELECT\n  nope,\n  2 AS b\nFROM (SELECT 1)", 11),
            ("-- note\n\nSELECT 1\nFROM nowhere", 13),
            ("SELECT 1\nFROM (VALUES (1)) v(n)\nWHER n = 1", 12),
            ("SELECT 1 +\n\n", 10),
            ("SELECT 'é',\n'表', nope", 11),
        ],
    )
    def test_in_a_query(self, w: Warehouse, header: str, sql: str, line: int) -> None:
        with pytest.raises(AssetError) as error:
            w.run(header, sql)
        assert str(error.value).startswith(f"assets/mart/t.sql:{line}: ")

    @pytest.mark.parametrize(
        ("sql", "line"),
        [
            ("CREATE TABLE a AS\nSELECT 1 AS n;\n\nSELECT\n  nope FROM a;", 14),
            ("SELECT 1; SELECT 2;\n SELECT nope", 11),
            ("BEGIN;\nSELECT 1;\nCOMMIT;\nSELECT nope; SELECT 3", 13),
            ("SELECT 1;\nSELECT 2\nFROM WHERE", 12),
        ],
    )
    def test_in_a_script(self, w: Warehouse, sql: str, line: int) -> None:
        with pytest.raises(AssetError) as error:
            w.run("{}", sql)
        assert str(error.value).startswith(f"assets/mart/t.sql:{line}: ")

    def test_behind_a_template_that_keeps_the_lines(self, w: Warehouse) -> None:
        with pytest.raises(AssetError, match=r"^assets/mart/t.sql:11: .*nope"):
            w.run(TABLE, "SELECT '{{ start_date }}',\nnope", interval=day("2024-01-01"))

    def test_of_the_start_where_a_template_moves_the_lines(self, w: Warehouse) -> None:
        with pytest.raises(AssetError, match=r"^assets/mart/t.sql:10: .*nope"):
            w.run(TABLE, "SELECT {% for i in [1, 2, 3] %}\n1, {% endfor %}\nnope")

    def test_of_a_template_that_cannot_be_rendered(self, w: Warehouse) -> None:
        with pytest.raises(AssetError, match=r"^assets/mart/t.sql:12: missing variable 'nope'"):
            w.run(TABLE, "SELECT\n1,\n{{ nope }}")

    def test_not_where_the_statement_is_ours(self, w: Warehouse) -> None:
        header = """
        materialization: {type: table, strategy: merge}
        columns: [{name: id, primary_key: true}, {name: v, merge_sql: source.nope}]
        """
        w.run(header, "SELECT 1 AS id,\n2 AS v")
        with pytest.raises(AssetError, match=r"^assets/mart/t.sql:10: .*nope"):
            w.run(header, "SELECT 1 AS id,\n2 AS v")

    def test_and_show_no_line_that_nobody_wrote(self, w: Warehouse) -> None:
        """A value that cannot be cast is met while the table is filled."""
        with pytest.raises(AssetError) as error:
            w.run(TABLE, "SELECT CAST(s AS INTEGER) AS n FROM (VALUES ('x')) AS t(s)")
        assert str(error.value).startswith("assets/mart/t.sql:10: Conversion Error: ")
        assert str(error.value).endswith("when casting from source column s")

    def test_and_a_few_of_the_functions_that_were_meant(self, w: Warehouse) -> None:
        with pytest.raises(AssetError) as error:
            w.run(TABLE, "SELECT 'x'::VARCHAR + 1 AS n")
        told = [line.strip() for line in str(error.value).splitlines()]
        named = told[told.index("Candidate functions:") + 1 : told.index("")]
        assert (len(named), named[0], named[-1]) == (4, "+(TINYINT) -> TINYINT", "...")
        assert "LINE 2: SELECT 'x'::VARCHAR + 1 AS n" in told

    def test_of_a_hook(self, w: Warehouse) -> None:
        for side in ("pre", "post"):
            header = f"{TABLE}\nhooks: {{{side}: [{{query: SELECT nope}}]}}"
            with pytest.raises(AssetError, match="nope"):
                w.run(header, "SELECT 1 AS n")
            assert w.kind() is None


class TestTemplates:
    def test_a_script_may_render_to_nothing(self, w: Warehouse) -> None:
        built = w.run("{}", "{% if full_refresh %} SELECT error('no') {% endif %}")
        assert built.loaded.statements == ()

    def test_a_table_may_not(self, w: Warehouse) -> None:
        with pytest.raises(AssetError, match="there is no query"):
            w.run(TABLE, "{% if full_refresh %} SELECT 1 {% endif %}")


class TestScript:
    def test_pivots_run_in_order_with_the_rest(self, w: Warehouse) -> None:
        text = (
            "CREATE TABLE a AS SELECT 'x' AS k, 1 AS n;\n"
            "CREATE TABLE b AS PIVOT a ON k USING sum(n);\n"
            "INSERT INTO a VALUES ('y', 2);"
        )
        assert script.run(w.connection, text) == [text]
        assert (w.rows("a"), w.rows("b")) == ([("x", 1), ("y", 2)], [(1,)])

    def test_a_staged_query_is_read_when_it_is_read(self, w: Warehouse) -> None:
        w.sql("CREATE TABLE n AS SELECT 1 AS i")
        name = script.stage(w.connection, "_rows", "SELECT i FROM n; -- all")
        w.sql("INSERT INTO n VALUES (2)")
        assert w.sql(f"SELECT sum(i) FROM {name}") == [(3,)]
        assert script.stage(w.connection, "_rows", "SELECT 7") == name
        assert w.sql(f"FROM {name}") == [(7,)]
