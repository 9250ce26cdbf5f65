"""What a DuckLake, whose rows are Parquet, makes of the types of DuckDB."""

from __future__ import annotations

from decimal import Decimal

import pytest

from ecommerce_dagster.warehouses.sql_asset import AssetError
from warehouse.helpers import TABLE, Warehouse, in_lake

APPEND = "materialization: {type: table, strategy: append}"
# The smallest integer that a DOUBLE does not have.
ODD = 2**53 + 1

pytestmark = in_lake


def refusal(w: Warehouse, header: str, sql: str) -> str:
    with pytest.raises(AssetError) as failed:
        w.run(header, sql)
    return str(failed.value)


def test_sums_of_integers_are_exact(w: Warehouse) -> None:
    for _ in range(2):
        built = w.run(APPEND, f"SELECT sum(n) AS n FROM (VALUES ({ODD})) AS v(n)")
    assert w.rows() == [(Decimal(ODD),)] * 2
    assert built.columns == w.types() == {"n": "DECIMAL(38,0)"}


def test_a_column_is_widened_to_what_can_be_stored(w: Warehouse) -> None:
    w.run(APPEND, "SELECT 1::BIGINT AS n, 1 AS h")
    w.run(APPEND, f"SELECT sum({ODD}) AS n, 1.5 AS h")
    assert w.types() == {"n": "DECIMAL(38,0)", "h": "DECIMAL(11,1)"}
    assert w.rows() == [(1, 1), (ODD, Decimal("1.5"))]


@pytest.mark.parametrize(
    ("value", "kind"),
    [
        (f"[{ODD}::HUGEINT]", "DECIMAL(38,0)[]"),
        (f"{{'a HUGEINT': {ODD}::UHUGEINT}}", 'STRUCT("a HUGEINT" DECIMAL(38,0))'),
        ("[1, 2]::INTEGER[2]", "INTEGER[]"),
        ("'a'::ENUM ('a', 'b')", "VARCHAR"),
        ("INTERVAL '1 day 7 milliseconds'", "INTERVAL"),
        ("TIMETZ '10:00:00+00'", "TIME WITH TIME ZONE"),
    ],
)
def test_values_are_what_they_were(w: Warehouse, value: str, kind: str) -> None:
    w.run(TABLE, f"SELECT {value} AS x")
    assert w.types() == {"x": kind}
    assert w.sql(f"SELECT x IS NOT DISTINCT FROM CAST({value} AS {kind}) FROM mart.t") == [(True,)]


