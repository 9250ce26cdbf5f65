"""From which columns the columns of a query come. DuckDB confirms what they are called."""

from __future__ import annotations

import duckdb
import pytest

from ecommerce_dagster.sql.lineage.columns import ColumnRef, Table
from ecommerce_dagster.sql.lineage.query import Lineage, query_lineage
from ecommerce_dagster.warehouses.duckdb.database import described

ORDERS = Table("raw.orders", ("id", "customer", "Status", "total"), ("id",), complete=True)
LINES = Table("raw.lines", ("id", "order_id", "sku", "pieces"), ("id",), complete=True)
KEYLESS = Table("visits", ("who", "seen"), complete=True)
TABLES = [ORDERS, LINES, KEYLESS]


@pytest.fixture(scope="module")
def tables() -> duckdb.DuckDBPyConnection:
    connection = duckdb.connect()
    connection.execute(
        "CREATE SCHEMA raw; CREATE TABLE raw.orders (id INT, customer INT, Status TEXT, total INT);"
        "CREATE TABLE raw.lines (id INT, order_id INT, sku TEXT, pieces INT);"
        "CREATE TABLE visits (who TEXT, seen TIMESTAMP)"
    )
    return connection


def written(lineage: Lineage) -> dict[str, str]:
    """The lineage as a test compares it: {"n": "orders.id lines.id"}."""
    return {
        name: " ".join(sorted(f"{ref.table.removeprefix('raw.')}.{ref.column}" for ref in refs))
        for name, refs in lineage.columns.items()
    }


@pytest.mark.parametrize(
    ("sql", "expected"),
    [
        ("SELECT id AS Key, total FROM raw.orders", {"Key": "orders.id", "total": "orders.total"}),
        ("FROM visits", {"who": "visits.who", "seen": "visits.seen"}),
        ("SELECT * EXCLUDE (id, total) FROM raw.orders", {"customer": "orders.customer", "Status": "orders.Status"}),
        ("SELECT * REPLACE (who || seen AS who) FROM visits", {"who": "visits.seen visits.who", "seen": "visits.seen"}),
        ("SELECT v.*, l.sku FROM visits v, raw.lines l", {"who": "visits.who", "seen": "visits.seen", "sku": "lines.sku"}),
        ("SELECT o.id, l.id FROM raw.orders o JOIN raw.lines l ON true", {"id": "orders.id", "id_1": "lines.id"}),
        ("SELECT raw.orders.total AS t FROM raw.orders", {"t": "orders.total"}),
        ('SELECT "STATUS" AS s FROM RAW.Orders', {"s": "orders.Status"}),
        ("SELECT total AS a, a + 1 AS b FROM raw.orders", {"a": "orders.total", "b": "orders.total"}),
        ("SELECT id, sku FROM raw.orders JOIN raw.lines USING (id)", {"id": "lines.id orders.id", "sku": "lines.sku"}),
        ("SELECT sku, customer AS c FROM raw.lines JOIN raw.orders o ON o.id = order_id", {"sku": "lines.sku", "c": "orders.customer"}),
        ("SELECT CASE WHEN total > 9 THEN 'big' ELSE status END AS x FROM raw.orders", {"x": "orders.Status orders.total"}),
        ("SELECT 'a' AS x, now() AS y FROM raw.orders", {"x": "", "y": ""}),
        ("SELECT id FROM raw.orders WHERE total > 3 AND status IN (SELECT sku FROM raw.lines)", {"id": "orders.id"}),
        ("SELECT id FROM raw.orders SEMI JOIN raw.lines l ON l.order_id = orders.id", {"id": "orders.id"}),
    ],
)  # fmt: skip
def test_a_column_comes_from_the_columns_that_its_expression_names(
    tables: duckdb.DuckDBPyConnection, sql: str, expected: dict[str, str]
) -> None:
    assert written(query_lineage(sql, TABLES)) == expected
    assert query_lineage(sql, TABLES).gaps == ()
    assert list(expected) == list(described(tables, f"({sql})"))


