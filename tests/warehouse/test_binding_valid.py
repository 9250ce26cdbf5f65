"""What is right is left alone: a validator that cries wolf is worse than none.

DuckDB itself says what is right: it runs each query over real, empty tables.
"""

from __future__ import annotations

import json
import os
from pathlib import Path

import duckdb
import pytest
from bruin.helpers import text_of
from bruin.test_whole_pipelines import STRANGER
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ecommerce_dagster.bruin.model.interval import yesterday
from ecommerce_dagster.bruin.problems import ProblemLog
from ecommerce_dagster.bruin.project import read_project
from ecommerce_dagster.bruin.templates.render import RunContext, render
from ecommerce_dagster.local import ROOT
from ecommerce_dagster.validation.project import bind_project
from warehouse.trials import SOURCES, Files

QUERIES = r"""
SELECT * FROM raw.orders
---
FROM raw.orders
---
SELECT o.id, c.name FROM raw.orders o JOIN raw.customers c ON c.id = o.customer_id
---
SELECT id, "total"::DOUBLE AS total, placed_at::DATE AS day FROM raw.orders QUALIFY row_number() OVER (PARTITION BY customer_id ORDER BY placed_at DESC) = 1
---
WITH a AS (SELECT * FROM raw.orders), b AS (SELECT customer_id, count(*) AS n FROM a GROUP BY ALL) SELECT * FROM b
---
WITH RECURSIVE t(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM t WHERE n < 10) SELECT * FROM t
---
SELECT id, unnest(lines) AS line FROM raw.orders
---
SELECT o.id, l.sku, l.n FROM raw.orders o, unnest(o.lines) AS u(l)
---
SELECT o.id, unnest(o.lines, recursive := true) FROM raw.orders o
---
SELECT address.city, address.zip AS zip FROM raw.orders
---
SELECT extra->>'$.a' AS a, extra->'b' AS b, json_extract_string(extra, '$.c') AS c FROM raw.orders
---
SELECT list_transform(tags, lambda x: upper(x)) AS t, attrs['a'] AS m FROM raw.orders
---
SELECT [x FOR x IN tags IF x <> ''] AS t FROM raw.orders
---
PIVOT raw.orders ON status USING sum(total) GROUP BY customer_id
---
PIVOT raw.orders ON status IN ('a', 'b') USING sum(total) AS s GROUP BY customer_id
---
SELECT * FROM (PIVOT raw.orders ON status IN ('a') USING count(*) GROUP BY customer_id)
---
UNPIVOT (SELECT id, customer_id AS a, id AS b FROM raw.orders) ON a, b INTO NAME k VALUE v
---
SELECT * EXCLUDE (extra) REPLACE (upper(status) AS status) FROM raw.orders
---
SELECT COLUMNS('i.*') FROM raw.customers
---
SELECT min(COLUMNS(*)) FROM raw.customers
---
SELECT o.* LIKE '%id' FROM raw.orders o
---
SELECT * FROM raw.orders ASOF JOIN raw.customers ON raw.orders.customer_id = raw.customers.id AND raw.orders.placed_at >= raw.customers.born
---
SELECT c.id, x.n FROM raw.customers c LEFT JOIN LATERAL (SELECT count(*) AS n FROM raw.orders o WHERE o.customer_id = c.id) x ON true
---
SELECT id FROM raw.orders UNION ALL BY NAME SELECT id, name FROM raw.customers
---
SELECT status, count(*) FILTER (WHERE total > 10) AS big, sum(total) AS total FROM raw.orders GROUP BY ROLLUP (status)
---
SELECT a.id FROM raw.orders AS a SEMI JOIN raw.customers AS b ON a.customer_id = b.id
---
SELECT d::DATE AS day FROM generate_series(DATE '2025-01-01', DATE '2025-02-01', INTERVAL 1 DAY) AS t(d)
---
SELECT * FROM range(10)
---
SELECT * FROM (VALUES (1, 'a'), (2, 'b')) AS t(id, name)
---
VALUES (1, 'a')
---
SELECT max_by(status, placed_at) AS last, arg_min(id, placed_at) AS first, mode(status) m, approx_quantile(total, 0.5) q, list(id ORDER BY placed_at) l, string_agg(status, ', ' ORDER BY id) s FROM raw.orders
---
SELECT CASE WHEN total > 100 THEN 'big' WHEN total IS NULL THEN NULL ELSE 'small' END AS size, coalesce(status, 'x') st, nullif(status, '') ns, ifnull(status, 'q') q FROM raw.orders
---
SELECT struct_pack(a := id, b := status) AS s, {'x': id, 'y': status} AS t, [1, 2, 3] l, MAP {'a': 1} m FROM raw.orders
---
SELECT id, lag(total) OVER w AS before, sum(total) OVER (ORDER BY placed_at RANGE BETWEEN INTERVAL 7 DAYS PRECEDING AND CURRENT ROW) AS week FROM raw.orders WINDOW w AS (ORDER BY placed_at)
---
SELECT DISTINCT ON (customer_id) * FROM raw.orders ORDER BY customer_id, placed_at DESC
---
SELECT * FROM raw.orders USING SAMPLE 10 PERCENT (bernoulli)
---
SELECT * FROM raw.orders TABLESAMPLE reservoir(5 ROWS)
---
SELECT * FROM raw.orders LIMIT 10 OFFSET 5
---
SELECT regexp_extract(email, '@(.+)$', 1) AS domain, strftime(born, '%Y') AS y, date_diff('day', born, current_date) AS age, datediff('year', born, today()) b FROM raw.customers
---
SELECT hash(id), md5(name), sha256(name), uuid(), gen_random_uuid(), now(), current_timestamp, get_current_time() FROM raw.customers
---
SELECT (SELECT count(*) FROM raw.orders) AS n, EXISTS (SELECT 1 FROM raw.customers) AS e, id IN (SELECT id FROM raw.customers) AS i FROM raw.orders
---
SELECT CAST('1' AS INT), TRY_CAST('x' AS INT), '2025-01-01'::date, DATE '2025-01-01' + INTERVAL 1 MONTH, 1::HUGEINT, '1'::JSON
---
SELECT id AS "Order ID", status AS "select" FROM raw.orders
---
-- a comment first
SELECT 1 AS n -- and last
---
/* a block */ SELECT 1 AS n /* end */;
---
SELECT id, total FROM raw.orders WHERE placed_at BETWEEN '{{ start_date }}' AND '{{ end_date }}'
---
SELECT id FROM raw.orders {% if not full_refresh %}WHERE placed_at >= '{{ start_timestamp }}'{% endif %}
---
SELECT {% for s in ['a', 'b'] %}count(*) FILTER (WHERE status = '{{ s }}') AS {{ s }}{% if not loop.last %}, {% endif %}{% endfor %} FROM raw.orders
---
SELECT id, '{{ this }}' AS t, '{{ run_id }}' AS r FROM raw.orders
---
SELECT o.id, o.total * 1.19 AS gross, round(o.total, 2) r, floor(o.total)::INT f, o.total // 2 AS half, o.id % 2 AS odd, 2 ** 3 AS p FROM raw.orders AS o
---
SELECT id FROM raw.orders ORDER BY ALL
---
SELECT #1, #2 FROM (SELECT id, status FROM raw.orders)
---
SELECT status, grouping(status) g FROM raw.orders GROUP BY GROUPING SETS ((status), ())
---
SELECT id, status FROM raw.orders WHERE status ILIKE 'a%' OR status SIMILAR TO 'b.*' OR regexp_matches(status, 'x') OR status ~ 'y' OR status GLOB 'z*'
---
SELECT epoch_ms(1), make_date(2025, 1, 1), date_trunc('month', placed_at), extract(year FROM placed_at), placed_at AT TIME ZONE 'Europe/Berlin', dayofweek(placed_at) FROM raw.orders
---
SELECT name.upper().trim() AS n FROM raw.customers
---
SELECT id, rowid FROM raw.orders
---
SELECT table_name FROM information_schema.tables
---
SELECT * FROM duckdb_tables()
---
SELECT * FROM pg_catalog.pg_tables
---
SELECT o FROM raw.orders o
---
SELECT count(*) FROM raw.orders o WHERE o.lines[1].sku = 'a'
---
SELECT * FROM raw.orders o POSITIONAL JOIN raw.customers c
---
FROM raw.orders SELECT id WHERE total > 1
---
SELECT alias: id, b: status FROM raw.orders
---
SELECT getvariable('x') AS x
---
SELECT quantile_cont(total, [0.25, 0.5]) q, histogram(total) h, bool_or(total > 1) b FROM raw.orders
---
SELECT id, ROW_NUMBER() OVER () n FROM raw.orders WINDOW w AS (PARTITION BY status)
---
WITH t AS MATERIALIZED (SELECT * FROM raw.orders) SELECT * FROM t a JOIN t b USING (id)
---
WITH orders AS (SELECT * FROM raw.orders) SELECT * FROM orders
---
SELECT * FROM (SELECT id FROM raw.orders) AS orders
---
SELECT raw.orders.id, orders.status FROM raw.orders
---
SELECT ORDERS.ID FROM RAW.ORDERS
---
SELECT id FROM "raw"."orders"
---
SELECT $$a$$ AS d, E'\n' AS e, 'it''s' AS f
---
SELECT 1 WHERE 'a' = 'a;b'
---
SELECT unnest(generate_series(1, 3)) AS n
---
SELECT id, array_length(tags) n, list_contains(tags, 'a') c, len(tags) l, tags[1] f, tags[-1] la, tags[1:2] sl FROM raw.orders
---
SELECT map_keys(attrs) k, map_entries(attrs) e, element_at(attrs, 'a') el, cardinality(attrs) c FROM raw.orders
---
SELECT json_object('a', id) j, to_json(lines) k, from_json('{}', '{"a": "INTEGER"}') f, json_keys(extra) ks FROM raw.orders
---
SELECT id, total FROM raw.orders WHERE total > ALL (SELECT total FROM raw.orders WHERE status = 'x')
---
SELECT try(1 / 0) AS t, if(total > 1, 'a', 'b') i, greatest(1, 2) g FROM raw.orders
---
SELECT 1 AS id, NULL AS nothing, NULL::INT AS typed
---
SELECT count(DISTINCT customer_id) AS n FROM raw.orders HAVING count(*) > 1
"""
OUTSIDE = """
SELECT * FROM read_csv('data/x.csv')
---
SELECT * FROM 'data/*.parquet'
---
SELECT * FROM read_parquet('s3://bucket/x.parquet')
---
SELECT a.b, c FROM read_json_auto('https://example.org/x.json')
---
SELECT * FROM read_csv('x.csv') x JOIN raw.orders o ON o.id = x.whatever
"""
DEPENDS = {"used-tables", "unused-depends"}
# What is known of the sources: everything, nothing, one of them, or columns without their types.
KNOWN = {
    "everything": SOURCES,
    "nothing": {},
    "one source": {"raw.orders": SOURCES["raw.orders"]},
    "no types": {name: dict.fromkeys(columns, "") for name, columns in SOURCES.items()},
}


