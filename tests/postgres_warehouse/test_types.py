"""Tables have the declared types, and no value changes on its way into one without a word."""

from __future__ import annotations

from datetime import UTC, date, datetime
from decimal import Decimal

import pytest

from ecommerce_dagster.sql.postgres_types import widened
from ecommerce_dagster.warehouses.sql_asset import AssetError
from postgres_warehouse.helpers import TABLE, Warehouse, values

NAIVE, AWARE = "timestamp without time zone", "timestamp with time zone"


def declared(kind: str) -> str:
    return f"{TABLE}\ncolumns: [{{name: x, type: {kind!r}}}]"


def appended(kind: str = "") -> str:
    return declared(kind).replace("table}", "table, strategy: append}")


class TestDeclaredTypes:
    @pytest.mark.parametrize(
        ("written", "expected"),
        [
            ("string;text;str;char;varchar;nvarchar;bpchar;character varying", "text"),
            ("enum('a', 'b')", "text"),
            ("varchar(20);character varying(20);nvarchar(20)", "character varying(20)"),
            ("char(3);character(3)", "character(3)"),
            ("int;integer;int4;int32;signed;serial", "integer"),
            ("bigint;int8;int64;long;bigserial", "bigint"),
            ("smallint;int2;int16;short;smallserial;tinyint", "smallint"),
            ("number;numeric;decimal;bignumeric;dec", "numeric"),
            ("numeric(12,2);decimal(12, 2);number(12,2);dec( 12 , 2 )", "numeric(12,2)"),
            ("decimal(10);number(10);numeric(10,0)", "numeric(10,0)"),
            ("float;float8;float64;double;double precision", "double precision"),
            ("real;float4", "real"),
            ("bool;boolean;logical", "boolean"),
            ("timestamp;datetime;timestamp_ntz;timestamp(3)", NAIVE),
            ("timestamp without time zone;timestamp(6) without time zone", NAIVE),
            ("timestamptz;timestamp_tz;timestamp with time zone;timestamp(6) with time zone",
             AWARE),
            ("bytes;bytea;binary;varbinary;blob", "bytea"),
            ("jsonb", "jsonb"), ("json", "json"), ("date", "date"), ("uuid", "uuid"),
            ("interval", "interval"), ("inet", "inet"), ("time", "time without time zone"),
            ("string[];text[]", "text[]"), ("int[]", "integer[]"),
            ("numeric(12,2)[]", "numeric(12,2)[]"), ("mart.mood", "mart.mood"),
        ],
    )  # fmt: skip
    def test_what_people_write_is_understood_in_any_case(
        self, w: Warehouse, written: str, expected: str
    ) -> None:
        w.sql("CREATE SCHEMA mart", "CREATE TYPE mart.mood AS ENUM ('fine')")
        for word in written.split(";"):
            for text in (word, word.upper(), f"  {word.replace(' ', '  ')} "):
                built = w.run(declared(text), "SELECT NULL AS x")
                assert (text, built.columns) == (text, {"x": expected})
                assert built.loaded.schema_changes == ()

    @pytest.mark.parametrize(
        "kind",
        ["array<string>", "tinyint(", "null", "x", "int); DROP TABLE x; --", "struct(a int)"],
    )
    def test_an_unknown_type_is_no_promise_and_is_said(self, w: Warehouse, kind: str) -> None:
        built = w.run(declared(kind), "SELECT 1.5 AS x")
        assert built.columns == {"x": "numeric"}
        message = f"x is numeric: PostgreSQL has no type '{kind}'"
        assert built.loaded.schema_changes == (message,)


