"""Bruin's built-in macros: their SQL, run in DuckDB and in PostgreSQL, gives the same rows."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import date, datetime
from decimal import Decimal
from hashlib import md5
from typing import Any

import duckdb
import psycopg
import pytest

from ecommerce_dagster.bruin.model.interval import interval_between
from ecommerce_dagster.bruin.templates.render import RenderError, RunContext, render
from ecommerce_dagster.shop.embedded_postgres import PostgresServer

RUN = RunContext(interval=interval_between("2024-01-15", "2024-01-17"), variables={"days": 2})
Ask = Callable[[str], list[tuple[Any, ...]]]


@pytest.fixture(scope="module")
def postgres(server: PostgresServer) -> Iterator[psycopg.Connection[Any]]:
    with psycopg.connect(server.dsn, autocommit=True) as connection:
        yield connection


@pytest.fixture(params=["duckdb", "postgres"])
def ask(request: pytest.FixtureRequest) -> Iterator[Ask]:
    """The rows of a query that is a template."""
    if request.param == "duckdb":
        with duckdb.connect() as connection:
            yield lambda sql: connection.execute(rendered(sql)).fetchall()
    else:
        session: psycopg.Connection[Any] = request.getfixturevalue("postgres")
        yield lambda sql: session.execute(rendered(sql).encode()).fetchall()


def rendered(template: str) -> str:
    return render(template, RUN, "mart.t")


def key(*cells: str | None) -> str:
    filled = ("_dbt_utils_surrogate_key_null_" if cell is None else cell for cell in cells)
    return md5("-".join(filled).encode()).hexdigest()


ORDERS = "(VALUES (1, 'a', 10, NULL), (1, 'b', 20, 5), (2, 'a', 30, 0)) AS o(id, kind, x, y)"
URL = "(VALUES ('https://www.a.com/x/y?q=1&utm=s%20x&z=#t'), ('a.com'), (NULL)) AS u(url)"


@pytest.mark.parametrize(
    ("query", "rows"),
    [
        (f"SELECT id, kind, sum(x) FROM {ORDERS} {{{{ bruin.group_by(2) }}}} ORDER BY 1, 2",
         [(1, "a", 10), (1, "b", 20), (2, "a", 30)]),
        (f"SELECT {{{{ bruin.safe_divide('x', 'y') }}}} * 1.0 FROM {ORDERS} ORDER BY x",
         [(None,), (4,), (None,)]),
        ("SELECT {{ bruin.safe_divide('10.0 - 4', '1 + 1') }} + 1", [(4,)]),
        (f"SELECT {{{{ bruin.safe_add('x', 'y') }}}} * 2 FROM {ORDERS} ORDER BY x",
         [(20,), (50,), (60,)]),
        (f"SELECT {{{{ bruin.safe_add(['x', 'y', 1]) }}}} FROM {ORDERS} ORDER BY x",
         [(11,), (26,), (31,)]),
        (f"SELECT {{{{ bruin.safe_subtract(['x', 'y']) }}}} FROM {ORDERS} ORDER BY x",
         [(10,), (15,), (30,)]),
        (f"SELECT {{{{ bruin.generate_surrogate_key(['id', 'kind', 'y']) }}}} FROM {ORDERS} "
         "ORDER BY x",
         [(key("1", "a", None),), (key("1", "b", "5"),), (key("2", "a", "0"),)]),
        ("SELECT {{ bruin.generate_surrogate_key('1') }}", [(key("1"),)]),
        (f"SELECT id, {{{{ bruin.pivot('kind', ['a', 'b']) }}}} FROM {ORDERS} "
         "GROUP BY id ORDER BY id", [(1, 1, 1), (2, 1, 0)]),
        ("SELECT p_a_s, \"p_c's_s\" FROM (SELECT {{ bruin.pivot('kind', ['a', \"c's\"], "
         f"then_value='x', prefix='p_', suffix='_s') }}}} FROM {ORDERS}) AS t", [(40, 0)]),
        ("SELECT {{ bruin.pivot('id', [1, 2], agg='max', then_value='x', else_value='-1', "
         f"alias=false) }}}} FROM {ORDERS}", [(20, 30)]),
        ("SELECT _1_a FROM (SELECT {{ bruin.pivot('id', ['1 A'], cmp='<>', agg='count', "
         "quote_identifiers=false) }} FROM (VALUES ('2')) AS o(id)) AS t", [(1,)]),
        ("SELECT {{ bruin.pivot('kind', ['a'], agg='count', then_value='id', else_value='NULL', "
         "distinct=true) }} FROM (VALUES (1, 'a'), (1, 'a'), (2, 'a')) AS o(id, kind)", [(2,)]),
        ("SELECT round(CAST({{ bruin.haversine_distance('48.8566', '2.3522', '51.5074', -0.1278, "
         "unit='km') }} AS NUMERIC(10, 2)), 0)", [(344,)]),
        ("SELECT round(CAST({{ bruin.haversine_distance(0, 0, 0, 180) }} AS NUMERIC(10, 2)), 0)",
         [(12444,)]),
        ("SELECT round(CAST({{ bruin.degrees_to_radians('90 + 90') }} AS NUMERIC(10, 5)), 4)",
         [(Decimal("3.1416"),)]),
        ("SELECT {{ bruin.width_bucket('v', 0, 10, 5) }} FROM "
         "(VALUES (-1), (0), (1), (2), (9), (10), (11), (NULL)) AS t(v) ORDER BY v NULLS LAST",
         [(0,), (1,), (1,), (2,), (5,), (6,), (6,), (None,)]),
        ("SELECT {{ bruin.width_bucket('0.29', 0, 1, 100) }}", [(30,)]),
        (f"{{{{ bruin.deduplicate(\"{ORDERS}\", 'id', 'x desc') }}}} ORDER BY id",
         [(1, "b", 20, 5), (2, "a", 30, 0)]),
        (f"WITH o AS (SELECT * FROM {ORDERS}), d AS ({{{{ bruin.deduplicate(relation='o', "
         "partition_by=['id', 'kind'], order_by='x') }}) SELECT count(*) FROM d", [(3,)]),
        ("{{ bruin.generate_series(3) }} ORDER BY 1", [(1,), (2,), (3,)]),
        ("WITH n AS ({{ bruin.generate_series(upper_bound=var.days) }}) "
         "SELECT sum(generated_number) FROM n", [(3,)]),
        ("{{ bruin.date_spine('day', start_date, end_date) }} ORDER BY date_day",
         [(date(2024, 1, 15),), (date(2024, 1, 16),)]),
        ("{{ bruin.date_spine('day', start_timestamp, end_timestamp) }} ORDER BY date_day",
         [(date(2024, 1, 15),), (date(2024, 1, 16),)]),
        ("{{ bruin.date_spine(datepart='day', start_date=\"cast('2024-02-28' as date)\", "
         "end_date=\"cast('2024-03-01' as date)\") }} ORDER BY 1",
         [(date(2024, 2, 28),), (date(2024, 2, 29),)]),
        ("{{ bruin.date_spine('month', \"'2024-01-31'\", \"'2024-04-01'\") }} ORDER BY 1",
         [(date(2024, 1, 31),), (date(2024, 2, 29),), (date(2024, 3, 31),)]),
        ("{{ bruin.date_spine('week', '2024-01-01', '2024-01-16') }} ORDER BY date_week",
         [(date(2024, 1, 1),), (date(2024, 1, 8),), (date(2024, 1, 15),)]),
        ("{{ bruin.date_spine('quarter', '2024-01-01', '2024-07-02') }} ORDER BY 1",
         [(date(2024, 1, 1),), (date(2024, 4, 1),), (date(2024, 7, 1),)]),
        ("SELECT count(*) FROM ({{ bruin.date_spine('year', '2000-01-01', '2025-01-01') }}) AS y",
         [(25,)]),
        ("{{ bruin.date_spine('hour', \"'2024-01-01 22:30:00'\", '2024-01-02') }} ORDER BY 1",
         [(datetime(2024, 1, 1, 22, 30),), (datetime(2024, 1, 1, 23, 30),)]),
        ("SELECT count(*) FROM ({{ bruin.date_spine('minute', '2024-01-01', '2024-01-02') }}) "
         "AS m", [(1440,)]),
        ("{{ bruin.date_spine('day', '2024-01-02', '2024-01-01') }}", []),
        ("{{ bruin.date_spine('day', \"(SELECT min(d) FROM (VALUES (DATE '2024-01-01')) AS t(d))\","
         " '2024-01-02') }}", [(date(2024, 1, 1),)]),
        ("SELECT '{{ bruin.slugify('Año 2024 - Big Sale!') }}', '{{ bruin.slugify('9 lives') }}'",
         [("ao_2024_big_sale", "_9_lives")]),
        (f"SELECT {{{{ bruin.get_url_host('url') }}}} FROM {URL} ORDER BY url DESC NULLS LAST",
         [("www.a.com",), ("a.com",), (None,)]),
        (f"SELECT {{{{ bruin.get_url_path('url') }}}} FROM {URL} ORDER BY url DESC NULLS LAST",
         [("x/y",), (None,), (None,)]),
        ("SELECT {{ bruin.get_url_parameter('url', 'utm') }}, "
         "{{ bruin.get_url_parameter('url', 'tm') }}, {{ bruin.get_url_parameter('url', 'z') }}, "
         f"{{{{ bruin.get_url_parameter('url', 'q') }}}} FROM {URL} ORDER BY url DESC NULLS LAST",
         [("s%20x", None, None, "1"), (None,) * 4, (None,) * 4]),
    ],
)  # fmt: skip
def test_a_macro_gives_these_rows(ask: Ask, query: str, rows: list[tuple[Any, ...]]) -> None:
    assert ask(query) == rows


@pytest.mark.parametrize(
    ("call", "error"),
    [
        ("group_by(0)", "the template fails: group_by needs a number of columns, not 0"),
        ("group_by(10**9)", "the template fails: group_by needs a number of columns, not "
                            "1000000000"),
        ("group_by('x')", "the template fails: n must be a whole number, not 'x'"),
        ("group_by()", "the template fails: group_by() missing 1 required positional argument: "
                       "'n'"),
        ("safe_add([])", "the template fails: at least one field is needed"),
        ("safe_divide(none, 1)", "the template fails: a column or an expression is needed, "
                                 "not 'None'"),
        ("haversine_distance(0, 0, 1, 1, unit='nm')",
         "the template fails: haversine_distance knows the units 'mi' and 'km', not 'nm'"),
        ("date_spine('decade', 1, 2)",
         "the template fails: date_spine knows no 'decade'; known: day, week, month, quarter, "
         "year, hour, minute, second"),
        ("group_bye(1)", "missing variable 'group_bye'; did you mean 'group_by'?"),
    ],
)  # fmt: skip
def test_a_wrong_call_is_explained(call: str, error: str) -> None:
    with pytest.raises(RenderError) as caught:
        rendered(f"SELECT 1\n{{{{ bruin.{call} }}}}")
    assert (caught.value.line, str(caught.value)) == (2, error)


def test_the_macros_of_a_pipeline_can_use_them() -> None:
    macros = "{% macro ratio(a, b) %}{{ bruin.safe_divide(a, b) }}{% endmacro %}"
    text = render("SELECT {{ ratio('x', 'y') }}", RUN, "t", macros)
    assert text == "SELECT ((x) / NULLIF((y), 0))"
