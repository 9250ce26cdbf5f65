"""Values that the extension would change without a word stop the load, and the table stays."""

from __future__ import annotations

import pytest

from ingestion.helpers import QUERY, TABLE, World, days

WAYS = pytest.mark.parametrize("way", [TABLE, QUERY], ids=["table", "query"])
GARBLED = pytest.mark.parametrize(
    ("kind", "good", "bad", "what", "instead"),
    [
        ("numeric(10,2)", "0", "NaN", "is NaN", "double or varchar"),
        (
            "timestamp",
            "infinity",
            "294247-06-01",
            "is beyond January of the year 294247",
            "varchar",
        ),
        (
            "timestamptz",
            "-infinity",
            "294276-12-31Z",
            "is beyond January of the year 294247",
            "varchar",
        ),
        ("interval", "178956970 years", "infinity", "is infinite", "varchar"),
        ("interval", "0", "-infinity", "is infinite", "varchar"),
    ],
)


@WAYS
@GARBLED
def test_the_message_names_the_column_the_number_of_rows_and_a_way_out(
    w: World, way: str, kind: str, good: str, bad: str, what: str, instead: str
) -> None:
    w.sql(f"CREATE TABLE t (id serial, v {kind})", f"INSERT INTO t (v) VALUES ('{good}')")
    w.load({"source_table": way})
    before = w.texts()
    w.sql(f"INSERT INTO t (v) VALUES ('{bad}'), (NULL), ('{bad}')")
    source = "the query" if way == QUERY else way
    assert w.failure({"source_table": way}).startswith(
        f"the column v of {source} {what} in 2 rows, which {w.types()['v']} cannot hold; "
        f"correct them, or declare the column as {instead}"
    )
    assert w.texts() == before


@WAYS
@GARBLED
def test_declared_as_text_it_arrives_as_postgres_writes_it(
    w: World, way: str, kind: str, good: str, bad: str, what: str, instead: str
) -> None:
    w.sql(
        f"CREATE TABLE t (id serial, v {kind})", f"INSERT INTO t (v) VALUES ('{good}'), ('{bad}')"
    )
    w.load({"source_table": way}, "columns: [{name: v, type: varchar}]")
    assert w.types()["v"] == "VARCHAR"
    assert w.texts() == [text for (text,) in w.sql("SELECT v::text FROM t ORDER BY id")]


@WAYS
@pytest.mark.parametrize("kind", ["numeric(10,2)", "numeric", "price"])
def test_a_numeric_declared_as_double_may_be_nan(w: World, way: str, kind: str) -> None:
    w.sql("CREATE DOMAIN price AS numeric(9,1)", f"CREATE TABLE t (id serial, v {kind})")
    w.sql("INSERT INTO t (v) VALUES ('NaN'), (1.5), (NULL)")
    w.load({"source_table": way}, "columns: [{name: v, type: double}]")
    assert w.types()["v"] == "DOUBLE"
    assert w.texts() == ["nan", "1.5", None]


@WAYS
def test_nan_in_a_domain_is_found_too(w: World, way: str) -> None:
    w.sql("CREATE DOMAIN price AS numeric(9,1)", "CREATE TABLE t (id serial, v price)")
    w.sql("INSERT INTO t (v) VALUES ('NaN'), (1.5)")
    assert "the column v of " in w.failure({"source_table": way})


@WAYS
def test_nan_declared_as_another_number_is_found_too(w: World, way: str) -> None:
    w.sql("CREATE TABLE t (id serial, v numeric(9,0))", "INSERT INTO t (v) VALUES ('NaN')")
    for kind in ("integer", "bigint", "decimal(12,4)", "boolean"):
        rest = f"columns: [{{name: v, type: '{kind}'}}]"
        assert "is NaN in 1 row" in w.failure({"source_table": way}, rest)


@pytest.mark.parametrize(
    ("kind", "bad"), [("numeric(5,1)[]", "NaN"), ("timestamp[]", "294276-01-01")]
)
def test_it_is_refused_in_an_array_too(w: World, kind: str, bad: str) -> None:
    w.sql(f"CREATE TABLE t (id serial, v {kind})", f"INSERT INTO t (v) VALUES ('{{{bad}}}')")
    assert bad in w.failure()


def test_only_the_window_that_is_loaded_is_looked_at(w: World) -> None:
    w.sql("CREATE TABLE t (day date, v numeric(5,1))")
    w.sql("INSERT INTO t VALUES ('2024-01-01', 'NaN'), ('2024-01-02', 0), ('2024-01-03', 1)")
    by_day = "{incremental_strategy: delete+insert, incremental_key: day}"
    w.load(by_day, interval=days("2024-01-02"))
    w.load(by_day, interval=days("2024-01-03"))
    assert len(w.rows()) == 2
    assert "v of public.t is NaN in 1 row" in w.failure(by_day, interval=days("2024-01-01"))
    assert len(w.rows()) == 2


def test_a_zero_is_a_zero(w: World) -> None:
    w.sql("CREATE TABLE t (v numeric(5,1))", "INSERT INTO t VALUES (0), (NULL), (-0.1)")
    w.load()
    assert len(w.rows()) == 3


def test_several_columns_are_asked_about_in_one_scan(w: World) -> None:
    w.sql("CREATE TABLE t (a numeric(5,1), b numeric(5,1), c numeric(5,1))")
    w.sql("INSERT INTO t VALUES (0, 0, 0), (0, 'NaN', 0)")
    assert "the column b " in w.failure()
