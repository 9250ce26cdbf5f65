"""Tables that change in Postgres, and types that the file declares."""

from __future__ import annotations

from datetime import date
from decimal import Decimal

import pytest

from ingestion.helpers import QUERY, TABLE, World, days

MERGE = {"incremental_strategy": "merge", "primary_key": "id"}
APPEND = {"incremental_strategy": "append", "incremental_key": "id"}
BY_DAY = {"incremental_strategy": "delete+insert", "incremental_key": "day"}
CONTINUING = pytest.mark.parametrize("parameters", [MERGE, APPEND, BY_DAY], ids=str)


def table(w: World, kind: str, value: str) -> None:
    w.sql(f"CREATE TABLE t (id int, day date, v {kind})")
    w.sql(f"INSERT INTO t VALUES (1, '2024-01-01', {value})")


def again(w: World, parameters: dict[str, str], value: str) -> list[str]:
    """A second run, with one more row; the changes that it reports."""
    w.sql(f"INSERT INTO t VALUES (2, '2024-01-02', {value})")
    return list(w.load(parameters, interval=days("2024-01-02")).loaded.schema_changes)


@CONTINUING
def test_a_new_column_appears_and_is_reported(w: World, parameters: dict[str, str]) -> None:
    table(w, "int", "1")
    w.load(parameters)
    w.sql("ALTER TABLE t ADD COLUMN n numeric(5,2)")
    assert again(w, parameters, "2, 3.5") == ["added column n DECIMAL(5,2)"]
    assert w.rows("SELECT id, n FROM raw.t ORDER BY id") == [(1, None), (2, Decimal("3.50"))]


@CONTINUING
def test_a_dropped_column_stays_and_is_reported(w: World, parameters: dict[str, str]) -> None:
    table(w, "int", "1")
    w.load(parameters)
    w.sql("ALTER TABLE t DROP COLUMN v", "INSERT INTO t VALUES (2, '2024-01-02')")
    (change,) = w.load(parameters, interval=days("2024-01-02")).loaded.schema_changes
    assert "v" in change
    assert w.rows("SELECT id, v FROM raw.t WHERE id = 2") == [(2, None)]


@pytest.mark.parametrize(
    ("old", "value", "new", "larger", "expected"),
    [
        ("int", "1", "bigint", "9223372036854775807", "BIGINT"),
        ("smallint", "1", "numeric(20,2)", "123456789012345678.12", "DECIMAL(20,2)"),
        ("numeric(5,2)", "1.5", "numeric(9,4)", "12345.6789", "DECIMAL(9,4)"),
        ("numeric", "1.5", "numeric", "0.1234567890123", "DECIMAL(38,13)"),
        ("real", "1.5", "double precision", "1e300", "DOUBLE"),
        ("date", "'2024-01-01'", "timestamp", "'2024-01-01 10:00'", "TIMESTAMP"),
        ("varchar(3)", "'abc'", "text", "'abcd'", "VARCHAR"),
    ],
)
def test_a_wider_type_widens_the_column(
    w: World, old: str, value: str, new: str, larger: str, expected: str
) -> None:
    table(w, old, value)
    w.load(MERGE)
    before = w.types()["v"]
    w.sql(f"ALTER TABLE t ALTER v TYPE {new}")
    changes = again(w, MERGE, larger)
    widened = [f"widened column v from {before} to {expected}"]
    assert changes == (widened if before != expected else [])
    assert w.types()["v"] == expected
    texts = w.sql(f"SELECT v::{new}::text FROM t ORDER BY id")
    assert w.rows("SELECT id FROM raw.t ORDER BY id") == [(1,), (2,)]
    assert w.rows(f"SELECT '{texts[1][0]}'::{expected} = v FROM raw.t WHERE id = 2") == [(True,)]


def test_a_smaller_number_of_digits_leaves_the_column_as_it_is(w: World) -> None:
    table(w, "numeric", "0.123456789012345")
    w.load(MERGE)
    assert again(w, MERGE, "2") == []
    assert w.types()["v"] == "DECIMAL(38,15)"


@pytest.mark.parametrize(
    ("old", "new"),
    [("int", "text"), ("int", "uuid"), ("int", "date"), ("int[]", "text"), ("date", "time")],
)
def test_an_incompatible_type_stops_the_load(w: World, old: str, new: str) -> None:
    table(w, old, "NULL")
    w.load(MERGE)
    before = w.rows()
    w.sql(f"ALTER TABLE t ALTER v TYPE {new} USING NULL")
    w.sql("INSERT INTO t VALUES (2, '2024-01-02', NULL)")
    message = w.failure(MERGE, interval=days("2024-01-02"))
    assert message.startswith("the column v of raw.t is ")
    assert "--full-refresh" in message
    assert w.rows() == before


