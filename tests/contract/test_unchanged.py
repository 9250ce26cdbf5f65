"""A row that a load leaves as it is, is not written: neither triggers, nor replication, nor the next
snapshot of a DuckLake has work with it."""

from __future__ import annotations

from typing import Any

import pytest

from contract.helpers import VIEW, DuckDB, Warehouse, only, values
from ecommerce_dagster.warehouses.sql_asset import AssetError

MERGE = """
materialization: {type: table, strategy: merge}
columns:
  - {name: id, primary_key: true}
  - {name: v, update_on_merge: true}
"""
HISTORY = MERGE.replace("merge}", "scd2_by_column}")
SATELLITE = MERGE.replace("merge}", "datavault_satellite}")
HUB = MERGE.replace("merge}", "datavault_hub}")


def writes(w: Warehouse, header: str, query: str) -> int | None:
    return w.run(header, query).loaded.rows_written


@pytest.mark.parametrize("header", [MERGE, HISTORY, SATELLITE, HUB],
                         ids=["merge", "history", "satellite", "hub"])  # fmt: skip
def test_the_same_rows_again_write_nothing(w: Warehouse, header: str) -> None:
    query = values("id, v", "1, 'a'", "2, NULL", "NULL, 'c'")
    assert writes(w, header, query) == 3
    before = w.rows()
    for _ in range(2):
        assert writes(w, header, query) == 0
        assert w.rows() == before


def test_of_a_merge_only_rows_that_differ_are_written(w: Warehouse) -> None:
    w.run(MERGE, values("id, v", "1, 'a'", "2, NULL", "3, 'c'", "4, 'd'"))
    query = values("id, v", "1, 'a'", "2, 'b'", "3, NULL", "4, 'D'", "5, 'e'")
    assert writes(w, MERGE, query) == 4
    assert w.rows() == [(1, "a"), (2, "b"), (3, None), (4, "D"), (5, "e")]


def test_a_column_that_is_not_updated_makes_no_difference(w: Warehouse) -> None:
    w.run(MERGE, values("id, v, kept", "1, 'a', 'first'"))
    assert writes(w, MERGE, values("id, v, kept", "1, 'a', 'second'")) == 0
    assert w.rows() == [(1, "a", "first")]


@pytest.mark.parametrize(
    ("formula", "second", "written"),
    [
        ("target.v + source.v", "5", 1),
        ("target.v + source.v", "0", 0),
        ("greatest(target.v, source.v)", "7", 0),
        ("greatest(target.v, source.v)", "11", 1),
        ("coalesce(source.v, target.v)", "NULL", 0),
        ("NULL", "7", 1),
    ],
)
def test_what_the_file_computes_is_written_where_it_differs(
    w: Warehouse, formula: str, second: str, written: int
) -> None:
    header = MERGE.replace("update_on_merge: true", f"type: integer, merge_sql: '{formula}'")
    w.run(header, values("id, v", "1, 10"))
    assert writes(w, header, values("id, v", f"1, {second}::integer")) == written
    expected = {"5": 15, "11": 11}.get(second, None if formula == "NULL" else 10)
    assert w.rows() == [(1, expected)]


# Values that are equal by `=`, and not the same.
ALIKE = {
    "interval": ("INTERVAL '30 days'", "INTERVAL '1 month'"),
    "interval of a day": ("INTERVAL '24 hours'", "INTERVAL '1 day'"),
}


every_alike = pytest.mark.parametrize(("old", "new"), ALIKE.values(), ids=list(ALIKE))


@only("duckdb", "postgres")  # A DuckLake keeps intervals in one form.
@every_alike
def test_a_value_that_is_only_equal_is_another_version(w: Warehouse, old: str, new: str) -> None:
    assert texts_after(w, HISTORY, old, new) == sorted(text_of(w, value) for value in (old, new))


@only("postgres")  # An UPDATE of DuckDB keeps intervals in the form that they had.
@every_alike
def test_a_value_that_is_only_equal_is_merged(w: Warehouse, old: str, new: str) -> None:
    assert texts_after(w, MERGE, old, new) == [text_of(w, new)]


def texts_after(w: Warehouse, header: str, old: str, new: str) -> list[str]:
    """The values of the table, after the old one, the old one again, and the new one."""
    w.run(header, values("id, v", f"1, {old}"))
    assert writes(w, header, values("id, v", f"1, {old}")) == 0
    assert writes(w, header, values("id, v", f"1, {new}"))
    return sorted(text for (text,) in w.sql("SELECT v::text FROM mart.t"))


def text_of(w: Warehouse, value: str) -> str:
    ((text,),) = w.sql(f"SELECT ({value})::text")
    return str(text)


# Types that PostgreSQL cannot compare by `=`, or compares by an area or a number of points.
WITHOUT_EQUALITY: dict[str, tuple[str, str]] = {
    "json": ('{"a": 1}', '{"a": 2}'),
    "jsonb": ('{"a": 1}', '{"a": 2}'),
    "point": ("(1,2)", "(2,1)"),
    "polygon": ("((0,0),(1,1),(2,0))", "((0,0),(1,1),(2,1))"),
    "box": ("(2,2),(0,0)", "(3,3),(1,1)"),
    "circle": ("<(0,0),1>", "<(1,1),1>"),
    "path": ("((0,0),(1,1))", "((0,0),(2,2))"),
    "json[]": ('{"1"}', '{"2"}'),
    "numeric": ("1.0", "1.5"),
    "double precision": ("NaN", "0"),
    "bytea": ("\\x00", "\\x01"),
    "tsvector": ("a", "b"),
}


