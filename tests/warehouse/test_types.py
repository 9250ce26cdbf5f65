"""Tables have the declared types, and no value changes on its way into one without a word."""

from __future__ import annotations

from datetime import UTC, date, datetime
from decimal import Decimal

import pytest

from ecommerce_dagster.sql.types import known_type, normal, widened
from ecommerce_dagster.warehouses.sql_asset import AssetError
from warehouse.helpers import TABLE, Warehouse, values


def declared(kind: str) -> str:
    return f"{TABLE}\ncolumns: [{{name: x, type: {kind!r}}}]"


class TestDeclaredTypes:
    @pytest.mark.parametrize(
        ("written", "expected"),
        [
            ("string text str char varchar nvarchar bpchar character~varying", "VARCHAR"),
            ("varchar(20) char(1) nvarchar(50) character~varying(255)", "VARCHAR"),
            ("int integer int4 int32 signed serial", "INTEGER"),
            ("bigint int8 int64 long bigserial", "BIGINT"),
            ("smallint int2 int16 short smallserial", "SMALLINT"),
            ("tinyint int1", "TINYINT"),
            ("number numeric decimal bignumeric dec", "DECIMAL"),
            ("numeric(12,2) NUMERIC(12,~2) decimal(12,2) number(12,2) dec(12,2)", "DECIMAL(12,2)"),
            ("decimal(10) number(10) numeric(10,0)", "DECIMAL(10,0)"),
            ("float float8 float64 double double~precision", "DOUBLE"),
            ("real float4", "FLOAT"),
            ("bool boolean logical", "BOOLEAN"),
            ("timestamp datetime timestamp_ntz", "TIMESTAMP"),
            ("timestamp~without~time~zone", "TIMESTAMP"),
            ("timestamp(3) timestamp(6)~without~time~zone datetime(0)", "TIMESTAMP"),
            ("timestamptz timestamp_tz timestamp_ltz", "TIMESTAMP WITH TIME ZONE"),
            ("timestamp~with~time~zone", "TIMESTAMP WITH TIME ZONE"),
            ("timestamptz(6) timestamp(6)~with~time~zone", "TIMESTAMP WITH TIME ZONE"),
            ("bytes bytea binary varbinary blob", "BLOB"),
            ("json jsonb", "JSON"),
            ("date", "DATE"), ("time", "TIME"), ("uuid", "UUID"), ("interval", "INTERVAL"),
            ("hugeint int128", "HUGEINT"),
            ("string[] text[] varchar(9)[]", "VARCHAR[]"), ("int[]", "INTEGER[]"),
            ("numeric(12,2)[]", "DECIMAL(12,2)[]"),
            ("struct(a~int,~b~varchar)", "STRUCT(a INTEGER, b VARCHAR)"),
            ("map(varchar,~int)", "MAP(VARCHAR, INTEGER)"),
            ("enum('a',~'b')", "VARCHAR"),
        ],
    )  # fmt: skip
    def test_what_people_write_is_understood_in_any_case(self, written: str, expected: str) -> None:
        for word in written.split(" "):
            text = word.replace("~", " ")
            for spelling in (text, text.upper(), f"  {text.replace(' ', '  ')} "):
                kept = spelling if "struct" not in text else text
                assert (spelling, known_type(kept), normal(kept)) == (spelling, expected, expected)

    @pytest.mark.parametrize(
        "kind",
        ["money", "array<string>", "numeric(40,2)", "tinyint(1)", "null", "'x'", "",
         "INTEGER); DROP TABLE x; --"],
    )  # fmt: skip
    def test_what_duckdb_does_not_know_is_none(self, kind: str) -> None:
        assert known_type(kind) is None
        assert normal(kind) == kind.upper()

    def test_an_unknown_type_is_no_promise_and_is_said(self, w: Warehouse) -> None:
        built = w.run(declared("money"), "SELECT 1.5 AS x")
        assert w.types() == {"x": "DECIMAL(2,1)"}
        assert built.loaded.schema_changes == ("x is DECIMAL(2,1): DuckDB has no type 'money'",)

    @pytest.mark.parametrize("kind", ["integer", "numeric", "timestamp", "string", "date[]"])
    def test_an_empty_first_result_gives_the_declared_types(self, w: Warehouse, kind: str) -> None:
        w.run(declared(kind), "SELECT NULL AS x LIMIT 0")
        expected = {"integer": "INTEGER", "numeric": "INTEGER"}.get(kind, known_type(kind))
        assert w.types() == {"x": expected}