def written(queries: str) -> list[str]:
    return [query.strip("\n") for query in queries.split("\n---\n")]


@pytest.fixture(scope="module")
def real() -> duckdb.DuckDBPyConnection:
    """A warehouse with the sources, as they are after a run that loaded no row."""
    connection = duckdb.connect(":memory:")
    connection.execute("CREATE SCHEMA raw")
    for name, columns in SOURCES.items():
        listed = ", ".join(f'"{column}" {kind}' for column, kind in columns.items())
        connection.execute(f"CREATE TABLE {name} ({listed})")
    return connection


@pytest.mark.parametrize("known", KNOWN)
def test_queries_that_duckdb_runs_are_right(
    real: duckdb.DuckDBPyConnection, tmp_path: Path, known: str
) -> None:
    files = Files(tmp_path)
    for number, query in enumerate(written(QUERIES)):
        context = RunContext(interval=yesterday(), variables={}, run_id="r")
        real.execute(render(query, context, "mart.t"))
        files.sql(query, name=f"mart.t{number}")
        files.sql(query, name=f"view.t{number}", kind="view")
    complaints = [f for f in files.findings(KNOWN[known]) if f.rule not in DEPENDS]
    assert complaints == []


def test_queries_on_files_are_right_whatever_stands_in_those(tmp_path: Path) -> None:
    files = Files(tmp_path)
    for number, query in enumerate(written(OUTSIDE)):
        files.sql(query, name=f"mart.t{number}")
        files.sql(f"SELECT anything FROM mart.t{number}", name=f"mart.u{number}")
    assert [f for f in files.findings() if f.severity == "error"] == []


