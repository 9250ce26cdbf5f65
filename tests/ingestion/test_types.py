"""Every type of Postgres: which type it has in DuckDB, and that its values are the same."""

from __future__ import annotations

from decimal import Decimal

import pytest

from ingestion.helpers import QUERY, TABLE, NewWorld, World

WAYS = pytest.mark.parametrize("way", [TABLE, QUERY], ids=["table", "query"])


def same(kind: str, expected: str, *values: str) -> object:
    """Values that DuckDB writes as Postgres reads them."""
    quoted = ["'" + value.replace("'", "''") + "'" for value in values]
    return pytest.param(kind, expected, quoted, list(values), id=kind)


def becomes(kind: str, expected: str, values: dict[str, str]) -> object:
    """Values that DuckDB writes in another way."""
    return pytest.param(kind, expected, list(values), list(values.values()), id=kind)


NUMBERS = [
    same("smallint", "SMALLINT", "-32768", "32767"),
    same("integer", "INTEGER", "-2147483648", "2147483647"),
    same("bigint", "BIGINT", "-9223372036854775808", "9223372036854775807"),
    same("oid", "BIGINT", "4294967295"),
    same("numeric(10,2)", "DECIMAL(10,2)", "-99999999.99", "0.00", "0.01"),
    same("numeric(4)", "DECIMAL(4,0)", "-9999", "0", "9999"),
    same("numeric(38,10)", "DECIMAL(38,10)", "1234567890123456789012345678.0123456789"),
    becomes("numeric(5,5)", "DECIMAL(5,5)", {"'0.00001'": ".00001", "'-0.99999'": "-.99999"}),
    # Of the numbers that DECIMAL(p,s) cannot be, the values decide.
    becomes("numeric(5,-2)", "DECIMAL(38,9)", {"'1234567'": "1234600.000000000"}),
    becomes("numeric(3,5)", "DECIMAL(38,9)", {"'0.00123'": "0.001230000"}),
    becomes("numeric(50,1)", "DECIMAL(38,9)", {"'12.3'": "12.300000000"}),
    becomes("money", "DECIMAL(38,9)", {"'-$1,234.56'": "-1234.560000000"}),
    becomes(
        "real", "FLOAT", {"0.1": "0.1", "'NaN'": "nan", "'Infinity'": "inf", "'1e-45'": "1e-45"}
    ),
    becomes(
        "double precision",
        "DOUBLE",
        {"0.1": "0.1", "'NaN'": "nan", "'-Infinity'": "-inf", "5e-324": "5e-324"},
    ),
]
TEXTS = [
    same(
        "text",
        "VARCHAR",
        "",
        " a\tb\r\n",
        'q"q',
        "back\\slash",
        "é ü 漢字 🎉",
        "NULL",
        "{}",
        "{a,b}",
    ),
    same("varchar(5)", "VARCHAR", "", "ab   ", "🎉🎉🎉🎉🎉"),
    becomes("char(5)", "VARCHAR", {"'ab'": "ab", "''": "", "'é'": "é"}),
    same('"char"', "VARCHAR", "x"),
    same("name", "VARCHAR", "a name"),
    same("json", "JSON", '{"a": 1.0, "a":  [null, "é\\n"]}', "12345678901234567890.10", "null"),
    becomes("jsonb", "JSON", {"""'{"b":2, "a":1e400}'""": '{"a": 1' + "0" * 400 + ', "b": 2}'}),
    same(
        "uuid",
        "UUID",
        "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11",
        "ffffffff-ffff-ffff-ffff-ffffffffffff",
    ),
    becomes("bytea", "BLOB", {r"'\x0001ff27'": r"\x00\x01\xFF\x27", "''": ""}),
    same("inet", "VARCHAR", "10.0.0.1/8", "10.0.0.1", "::1"),
    same("cidr", "VARCHAR", "10.0.0.0/8"),
    same("macaddr", "VARCHAR", "08:00:2b:01:02:03"),
    same("bit(3)", "VARCHAR", "101"),
    same("bit varying", "VARCHAR", "", "1011"),
    same("tsvector", "VARCHAR", "'a':1 'b':2"),
    same("tsquery", "VARCHAR", "'a' & !'b'"),
    same("jsonpath", "VARCHAR", '$."a"'),
    same("int4range", "VARCHAR", "[1,5)", "empty", "(,)"),
    same("numrange", "VARCHAR", "[1.10,1.2)"),
    same("tstzrange", "VARCHAR", '["2024-01-01 00:00:00+00",)'),
    same("int4multirange", "VARCHAR", "{[1,2),[3,4)}"),
    same("point", "VARCHAR", "(1,2.5)"),
    same("polygon", "VARCHAR", "((0,0),(1,1),(2,0))"),
    same("pg_lsn", "VARCHAR", "16/B374D848"),
]
MOMENTS = [
    becomes(
        "date",
        "DATE",
        {
            "'2024-02-29'": "2024-02-29",
            "'0001-01-01'": "0001-01-01",
            "'9999-12-31'": "9999-12-31",
            "'4713-01-01 BC'": "4713-01-01 (BC)",
            "'5874897-12-31'": "5874897-12-31",
            "'infinity'": "infinity",
            "'-infinity'": "-infinity",
        },
    ),
    becomes(
        "timestamp",
        "TIMESTAMP",
        {
            "'2024-02-29 23:59:59.999999'": "2024-02-29 23:59:59.999999",
            "'0001-01-01'": "0001-01-01 00:00:00",
            "'9999-12-31 23:59:59.999999'": "9999-12-31 23:59:59.999999",
            "'4713-01-01 BC'": "4713-01-01 (BC) 00:00:00",
            "'294246-12-31 23:59:59.999999'": "294246-12-31 23:59:59.999999",
            "'infinity'": "infinity",
            "'-infinity'": "-infinity",
        },
    ),
    becomes(
        "timestamptz",
        "TIMESTAMP WITH TIME ZONE",
        {
            "'2024-02-29 23:59:59.999999+05:30'": "2024-02-29 18:29:59.999999+00",
            "'0001-01-01 00:00:00+00'": "0001-01-01 00:00:00+00",
            "'9999-12-31 23:59:59.999999+00'": "9999-12-31 23:59:59.999999+00",
            "'infinity'": "infinity",
            "'-infinity'": "-infinity",
        },
    ),
    becomes("timestamp(0)", "TIMESTAMP", {"'2024-01-01 00:00:00.9'": "2024-01-01 00:00:01"}),
    becomes(
        "timestamptz(3)", "TIMESTAMP WITH TIME ZONE", {"'2024-01-01Z'": "2024-01-01 00:00:00+00"}
    ),
    same("time", "TIME", "00:00:00", "23:59:59.999999", "24:00:00"),
    same("time(3)", "TIME", "23:59:59.123"),
    same(
        "timetz", "TIME WITH TIME ZONE", "23:59:59.123456-07:30", "00:00:00+00", "24:00:00-15:59:59"
    ),
    becomes(
        "interval",
        "INTERVAL",
        {
            "'-1 year 2 mons -3 days 04:05:06.789'": "-10 months -3 days 04:05:06.789",
            "'36 hours'": "36:00:00",
            "'0.000001 s'": "00:00:00.000001",
            "'-178000000 years'": "-178000000 years",
        },
    ),
    same("interval day to second(3)", "INTERVAL", "3 days 04:05:06.789"),
    same("boolean", "BOOLEAN", "true", "false"),
]
ARRAYS = [
    becomes(
        "int[]",
        "INTEGER[]",
        {"'{1,NULL,-3}'": "[1, NULL, -3]", "'{}'": "[]", "'[0:1]={5,6}'": "[5, 6]"},
    ),
    becomes("int[][]", "INTEGER[]", {"'{1,2}'": "[1, 2]"}),
    same("int[3]", "VARCHAR", "{{1,2},{3,NULL}}", "{1}", "{}"),
    becomes(
        "text[]", "VARCHAR[]", {"""'{"a,b",NULL,"NULL",""}'""": """['a,b', NULL, 'NULL', '']"""}
    ),
    becomes("varchar(3)[]", "VARCHAR[]", {"'{a,b}'": "[a, b]"}),
    becomes("char(3)[]", "VARCHAR[]", {"'{a,b}'": "[a, b]"}),
    becomes("numeric(10,2)[]", "DECIMAL(10,2)[]", {"'{1.5,NULL}'": "[1.50, NULL]"}),
    becomes(
        "numeric[]",
        "DECIMAL(38,21)[]",
        {"'{1.123456789012345678901,2}'": "[1.123456789012345678901, 2.000000000000000000000]"},
    ),
    becomes(
        "numeric(41,2)[]",
        "VARCHAR[]",
        {"'{1e38,0.25}'": f"[1{'0' * 38}.00, 0.25]"},
    ),
    becomes("money[]", "DECIMAL(38,9)[]", {"'{1.5,NULL}'": "[1.500000000, NULL]"}),
    becomes("double precision[]", "DOUBLE[]", {"'{NaN,-Infinity,0.1}'": "[nan, -inf, 0.1]"}),
    becomes("boolean[]", "BOOLEAN[]", {"'{t,f,NULL}'": "[true, false, NULL]"}),
    becomes("date[]", "DATE[]", {"'{infinity,0001-01-01}'": "[infinity, 0001-01-01]"}),
    becomes(
        "timestamp[]",
        "TIMESTAMP[]",
        {"'{2024-01-01 10:00:00.000001}'": "['2024-01-01 10:00:00.000001']"},
    ),
    becomes(
        "timestamptz[]",
        "TIMESTAMP WITH TIME ZONE[]",
        {"'{2024-01-01 00:00:00+02,infinity}'": "['2023-12-31 22:00:00+00', infinity]"},
    ),
    becomes("time[]", "TIME[]", {"'{10:00:00.5}'": "['10:00:00.5']"}),
    becomes(
        "interval[]",
        "VARCHAR[]",
        {"'{1 year -2 mons +3 days -04:05:06,infinity}'": "['10 mons 3 days -04:05:06', infinity]"},
    ),
    becomes(
        "uuid[]",
        "UUID[]",
        {"'{a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11}'": "[a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11]"},
    ),
    becomes("json[]", "JSON[]", {"""array['{"a": [1,2]}']::json[]""": '[{"a": [1,2]}]'}),
    becomes("bytea[]", "VARCHAR[]", {r"""array['\x00ff']::bytea[]""": r"[\x00ff]"}),
    becomes("inet[]", "VARCHAR[]", {"'{10.0.0.1/8,NULL,::1}'": "[10.0.0.1/8, NULL, '::1']"}),
    becomes("int4range[]", "VARCHAR[]", {"""'{"[1,2)"}'""": "['[1,2)']"}),
]
OWN = [
    becomes("mood", "VARCHAR", {"'sad'": "sad", "'ok, \"so\"'": 'ok, "so"'}),
    becomes("mood[]", "VARCHAR[]", {"'{sad,NULL}'": "[sad, NULL]"}),
    same("price", "DECIMAL(10,2)", "1.50"),
    same("net_price", "DECIMAL(10,2)", "1.50"),
    becomes("price[]", "VARCHAR[]", {"'{1.5}'": "[1.50]"}),
    becomes("any_number", "DECIMAL(38,9)", {"1.5": "1.500000000"}),
    same("label", "VARCHAR", "a label"),
    becomes("moment", "TIMESTAMP WITH TIME ZONE", {"'2024-01-01Z'": "2024-01-01 00:00:00+00"}),
    same("place", "VARCHAR", '(1,"a ""b""")', "(,)"),
    becomes("place[]", "VARCHAR[]", {"array[row(1, 'x')]::place[]": "['(1,x)']"}),
    same("price_range", "VARCHAR", "[1.10,2.00)"),
]


