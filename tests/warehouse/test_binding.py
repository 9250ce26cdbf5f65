"""What is wrong with the SQL of a pipeline is known before a run: file, line, reason."""

from __future__ import annotations

import json
import os
from pathlib import Path

import duckdb
import pytest

from warehouse.trials import BODY_LINE, SOURCES, Files

SAYS_MORE = pytest.mark.skipif(
    duckdb.__version__ < "1.5", reason="DuckDB 1.4 has no VARIANT and says no line of a cast"
)

WARNED, REFUSED = "warning", "error"


@pytest.fixture
def files(tmp_path: Path) -> Files:
    return Files(tmp_path)


def hooks(*pre: str, post: tuple[str, ...] = ()) -> str:
    """The header of an asset with these hooks; the first one stands in line 8."""
    sides = {"pre": pre, "post": post}
    return "hooks:\n" + "".join(
        f"  {side}:\n" + "".join(f"    - query: {json.dumps(text)}\n" for text in texts)
        for side, texts in sides.items()
        if texts
    )


class TestTheQuery:
    @pytest.mark.parametrize(
        ("query", "line", "said"),
        [
            ("SELECT id\nFORM raw.orders o", 1, 'syntax error at or near "raw"'),
            ("SELECT\n  idd\nFROM raw.orders", 1, '"idd" not found'),
            ("SELECT o.id,\n  c.nmae\nFROM raw.orders o\nJOIN raw.customers c USING (id)", 1, "nmae"),
            ("SELECT id\nFROM raw.orders\nWHERE statuss = 'a'", 2, "statuss"),
            ("SELECT id\nFROM raw.orders\nJOIN raw.customers USING (nope)", 0, "nope"),
            ("SELECT x.id\nFROM raw.orders o", 0, '"x" not found'),
            ("SELECT id FROM raw.orders\nUNION ALL\nSELECT id, name FROM raw.customers", 0, "columns"),
            ("SELECT status,\n  sum(total) FROM raw.orders", 0, "GROUP BY"),
            ("SELECT\n  sum(status) AS s FROM raw.orders", 1, "sum(VARCHAR)"),
            ("SELECT 1 AS a,\n  id + placed_at FROM raw.orders", 1, "+(BIGINT, TIMESTAMP WITH TIME ZONE)"),
            ("SELECT\n  uper(status) FROM raw.orders", 1, "uper"),
            pytest.param("SELECT 1 AS a,\n  id::INTT FROM raw.orders", 1, "INTT", marks=SAYS_MORE),
            ("SELECT address.town FROM raw.orders", 0, "town"),
            ("WITH a AS (SELECT id FROM raw.orders)\nSELECT nope FROM a", 1, "nope"),
            ("SELECT * EXCLUDE (nope) FROM raw.orders", 0, "nope"),
            ("SELECT\n  count(*), nope\nFROM (SELECT id AS n FROM raw.orders)\nGROUP BY ALL", 1, "nope"),
            ("SELECT 1; SELECT 2", 0, "one"),
            ("DELETE FROM raw.orders", 0, ""),
        ],
    )  # fmt: skip
    def test_what_duckdb_would_refuse(self, files: Files, query: str, line: int, said: str) -> None:
        files.sql(query)
        [found] = [f for f in files.findings() if f.severity == REFUSED]
        assert (found.file, found.line) == ("mart.t.sql", BODY_LINE + line), found
        assert found.rule == "query-binds"
        assert said in found.message
        assert "LINE" not in found.message

    def test_it_is_the_same_in_a_view(self, files: Files) -> None:
        files.sql("SELECT\n  nope FROM raw.orders", kind="view")
        assert files.found() == [(REFUSED, BODY_LINE + 1, "query-binds")]

    def test_a_query_over_another_asset_sees_the_columns_it_returns(self, files: Files) -> None:
        files.sql("SELECT id AS order_id FROM raw.orders", name="stg.o")
        files.sql("SELECT order_id, id FROM stg.o", depends="[stg.o]")
        assert files.found() == [(REFUSED, BODY_LINE, "query-binds")]

    def test_a_query_over_a_view_over_a_view_sees_its_types(self, files: Files) -> None:
        files.sql("SELECT * FROM raw.orders", name="a.a", kind="view")
        files.sql("SELECT * FROM a.a", name="a.b", kind="view", depends="[a.a]")
        files.sql("SELECT sum(status) FROM a.b", depends="[a.b]")
        assert files.found() == [(REFUSED, BODY_LINE, "query-binds")]

    def test_the_order_of_the_files_does_not_matter_when_depends_is_missing(
        self, files: Files
    ) -> None:
        files.sql("SELECT n FROM z.z", name="a.a", depends="[]")
        files.sql("SELECT 1 AS m", name="z.z", depends="[]")
        assert (REFUSED, BODY_LINE, "query-binds") in files.found()

    def test_both_the_normal_run_and_the_full_refresh_are_tried(self, files: Files) -> None:
        files.sql(
            "SELECT id FROM raw.orders\n"
            "{% if full_refresh %}WHERE nope > 1{% else %}WHERE neither > 1{% endif %}"
        )
        refresh, normal = (f for f in files.findings() if f.severity == REFUSED)
        assert {normal.line, refresh.line} == {BODY_LINE + 1}
        assert "neither" in normal.message
        assert "in a full refresh" in refresh.message
        assert "nope" in refresh.message

    def test_the_line_is_that_of_the_template_where_it_can_be_told(self, files: Files) -> None:
        files.sql(
            "SELECT\n{% for s in ['a', 'b'] %}\n  '{{ s }}' AS {{ s }},\n{% endfor %}\n"
            "  nope\nFROM raw.orders"
        )
        assert files.found() == [(REFUSED, BODY_LINE + 4, "query-binds")]

    def test_a_template_that_cannot_be_rendered(self, files: Files) -> None:
        files.sql("SELECT 1\nFROM raw.orders WHERE '{{ nope }}' = ''")
        assert files.found() == [(REFUSED, BODY_LINE + 1, "valid-template")]

    def test_one_broken_query_does_not_hide_another(self, files: Files) -> None:
        for name in ("a.a", "b.b"):
            files.sql("SELECT nope FROM raw.orders", name=name)
        files.sql("SELECT anything FROM a.a", name="c.c", depends="[a.a]")
        assert [f.file for f in files.findings() if f.severity == REFUSED] == ["a.a.sql", "b.b.sql"]