@only("postgres")
@pytest.mark.parametrize("header", [MERGE, HISTORY, SATELLITE], ids=["merge", "history", "vault"])
@pytest.mark.parametrize("kind", list(WITHOUT_EQUALITY))
def test_every_type_of_postgres_can_be_compared(w: Warehouse, header: str, kind: str) -> None:
    old, new = WITHOUT_EQUALITY[kind]
    for value, written in ((old, {1}), (old, {0}), (new, {1, 2}), (new, {0})):
        assert writes(w, header, values("id, v", f"1, '{value}'::{kind}")) in written
    assert w.sql(f"SELECT count(*) FROM mart.t WHERE v::text = '{new}'::{kind}::text") == [(1,)]


@only("postgres")
@pytest.mark.parametrize("header", [MERGE, HISTORY, SATELLITE], ids=["merge", "history", "vault"])
def test_xml_can_be_compared_too(w: Warehouse, header: str) -> None:
    # A server may have been built without what reads XML: there a column of it holds NULL alone.
    first, second = "1, NULL::xml", "2, NULL::xml"
    for rows, written in (([first], 1), ([first], 0), ([first, second], 1)):
        assert writes(w, header, values("id, v", *rows)) == written


KEYED = {
    "merge": MERGE,
    "history": HISTORY,
    "satellite": SATELLITE,
    "hub": HUB,
    "delete+insert": (
        "materialization: {type: table, strategy: delete+insert, incremental_key: id}"
    ),
    "newest": MERGE.replace("merge}", "merge, incremental_key: v}"),
}


@only("postgres")
@pytest.mark.parametrize("strategy", KEYED)
@pytest.mark.parametrize("kind", ["json", "xml", "point", "json[]"])
def test_a_key_that_postgres_cannot_compare_is_refused_at_once(
    w: Warehouse, strategy: str, kind: str
) -> None:
    name, other = ("v", "id") if strategy == "newest" else ("id", "v")

    with pytest.raises(AssetError) as refused:
        w.run(KEYED[strategy], f"SELECT NULL::{kind} AS {name}, 1 AS {other}")

    assert str(refused.value).startswith(
        f"assets/mart/t.sql:10: the column {name} is {kind}, of which PostgreSQL cannot compare"
        " values; to have it as a key, cast it in the query, to text for example"
    )
    assert w.kind() is None


@only("postgres")
def test_of_every_type_of_the_server_a_key_is_merged_or_refused_by_its_name(w: Warehouse) -> None:
    kinds = w.sql(
        "SELECT format_type(oid, NULL) FROM pg_type WHERE typtype IN ('b', 'r', 'm')"
        " AND typcategory NOT IN ('A', 'P') AND typnamespace = 'pg_catalog'::regnamespace"
        " AND typname !~ '^(reg|pg_)'"
    )
    refused = set()
    for (kind,) in kinds:
        w.sql("DROP TABLE IF EXISTS mart.t")
        query = f"SELECT NULL::{kind} AS id, 1 AS v"
        try:
            assert [writes(w, MERGE, query), writes(w, MERGE, query)] == [1, 0]
        except AssetError as error:
            assert f"the column id is {kind}, of which PostgreSQL cannot compare" in str(error)
            refused.add(kind)
    assert {"json", "xml", "point", "xid"} < refused
    assert not {"jsonb", "uuid", "int4range", "bytea", "inet", "text"} & refused


@only("duckdb", "ducklake")
def test_every_type_of_duckdb_can_be_compared(w: DuckDB) -> None:
    for kind, old, new in (
        ("JSON", '{"a": 1}', '{"a": 2}'),
        ("DOUBLE", "NaN", "0"),
        ("INTEGER[]", "[1, NULL]", "[1]"),
        ("STRUCT(a INTEGER)", "{a: 1}", "{a: NULL}"),
        ("BLOB", "a", "b"),
    ):
        w.sql("DROP TABLE IF EXISTS mart.t")
        for value, written in ((old, 1), (old, 0), (new, 1), (new, 0)):
            query = values("id, v", f"1, '{value}'::{kind}")
            assert (kind, writes(w, MERGE, query)) == (kind, written)


@only("postgres")
def test_postgres_stores_no_other_version_of_such_a_row(w: Any) -> None:
    w.run(MERGE, values("id, v", "1, 'a'", "2, 'b'", "3, 'c'"))
    w.sql(
        "CREATE TABLE fired (id int)",
        "CREATE FUNCTION fire() RETURNS trigger LANGUAGE plpgsql AS"
        " $$ BEGIN INSERT INTO fired VALUES (NEW.id); RETURN NEW; END $$",
        "CREATE TRIGGER t AFTER UPDATE ON mart.t FOR EACH ROW EXECUTE FUNCTION fire()",
    )
    stored = "SELECT id, ctid::text, xmin::text FROM mart.t WHERE id <> 2 ORDER BY id"
    before = w.sql(stored)
    w.run(MERGE, values("id, v", "1, 'a'", "2, 'B'", "3, 'c'"))
    assert w.sql(stored) == before
    assert w.rows("fired") == [(2,)]


def test_what_is_declared_already_is_not_declared_again(w: Warehouse) -> None:
    header = """
    materialization: {type: table, strategy: ddl}
    columns: [{name: id, type: integer, description: "a number"}, {name: v, type: text}]
    """
    assert w.run(header).loaded.statements
    again = w.run(header).loaded
    assert (again.statements, again.schema_changes) == ((), ())


@only("postgres")  # In DuckDB nobody waits for it, and it is what repairs a view.
def test_a_view_of_the_same_query_is_left_alone(w: Warehouse) -> None:
    assert w.run(VIEW, "SELECT 1 AS a").loaded.statements
    assert w.run(VIEW, "SELECT 1 AS a;").loaded.statements == ()
    assert w.run(VIEW, "SELECT 2 AS a").loaded.statements
    assert w.rows() == [(2,)]
