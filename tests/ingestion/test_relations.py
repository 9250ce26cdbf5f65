"""Whatever Postgres can select from can be loaded, whatever it and its columns are called."""

from __future__ import annotations

from decimal import Decimal

import pytest

from ingestion.helpers import TABLE, World


@pytest.mark.parametrize(
    "definition",
    [
        "CREATE VIEW t AS SELECT * FROM base",
        "CREATE MATERIALIZED VIEW t AS SELECT * FROM base",
        "CREATE UNLOGGED TABLE t AS SELECT * FROM base",
        "CREATE TABLE t (LIKE base); INSERT INTO t SELECT * FROM base",
    ],
    ids=["view", "materialized view", "unlogged table", "table"],
)
def test_any_relation_can_be_loaded(w: World, definition: str) -> None:
    w.sql("CREATE TABLE base (id int, v text)", "INSERT INTO base VALUES (1, 'a'), (2, NULL)")
    w.sql(definition)
    w.load()
    assert w.rows() == [(1, "a"), (2, None)]
    assert w.types() == {"id": "INTEGER", "v": "VARCHAR"}


def test_a_partitioned_table_is_all_its_partitions(w: World) -> None:
    w.sql(
        "CREATE TABLE t (id int, day date) PARTITION BY RANGE (day)",
        "CREATE TABLE t_2023 PARTITION OF t FOR VALUES FROM ('2023-01-01') TO ('2024-01-01')",
        "CREATE TABLE t_rest PARTITION OF t DEFAULT",
        "INSERT INTO t SELECT i, DATE '2023-01-01' + i % 700 FROM generate_series(1, 20000) i",
        "ANALYZE t",
    )
    w.load()
    assert w.rows("SELECT count(*), count(DISTINCT id), count(DISTINCT day) FROM raw.t") == [
        (20000, 20000, 700)
    ]


def test_a_parent_table_has_the_rows_of_its_children(w: World) -> None:
    w.sql("CREATE TABLE t (id int)", "CREATE TABLE child () INHERITS (t)")
    w.sql("INSERT INTO t VALUES (1)", "INSERT INTO child VALUES (2)")
    w.load()
    assert w.rows() == [(1,), (2,)]


@pytest.mark.parametrize("analyzed_at", [0, 100, 50000])
def test_every_row_arrives_once_whatever_postgres_thinks_how_many_there_are(
    w: World, analyzed_at: int
) -> None:
    w.sql("CREATE TABLE t (id int, pad text) WITH (autovacuum_enabled = false)")
    w.sql(f"INSERT INTO t SELECT i, repeat('x', 200) FROM generate_series(1, {analyzed_at}) i")
    w.sql("ANALYZE t")
    w.sql(
        "INSERT INTO t SELECT i, repeat('x', 200) FROM"
        f" generate_series({analyzed_at + 1}, 50000) i",
        "DELETE FROM t WHERE id % 10 = 0",
        "UPDATE t SET id = -id WHERE id % 10 = 1",
    )
    w.load()
    summary = "SELECT count(*), count(DISTINCT abs(id)), sum(id)::BIGINT FROM raw.t"
    assert w.rows(summary) == w.sql("SELECT count(*), count(DISTINCT abs(id)), sum(id) FROM t")


def test_generated_and_identity_columns_arrive(w: World) -> None:
    w.sql(
        "CREATE TABLE t (a int, stored int GENERATED ALWAYS AS (a * 2) STORED,"
        " computed int GENERATED ALWAYS AS (a * 3) VIRTUAL,"
        " id bigint GENERATED ALWAYS AS IDENTITY)",
        "INSERT INTO t (a) VALUES (1), (NULL)",
    )
    w.load()
    assert w.rows() == [(1, 2, 3, 1), (None, None, None, 2)]


def test_dropped_columns_are_not_there(w: World) -> None:
    w.sql("CREATE TABLE t (a int, b numeric, c text)", "INSERT INTO t VALUES (1, 2, 'x')")
    w.sql("ALTER TABLE t DROP COLUMN b", "ALTER TABLE t ADD COLUMN d int DEFAULT 7")
    w.sql("INSERT INTO t VALUES (3, 'y', 4)")
    w.load()
    assert w.rows() == [(1, "x", 7), (3, "y", 4)]


def test_an_empty_table_becomes_an_empty_table_with_its_types(w: World) -> None:
    w.sql("CREATE TABLE t (a int, b numeric(5,1), c numeric, d int[], e timestamptz)")
    w.load()
    assert w.rows() == []
    assert list(w.types().values()) == [
        "INTEGER", "DECIMAL(5,1)", "DECIMAL(38,9)", "INTEGER[]", "TIMESTAMP WITH TIME ZONE",
    ]  # fmt: skip


def test_a_table_without_columns_is_refused(w: World) -> None:
    w.sql("CREATE TABLE t ()", "INSERT INTO t DEFAULT VALUES")
    assert w.failure() == f"{w.connection.address}: public.t: it has no columns"


def test_three_hundred_columns_arrive_in_their_order(w: World) -> None:
    kinds = ["int", "text", "numeric", "numeric(9,2)", "timestamptz"]
    columns = ", ".join(f"c{n} {kinds[n % 5]}" for n in range(300))
    w.sql(
        f"CREATE TABLE t ({columns})",
        "INSERT INTO t (c0, c297, c299) VALUES (1, 2.5, '2024-01-01Z')",
    )
    w.load()
    assert list(w.types()) == [f"c{n}" for n in range(300)]
    assert w.rows("SELECT c0, c1, c297::VARCHAR FROM raw.t") == [(1, None, "2.500000000")]