class TestWhatIsKept:
    @pytest.mark.parametrize(
        ("kind", "query", "kept"),
        [
            ("integer", "5::TINYINT", "TINYINT"),
            ("integer", "5000000000", "BIGINT"),
            ("integer", "sum(5)", "BIGINT"),
            ("integer", "5::UINTEGER", "UINTEGER"),
            ("integer", "5::UBIGINT", "BIGINT"),
            ("integer", "5.0", "BIGINT"),
            ("integer", "5e0", "BIGINT"),
            ("integer", "'5'", "INTEGER"),
            ("bigint", "5", "BIGINT"),
            ("numeric", "5", "INTEGER"),
            ("numeric", "5.25", "DECIMAL(3,2)"),
            ("numeric", "5e0", "DOUBLE"),
            ("numeric", "'5.25'", "DECIMAL(38,9)"),
            ("numeric(12,2)", "5.2", "DECIMAL(12,2)"),
            ("timestamp", "now()", "TIMESTAMP WITH TIME ZONE"),
            ("timestamp", "DATE '2024-01-01'", "TIMESTAMP"),
            ("timestamp", "TIMESTAMP_NS '2024-01-01'", "TIMESTAMP_NS"),
            ("timestamptz", "TIMESTAMP '2024-01-01'", "TIMESTAMP WITH TIME ZONE"),
            ("date", "TIMESTAMP '2024-01-01'", "DATE"),
            ("string", "5", "VARCHAR"),
            ("string", "{'a': 1}", "VARCHAR"),
            ("string", "'a'::ENUM('a', 'b')", "VARCHAR"),
            ("boolean", "1", "BOOLEAN"),
            ("float", "5.25", "DOUBLE"),
            ("json", """'{"a": 1}'""", "JSON"),
        ],
    )
    def test_a_declared_column(self, w: Warehouse, kind: str, query: str, kept: str) -> None:
        w.run(declared(kind), f"SELECT {query} AS x")
        assert w.types() == {"x": kept}

    def test_an_undeclared_column_keeps_its_type_but_no_enum(self, w: Warehouse) -> None:
        w.run(TABLE, "SELECT 'a'::ENUM('a') AS e, 1::UTINYINT AS u, NULL AS n, [1] AS l")
        assert w.types() == {"e": "VARCHAR", "u": "UTINYINT", "n": "INTEGER", "l": "INTEGER[]"}

    @pytest.mark.parametrize(
        "kind",
        ["integer", "numeric(5,2)", "string", "date", "timestamp", "timestamptz", "boolean", "uuid",
         "json", "blob", "time", "interval", "integer[]", "struct(a integer)", "float"],
    )  # fmt: skip
    def test_null_fits_every_type(self, w: Warehouse, kind: str) -> None:
        for _ in range(2):
            w.run(declared(kind).replace("}\n", ", strategy: append}\n"), "SELECT NULL AS x")
            assert w.types() == {"x": known_type(kind)}
        assert w.rows() == [(None,), (None,)]