class TestTablesThatAreMissing:
    @pytest.mark.parametrize(
        ("table", "severity", "hint"),
        [
            # A schema that this pipeline fills, and a name without its schema.
            ("raw.ordrs", REFUSED, "did you mean 'raw.orders'?"),
            ("mart.nothing_like_it", REFUSED, "duckdb.source"),
            ("orders", REFUSED, "did you mean 'raw.orders'?"),
            # Somebody else's, as far as anybody can tell.
            ("crm.contacts", WARNED, "duckdb.source"),
            ("contacts", WARNED, "duckdb.source"),
        ],
    )
    def test_the_nearest_name_or_a_way_out_is_told(
        self, files: Files, table: str, severity: str, hint: str
    ) -> None:
        files.sql(f"SELECT 1 AS a\nFROM {table}")
        [found] = [f for f in files.findings() if f.rule == "query-binds"]
        assert (found.severity, found.line) == (severity, BODY_LINE + 1)
        assert f"the table '{table}' is made by no asset" in found.message
        assert hint in found.message

    def test_a_table_in_the_warehouse_is_not_missing(self, files: Files) -> None:
        files.write(
            ".bruin.yml",
            "default_environment: d\nenvironments: {d: {connections: {duckdb: "
            "[{name: duckdb-default, path: w.duckdb}]}}}\n",
        )
        with duckdb.connect(files.root / "w.duckdb") as warehouse:
            warehouse.execute("CREATE SCHEMA mart; CREATE TABLE mart.by_hand (a INT)")
            warehouse.execute("CREATE VIEW mart.seen AS SELECT 1 AS a")
        files.sql("SELECT a FROM mart.by_hand JOIN mart.seen USING (a)")
        assert files.found() == []
        files.sql("SELECT a FROM mart.by_hands")
        assert files.found() == [(REFUSED, BODY_LINE, "query-binds")]

    def test_a_table_of_another_pipeline_of_the_checkout_is_not_missing(
        self, tmp_path: Path
    ) -> None:
        files = Files(tmp_path / "shop")
        (tmp_path / ".bruin.yml").write_text("environments: {default: }")
        Files(tmp_path / "crm").sql("SELECT 1 AS a", name="mart.theirs")
        (tmp_path / "crm/assets/x.sql").write_text("-- @bruin.name: mart.short\nSELECT 1")
        files.sql("SELECT 1 AS a FROM mart.theirs, mart.short, raw.orders")
        assert files.found() == []

    def test_files_of_another_pipeline_that_cannot_be_read_do_no_harm(self, tmp_path: Path) -> None:
        files = Files(tmp_path / "shop")
        (tmp_path / ".bruin.yml").write_text("environments: {default: }")
        Files(tmp_path / "crm").sql("SELECT 1 AS a", name="mart.theirs")
        os.mkfifo(tmp_path / "crm/assets/pipe.sql")
        (tmp_path / "crm/assets/gone.sql").symlink_to(tmp_path / "nowhere.sql")
        files.sql("SELECT 1 AS a FROM mart.theirs, raw.orders")
        assert files.found() == []