@pytest.mark.parametrize("new", ["int", "jsonb", "timestamptz", "int[]"])
def test_a_text_column_takes_every_type_as_text(w: World, new: str) -> None:
    values = {"int": "7", "jsonb": "[1]", "timestamptz": "2024-01-01 00:00:00+00", "int[]": "{1,2}"}
    table(w, "text", "'x'")
    w.load(MERGE)
    w.sql(f"ALTER TABLE t ALTER v TYPE {new} USING NULL")
    assert again(w, MERGE, f"'{values[new]}'") == []
    assert w.texts()[1] == values[new]


def test_text_stays_as_postgres_writes_it_when_the_values_become_smaller(w: World) -> None:
    table(w, "numeric", "'NaN'")
    w.load(APPEND)
    assert again(w, APPEND, "1.5") == []
    assert w.texts() == ["NaN", "1.5"]


def test_an_array_stays_text_when_it_loses_its_dimensions(w: World) -> None:
    table(w, "int[]", "'{{1,2},{3,4}}'")
    w.load(APPEND)
    assert again(w, APPEND, "'{5,6}'") == []
    assert w.texts() == ["{{1,2},{3,4}}", "{5,6}"]


DECLARED = pytest.mark.parametrize(
    ("kind", "value", "declared", "expected", "text"),
    [
        ("numeric", "12.5", "decimal(12,2)", "DECIMAL(12,2)", "12.50"),
        ("numeric", "12.5", "numeric", "DECIMAL(38,9)", "12.500000000"),
        ("numeric", "12.50", "varchar", "VARCHAR", "12.50"),
        ("numeric", "12.5", "double", "DOUBLE", "12.5"),
        ("numeric(9,0)", "12", "bigint", "BIGINT", "12"),
        ("int", "7", "varchar", "VARCHAR", "7"),
        ("int", "7", "double", "DOUBLE", "7.0"),
        ("real", "1.5", "double", "DOUBLE", "1.5"),
        ("int", "7", "string", "VARCHAR", "7"),
        ("bigint", "7", "integer", "BIGINT", "7"),
        ("text", "'7'", "integer", "INTEGER", "7"),
        ("text", "'2024-01-31'", "date", "DATE", "2024-01-31"),
        ("timestamp", "'2024-01-31'", "date", "DATE", "2024-01-31"),
        (
            "timestamptz",
            "'2024-01-31Z'",
            "timestamp",
            "TIMESTAMP WITH TIME ZONE",
            "2024-01-31 00:00:00+00",
        ),
        ("real", "0.1", "varchar", "VARCHAR", "0.1"),
        ("bytea", r"'\x00ff'", "varchar", "VARCHAR", r"\x00ff"),
        ("int[]", "'{1,NULL}'", "varchar", "VARCHAR", "{1,NULL}"),
        ("boolean", "'t'", "varchar", "VARCHAR", "true"),
        ("money", "'1.5'", "decimal(9,2)", "DECIMAL(9,2)", "1.50"),
        ("text", "'{\"a\": 1}'", "json", "JSON", '{"a": 1}'),
        (
            "uuid",
            "'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11'",
            "text",
            "VARCHAR",
            "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11",
        ),
    ],
)


@DECLARED
def test_a_declared_type_is_the_type_of_the_column(
    w: World, kind: str, value: str, declared: str, expected: str, text: str
) -> None:
    table(w, kind, value)
    for way in (TABLE, QUERY):
        w.load({"source_table": way}, f"columns: [{{name: V, type: '{declared}'}}]")
        assert (w.types()["v"], w.texts()) == (expected, [text]), way


@pytest.mark.parametrize("way", [TABLE, QUERY], ids=["table", "query"])
@pytest.mark.parametrize(
    ("kind", "value", "declared"),
    [
        ("numeric", "12.345", "decimal(12,2)"),
        ("numeric", "12345678901.5", "decimal(12,2)"),
        ("numeric(9,2)", "1.5", "integer"),
        ("bigint", "3000000000", "smallint"),
        ("text", "'seven'", "integer"),
        ("timestamp", "'2024-01-31 10:00'", "date"),
    ],
)
def test_a_value_that_does_not_fit_the_declared_type_stops_the_load(
    w: World, way: str, kind: str, value: str, declared: str
) -> None:
    table(w, kind, value)
    rest = f"columns: [{{name: v, type: '{declared}'}}]"
    assert w.failure({"source_table": way}, rest).startswith("the column v holds ")


def test_a_declared_type_holds_in_later_windows_too(w: World) -> None:
    table(w, "numeric", "1.5")
    rest = "columns: [{name: v, type: 'decimal(12,2)'}]"
    w.load(BY_DAY, rest, interval=days("2024-01-01"))
    w.sql("INSERT INTO t VALUES (2, '2024-01-02', 2.25)")
    assert not w.load(BY_DAY, rest, interval=days("2024-01-02")).loaded.schema_changes
    assert w.rows() == [
        (1, date(2024, 1, 1), Decimal("1.50")),
        (2, date(2024, 1, 2), Decimal("2.25")),
    ]
    w.sql("INSERT INTO t VALUES (3, '2024-01-02', 2.255)")
    assert "v holds 2.255" in w.failure(BY_DAY, rest, interval=days("2024-01-02"))