class TestValues:
    @pytest.mark.parametrize(
        ("kind", "query", "value"),
        [
            ("numeric(5,2)", "999.99::DOUBLE", Decimal("999.99")),
            ("numeric(5,2)", "0.126::DOUBLE", Decimal("0.13")),
            ("numeric(5,2)", "1.100", Decimal("1.10")),
            ("numeric(5,2)", "'1.1'", Decimal("1.10")),
            ("numeric(5,2)", "'1e2'", Decimal("100.00")),
            ("integer", "3e0", 3),
            ("integer", "' 42 '", 42),
            ("bigint", "'9007199254740993'", 9007199254740993),
            ("bigint", "9007199254740993::HUGEINT", 9007199254740993),
            ("numeric", "'12345678901234567.89'", Decimal("12345678901234567.890000000")),
            ("float", "1/3", 1 / 3),
            ("timestamp", "'2024-01-01 10:00:00.000001'", datetime(2024, 1, 1, 10, 0, 0, 1)),
            ("timestamptz", "'2024-01-01 10:00:00+02'", datetime(2024, 1, 1, 8, tzinfo=UTC)),
            ("date", "'2024-01-01'", date(2024, 1, 1)),
            ("date", "TIMESTAMPTZ '2024-01-01 00:00:00+00'", date(2024, 1, 1)),
            ("boolean", "0", False),
            ("boolean", "'true'", True),
            ("numeric(6,2)[]", "[1.5, NULL]", [Decimal("1.50"), None]),
            ("double[]", "[1, 2]", [1.0, 2.0]),
            ("json", "{'a': [1], 'b': NULL}", '{"a":[1],"b":null}'),
        ],
    )
    def test_that_fit_arrive(self, w: Warehouse, kind: str, query: str, value: object) -> None:
        w.run(declared(kind), f"SELECT {query} AS x UNION ALL SELECT NULL")
        assert w.rows() == [(None,), (value,)]

    @pytest.mark.parametrize(
        ("kind", "query", "shown"),
        [
            ("numeric(5,2)", "1099.99", "1099.99"),
            ("numeric(5,2)", "1.005", "1.005"),
            ("numeric(5,2)", "1e10", "10000000000.0"),
            ("numeric(5,2)", "'nan'::DOUBLE", "nan"),
            ("numeric(5,2)", "'1.005'", "1.005"),
            ("numeric(5,2)", "1000", "1000"),
            ("integer", "1.5", "1.5"),
            ("integer", "1.5e0", "1.5"),
            ("integer", "'1.5'", "1.5"),
            ("integer", "'abc'", "abc"),
            ("integer", "''", ""),
            ("integer", "9223372036854775808", "9223372036854775808"),
            ("integer", "true", "true"),
            ("tinyint", "128", "128"),
            ("utinyint", "-1", "-1"),
            ("ubigint", "-1::BIGINT", "-1"),
            ("tinyint", "999::DECIMAL(3,0)", "999"),
            ("int4", "'2147483648'", "2147483648"),
            ("date", "TIMESTAMP '2024-01-01 10:00:00'", "2024-01-01 10:00:00"),
            ("date", "'2024-01-01 10:00:00'", "2024-01-01 10:00:00"),
            ("timestamp", "'2024-01-01 10:00:00+02'", "2024-01-01 10:00:00+02"),
            ("timestamp", "'yesterday'", "yesterday"),
            ("boolean", "2", "2"),
            ("boolean", "'maybe'", "maybe"),
            ("uuid", "'no'", "no"),
            ("json", "'{'", "{"),
            ("real", "1e300", "1e+300"),
            ("integer[]", "['1', 'x']", "[1, x]"),
            ("integer[]", "[1.5]", "[1.5]"),
        ],
    )
    def test_that_do_not_fit_stop_the_load_and_are_named(
        self, w: Warehouse, kind: str, query: str, shown: str
    ) -> None:
        w.run(TABLE, "SELECT 'old' AS x")
        with pytest.raises(AssetError) as error:
            w.run(declared(kind), f"SELECT {query} AS x")
        assert str(error.value) == (
            f"assets/mart/t.sql:10: the column x holds {shown}, "
            f"which does not fit its type {w_target(kind, query)}"
        )
        assert w.rows() == [("old",)]

    def test_names_with_quotes_are_quoted(self, w: Warehouse) -> None:
        header = f"""{TABLE}\ncolumns: [{{name: 'a "b" ''c''', type: integer}}]"""
        with pytest.raises(AssetError, match="""the column a "b" 'c' holds x, which"""):
            w.run(header, """SELECT 'x' AS "a ""b"" 'c'" """)


def w_target(kind: str, query: str) -> str:
    """`integer` takes any integer, so that other numbers become the largest."""
    is_text = query.startswith("'") or query == "true"
    if kind == "integer":
        return "INTEGER" if is_text and "::" not in query else "BIGINT"
    return str(known_type(kind))