class TestColumns:
    def test_declared_ones_that_the_query_does_not_return(self, files: Files) -> None:
        files.sql("SELECT id FROM raw.orders", "columns:\n  - name: id\n  - name: statsu\n")
        [found] = [f for f in files.findings() if f.rule == "declared-columns-exist"]
        assert (found.severity, found.line) == (WARNED, 8)
        assert found.message == "the query does not return the column 'statsu'; it returns id"

    def test_it_is_an_error_where_the_run_needs_them(self, files: Files) -> None:
        files.sql(
            "SELECT id, status FROM raw.orders",
            "columns:\n  - name: statsu\n    checks: [{name: not_null}]\n",
        )
        [found] = [f for f in files.findings() if f.severity == REFUSED]
        assert found.line == 7
        assert found.message.endswith("did you mean 'status'?")

    def test_the_key_that_the_strategy_needs(self, files: Files) -> None:
        files.sql(
            "SELECT id FROM raw.orders",
            "materialization:\n  type: table\n  strategy: delete+insert\n  incremental_key: dya\n",
        )
        [found] = [f for f in files.findings() if f.severity == REFUSED]
        assert (found.line, found.rule) == (8, "declared-columns-exist")

    @pytest.mark.parametrize(
        ("expression", "declared", "said"),
        [
            ("status", "integer", "declared as integer, and the query returns it as VARCHAR"),
            ("id", "date", "returns it as BIGINT"),
            ("placed_at", "integer", "returns it as TIMESTAMP"),
            ("id", "intger", "DuckDB has no type 'intger'"),
        ],
    )
    def test_types_that_do_not_fit(
        self, files: Files, expression: str, declared: str, said: str
    ) -> None:
        header = f"columns:\n  - name: c\n    type: {declared}\n"
        files.sql(f"SELECT {expression} AS c FROM raw.orders", header)
        [found] = [f for f in files.findings() if f.rule == "declared-type-matches"]
        assert (found.severity, found.line) == (WARNED, 8)
        assert said in found.message

    @pytest.mark.parametrize(
        ("expression", "declared"),
        [
            ("id", "integer"), ("id", "string"), ("total", "float"), ("total", "decimal(12,4)"),
            ("placed_at", "timestamp"), ("placed_at", "date"), ("status", "varchar(10)"),
            ("lines", "json"), ("extra", "string"), ("NULL", "timestamp"), ("id > 1", "boolean"),
            ("1", "boolean"), ("tags", "text[]"), ("status", "json"), ("count(*)", "int"),
        ],
    )  # fmt: skip
    def test_types_that_do(self, files: Files, expression: str, declared: str) -> None:
        header = f"columns:\n  - name: c\n    type: '{declared}'\n"
        files.sql(f"SELECT {expression} AS c FROM raw.orders", header)
        assert files.found() == []

    def test_a_source_without_a_declared_column_is_told(self, files: Files) -> None:
        files.ingested("raw.orders", "columns:\n  - name: id\n  - name: colour\n")
        assert files.found() == [(WARNED, 6, "declared-columns-exist")]
        assert files.found(sources={}) == []