@pytest.mark.parametrize(
    "name",
    ['"select"', '"Order"', '"ünï çødé 漢字"', '"a ""b"" c"', '"semi;colon--"', "\"it's\"",
     '"a.b"', '"%s {0} $1"', '"' + "x" * 63 + '"'],
)  # fmt: skip
def test_columns_may_have_any_name(w: World, name: str) -> None:
    plain = name[1:-1].replace('""', '"')
    w.sql(f"CREATE TABLE t ({name} int, n numeric)", "INSERT INTO t VALUES (1, 2)")
    as_it_is = {"schema_naming": "direct"}
    w.load(as_it_is)
    assert list(w.types()) == [plain, "n"]
    w.load(
        {
            "incremental_strategy": "merge",
            "incremental_key": plain,
            "primary_key": plain,
            **as_it_is,
        },
        full_refresh=True,
    )
    w.sql("UPDATE t SET n = 3")
    w.load({"incremental_strategy": "merge", "incremental_key": plain, "primary_key": [plain]})
    assert w.rows() == [(1, 3)]


def test_names_that_the_loading_itself_uses_do_no_harm(w: World) -> None:
    w.sql("CREATE TABLE query (item numeric[], query numeric, source text, relation int)")
    w.sql("ALTER TABLE query ADD limited money, ADD incoming timestamptz, ADD pid numeric(5,1)")
    w.sql("INSERT INTO query VALUES ('{1.5,NULL}', 2.5, 'x', 3, 4, '2024-01-01Z', 0)")
    for table in ("public.query", "query:SELECT * FROM query AS query"):
        for limit in ("", "5"):
            w.load({"source_table": table, "sql_limit": limit})
            cells = "item::VARCHAR, query, source, relation, limited, incoming IS NULL, pid"
            assert w.rows(f"SELECT {cells} FROM raw.t") == [
                ("[1.500000000, NULL]", Decimal("2.5"), "x", 3, Decimal(4), False, Decimal(0))
            ]


@pytest.mark.parametrize(
    ("schema", "table", "written"),
    [
        ("other", "t", "other.t"),
        ("Other", "Orders", "Other.Orders"),
        ("Other", "Orders", '"Other"."Orders"'),
        ("public", "Orders", "Orders"),
        ("select", "from", "select.from"),
        ("sché ma", "ta ble's", "sché ma.ta ble's"),
        ("a.b", 'c."d"', '"a.b"."c.""d"""'),
        ("a.b", "c", "a.b.c"),
        ("_source", "temp", "_source.temp"),
    ],
)
def test_tables_and_schemas_may_have_any_name(
    w: World, schema: str, table: str, written: str
) -> None:
    quoted = ".".join('"' + name.replace('"', '""') + '"' for name in (schema, table))
    w.sql(
        'CREATE SCHEMA IF NOT EXISTS "' + schema + '"', f"CREATE TABLE {quoted} (id int, n numeric)"
    )
    w.sql(f"INSERT INTO {quoted} VALUES (1, 2)")
    for excluded in ("", "n"):
        w.load({"source_table": written, "sql_exclude_columns": excluded})
        assert w.rows("SELECT id FROM raw.t") == [(1,)]


def test_names_that_differ_in_case_only_are_different_tables(w: World) -> None:
    for number, table in enumerate(["orders", "Orders", "ORDERS"]):
        w.sql(f'CREATE TABLE "{table}" (id int)', f'INSERT INTO "{table}" VALUES ({number})')
    for number, table in enumerate(["orders", "Orders", "ORDERS"]):
        w.load({"source_table": f"public.{table}"})
        assert w.rows() == [(number,)]


def test_columns_whose_names_differ_in_case_only_are_refused(w: World) -> None:
    w.sql('CREATE TABLE t (id int, "Id" int)', "INSERT INTO t VALUES (1, 2)")
    assert "the same name but for case (id)" in w.failure()
    w.load({"source_table": 'query:SELECT id, "Id" AS other FROM t'})
    assert w.rows() == [(1, 2)]


def test_excluded_columns_are_left_out(w: World) -> None:
    w.sql("CREATE TABLE t (a int, secret text, n numeric)", "INSERT INTO t VALUES (1, 'x', 'NaN')")
    for excluded in ("secret,n", " secret , n ", ["secret", "n"]):
        w.load({"sql_exclude_columns": excluded})
        assert w.types() == {"a": "INTEGER"}


def test_an_excluded_column_has_to_exist(w: World) -> None:
    w.sql("CREATE TABLE t (a int, b int)")
    assert w.failure("sql_exclude_columns: b,c").endswith(
        "public.t: it has no column c (sql_exclude_columns); it has a, b"
    )
    assert w.failure("sql_exclude_columns: a,b").endswith(
        "public.t: every column is excluded (sql_exclude_columns)"
    )


@pytest.mark.parametrize("kind", ["int", "numeric", "numeric(5,1)"])
def test_a_limit_takes_so_many_rows(w: World, kind: str) -> None:
    w.sql(f"CREATE TABLE t (id {kind})", "INSERT INTO t SELECT generate_series(1, 100)")
    for source in (TABLE, "query:SELECT * FROM t"):
        w.load({"source_table": source, "sql_limit": 7})
        assert len(w.rows()) == 7