@pytest.mark.parametrize(
    ("kind", "expected", "values", "texts"), NUMBERS + TEXTS + MOMENTS + ARRAYS + OWN
)
def test_every_value_of_a_type_arrives_exact(
    w: World, kind: str, expected: str, values: list[str], texts: list[str]
) -> None:
    w.sql("CREATE TYPE mood AS ENUM ('sad', 'ok, \"so\"')", "CREATE DOMAIN price AS numeric(10,2)")
    w.sql("CREATE DOMAIN net_price AS price CHECK (VALUE > 0)", "CREATE DOMAIN label AS text")
    w.sql("CREATE DOMAIN any_number AS numeric", "CREATE DOMAIN moment AS timestamptz")
    w.sql(
        "CREATE TYPE place AS (a int, b text)", "CREATE TYPE price_range AS RANGE (SUBTYPE=price)"
    )
    w.sql(f"CREATE TABLE t (id serial, v {kind})")
    w.sql(f"INSERT INTO t (v) VALUES {', '.join(f'({v})' for v in [*values, 'NULL'])}")
    for way in (TABLE, QUERY):
        w.load({"source_table": way})
        assert (w.types()["v"], w.texts()) == (expected, [*texts, None]), way


@WAYS
@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (["12345678901234567890.123456789"], "DECIMAL(38,9)"),
        (["0.1", "1e-20"], "DECIMAL(38,20)"),
        (["99999999999999999999999999999999999999"], "DECIMAL(38,0)"),
        (["1234567890123456789012345678901234.5678"], "DECIMAL(38,4)"),
        (["-0.12345678901234567890123456789012345678"[:39]], "DECIMAL(38,36)"),
        ([], "DECIMAL(38,9)"),
    ],
)
def test_a_numeric_without_precision_is_the_decimal_that_holds_all_its_values(
    w: World, way: str, values: list[str], expected: str
) -> None:
    w.sql("CREATE TABLE t (id serial, v numeric)")
    for value in values:
        w.sql(f"INSERT INTO t (v) VALUES ({value})")
    w.load({"source_table": way})
    assert w.types()["v"] == expected
    assert [v for _, v in w.rows()] == [Decimal(value) for value in values]