class TestChecks:
    @pytest.mark.parametrize(
        ("column", "check", "said"),
        [
            ("status", "{name: positive}", "VARCHAR"),
            ("status", "{name: range, min: 1, max: 2}", ""),
            ("total", "{name: min, value: abc}", "compares DECIMAL(10,2) with 'abc'"),
            ("placed_at", "{name: max, value: someday}", "with 'someday'"),
            ("address", "{name: negative}", "STRUCT"),
            ("status", "{name: pattern, value: '['}", "missing ]"),
        ],
    )
    def test_one_that_its_column_cannot_answer(
        self, files: Files, column: str, check: str, said: str
    ) -> None:
        files.sql(
            f"SELECT {column} FROM raw.orders",
            f"columns:\n  - name: {column}\n    checks:\n      - name: not_null\n      - {check}\n",
        )
        errors = [f for f in files.findings() if f.severity == REFUSED]
        assert [(f.line, f.rule) for f in errors] == [(10, "check-fits-column")]
        assert said in errors[0].message

    def test_a_foreign_key_to_a_column_that_is_not_there(self, files: Files) -> None:
        files.sql(
            "SELECT customer_id FROM raw.orders",
            "columns:\n  - name: customer_id\n    foreign_key:\n      table: raw.customers\n"
            "      column: ident\n    checks: [{name: relationships}]\n",
        )
        [found] = [f for f in files.findings() if f.severity == REFUSED]
        assert (found.line, found.rule) == (10, "check-fits-column")
        assert "the table 'raw.customers' has no column 'ident'" in found.message

    @pytest.mark.parametrize(
        ("query", "said"),
        [
            ("SELECT count(*) FROM mart.t WHERE nope", "nope"),
            ("SELECT count(* FROM mart.t", "syntax error"),
            ("SELECT count(*) FROM mart.tt", "did you mean 'mart.t'?"),
            ("SELECT 1, 2", "must return one column; its query returns 2"),
        ],
    )
    def test_a_custom_check(self, files: Files, query: str, said: str) -> None:
        files.sql(
            "SELECT id FROM raw.orders",
            f"custom_checks:\n  - name: c\n    query: |\n      {query}\n",
        )
        [found] = [f for f in files.findings() if f.severity == REFUSED]
        assert (found.line, found.rule) == (9, "custom-check-query-dry-run")
        assert said in found.message

    def test_one_with_a_count_may_return_any_columns(self, files: Files) -> None:
        check = "custom_checks:\n  - {name: c, count: 0, query: SELECT 1 AS a, 2 AS b}\n"
        files.sql(
            "SELECT id FROM raw.orders", check.replace("SELECT 1 AS a, 2 AS b", "'SELECT 1, 2'")
        )
        assert files.found() == []

    def test_checks_of_a_loaded_table_are_tried_too(self, files: Files) -> None:
        files.ingested(
            "raw.orders",
            "columns:\n  - name: status\n    checks:\n      - name: positive\n"
            "custom_checks:\n  - name: c\n    query: SELECT count(*) FROM raw.orders WHERE nope\n",
        )
        assert files.found() == [
            (REFUSED, 7, "check-fits-column"),
            (REFUSED, 10, "custom-check-query-dry-run"),
        ]