@pytest.mark.parametrize(
    ("sql", "expected"),
    [
        ("WITH a AS (SELECT id, total FROM raw.orders), b AS (SELECT * FROM a) SELECT max(total) AS m FROM b", {"m": "orders.total"}),
        ("WITH a(x) AS (SELECT total FROM raw.orders) FROM a", {"x": "orders.total"}),
        ("WITH orders AS (SELECT pieces AS total FROM raw.lines) SELECT total FROM orders", {"total": "lines.pieces"}),
        ("SELECT q.y FROM (SELECT id, status FROM raw.orders) AS q(x, y)", {"y": "orders.Status"}),
        ("SELECT id FROM raw.orders UNION ALL SELECT pieces FROM raw.lines", {"id": "lines.pieces orders.id"}),
        ("SELECT id, total FROM raw.orders UNION BY NAME SELECT pieces AS total FROM raw.lines", {"id": "orders.id", "total": "lines.pieces orders.total"}),
        ("(SELECT id FROM raw.orders) ORDER BY 1", {"id": "orders.id"}),
        ("SELECT (SELECT max(pieces) FROM raw.lines WHERE order_id = o.id) AS m FROM raw.orders o", {"m": "lines.pieces"}),
        ("SELECT (SELECT max(pieces + o.total) FROM raw.lines) AS m FROM raw.orders o", {"m": "lines.pieces orders.total"}),
        ("SELECT EXISTS (SELECT 1 FROM raw.lines WHERE order_id = o.id) AS e FROM raw.orders o", {"e": "lines.id"}),
        ("SELECT q FROM raw.orders o, LATERAL (SELECT max(pieces) AS q FROM raw.lines WHERE order_id = o.id)", {"q": "lines.pieces"}),
        ("WITH RECURSIVE t(n) AS (SELECT id FROM raw.orders UNION ALL SELECT n + 1 FROM t WHERE n < 5) SELECT n FROM t", {"n": "orders.id"}),
        ("SELECT u.x FROM raw.orders, unnest([id, total]) AS u(x)", {"x": "orders.id orders.total"}),
        ("SELECT s.a.b AS b FROM (SELECT {'a': {'b': total}} AS s FROM raw.orders)", {"b": "orders.total"}),
        ("SELECT list_transform([total], x -> x + id) AS y FROM raw.orders", {"y": "orders.id orders.total"}),
        ("SELECT v AS r FROM visits AS v", {"r": "visits.seen visits.who"}),
        ("SELECT b FROM visits AS v(a, b)", {"b": "visits.seen"}),
        ("SELECT p.a, p.id FROM raw.orders PIVOT (sum(total) FOR status IN ('a', 'b')) AS p", {"a": "orders.Status orders.total", "id": "orders.id"}),
        ("SELECT i FROM range(3) AS r(i)", {"i": ""}),
    ],
)  # fmt: skip
def test_a_column_is_followed_through_subqueries(
    tables: duckdb.DuckDBPyConnection, sql: str, expected: dict[str, str]
) -> None:
    assert written(query_lineage(sql, TABLES)) == expected
    assert query_lineage(sql, TABLES).gaps == ()
    assert list(expected) == list(described(tables, f"({sql})"))