@WAYS
@pytest.mark.parametrize(
    "value",
    ["NaN", "Infinity", "-Infinity", "1" * 39, "0." + "0" * 38 + "1", "1" * 30 + ".1234567891"],
)
def test_a_numeric_that_no_decimal_can_hold_is_text(w: World, way: str, value: str) -> None:
    w.sql("CREATE TABLE t (id serial, v numeric)", f"INSERT INTO t (v) VALUES ('{value}'), (1.50)")
    w.load({"source_table": way})
    assert w.types()["v"] == "VARCHAR"
    assert w.texts() == [value, "1.50"]


@pytest.mark.parametrize(
    ("kind", "value", "declared"),
    [
        ("tstzrange", "[2024-01-02Z,)", ""),
        ("daterange", "[2024-01-02,2024-01-03)", ""),
        ("timestamptz[]", "{2024-01-02Z}", ""),
        ("interval[]", "{1 day -1:00}", ""),
        ("timestamptz", "2024-01-02Z", "varchar"),
        ("moment", "2024-01-02Z", "varchar"),
        ("interval", "1 day -1:00", "varchar"),
        ("date", "2024-01-02", "varchar"),
    ],
)
def test_a_value_is_the_same_whatever_the_role_prefers(
    w: World, kind: str, value: str, declared: str
) -> None:
    w.sql("CREATE DOMAIN moment AS timestamptz", f"CREATE TABLE t (id int, v {kind})")
    w.sql(f"INSERT INTO t VALUES (1, '{value}')")
    rest = f"columns: [{{name: v, type: '{declared}'}}]"
    w.load("", rest)
    plain = w.rows()
    role = w.new_role(
        "ALTER ROLE {role} SET TimeZone = 'America/New_York'",
        "ALTER ROLE {role} SET DateStyle = 'German'",
        "ALTER ROLE {role} SET IntervalStyle = 'iso_8601'",
    )
    w.load("", rest, connection=role)
    assert w.rows() == plain