class TestLaterRuns:
    APPEND = "materialization: {type: table, strategy: append}"

    @pytest.mark.parametrize(
        ("first", "then", "expected"),
        [
            ("1::TINYINT", "300", "INTEGER"),
            ("1", "5000000000", "BIGINT"),
            ("5000000000", "1", "BIGINT"),
            ("1.25::DECIMAL(5,2)", "1099.99", "DECIMAL(6,2)"),
            ("1.25", "1", "DECIMAL(12,2)"),
            ("1", "1.25", "DECIMAL(12,2)"),
            ("1::UINTEGER", "-1", "BIGINT"),
            ("-1::BIGINT", "18446744073709551615::UBIGINT", "HUGEINT"),
            ("1::HUGEINT", "1.25", "DECIMAL(38,2)"),
            ("1::FLOAT", "1.5::DOUBLE", "DOUBLE"),
            ("1", "1.5::DOUBLE", "DOUBLE"),
            ("1.25", "1.5::FLOAT", "DOUBLE"),
            ("DATE '2024-01-01'", "TIMESTAMP '2024-01-01 10:00:00'", "TIMESTAMP"),
            ("TIMESTAMP '2024-01-01'", "TIMESTAMPTZ '2024-01-02'", "TIMESTAMP WITH TIME ZONE"),
            ("'text'", "5", "VARCHAR"),
            ("'text'", "NULL", "VARCHAR"),
            ("DATE '2024-01-01'", "NULL", "DATE"),
            ("[1]", "NULL", "INTEGER[]"),
            ("NULL", "5000000000", "BIGINT"),
        ],
    )
    def test_a_wider_type_widens_the_column(
        self, w: Warehouse, first: str, then: str, expected: str
    ) -> None:
        w.run(self.APPEND, f"SELECT {first} AS x")
        before = w.types()["x"]
        built = w.run(self.APPEND, f"SELECT {then} AS x")
        assert w.types() == {"x": expected}
        assert w.sql(f"SELECT count(*) FROM mart.t WHERE x IN (({first})::{expected},"
                     f" ({then})::{expected}) OR x IS NULL") == [(2,)]  # fmt: skip
        widening = (f"widened column x from {before} to {expected}",)
        assert built.loaded.schema_changes == (widening if before != expected else ())

    @pytest.mark.parametrize(
        ("first", "then"),
        [
            ("5", "'text'"),
            ("5000000000", "1e0"),
            ("1e0", "5000000000"),
            ("DATE '2024-01-01'", "5"),
            ("true", "1"),
            ("[1]", "'x'"),
            ("TIMESTAMP '2024-01-01'", "TIMESTAMP_NS '2024-01-01'"),
        ],
    )
    def test_another_kind_of_value_is_refused(self, w: Warehouse, first: str, then: str) -> None:
        w.run(self.APPEND, f"SELECT {first} AS x")
        had, comes = (w.sql(f"SELECT typeof({value})")[0][0] for value in (first, then))
        with pytest.raises(AssetError) as error:
            w.run(self.APPEND, f"SELECT {then} AS x")
        assert (
            f"the column x of mart.t is {had} and now comes as {comes}; cast it in the query, or "
            "run once with --full-refresh to rebuild the table"
        ) in str(error.value)
        assert len(w.rows()) == 1

    @pytest.mark.parametrize(
        ("query", "had", "kind"),
        [
            ("'5'", "VARCHAR", "integer"),
            ("5e0", "DOUBLE", "numeric(12,2)"),
            ("5000000000", "BIGINT", "smallint"),
            ("TIMESTAMP '2024-01-01'", "TIMESTAMP", "date"),
            ("5", "INTEGER", "string"),
        ],
    )
    def test_another_declaration_needs_a_rebuild(
        self, w: Warehouse, query: str, had: str, kind: str
    ) -> None:
        header = declared(kind).replace("}\n", ", strategy: append}\n")
        w.run(self.APPEND, f"SELECT {query} AS x")
        with pytest.raises(AssetError) as error:
            w.run(header, f"SELECT {query} AS x")
        assert (
            f"the column x of mart.t is {had} and is declared as {kind}; run once with "
            "--full-refresh to rebuild the table"
        ) in str(error.value)
        w.run(header, f"SELECT {query} AS x WHERE false", full_refresh=True)
        assert w.types() == {"x": known_type(kind)}

    def test_a_wider_declaration_widens(self, w: Warehouse) -> None:
        for kind in ("numeric(5,2)", "numeric(12,2)"):
            w.run(declared(kind).replace("}\n", ", strategy: append}\n"), "SELECT 1.5 AS x")
        assert w.types() == {"x": "DECIMAL(12,2)"}
        assert w.rows() == [(Decimal("1.50"),), (Decimal("1.50"),)]

    def test_a_declared_type_is_kept_whatever_comes(self, w: Warehouse) -> None:
        header = declared("numeric(6,2)").replace("}\n", ", strategy: append}\n")
        w.run(header, "SELECT 1.25 AS x")
        w.run(header, "SELECT 1099.99 AS x")
        with pytest.raises(AssetError, match=r"the column x holds 10999\.99, which does not fit"):
            w.run(header, "SELECT 10999.99 AS x")
        assert w.rows() == [(Decimal("1.25"),), (Decimal("1099.99"),)]

    def test_values_that_a_capped_decimal_cannot_hold_are_refused(self, w: Warehouse) -> None:
        w.run(self.APPEND, "SELECT 170141183460469231731687303715884105727::HUGEINT AS x")
        with pytest.raises(AssetError):
            w.run(self.APPEND, "SELECT 1.25 AS x")
        assert w.rows() == [(170141183460469231731687303715884105727,)]

    def test_text_never_swallows_other_columns(self) -> None:
        assert widened("INTEGER", "VARCHAR") is None
        assert widened("VARCHAR", "INTEGER") == "VARCHAR"