def hooks(*pre: str, post: tuple[str, ...] = ()) -> str:
    lines = {"pre": pre, "post": post}
    return f"hooks: {json.dumps({k: [{'query': q} for q in v] for k, v in lines.items()})}\n"


SCRIPT = "materialization: {type: none}\n"
# Headers and queries of one asset; what DuckDB would find outside of the empty warehouse counts.
VALID = {
    "a macro of a hook": (
        "SELECT f(id) AS x FROM raw.orders",
        hooks("CREATE OR REPLACE TEMP MACRO f(x) AS x + 1"),
    ),
    "an extension": (
        "SELECT ST_Point(1, 2) AS p, h3_cell(id) AS c FROM raw.orders",
        hooks("INSTALL spatial; LOAD spatial;"),
    ),
    "another database": (
        "SELECT a.x FROM other.main.t a JOIN other.u USING (x)",
        hooks("ATTACH IF NOT EXISTS 'x.db' AS other (READ_ONLY)", post=("DETACH other",)),
    ),
    "settings": (
        "SELECT getvariable('x') AS v FROM raw.orders",
        hooks("SET VARIABLE x = 1", "SET memory_limit = '1GB'", "PRAGMA enable_progress_bar"),
    ),
    "a type and a sequence": (
        "SELECT status::mood AS m, nextval('s') AS n FROM raw.orders",
        hooks("CREATE TYPE mood AS ENUM ('a', 'b')", "CREATE SEQUENCE IF NOT EXISTS s"),
    ),
    "a log": (
        "SELECT id FROM raw.orders",
        hooks(
            "CREATE SCHEMA IF NOT EXISTS audit; CREATE TABLE IF NOT EXISTS audit.log (t TEXT)",
            post=("INSERT INTO audit.log VALUES ('{{ this }}')", "DELETE FROM mart.t WHERE id < 0",
                  "CREATE INDEX IF NOT EXISTS i ON mart.t (id)", "ANALYZE", "CHECKPOINT",
                  "COMMENT ON TABLE mart.t IS 'x'", "ALTER TABLE mart.t ADD COLUMN z INTEGER",
                  "DELETE FROM raw.orders WHERE id = 1"),
        ),
    ),
    "a search index": (
        "SELECT fts_main_x.match_bm25(id, 'a') AS s FROM raw.orders",
        "",
    ),
    "extensions that load themselves": (
        "SELECT * FROM read_xlsx('a.xlsx'), sqlite_scan('a.db', 't'), iceberg_scan('x')",
        "",
    ),
    "a script that makes its own tables": (
        "CREATE TABLE IF NOT EXISTS mart.t (id INT PRIMARY KEY, n INT);\n"
        "INSERT INTO mart.t SELECT 1, 2 ON CONFLICT DO NOTHING;\n"
        "INSERT OR REPLACE INTO mart.t VALUES (1, 3);\n"
        "MERGE INTO mart.t USING (SELECT 1 AS id) s ON mart.t.id = s.id WHEN MATCHED THEN DELETE;",
        SCRIPT,
    ),
    "a script that renames": (
        "BEGIN;\nCREATE OR REPLACE TABLE mart.n AS SELECT 1 AS a;\nDROP TABLE IF EXISTS mart.t;\n"
        "ALTER TABLE mart.n RENAME TO t;\nCOMMIT;",
        SCRIPT,
    ),
    "a script that changes its session": (
        "PRAGMA database_list;\nCALL pragma_version();\nUSE memory;\nCREATE TABLE z AS SELECT 1 AS a;\n"
        "CREATE TABLE mart.t (a INT);\nCOPY mart.t FROM 'x.csv';",
        SCRIPT,
    ),
    "merge": (
        "SELECT id, status, total FROM raw.orders",
        "materialization: {type: table, strategy: merge, incremental_predicate: target.total > 0}\n"
        "columns:\n  - {name: id, primary_key: true}\n  - {name: status, update_on_merge: true}\n"
        "  - {name: total, merge_sql: 'GREATEST(target.total, source.total)'}\n",
    ),
    "history": (
        "SELECT id, status FROM raw.orders",
        "materialization: {type: table, strategy: scd2_by_column}\n"
        "columns:\n  - {name: id, primary_key: true, type: bigint}\n  - {name: status, type: text}\n"
        "custom_checks: [{name: c, query: 'SELECT count(*) FROM mart.t WHERE NOT _is_current'}]\n",
    ),
    "a part of each day": (
        "SELECT id, placed_at::DATE AS d FROM raw.orders",
        "materialization: {type: table, strategy: delete+insert, incremental_key: d}\n",
    ),
    "a table without a query": (
        "",
        "materialization: {type: table, strategy: ddl}\n"
        "columns:\n  - {name: id, primary_key: true, type: bigint}\n"
        "  - {name: status, type: text, default: x, checks: [{name: not_null}]}\n",
    ),
    "every check": (
        "SELECT id, status, total, placed_at, customer_id FROM raw.orders",
        """columns:
  - name: ID
    checks: [{name: unique}, {name: not_null}, {name: positive}, {name: min, value: 1},
             {name: max, value: 1e9}, {name: accepted_values, value: [1, 2]}]
  - name: status
    checks: [{name: pattern, value: '^a$'}, {name: accepted_values, value: [a, b]},
             {name: min, value: a}]
  - name: total
    checks: [{name: range, min: 0, max: 10.5}, {name: negative}, {name: non_negative},
             {name: accepted_values, value: [1.5]}]
  - name: placed_at
    checks: [{name: min, value: '2020-01-01'}, {name: max, value: '2030-01-01T00:00:00Z'}]
  - name: customer_id
    foreign_key: {table: raw.customers, column: id}
    checks: [{name: relationships}]
custom_checks:
  - {name: one cell, query: SELECT count(*) FROM mart.t WHERE id IS NULL}
  - {name: rows, query: SELECT * FROM mart.t WHERE total < 0, count: 0}
  - {name: truth, query: "SELECT count(*) > 0 FROM {{ this }};", value: 1}
  - {name: text, query: "SELECT '1' -- one", value: 1}
""",
    ),
}  # fmt: skip