class TestWhatIsKept:
    @pytest.mark.parametrize(
        ("kind", "query", "kept"),
        [
            ("integer", "5::smallint", "smallint"),
            ("integer", "5000000000", "bigint"),
            ("integer", "count(*)", "bigint"),
            ("integer", "sum(5::bigint)", "bigint"),
            ("integer", "5.0", "bigint"),
            ("integer", "5e0::float8", "bigint"),
            ("integer", "'5'", "integer"),
            ("bigint", "5", "bigint"),
            ("numeric", "5", "integer"),
            ("numeric", "5.25", "numeric"),
            ("numeric", "5.25::numeric(5,2)", "numeric(5,2)"),
            ("numeric", "5e0::float8", "double precision"),
            ("numeric", "'5.25'", "numeric"),
            ("numeric(12,2)", "5.2", "numeric(12,2)"),
            ("timestamp", "now()", AWARE),
            ("timestamp", "DATE '2024-01-01'", NAIVE),
            ("timestamptz", "TIMESTAMP '2024-01-01'", AWARE),
            ("date", "TIMESTAMP '2024-01-01'", "date"),
            ("string", "5", "text"),
            ("string", "'a'::varchar(3)", "text"),
            ("boolean", "1", "boolean"),
            ("float", "5.25", "double precision"),
            ("jsonb", """'{"a": 1}'""", "jsonb"),
            ("", "'a'::varchar(3)", "character varying(3)"),
            ("", "NULL", "text"),
        ],
    )
    def test_a_column(self, w: Warehouse, kind: str, query: str, kept: str) -> None:
        assert w.run(declared(kind), f"SELECT {query} AS x").columns == {"x": kept}

    @pytest.mark.parametrize(
        "kind",
        ["integer", "numeric(5,2)", "text", "date", NAIVE, AWARE, "boolean", "uuid", "jsonb",
         "bytea", "interval", "integer[]", "double precision", "character varying(3)"],
    )  # fmt: skip
    def test_null_fits_every_type(self, w: Warehouse, kind: str) -> None:
        for _ in range(2):
            assert w.run(appended(kind), "SELECT NULL AS x").columns == {"x": kind}
        w.sql("DELETE FROM mart.t")
        assert w.run(appended(), "SELECT NULL AS x").columns == {"x": kind}
        assert w.rows() == [(None,)]


class TestValues:
    @pytest.mark.parametrize(
        ("kind", "query", "value"),
        [
            ("numeric(5,2)", "999.99::float8", Decimal("999.99")),
            ("numeric(5,2)", "0.126::float8", Decimal("0.13")),
            ("numeric(5,2)", "1.100", Decimal("1.10")),
            ("numeric(5,2)", "'1e2'", Decimal("100.00")),
            ("integer", "3e0::float8", 3),
            ("integer", "' 42 '", 42),
            ("integer", "'3.0'", 3),
            ("integer", "'-2147483648'", -(2**31)),
            ("bigint", "9007199254740993::numeric", 9007199254740993),
            ("bigint", "'9007199254740993'", 9007199254740993),
            ("numeric", "'123456789012345.890123456789'", Decimal("123456789012345.890123456789")),
            ("float", "1/3.0", 1 / 3),
            ("timestamp", "'2024-01-01 10:00:00.000001'", datetime(2024, 1, 1, 10, 0, 0, 1)),
            ("timestamptz", "'2024-01-01 10:00:00+02'", datetime(2024, 1, 1, 8, tzinfo=UTC)),
            ("date", "'2024-01-01'", date(2024, 1, 1)),
            ("date", "TIMESTAMPTZ '2024-01-01 00:00:00+00'", date(2024, 1, 1)),
            ("boolean", "0", False),
            ("boolean", "'true'", True),
            ("varchar(3)", "'abc'", "abc"),
            ("varchar(3)", "123", "123"),
        ],
    )  # fmt: skip
    def test_a_value_that_fits(self, w: Warehouse, kind: str, query: str, value: object) -> None:
        w.run(declared(kind), f"SELECT {query} AS x UNION ALL SELECT NULL")
        assert w.rows() == [(None,), (value,)]

    @pytest.mark.parametrize(
        ("kind", "query", "shown"),
        [
            ("integer", "3.5", "3.5"),
            ("integer", "'abc'", "abc"),
            ("integer", "'3000000000'", "3000000000"),
            ("integer", "'nan'::float8", "NaN"),
            ("smallint", "40000", "40000"),
            ("bigint", "1e30", "1000000000000000000000000000000"),
            ("numeric(5,2)", "1000", "1000"),
            ("numeric(5,2)", "1.005", "1.005"),
            ("numeric(5,2)", "'1.005'", "1.005"),
            ("numeric(5,2)", "999.995::float8", "999.995"),
            ("numeric", "'1,5'", "1,5"),
            ("date", "TIMESTAMP '2024-01-01 10:00'", "2024-01-01 10:00:00"),
            ("date", "'2024-01-01 10:00'", "2024-01-01 10:00"),
            ("date", "'2024-02-30'", "2024-02-30"),
            ("date", "5", "5"),
            ("timestamp", "'2024-01-01 10:00:00+02'", "2024-01-01 10:00:00+02"),
            ("boolean", "2", "2"),
            ("uuid", "'x'", "x"),
            ("varchar(3)", "'abcd'", "abcd"),
            ("varchar(3)", "1234", "1234"),
            ("inet", "'here'", "here"),
        ],
    )
    def test_a_value_that_would_be_lost_is_named(
        self, w: Warehouse, kind: str, query: str, shown: str
    ) -> None:
        with pytest.raises(AssetError) as error:
            w.run(declared(kind), f"SELECT {query} AS x UNION ALL SELECT NULL")
        assert str(error.value).startswith(
            f"assets/mart/t.sql:10: the column x holds {shown}, which does not fit its type "
        )
        assert w.kind() is None