class TestHooksAndScripts:
    CHECKED = "columns:\n  - {name: id, checks: [{name: not_null}]}\n"

    @pytest.mark.parametrize(
        "hook",
        [
            "CHECKPOINT", "SELECT 1; -- and\nforce /* it */ checkpoint", "ROLLBACK", "abort;",
            "EXPLAIN ANALYZE COMMIT", "CALL checkpoint('shop')",
            "{% if true %}CHECK{% endif %}POINT", "{% set x = 'ROLLBACK' %}{{ x }}",
        ],
    )  # fmt: skip
    def test_one_that_leaves_the_transaction_of_a_checked_table(
        self, files: Files, hook: str
    ) -> None:
        files.sql("SELECT id FROM raw.orders", self.CHECKED + hooks(post=(hook,)))
        [found] = [f for f in files.findings() if f.severity == REFUSED]
        assert (found.line - 10, found.rule) in {(0, "keeps-transaction"), (1, "keeps-transaction")}
        assert "cannot be part of the transaction in which a table is built" in found.message
        assert "`meta: {publish: always}`" in found.message
        for other in (
            "meta: {publish: always}\n",
            self.CHECKED.replace("null", "null, blocking: false"),
        ):
            checked = other if "columns" in other else other + self.CHECKED
            files.sql("SELECT id FROM raw.orders", checked + hooks(post=(hook,)))
            assert files.found() == []

    @pytest.mark.parametrize(
        "hook",
        [
            "BEGIN; SELECT 1; COMMIT", "-- CHECKPOINT\nSELECT 1", "SELECT '; CHECKPOINT;'",
            "SELECT $$; ROLLBACK $$", "SELECT 1 AS checkpoint", "EXPLAIN SELECT 1 AS commit",
            "{# ROLLBACK #}SELECT 1", "COPY mart.t FROM 'x.csv'",
        ],
    )  # fmt: skip
    def test_one_that_only_seems_to_leave_it(self, files: Files, hook: str) -> None:
        files.sql("SELECT id FROM raw.orders", self.CHECKED + hooks(post=(hook,)))
        assert files.found() == []

    @pytest.mark.parametrize("hook", ["COPY mart.t TO 'x.csv'", "copy (FROM mart.t) to 'x.csv'",
                                      "EXPORT DATABASE 'x'"])  # fmt: skip
    def test_one_that_writes_a_file_before_the_checks_is_warned_of(
        self, files: Files, hook: str
    ) -> None:
        files.sql("SELECT id FROM raw.orders", self.CHECKED + hooks(post=(hook,)))
        [found] = [f for f in files.findings() if f.rule == "keeps-transaction"]
        assert found.severity == WARNED
        assert "writes a file before the checks" in found.message

    def test_a_script_that_leaves_it(self, files: Files) -> None:
        check = "custom_checks: [{name: c, query: SELECT 0}]\n"
        files.sql("CREATE TABLE a (n INT);\nCHECKPOINT", check, kind="none")
        assert files.found() == [(REFUSED, 10, "keeps-transaction")]

    def test_a_hook_on_a_missing_column(self, files: Files) -> None:
        files.sql("SELECT id FROM raw.orders", hooks(post=("DELETE FROM mart.t WHERE nope",)))
        assert files.found() == [(REFUSED, 8, "hook-query-dry-run")]

    def test_a_hook_that_does_not_parse(self, files: Files) -> None:
        files.sql("SELECT id FROM raw.orders", hooks("CRATE TABLE x (a INT)"))
        [found] = [f for f in files.findings() if f.severity == REFUSED]
        assert (found.line, found.rule) == (8, "hook-query-dry-run")
        assert "a hook does not parse" in found.message

    def test_a_script_sees_what_it_made_before(self, files: Files) -> None:
        script = (
            "CREATE SCHEMA IF NOT EXISTS work;\nCREATE OR REPLACE TABLE work.w AS\n"
            "SELECT id FROM raw.orders;\nINSERT INTO work.w SELECT id FROM raw.orders;\n"
            "CREATE OR REPLACE TABLE mart.t AS SELECT id AS order_id FROM work.w;\n"
        )
        files.sql(script, "materialization: {type: none}\n")
        assert files.found() == []
        files.sql(script + "SELECT\n  nope FROM work.w;", "materialization: {type: none}\n")
        assert files.found() == [(REFUSED, BODY_LINE + 6, "query-binds")]

    def test_others_see_what_a_script_made(self, files: Files) -> None:
        files.sql(
            "CREATE SCHEMA IF NOT EXISTS work;\nCREATE OR REPLACE TABLE work.w AS SELECT 1 AS n",
            "materialization: {type: none}\n",
            name="work.script",
        )
        files.sql("SELECT n, m FROM work.w", depends="[work.script]")
        [found] = [f for f in files.findings() if f.severity == REFUSED]
        assert "m" in found.message

    def test_no_data_is_touched(self, files: Files) -> None:
        """A COPY is not followed, and no file is read or written."""
        target = files.root / "out.csv"
        files.sql(
            f"CREATE TABLE mart.t AS SELECT 1 AS a;\nCOPY mart.t TO '{target}';\n"
            f"EXPORT DATABASE '{files.root / 'dump'}';",
            "materialization: {type: none}\n",
        )
        assert files.found() == []
        assert not target.exists()
        assert not (files.root / "dump").exists()

    def test_the_statements_of_a_strategy_are_tried(self, files: Files) -> None:
        files.sql(
            "SELECT id, status FROM raw.orders",
            "materialization:\n  type: table\n  strategy: merge\n"
            "columns:\n  - {name: id, primary_key: true}\n"
            "  - name: status\n    merge_sql: source.statsu\n",
        )
        [found] = [f for f in files.findings() if f.severity == REFUSED]
        assert (found.line, found.rule) == (11, "materialization-config")
        assert "statsu" in found.message