@pytest.mark.parametrize("known", KNOWN)
def test_assets_that_a_run_would_build_are_right(tmp_path: Path, known: str) -> None:
    complaints = []
    for name, (query, header) in VALID.items():
        files = Files(tmp_path / name).sql(query, header)
        found = [f for f in files.findings(KNOWN[known]) if f.rule not in DEPENDS]
        complaints += [(name, f) for f in found]
    assert complaints == []


@pytest.mark.parametrize("place", ["ours", "a stranger's"])
def test_whole_pipelines_are_right(tmp_path: Path, place: str) -> None:
    folder = ROOT / "asset_specs"
    if place != "ours":
        folder = tmp_path / "shop"
        for path, text in STRANGER.items():
            file = tmp_path / path
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text_of(text))
    log = ProblemLog()
    project = read_project(folder, log)
    assert project is not None
    before = len(log.problems)
    bind_project(project, log, source_columns=lambda asset: None)
    assert [p for p in log.problems[before:] if p.rule not in DEPENDS] == []


# A small language of queries, half of them wrong. The oracle makes real tables of what is right.
COLUMNS = st.sampled_from(["id", "a", "b", "c", "nope"])


def test_an_alias_may_be_a_column_of_a_table_that_is_not_known(tmp_path: Path) -> None:
    """DuckDB reads the column of raw.orders, if there is one, and not the number beside it."""
    files = Files(tmp_path)
    files.sql("SELECT count(*) OVER () AS a, a AS b FROM raw.orders", name="t.one")
    files.sql("SELECT upper(b) AS c FROM t.one", name="t.two", depends="[t.one]")

    assert [f for f in files.findings({}) if f.severity == "error"] == []