# Values of every type of DuckDB, extreme ones too. Which of them a DuckLake would change was measured.
KEPT = {
    "BOOLEAN": ["true"],
    "TINYINT": ["-128", "127"],
    "SMALLINT": ["-32768"],
    "INTEGER": ["-2147483648"],
    "BIGINT": ["-9223372036854775808", "9223372036854775807"],
    "UTINYINT": ["255"],
    "USMALLINT": ["65535"],
    "UINTEGER": ["4294967295"],
    "UBIGINT": ["18446744073709551615"],
    "DECIMAL(38,0)": [f"{10**38 - 1}", f"{ODD}::HUGEINT", f"{ODD}::UHUGEINT"],
    "DECIMAL(38,38)": ["0.9"],
    "DECIMAL(18,18)": ["0.999999999999999999"],
    "FLOAT": ["'nan'", "'inf'", "'-inf'", "'-0.0'", "1e-45", "3.4028234e38"],
    "DOUBLE": ["'nan'", "'inf'", "'-inf'", "'-0.0'", "5e-324", "1.7976931348623157e308"],
    "VARCHAR": ["''", "chr(0)", "'a' || chr(0)", "'é🦆'", "'NULL'", "'b'::ENUM ('a', 'b')"],
    "BLOB": ["''", "'\\x00\\xFF'"],
    "UUID": ["'00000000-0000-0000-0000-000000000000'", "'ffffffff-ffff-ffff-ffff-ffffffffffff'"],
    "DATE": ["'0044-03-15 (BC)'", "'5877642-06-25 (BC)'", "'5881580-07-10'", "'infinity'"],
    "TIME": ["'24:00:00'", "'23:59:59.999999'"],
    "TIME WITH TIME ZONE": ["'23:59:59.999999+00'"],
    "TIMESTAMP": ["'290309-12-22 (BC) 00:00:00'", "'294247-01-10 04:00:54.775806'", "'-infinity'"],
    "TIMESTAMP_S": ["'2024-01-01 00:00:01'", "'290309-12-22 (BC) 00:00:00'"],
    "TIMESTAMP_MS": ["'2024-01-01 00:00:01.123'", "'infinity'"],
    "TIMESTAMP_NS": ["'1677-09-22 00:00:00'", "'2262-04-11 23:47:16.854775806'", "'infinity'"],
    "TIMESTAMP WITH TIME ZONE": ["'290309-12-22 (BC) 00:00:00+00'", "'infinity'", "'-infinity'"],
    "INTERVAL": [
        "'1 day 7 milliseconds'", "'2147483647 months'", "'2147483647 days'",
        "'1193 hours 2 minutes 47.295 seconds'",
    ],
    "JSON": ["""'{"a":  1.0}'""", "'null'"],
    "GEOMETRY": ["'POINT (1 2)'"],
    "INTEGER[]": ["[]", "[NULL]", "[1, 2]::INTEGER[2]"],
    "STRUCT(a INTEGER)": ["{'a': NULL}"],
    "MAP(VARCHAR, INTEGER)": ["MAP {}", "MAP {'a': NULL}"],
}  # fmt: skip
LOST = {
    "HUGEINT": [f"{2**127 - 1}"],
    "UHUGEINT": [f"{2**128 - 1}"],
    "DECIMAL(38,38)": ["'0." + "9" * 38 + "'"],
    "INTERVAL": [
        "'1 microsecond'", "'-1 day'", "'-1 month'", "'-5 milliseconds'", "'1 month -1 day'",
        "'1193 hours 2 minutes 47.296 seconds'",
    ],
    "TIME WITH TIME ZONE": ["'10:00:00+02'", "'00:00:00-15:59:59'", "'24:00:00+00'"],
    "TIMESTAMP_S": ["'infinity'", "'-infinity'"],
    "BIT": ["'101'"],
    "BIGNUM": ["1"],
    "UNION(i INTEGER, s VARCHAR)": ["1", "'a'"],
    "VARIANT": ["1"],
    "TIME_NS": ["'12:00:00'"],
}  # fmt: skip
NESTED = [
    "{}",
    "[{}, NULL]",
    "{{'a': {}, 'it''s \"b\"': 1}}",
    "MAP {{'k': {}}}",
    "MAP {{{}: 1}}",
    "[[{}, {}]::{kind}[2]]",
    "MAP {{'k': {{'a': [NULL, {}]}}}}",
]


def in_all_places(kind: str, value: str) -> list[str]:
    """The value as it is, and inside of others."""
    typed = f"CAST({value} AS {kind})"
    return [form.format(typed, typed, kind=kind) for form in NESTED]


def test_all_types_of_duckdb_are_tried(w: Warehouse) -> None:
    known = "SELECT DISTINCT logical_type FROM duckdb_types() WHERE database_name = 'system'"
    tried = {kind.partition("(")[0].partition("[")[0] for kind in [*KEPT, *LOST]}
    same = {"ENUM": "VARCHAR", "LIST": "INTEGER", "ARRAY": "INTEGER", "TYPE": "VARCHAR"}
    assert {same.get(name, name) for (name,) in w.sql(known)} - tried == {"NULL"}


@pytest.mark.parametrize("kind", KEPT)
def test_what_is_stored_comes_back(w: Warehouse, kind: str) -> None:
    cells = [cell for value in KEPT[kind] for cell in in_all_places(kind, value)]
    named = {f"x{n}": cell for n, cell in enumerate(cells)}
    w.run(TABLE, f"SELECT {', '.join(f'{cell} AS {name}' for name, cell in named.items())}")
    types = w.types()
    for name, cell in named.items():
        # As text, which tells -0.0 from 0.0; a list of fixed length is written in another way.
        text = f"CAST({name} AS VARCHAR) = CAST(CAST({cell} AS {types[name]}) AS VARCHAR)"
        assert (cell, w.sql(f"SELECT {text} FROM mart.t")) == (cell, [(True,)])


@pytest.mark.parametrize("kind", LOST)
def test_what_would_be_lost_is_refused_wherever_it_is(w: Warehouse, kind: str) -> None:
    for value in LOST[kind]:
        for cell in in_all_places(kind, value):
            message = refusal(w, TABLE, f"SELECT 1 AS n, {cell} AS x")
            assert message.startswith("assets/mart/t.sql:10: the column x ")
    assert w.kind() is None


