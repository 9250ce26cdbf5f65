"""Sources that are queries: `source_table: query:SELECT ...`."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest

from ingestion.helpers import World, days


@pytest.mark.parametrize(
    "query",
    [
        "SELECT 1 AS a",
        "  SELECT 1 AS a ; ",
        "SELECT 1 AS a -- the only one",
        "SELECT 1 AS a; -- the only one",
        "SELECT 1 AS a /* the; only one */ ;; -- ;\n ; /* done */",
        "SELECT 1 AS a -- ';",
        "-- first a comment\nSELECT 1 AS a",
        "WITH one AS (SELECT 1 AS a) SELECT * FROM one;",
        "VALUES (1)",
        "(SELECT 1 AS a) UNION (SELECT 1) ORDER BY 1 LIMIT 5;",
        "SELECT 1 AS a WHERE ';--' <> '%s' AND E'\\';' <> $$;$$ AND 'é' <> 'e'; -- é",
        "SELECT 1 AS a WHERE 5 % 3 = 2",
    ],
)
def test_a_query_may_be_written_in_any_way(w: World, query: str) -> None:
    w.load({"source_table": f"query:{query}"})
    assert w.rows() == [(1,)]


@pytest.mark.parametrize(
    ("expression", "kind", "value"),
    [
        ("sum(n)", "DECIMAL(38,9)", Decimal("6.66")),
        ("avg(n)", "DECIMAL(38,16)", Decimal("2.22")),
        ("sum(i)", "BIGINT", 6),
        ("count(*)", "BIGINT", 3),
        ("array_agg(n ORDER BY n)", "DECIMAL(38,9)[]", [1.11, 2.22, 3.33]),
        ("max(n)", "DECIMAL(38,9)", Decimal("3.33")),
        ("jsonb_agg(i ORDER BY i)", "JSON", "[1, 2, 3]"),
        ("NULL", "VARCHAR", None),
        ("'text'", "VARCHAR", "text"),
        ("row(1, 'x')", "VARCHAR", "(1,x)"),
        ("now() - now()", "INTERVAL", timedelta(0)),
    ],
)
def test_an_expression_has_an_exact_type(
    w: World, expression: str, kind: str, value: object
) -> None:
    w.sql(
        "CREATE TABLE t (i int, n numeric(5,2))", "INSERT INTO t VALUES (1,1.11),(2,2.22),(3,3.33)"
    )
    w.load({"source_table": f"query:SELECT {expression} AS v, count(*) AS n FROM t"})
    assert w.types()["v"] == kind
    ((found, _),) = w.rows()
    assert (found if not isinstance(value, list) else [float(n) for n in found]) == value


BETWEEN = (
    "query:SELECT * FROM t WHERE at BETWEEN :interval_start AND :interval_end "
    "AND at::date <> '2000-01-01'::date -- not ::interval_start"
)


def moments(w: World, kind: str = "timestamptz") -> None:
    w.sql(
        f"CREATE TABLE t (at {kind})",
        "INSERT INTO t VALUES ('2024-01-01 00:00:00Z'), ('2024-01-01 23:59:59.999999Z'),"
        " ('2024-01-02 00:00:00Z'), ('0001-06-01 00:00:00Z BC'), ('infinity'), (NULL)",
    )


@pytest.mark.parametrize("kind", ["timestamptz", "timestamp", "date"])
def test_the_placeholders_are_the_first_and_the_last_instant_of_the_interval(
    w: World, kind: str
) -> None:
    moments(w, kind)
    w.load({"source_table": BETWEEN}, interval=days("2024-01-01"))
    assert w.rows('SELECT CAST("at" AS DATE)::VARCHAR FROM raw.t') == [("2024-01-01",)] * 2


def test_without_an_interval_they_leave_nothing_out(w: World) -> None:
    moments(w)
    w.load({"source_table": BETWEEN})
    assert w.rows('SELECT count(*), count("at") FROM raw.t') == [(5, 5)]


def test_a_full_refresh_is_not_cut_down_to_the_interval(w: World) -> None:
    moments(w)
    w.load({"source_table": BETWEEN}, interval=days("2024-01-01"), full_refresh=True)
    assert w.rows("SELECT count(*) FROM raw.t") == [(5,)]


def test_only_whole_placeholders_are_replaced(w: World) -> None:
    w.sql("CREATE TABLE t (interval_start int, interval_started text)")
    w.sql("INSERT INTO t VALUES (1, 'x:interval_starts')")
    query = "SELECT interval_start, 'x:interval_starts' AS a FROM t WHERE now() > :interval_start"
    w.load({"source_table": f"query:{query}"}, interval=days("2024-01-01"))
    assert w.rows() == [(1, "x:interval_starts")]


def test_a_query_can_be_loaded_by_windows(w: World) -> None:
    w.sql("CREATE TABLE t (id int, at timestamptz)")
    w.sql("INSERT INTO t VALUES (1, '2024-01-01Z'), (2, '2024-01-02Z'), (3, '2024-01-03Z')")
    parameters = {
        "source_table": "query:SELECT id * 10 AS id, at FROM t",
        "incremental_strategy": "delete+insert",
        "incremental_key": "at",
    }
    w.load(parameters, interval=days("2024-01-02"))
    assert w.rows("SELECT id FROM raw.t") == [(20,)]
    w.sql("UPDATE t SET id = 5 WHERE id = 2")
    w.load(parameters, interval=days("2024-01-02"))
    assert w.rows() == [(50, datetime(2024, 1, 2, tzinfo=UTC))]


@pytest.mark.parametrize(
    ("query", "reason"),
    [
        ("SELECT nope FROM t", 'column "nope" does not exist'),
        ("SELECT 1 / id AS x FROM t", "division by zero"),
        ("SELECT 1 AS a; SELECT 2 AS b", "syntax error"),
        ("DELETE FROM t RETURNING id", "syntax error"),
        ("WITH d AS (DELETE FROM t RETURNING id) SELECT * FROM d", "data-modifying"),
        ("SELECT 1 AS a, 2 AS a", "columns with the same name but for case (a)"),
        ("SELECT 1, 2", "columns with the same name"),
    ],
)
def test_a_query_that_cannot_run_is_refused_in_the_words_of_postgres(
    w: World, query: str, reason: str
) -> None:
    w.sql("CREATE TABLE t (id int)", "INSERT INTO t VALUES (0)")
    assert reason in w.failure({"source_table": f"query:{query}"})
    assert w.sql("SELECT count(*) FROM t") == [(1,)]