EXPRESSIONS = st.one_of(
    COLUMNS,
    st.builds("{} + 1".format, COLUMNS),
    st.builds("upper({})".format, COLUMNS),
    st.builds("date_trunc('day', {})".format, COLUMNS),
    st.just("count(*) OVER ()"),
    st.just("1"),
    st.just("NULL"),
)
SHAPES = st.sampled_from(
    [
        "SELECT {} AS a, {} AS b FROM {}",
        "SELECT *, {} AS c FROM {}",
        "SELECT {} AS a FROM {} WHERE {} IS NOT NULL",
        "WITH x AS (SELECT * FROM {}) SELECT {} AS b FROM x",
        "SELECT * FROM (SELECT {} AS id, * FROM {})",
        "SELECT {} AS a, count(*) AS n FROM {} GROUP BY ALL HAVING max({}) IS NULL",
    ]
)


def query_of(shape: str, expressions: list[str], table: str) -> str:
    """A shape filled in: the hole after FROM with the table, all others with expressions."""
    parts, text = shape.split("{}"), ""
    left = iter(expressions)
    for part in parts[:-1]:
        text += part
        text += table if part.endswith("FROM ") else next(left)
    return text + parts[-1]


@settings(
    max_examples=15 * int(os.environ.get("FUZZ", "1")),
    suppress_health_check=list(HealthCheck),
)
@given(
    st.lists(
        st.tuples(SHAPES, st.lists(EXPRESSIONS, min_size=3, max_size=3), st.integers(0, 9)),
        min_size=1,
        max_size=5,
    )
)
def test_random_pipelines_are_wrong_where_duckdb_says_so(
    tmp_path_factory: pytest.TempPathFactory, choices: list[tuple[str, list[str], int]]
) -> None:
    source = {"id": "BIGINT", "a": "VARCHAR", "b": "TIMESTAMP"}
    real = duckdb.connect(":memory:")
    real.execute("CREATE SCHEMA raw; CREATE SCHEMA t")
    real.execute("CREATE TABLE raw.orders (id BIGINT, a VARCHAR, b TIMESTAMP)")
    files = Files(tmp_path_factory.mktemp("shop"))
    tables, wrong, unsure = ["raw.orders"], set(), set()
    for number, (shape, expressions, choice) in enumerate(choices):
        table, name = tables[choice % len(tables)], f"t.t{number}"
        query = query_of(shape, expressions, table)
        files.sql(query, name=name, depends=f"[{table}]")
        if table in wrong | unsure:
            unsure.add(name)
        else:
            try:
                real.execute(f"CREATE TABLE {name} AS {query}")
            except duckdb.Error:
                wrong.add(name)
        tables.append(name)
    found = {
        f.file.removesuffix(".sql")
        for f in files.findings({"raw.orders": source})
        if f.severity == "error"
    }
    # What reads a broken table is not judged by columns that nobody knows.
    assert found - unsure == wrong
    # When the source cannot be asked, less is known, and nothing else is claimed.
    guessed = {f.file.removesuffix(".sql") for f in files.findings({}) if f.severity == "error"}
    assert guessed - unsure <= wrong