class TestColumnsThatComeAndGo:
    STRATEGIES = ("append", "truncate+insert", "delete+insert, incremental_key: id", "merge")

    @pytest.mark.parametrize("strategy", STRATEGIES)
    def test_added_dropped_and_renamed_columns(self, w: Warehouse, strategy: str) -> None:
        header = f"""
        materialization: {{type: table, strategy: {strategy}}}
        columns: [{{name: id, primary_key: true}}, {{name: b, update_on_merge: true}}]
        """
        w.run(header, values("id, a, b", "1, 'a1', 'b1'"))
        added = w.run(header, values("id, a, b, c", "2, 'a2', 'b2', true"))
        assert added.loaded.schema_changes == ("added column c BOOLEAN",)
        dropped = w.run(header, values("id, b", "3, 'b3'"))
        assert dropped.loaded.schema_changes == (
            "the column a is no longer in the query; filled with NULL",
            "the column c is no longer in the query; filled with NULL",
        )
        renamed = w.run(header, values("id, a, bb", "4, 'a4', 'b4'"))
        assert renamed.loaded.schema_changes == (
            "added column bb VARCHAR",
            "the column b is no longer in the query; filled with NULL",
            "the column c is no longer in the query; filled with NULL",
        )
        rows = [
            (1, "a1", "b1", None, None),
            (2, "a2", "b2", True, None),
            (3, None, "b3", None, None),
            (4, "a4", None, None, "b4"),
        ]
        assert list(w.types()) == ["id", "a", "b", "c", "bb"]
        assert w.rows() == (rows[-1:] if strategy == "truncate+insert" else rows)

    def test_a_failed_check_undoes_the_change_of_shape(self, w: Warehouse) -> None:
        header = """
        materialization: {type: table, strategy: append}
        columns: [{name: id, checks: [{name: unique}]}]
        """
        w.run(header, "SELECT 1::TINYINT AS id")
        assert not w.run(header, "SELECT 1 AS id, 'new' AS b").published
        assert w.types() == {"id": "TINYINT"}
        assert w.rows() == [(1,)]

    def test_several_columns_widen_at_once(self, w: Warehouse) -> None:
        header = """
        materialization: {type: table, strategy: merge}
        columns: [{name: id, primary_key: true}, {name: v, update_on_merge: true}]
        """
        w.run(header, "SELECT 1::TINYINT AS id, 1.5 AS v")
        w.run(header, "SELECT 1 AS id, 100.25 AS v, 'x' AS n UNION ALL SELECT 1000, 0.5, 'y'")
        assert w.types() == {"id": "INTEGER", "v": "DECIMAL(5,2)", "n": "VARCHAR"}
        assert w.rows() == [(1, Decimal("100.25"), None), (1000, Decimal("0.50"), "y")]
