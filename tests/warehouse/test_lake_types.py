"""What a DuckLake, whose rows are Parquet, makes of the types of DuckDB."""

from __future__ import annotations

from decimal import Decimal

import pytest

from ecommerce_dagster.warehouse.sql_asset import AssetError
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


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (
            f"{2**127 - 1}",
            f"the column x holds {2**127 - 1}, which does not fit its type DECIMAL(38,0)",
        ),
        (
            "INTERVAL 7 microseconds",
            "the column x holds 00:00:00.000007, which a DuckLake does not",
        ),
        ("TIMETZ '10:00:00+02'", "the column x holds 10:00:00+02, which a DuckLake does not keep"),
        ("'101'::BIT", "unsupported type BIT"),
    ],
)
def test_what_would_be_lost_is_refused(w: Warehouse, value: str, reason: str) -> None:
    assert reason in refusal(w, TABLE, f"SELECT {value} AS x")
    assert w.kind() is None


def test_a_script_that_makes_such_a_table_is_refused(w: Warehouse) -> None:
    script = "CREATE SCHEMA mart; CREATE TABLE mart.t AS SELECT sum(1) AS x, 1 AS y"
    assert refusal(w, "type: duckdb.sql", script) == (
        "assets/mart/t.sql:10: a DuckLake stores HUGEINT as DOUBLE, which rounds it; "
        "cast mart.t.x to BIGINT or to DECIMAL(38,0)"
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