@pytest.mark.parametrize(
    ("sql", "expected"),
    [
        ("SELECT count(*) AS n FROM raw.orders", "orders.id"),
        ("SELECT count(*) AS n FROM visits", "visits.seen visits.who"),
        ("SELECT count(*) AS n FROM raw.orders o JOIN raw.lines l ON l.order_id = o.id", "lines.id orders.id"),
        ("SELECT count(*) FILTER (WHERE status = 'paid') AS n FROM raw.orders", "orders.Status orders.id"),
        ("SELECT sum(1) AS n FROM raw.orders", "orders.id"),
        ("SELECT sum(total) AS n FROM raw.orders", "orders.total"),
        ("SELECT count(*) AS n FROM (SELECT customer, count(*) FROM raw.orders GROUP BY 1)", "orders.customer"),
        ("SELECT count(*) AS n FROM (SELECT customer, count(*) FROM raw.orders GROUP BY ALL)", "orders.customer"),
        ("SELECT count(*) AS n FROM (SELECT DISTINCT status FROM raw.orders)", "orders.Status"),
        ("SELECT count(*) AS n FROM (SELECT max(id) FROM raw.orders)", ""),
        ("SELECT count(*) AS n FROM (SELECT total FROM raw.orders WHERE total > 1)", "orders.id"),
        ("SELECT row_number() OVER (ORDER BY total DESC) AS n FROM raw.orders", "orders.total"),
        ("SELECT row_number() OVER () AS n FROM raw.orders", "orders.id"),
        ("SELECT count(*) OVER (PARTITION BY status) AS n FROM raw.orders", "orders.Status orders.id"),
    ],
)  # fmt: skip
def test_counting_rows_is_counting_what_tells_them_apart(sql: str, expected: str) -> None:
    assert written(query_lineage(sql, TABLES)) == {"n": expected}


@pytest.mark.parametrize(
    ("sql", "gap"),
    [
        ("SELECT * FROM elsewhere", "the columns that * stands for are not known"),
        ("SELECT COLUMNS('i.*') FROM raw.orders", "the columns that * stands for are not known"),
        ("SELECT x FROM elsewhere, other", "it is not known which table has the column x"),
        ("SELECT id, count(*) FROM raw.orders GROUP BY id", "column 2 of the query has no name"),
        ("PIVOT raw.orders ON status USING sum(total)", "no query can be followed among: PIVOT"),
        ("SELEC 1", "the SQL cannot be followed: Invalid expression / Unexpected token"),
        ("SELECT 1; SELECT 2", "no query can be followed among: SELECT, SELECT"),
        ("", "no query can be followed among: "),
    ],
)
def test_what_cannot_be_followed_is_said(sql: str, gap: str) -> None:
    assert query_lineage(sql, TABLES).gaps == (gap,)


def test_tables_that_nobody_knows_are_called_as_they_are_written() -> None:
    found = query_lineage("SELECT x, e.y FROM elsewhere AS e", [])
    assert found.columns == {
        "x": frozenset({ColumnRef("elsewhere", "x")}),
        "y": frozenset({ColumnRef("elsewhere", "y")}),
    }
    assert found.gaps == ()


@pytest.mark.parametrize(
    "script",
    [
        "CREATE TABLE mart.t AS SELECT total AS a, id AS b FROM raw.orders",
        "CREATE OR REPLACE TABLE mart.t(a, b) AS SELECT total, id FROM raw.orders",
        "INSERT INTO mart.t SELECT total, id FROM raw.orders",
        "INSERT INTO mart.t (b, a) SELECT id, total FROM raw.orders",
        "INSERT INTO mart.t BY NAME SELECT id AS b, total AS a FROM raw.orders",
        "DELETE FROM mart.t; WITH o AS (FROM raw.orders) INSERT INTO mart.t SELECT total, id FROM o",
    ],
)
def test_of_a_script_it_is_what_it_puts_into_its_table(script: str) -> None:
    target = Table("mart.t", ("a", "b"), complete=True)
    found = query_lineage(script, [*TABLES, target], target="mart.t")
    assert written(found) == {"a": "orders.total", "b": "orders.id"}


def test_a_script_that_fills_no_table_says_so() -> None:
    found = query_lineage("INSERT INTO mart.u SELECT 1", TABLES, target="mart.t")
    assert found == Lineage({}, ("no query that fills mart.t can be followed among: INSERT",))


def test_long_chains_of_subqueries_take_no_longer_for_being_read_twice() -> None:
    steps = [
        f"a{n} AS (SELECT x.id + y.id AS id FROM a{n - 1} x, a{n - 1} y)" for n in range(1, 25)
    ]
    sql = f"WITH a0 AS (SELECT id FROM raw.orders), {', '.join(steps)} SELECT id, count(*) AS n FROM a24 GROUP BY id"
    assert written(query_lineage(sql, TABLES))["id"] == "orders.id"