def test_nor_does_it_depend_on_the_connection_that_reads_it(w: World) -> None:
    """A table of this size is read by several at once."""
    w.sql("CREATE DOMAIN moment AS timestamptz", "CREATE TABLE base (id int, pad text)")
    w.sql("INSERT INTO base SELECT i, repeat('x', 1900) FROM generate_series(1, 12000) AS i")
    for kind, value in (("tstzrange", "[2024-01-02Z,)"), ("moment", "2024-01-02Z")):
        w.sql(
            "DROP TABLE IF EXISTS t",
            f"CREATE TABLE t AS SELECT *, '{value}'::{kind} AS v FROM base",
            "ANALYZE t",
        )
        role = w.new_role("ALTER ROLE {role} SET TimeZone = 'America/New_York'")
        w.load("", "columns: [{name: v, type: varchar}]", connection=role)
        ((text,),) = w.rows("SELECT DISTINCT v FROM raw.t")
        assert "2024-01-02 00:00:00+00" in text


def test_a_database_in_another_encoding_arrives_in_unicode(new_world: NewWorld) -> None:
    latin = new_world("ENCODING 'LATIN1' LC_COLLATE 'C' LC_CTYPE 'C' TEMPLATE template0")
    latin.sql('CREATE TABLE t (id int, "größe" text)', "INSERT INTO t VALUES (1, 'ÄÖÜ')")
    latin.load()
    assert latin.rows() == [(1, "ÄÖÜ")]
    latin.load({"source_table": QUERY})
    assert latin.rows() == [(1, "ÄÖÜ")]
    assert list(latin.types()) == ["id", "größe"]


def test_a_value_that_is_added_to_an_enum_arrives(w: World) -> None:
    w.sql("CREATE TYPE mood AS ENUM ('a')", "CREATE TABLE t (id int PRIMARY KEY, v mood)")
    w.sql("INSERT INTO t VALUES (1, 'a')")
    merge, keys = "incremental_strategy: merge", "columns: [{name: id, primary_key: true}]"
    w.load(merge, keys)
    w.sql("ALTER TYPE mood ADD VALUE 'b' BEFORE 'a'", "INSERT INTO t VALUES (2, 'b')")
    w.load(merge, keys)
    assert w.rows() == [(1, "a"), (2, "b")]