class TestSchemaChanges:
    def test_a_new_column_is_added_and_one_that_is_gone_stays(self, w: Warehouse) -> None:
        w.run(appended(), "SELECT 1 AS a, 2 AS b")
        built = w.run(appended(), "SELECT 3 AS b, 'x' AS c")
        assert w.rows() == [(None, 3, "x"), (1, 2, None)]
        assert built.loaded.schema_changes == (
            "added column c text",
            "the column a is no longer in the query; filled with NULL",
        )

    @pytest.mark.parametrize(
        ("first", "then", "kind"),
        [
            ("1::smallint", "2::bigint", "bigint"),
            ("1::bigint", "2::smallint", "bigint"),
            ("1", "2.5", "numeric"),
            ("1.5::numeric(5,2)", "12345678::int", "numeric(12,2)"),
            ("1.5::numeric(3,1)", "0.123::numeric(4,3)", "numeric(5,3)"),
            ("1::real", "1::float8", "double precision"),
            ("1", "1.5::float8", "double precision"),
            ("DATE '2024-01-01'", "now()", AWARE),
            ("'a'::varchar(3)", "'abcd'", "text"),
        ],
    )
    def test_a_wider_type_widens_the_table(
        self, w: Warehouse, first: str, then: str, kind: str
    ) -> None:
        w.run(appended(), f"SELECT {first} AS x")
        changes = w.run(appended(), f"SELECT {then} AS x").loaded.schema_changes
        assert w.types() == {"x": kind}
        assert len(changes) == (0 if "bigint" in first else 1)

    @pytest.mark.parametrize(
        ("first", "then"), [("1", "'a'"), ("'a'", "1"), ("true", "1"), ("now()", "'a'")]
    )
    def test_another_kind_of_values_is_refused(self, w: Warehouse, first: str, then: str) -> None:
        w.run(appended(), f"SELECT {first} AS x")
        if first == "'a'":
            w.run(appended(), f"SELECT {then} AS x")
            assert w.rows() == [("1",), ("a",)]
            return
        with pytest.raises(AssetError, match=r"and now comes as \w+; cast it in the query, or run"):
            w.run(appended(), f"SELECT {then} AS x")

    def test_another_declaration_needs_a_rebuild(self, w: Warehouse) -> None:
        w.run(appended(), "SELECT 'a' AS x")
        with pytest.raises(AssetError, match="is text and is declared as date; run once with"):
            w.run(appended("date"), "SELECT DATE '2024-01-01' AS x")
        w.run(appended("date"), "SELECT DATE '2024-01-01' AS x", full_refresh=True)
        assert w.types() == {"x": "date"}

    @pytest.mark.parametrize(
        ("one", "other", "both"),
        [
            ("integer", "bigint", "bigint"),
            ("integer", "numeric(12,2)", "numeric(12,2)"),
            ("bigint", "numeric(5,2)", "numeric(21,2)"),
            ("numeric(5,2)", "numeric", "numeric"),
            ("bigint", "double precision", None),
            ("text", "integer", "text"),
            ("boolean", "integer", None),
        ],
    )
    def test_the_type_for_both(self, one: str, other: str, both: str | None) -> None:
        assert widened(one, other) == both

    def test_values_stay_what_they_were(self, w: Warehouse) -> None:
        w.run(appended(), values("x", "1", "2"))
        w.run(appended(), values("x", "1.50"))
        assert w.rows() == [(1,), (Decimal("1.50"),), (2,)]