def test_a_refusal_says_what_can_be_stored(w: Warehouse) -> None:
    assert refusal(w, TABLE, "SELECT [INTERVAL '-1 day'] AS x") == (
        "assets/mart/t.sql:10: the column x holds [-1 day], which a DuckLake does not keep as "
        "INTERVAL[]: INTERVAL there means that it has whole milliseconds, no negative part and less "
        "than 1,194 hours"
    )
    assert refusal(w, TABLE, "SELECT {'a': '1'::BIT} AS x") == (
        "assets/mart/t.sql:10: the column x is STRUCT(a BIT): a DuckLake has no BIT; "
        "cast it to VARCHAR"
    )
    assert refusal(w, TABLE, "SELECT row(1, 'a') AS x") == (
        "assets/mart/t.sql:10: the column x is STRUCT(INTEGER, VARCHAR): a DuckLake needs a name "
        "for each field of a STRUCT"
    )


def test_a_merge_does_not_compute_what_would_be_lost(w: Warehouse) -> None:
    merge = """
    materialization: {type: table, strategy: merge}
    columns: [{name: k, primary_key: true}, {name: x, merge_sql: target.x - source.x}]
    """
    w.run(merge, "SELECT 1 AS k, INTERVAL '1 day' AS x")
    assert "the column x holds -1 day" in refusal(w, merge, "SELECT 1 AS k, INTERVAL '2 days' AS x")
    w.run(merge, "SELECT 1 AS k, INTERVAL '0 days' AS x")
    assert w.sql("SELECT CAST(x AS VARCHAR) FROM mart.t") == [("1 day",)]


@pytest.mark.parametrize(
    "kind", ["HUGEINT[]", "INTERVAL", "STRUCT(a TIME_NS)", "TIMETZ", "TIMESTAMP_S", "VARIANT"]
)
def test_scripts_make_no_columns_whose_values_would_be_changed(w: Warehouse, kind: str) -> None:
    made = f"CREATE TABLE mart.t AS SELECT CAST(NULL AS {kind}) AS x"
    declared = f"CREATE TABLE mart.t (n INTEGER, x {kind})"
    added = f"CREATE TABLE mart.t (n INTEGER);\nALTER TABLE mart.t ADD COLUMN x {kind}"
    for statement in (made, declared, added):
        line = 12 + statement.count("\n")
        script = f"CREATE SCHEMA mart;\n-- a table\n{statement}"
        message = refusal(w, "type: duckdb.sql", script)
        assert message.startswith(f"assets/mart/t.sql:{line}: the column ")
        assert w.kind() is None
    ddl = f"materialization: {{type: table, strategy: ddl}}\ncolumns: [{{name: x, type: '{kind}'}}]"
    if "HUGEINT" not in kind:
        assert refusal(w, ddl, "").startswith("assets/mart/t.sql:10: the column x is ")


def test_a_script_that_makes_such_a_table_is_refused(w: Warehouse) -> None:
    script = "CREATE SCHEMA mart; CREATE TABLE mart.t AS SELECT sum(1) AS x, 1 AS y"
    assert refusal(w, "type: duckdb.sql", script) == (
        "assets/mart/t.sql:10: the column x is HUGEINT: a DuckLake stores HUGEINT as DOUBLE, which "
        "rounds it; cast it to DECIMAL(38,0)"
    )
    assert w.kind() is None
    # A view stores nothing.
    w.run("type: duckdb.sql", "CREATE SCHEMA mart; CREATE VIEW mart.v AS SELECT sum(1) AS x")


def test_a_type_that_cannot_be_widened_says_how_to_go_on(w: Warehouse) -> None:
    w.run(APPEND, "SELECT 1::DECIMAL(38,0) AS n")
    message = refusal(w, APPEND, "SELECT 1.5 AS n")
    assert "run once with --full-refresh to rebuild the table" in message
    assert w.run(APPEND, "SELECT 1.5 AS n", full_refresh=True).published


def test_declared_tables_have_types_that_keep_what_programs_write(w: Warehouse) -> None:
    header = """
    materialization: {type: table, strategy: ddl}
    columns: [{name: n, type: hugeint}]
    """
    w.run(header)
    assert w.types() == {"n": "DECIMAL(38,0)"}
    more = header.replace("hugeint}", "hugeint}, {name: s, type: int, nullable: false, default: 1}")
    assert w.run(more).loaded.schema_changes == (
        "added column s INTEGER",
        "the column s may be NULL: a DuckLake adds no column that may not",
    )
    assert w.run(more).loaded.schema_changes == ()


def test_the_size_and_the_first_rows_are_known(w: Warehouse) -> None:
    facts = w.run(TABLE, "SELECT range AS n FROM range(1000)").facts
    assert facts.size_bytes is not None
    assert facts.size_bytes > 100
    assert [row["n"] for row in facts.preview] == list(range(10))