class TestSensors:
    SENSOR = (
        "name: s.wait\ntype: duckdb.sensor.query\nparameters:\n  query: |\n    SELECT 1\n    {}\n"
    )

    def test_a_question_that_cannot_be_asked(self, files: Files) -> None:
        files.write("assets/s.asset.yml", self.SENSOR.format("FROM raw.orders WHERE nope"))
        assert files.found() == [(REFUSED, 6, "query-binds")]

    def test_a_table_that_is_not_there_yet_is_what_it_waits_for(self, files: Files) -> None:
        files.write("assets/s.asset.yml", self.SENSOR.format("FROM raw.later"))
        assert files.found() == []


class TestDependencies:
    def test_a_table_that_is_used_and_not_named(self, files: Files) -> None:
        files.sql(
            "SELECT id\nFROM raw.orders\nJOIN raw.customers USING (id)", depends="[raw.orders]"
        )
        assert files.found(ignoring="") == [(WARNED, BODY_LINE + 2, "used-tables")]

    def test_a_table_that_is_named_and_not_used(self, files: Files) -> None:
        files.sql("SELECT id FROM raw.orders", depends="\n  - raw.orders\n  - raw.customers")
        assert files.found(ignoring="") == [(WARNED, 7, "unused-depends")]

    @pytest.mark.parametrize(
        ("query", "depends"),
        [
            ("SELECT id FROM raw.orders", "[raw.orders, {asset: raw.customers, mode: symbolic}]"),
            ("SELECT id FROM RAW.Orders", "[raw.orders]"),
            ('SELECT id FROM "raw"."orders"', "[raw.orders]"),
            ("SELECT status FROM raw.orders {% if full_refresh %}, raw.customers{% endif %}",
             "[raw.orders, raw.customers]"),
            ("SELECT status FROM raw.orders {% if var.x is defined %}, raw.customers{% endif %}",
             "[raw.orders, raw.customers]"),
            ("SELECT (SELECT max(id) FROM raw.customers) AS id FROM raw.orders",
             "[raw.orders, raw.customers]"),
            ("WITH customers AS (SELECT 1 AS id) SELECT id FROM customers", "[]"),
        ],
    )  # fmt: skip
    def test_nothing_is_said_where_they_agree(self, files: Files, query: str, depends: str) -> None:
        files.sql(query, depends=depends)
        assert files.found(ignoring="") == []

    def test_an_asset_may_read_itself(self, files: Files) -> None:
        files.sql(
            "SELECT id FROM raw.orders\n"
            "{% if not full_refresh %}WHERE id > (SELECT max(id) FROM {{ this }}){% endif %}",
            "materialization: {type: table, strategy: append}\n",
            depends="[raw.orders]",
        )
        assert files.found(ignoring="") == []

    def test_a_check_may_read_what_is_built_after_it(self, files: Files) -> None:
        files.sql("SELECT id FROM mart.t", name="mart.u", depends="[mart.t]")
        files.sql(
            "SELECT id FROM raw.orders",
            "custom_checks: [{name: c, query: SELECT count(*) FROM mart.u}]\n",
            depends="[raw.orders]",
        )
        assert files.found(ignoring="") == []

    def test_assets_that_read_each_other_are_no_endless_task(self, files: Files) -> None:
        files.sql("SELECT a FROM v.b", name="v.a", depends="[]")
        files.sql("SELECT a FROM v.a", name="v.b", depends="[]")
        assert {rule for _, _, rule in files.found()} == {"used-tables"}

    def test_a_query_for_postgres_is_read_for_its_tables(self, files: Files) -> None:
        files.write("assets/p.asset.yml", "name: app.p\ntype: pg.source\n")
        files.write(
            "assets/q.sql",
            "/* @bruin\nname: app.q\ntype: pg.sql\n@bruin */\nSELECT x::regclass FROM app.p\n",
        )
        assert files.found() == [(WARNED, 5, "used-tables")]


