"""Readers of every kind, and changes of what they read: what is called not affected has the same
rows in DuckDB."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from ecommerce_dagster.runtime.plan.impact import Side, compare
from plan.test_random_changes import contents, written, wrongly_unaffected

RAW = (
    "SELECT i AS id, i % 3 AS k, i * 7 % 5 AS v, 'x' || i % 4 AS s, [i, i + 1] AS l, "
    "{'f': i, 'g': i % 2} AS st FROM range(12) r(i)"
)
ROWS = "SELECT id, k, v, s, l, st FROM raw.t"
CHANGES = {
    "a value": "SELECT id, k, v + 1 AS v, s, l, st FROM raw.t",
    "a key": "SELECT id, k % 2 AS k, v, s, l, st FROM raw.t",
    "a text": "SELECT id, k, v, upper(s) AS s, l, st FROM raw.t",
    "a list": "SELECT id, k, v, s, [id] AS l, st FROM raw.t",
    "a struct": "SELECT id, k, v, s, l, {'f': id + 1, 'g': id % 2} AS st FROM raw.t",
    "another struct": "SELECT id, k, v, s, l, {'f': id, 'h': 1} AS st FROM raw.t",
    "the number": "SELECT id * 2 AS id, k, v, s, l, st FROM raw.t",
    "the number, in another order": "SELECT -id AS id, k, v, s, l, st FROM raw.t ORDER BY id",
    "a filter": f"{ROWS} WHERE id <> 5",
    "an order": f"{ROWS} ORDER BY v DESC, id",
    "columns in another order": "SELECT st, l, s, v, k, id FROM raw.t",
    "two swapped": "SELECT id, v AS k, k AS v, s, l, st FROM raw.t",
    "a new column": "SELECT id, k, v, s, l, st, 1 AS n FROM raw.t",
    "a new column q": "SELECT id, k, v, s, l, st, -v AS q FROM raw.t",
    "a new column w": "SELECT id, k, v, s, l, st, 'w' AS w FROM raw.t",
    "a column less": "SELECT id, k, s, l, st FROM raw.t",
    "a column renamed": "SELECT id, k, v AS w, s, l, st FROM raw.t",
    "another type": "SELECT id, k, v::DOUBLE AS v, s, l, st FROM raw.t",
    "a window": "SELECT id, k, sum(v) OVER (ORDER BY id) AS v, s, l, st FROM raw.t",
    "once": "SELECT DISTINCT id, k, v, s, l, st FROM raw.t",
    "twice": f"{ROWS} UNION ALL SELECT id, k, v, s, l, st FROM raw.t WHERE id = 1",
    "fewer": f"{ROWS} ORDER BY id LIMIT 5",
    "a sum": "SELECT max(id) AS id, k, max(v) AS v, s, max(l) AS l, max(st) AS st FROM raw.t GROUP BY ALL",
    "a CTE": f"WITH c AS ({ROWS} WHERE k = 1) SELECT * FROM c",
}
READERS = [
    "SELECT id, v FROM stg.a",
    "SELECT * FROM stg.a",
    "SELECT a.* EXCLUDE (v, st) FROM stg.a AS a",
    "SELECT * REPLACE (k + 1 AS k) FROM stg.a",
    "SELECT COLUMNS('id|v') FROM stg.a",
    "SELECT COLUMNS(* EXCLUDE (l, st))::VARCHAR FROM stg.a",
    "SELECT a FROM stg.a AS a",
    "SELECT st.f AS f, s FROM stg.a",
    "SELECT a.st.f AS f, a.s FROM stg.a AS a",
    "SELECT unnest(l) AS e, id FROM stg.a",
    "SELECT id, u.e FROM stg.a, unnest(l) AS u(e)",
    "SELECT id, list_transform(l, lambda e: e + v) AS m FROM stg.a",
    "SELECT unnest(st) FROM stg.a",
    "SELECT k, count(*) AS n FROM stg.a GROUP BY k",
    "SELECT k, sum(v) AS n, max(s) AS m FROM stg.a GROUP BY ALL",
    "SELECT k AS g, min(s) AS m FROM stg.a GROUP BY g",
    "SELECT s, min(id) AS m FROM stg.a GROUP BY 1",
    "SELECT k, s, count(*) AS n FROM stg.a GROUP BY ROLLUP (k, s)",
    "SELECT k, count(*) AS n FROM stg.a GROUP BY k HAVING max(v) > 2",
    "SELECT count(*) AS n FROM stg.a",
    "SELECT count(v) AS n, max(id) AS m FROM stg.a",
    "SELECT first(s) AS f, min(k) AS m FROM stg.a",
    "SELECT list(s) AS f, min(k) AS m FROM stg.a",
    "SELECT string_agg(s, ',' ORDER BY v) AS f, min(id) AS m FROM stg.a",
    "SELECT arg_max(s, v) AS f FROM stg.a",
    "SELECT id, row_number() OVER (ORDER BY v, id) AS n FROM stg.a",
    "SELECT id, row_number() OVER () AS n FROM stg.a",
    "SELECT id, sum(k) OVER w AS n FROM stg.a WINDOW w AS (PARTITION BY s ORDER BY id)",
    "SELECT id, s FROM stg.a QUALIFY row_number() OVER (PARTITION BY k ORDER BY v, id) = 1",
    "SELECT DISTINCT k, s FROM stg.a",
    "SELECT DISTINCT ON (k) k, id, s FROM stg.a ORDER BY k, v, id",
    "SELECT id, s FROM stg.a ORDER BY v, id LIMIT 3",
    "SELECT id, k FROM stg.a LIMIT 3",
    "SELECT id, k FROM stg.a ORDER BY 2, 1 LIMIT 3",
    "SELECT k, id FROM stg.a ORDER BY ALL LIMIT 3",
    "SELECT id FROM stg.a LIMIT (SELECT max(k) FROM stg.a)",
    "SELECT id, s FROM stg.a UNION SELECT k, s FROM stg.a",
    "SELECT id, s FROM stg.a UNION ALL SELECT v, 'y' FROM stg.a",
    "SELECT id, s FROM stg.a UNION ALL BY NAME SELECT id, k FROM stg.a",
    "SELECT id FROM stg.a EXCEPT SELECT v FROM stg.a",
    "SELECT k FROM stg.a INTERSECT ALL SELECT v FROM stg.a",
    "(SELECT id, k FROM stg.a ORDER BY v, id LIMIT 2) UNION ALL (SELECT 0, 0)",
    "SELECT * FROM stg.a UNION ALL SELECT * FROM stg.a",
    "SELECT l.id, r.s FROM stg.a AS l JOIN stg.a AS r ON l.k = r.id",
    "SELECT id, b.s FROM stg.a AS l JOIN raw.t AS b USING (id)",
    "SELECT l.k FROM stg.a AS l NATURAL JOIN raw.t AS b",
    "SELECT l.id FROM stg.a AS l SEMI JOIN raw.t AS b ON l.v = b.id",
    "SELECT l.id, b.s FROM stg.a AS l ASOF JOIN raw.t AS b ON l.id >= b.id",
    "SELECT l.s, b.id FROM stg.a AS l POSITIONAL JOIN raw.t AS b",
    "SELECT l.id, x.m FROM stg.a AS l, LATERAL (SELECT max(b.id) AS m FROM raw.t AS b WHERE b.k = l.v) AS x",
    "SELECT id, (SELECT max(b.v) FROM raw.t AS b WHERE b.id = a.k) AS m FROM stg.a AS a",
    "SELECT id, (SELECT max(q.v) FROM stg.a AS q WHERE q.id = t.k) AS m FROM raw.t AS t",
    "SELECT id FROM raw.t AS t WHERE EXISTS (SELECT 1 FROM stg.a AS q WHERE q.v = t.id)",
    "SELECT id FROM raw.t AS t WHERE id IN (SELECT v FROM stg.a)",
    "SELECT id FROM raw.t AS t WHERE id > ALL (SELECT k FROM stg.a)",
    "SELECT id FROM raw.t WHERE (id, k, v, s, l, st) IN (SELECT * FROM stg.a)",
    "SELECT id, s FROM raw.t WHERE (id, s) IN (SELECT id, s FROM stg.a)",
    "SELECT id, (SELECT count(*) FROM raw.t WHERE w = 1) AS n FROM (SELECT id, k AS w FROM stg.a)",
    "SELECT k AS q, q + 1 AS n FROM stg.a",
    "SELECT k + 1 AS k, k AS n FROM stg.a",
    "SELECT k AS w, s FROM stg.a WHERE w = 1",
    "SELECT -k AS q, id FROM stg.a ORDER BY q, id LIMIT 4",
    "WITH c AS (SELECT id, k FROM stg.a), d AS (SELECT k, count(*) AS n FROM c GROUP BY k) SELECT d.n, c.id FROM c JOIN d USING (k)",
    "WITH c(p, q) AS (SELECT id, s FROM stg.a) SELECT p FROM c",
    "WITH RECURSIVE c AS (SELECT id FROM stg.a UNION SELECT k FROM stg.a JOIN c USING (id)) SELECT id FROM c",
    "WITH a AS (SELECT id FROM raw.t) SELECT a.id FROM a",
    "SELECT q.n FROM (SELECT id AS n, v FROM stg.a ORDER BY v, id LIMIT 4) AS q",
    "SELECT x.n FROM (SELECT y.id AS n, y.s FROM (SELECT id, s, v FROM stg.a) AS y) AS x",
    "SELECT p FROM (SELECT id, s FROM stg.a) AS q(p, r)",
    "FROM stg.a SELECT id, s",
    "FROM stg.a",
    "PIVOT stg.a ON k USING count(*) GROUP BY s",
    "SELECT * FROM (SELECT id, k, v FROM stg.a) UNPIVOT (n FOR c IN (k, v))",
    "SELECT id, CASE WHEN k = 1 THEN s END AS c FROM stg.a WHERE id BETWEEN 2 AND 8",
    "SELECT id, s[1] AS c, l[1] AS d FROM stg.a",
    "SELECT id, hash(a) AS h FROM stg.a AS a",
    "SELECT id, struct_pack(p := k, q := s) AS p FROM stg.a",
    "SELECT to_json(a) AS j FROM stg.a AS a",
    "SELECT id FROM query_table('stg.a')",
    "SELECT count(*) FILTER (WHERE v > 2) AS n, k FROM stg.a GROUP BY k",
    "SELECT grouping_id(k) AS g, count(*) AS n FROM stg.a GROUP BY CUBE (k)",
    "SELECT id FROM stg.a USING SAMPLE 100%",
    "SELECT \"id\" AS \"Id\", S FROM STG.A",
    "SELECT a.id FROM raw.t AS a ORDER BY (SELECT max(v) FROM stg.a), id LIMIT 2",
    "VALUES (1, (SELECT max(v) FROM stg.a))",
    "SELECT id FROM stg.a WHERE s LIKE 'x1%' OR st IS NULL",
    "SELECT k, any_value(s) AS c FROM stg.a GROUP BY k",
    "SELECT sum(count(*)) OVER () AS n FROM stg.a GROUP BY k",
    "SELECT s, sum(count(*)) OVER (PARTITION BY s) AS n FROM stg.a GROUP BY s, v",
]  # fmt: skip


BEFORE = {
    "raw.t": RAW,
    "stg.a": ROWS,
    **{f"mart.r{number}": sql for number, sql in enumerate(READERS)},
}
# All of them with FUZZ=1 or more.
TRIED = list(CHANGES)[:: 1 if "FUZZ" in os.environ else 3]


@pytest.fixture(scope="module")
def old(tmp_path_factory: pytest.TempPathFactory) -> Side:
    """The readers before the change, each of which DuckDB can build."""
    assert list(contents(BEFORE)) == list(BEFORE)
    return Side(written(tmp_path_factory.mktemp("old") / "pipeline", BEFORE))


@pytest.mark.parametrize("name", TRIED)
def test_no_reader_is_called_unaffected_that_is_affected(
    name: str, old: Side, tmp_path: Path
) -> None:
    after = {**BEFORE, "stg.a": CHANGES[name]}
    comparison = compare(old, Side(written(tmp_path / "pipeline", after)))
    wrong = wrongly_unaffected([BEFORE, after], comparison)
    assert [f"{one}   {BEFORE[one.split(':')[0]]}" for one in wrong] == []
    # And not by calling everything affected.
    verdicts = [impact.verdict for impact in comparison.impacts]
    assert (
        name in {"a filter", "fewer", "once", "twice", "a sum", "a CTE"} or "unaffected" in verdicts
    )