class TestTime:
    INTERVAL = (
        "materialization: {type: table, strategy: time_interval, incremental_key: placed_at,"
        " time_granularity: timestamp}\n"
    )

    def test_an_interval_that_nobody_asks_for(self, files: Files) -> None:
        files.sql("SELECT id, placed_at FROM raw.orders", self.INTERVAL)
        assert files.found() == [(WARNED, BODY_LINE, "time-interval-uses-interval")]

    @pytest.mark.parametrize("name", ["start_date", "end_timestamp", "start_datetime"])
    def test_any_of_its_variables_will_do(self, files: Files, name: str) -> None:
        query = f"SELECT id, placed_at FROM raw.orders WHERE placed_at >= '{{{{ {name} }}}}'"
        files.sql(query, self.INTERVAL)
        assert files.found() == []


class TestVariables:
    def test_one_that_no_template_uses(self, files: Files) -> None:
        variables = "variables:\n  used: {default: 1}\n  unused: {default: 2}\n"
        files.write("pipeline.yml", f"name: shop\n{variables}")
        files.sql("SELECT {{ var.used }} AS n FROM raw.orders")
        assert files.found() == [(WARNED, 4, "unused-variables")]
        for code in ('os.environ["BRUIN_VARS"]', 'of_the_run()["unused"]'):
            files.write("assets/p.py", f'"""@bruin\nname: p\n@bruin"""\n{code}')
            assert files.found() == []


def test_nothing_is_said_of_what_is_not_known(files: Files) -> None:
    """Without its source, a table may have any column of any type."""
    files.sql("SELECT anything, sum(whatever) AS s FROM raw.orders GROUP BY ALL", name="stg.o")
    files.sql("SELECT s + 1 AS n, more.of_it, lower(anything) FROM stg.o", depends="[stg.o]")
    assert files.found(sources={}) == []
    assert (REFUSED, BODY_LINE, "query-binds") in files.found()


def test_declared_columns_are_believed_as_far_as_they_go(files: Files) -> None:
    files.ingested("raw.orders", "columns:\n  - {name: status, type: string}\n")
    files.sql("SELECT status, other FROM raw.orders")
    assert files.found(sources={}) == []
    assert SOURCES["raw.orders"]["status"] == "VARCHAR"


class TestADuckLake:
    """What it cannot store is known before a run, where the type alone decides."""

    @pytest.fixture
    def lake(self, files: Files) -> Files:
        files.write(
            ".bruin.yml",
            "environments: {default: {connections: {duckdb: [{name: duckdb-default, lakehouse:"
            " {format: ducklake, catalog: {type: duckdb, path: c}, storage: {path: d}}}]}}}\n",
        )
        return files

    @pytest.mark.parametrize(
        ("value", "said"),
        [
            ("'101'::BIT", "n is BIT: a DuckLake has no BIT; cast it to VARCHAR"),
            ("TIME_NS '12:00:00'", "n is TIME_NS: a DuckLake has no TIME_NS; cast it to TIME"),
            ("1::BIGNUM", "n is BIGNUM: a DuckLake has no BIGNUM"),
            pytest.param(
                "1::VARIANT",
                "n is VARIANT: a DuckLake has no VARIANT; cast it to JSON",
                marks=SAYS_MORE,
            ),
            ("union_value(a := 1)", "n is UNION(a INTEGER): a DuckLake has no UNION"),
            ("[{'a': '1'::BIT}]", 'n is STRUCT(a BIT)[]: a DuckLake has no BIT'),
        ],
    )  # fmt: skip
    def test_types_that_it_has_not(self, lake: Files, value: str, said: str) -> None:
        lake.sql(f"SELECT {value} AS n", depends="[]")
        lake.sql("SELECT n FROM mart.t", name="mart.v", kind="view", depends="[mart.t]")
        [found] = lake.findings()
        assert (found.file, found.line, found.severity) == ("mart.t.sql", BODY_LINE, REFUSED)
        assert said in found.message

    @pytest.mark.parametrize(
        "value",
        [
            "INTERVAL '1 day'", "1::HUGEINT", "'12:00:00+01'::TIMETZ", "'a'::ENUM ('a')", "[1, 2]",
            "1.5::DECIMAL(38, 38)", "NULL", "{'a': INTERVAL '1 day'}", "[1::UHUGEINT]::UHUGEINT[1]",
        ],
    )  # fmt: skip
    def test_what_depends_on_values_is_left_to_the_run(self, lake: Files, value: str) -> None:
        lake.sql(f"SELECT {value} AS n", depends="[]")
        assert lake.findings() == []

    def test_a_declared_type_counts_and_not_that_of_the_query(self, lake: Files) -> None:
        lake.sql("SELECT '101'::BIT AS n", "columns: [{name: n, type: varchar}]\n", depends="[]")
        assert lake.findings() == []
        lake.sql("SELECT '101' AS n", "columns:\n  - name: n\n    type: bit\n", depends="[]")
        [(line, severity)] = [
            (f.line, f.severity) for f in lake.findings() if f.rule == "type-is-stored"
        ]
        assert (line, severity) == (8, REFUSED)

    def test_tables_that_scripts_fill_hold_nothing_doubtful(self, lake: Files) -> None:
        ddl = "columns:\n  - name: n\n    type: interval\n"
        lake.sql("", f"materialization: {{type: table, strategy: ddl}}\n{ddl}", depends="[]")
        [found] = lake.findings()
        assert "what a script writes is not looked at" in found.message

    def test_a_file_holds_all_of_them(self, files: Files) -> None:
        files.sql("SELECT TIME_NS '12:00:00' AS n, '1'::BIT AS b", depends="[]")
        assert files.findings() == []
