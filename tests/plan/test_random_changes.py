"""Random pipelines and changes: whatever is called not affected has the same rows in DuckDB.

The model knows nothing of lineage: it builds all tables before and after the change and compares
what is in them.
"""

from __future__ import annotations

import os
import random
from collections.abc import Iterator
from pathlib import Path

import duckdb
import pytest

from ecommerce_dagster.bruin.problems import ProblemLog
from ecommerce_dagster.bruin.project import Project, read_project
from ecommerce_dagster.runtime.plan.impact import Comparison, Side, compare

SEEDS = range(25 * int(os.environ.get("FUZZ", "1")))

Select = dict[str, object]
BASES = {
    "raw.a": "SELECT i AS id, i % 3 AS k, i * 7 % 5 AS v, CASE WHEN i % 4 = 0 THEN NULL ELSE 'x' || i % 3 END AS s FROM range(12) r(i)",
    "raw.b": "SELECT i AS id, i % 4 AS k, i * 5 % 7 AS w, ['p', 'q', NULL][i % 3 + 1] AS s FROM range(9) r(i)",
}
COLUMNS = {"raw.a": ["id", "k", "v", "s"], "raw.b": ["id", "k", "w", "s"]}


class Pipeline:
    """Tables by name: each a query in pieces, so that one piece can be changed."""

    def __init__(self, rng: random.Random) -> None:
        self.rng = rng
        self.columns = dict(COLUMNS)
        self.tables: dict[str, Select] = {}
        for number in range(rng.randint(3, 5)):
            name = f"mart.t{number}"
            self.tables[name] = self.select(list(self.columns))
            self.columns[name] = [alias for alias, _ in self.tables[name]["columns"]]

    def select(self, tables: list[str]) -> Select:
        rng = self.rng
        left = rng.choice(tables[-3:])
        right = rng.choice([None, None, rng.choice(tables)])
        names = [f"l.{c}" for c in self.columns[left] if c.isidentifier()]
        if right is not None:
            names += [f"r.{c}" for c in self.columns[right]]
        grouped = rng.random() < 0.3
        query: Select = {
            "left": left,
            "right": right,
            "join": rng.choice(["JOIN", "LEFT JOIN"]),
            "on": f"l.{rng.choice(self.columns[left])}::VARCHAR = r.{rng.choice(self.columns[right])}::VARCHAR"
            if right
            else "",
            "where": rng.choice(["", "", self.condition(names)]),
            "distinct": rng.random() < 0.1,
            "grouped": grouped,
            "order": rng.choice(["", "", "ORDER BY ALL"]),
            "limit": rng.choice(["", "", "", f" LIMIT {rng.randint(2, 5)}"]),
            "shape": rng.choice(["plain", "plain", "cte", "subquery", "union", "star"]),
        }
        if query["limit"]:
            query["order"] = "ORDER BY ALL"
        query["columns"] = self.outputs(names, grouped=grouped)
        if query["shape"] == "star" and (grouped or right):
            query["shape"] = "plain"
        if query["shape"] == "star":
            query["columns"] = [(c, f"l.{c}") for c in self.columns[left]]
        return query

    def outputs(self, names: list[str], *, grouped: bool) -> list[tuple[str, str]]:
        found = []
        for number in range(self.rng.randint(2, 4)):
            alias = self.rng.choice([f"c{number}", f"c{number}", "k", "v", "w"])
            if alias not in dict(found):
                found.append((alias, self.expression(names, aggregate=grouped and number > 0)))
        if self.rng.random() < 0.3 and not grouped and found:
            found.append(("d", f"{found[0][0]} || '!'"))
        return found

    def expression(self, names: list[str], *, aggregate: bool) -> str:
        rng = self.rng
        one, other = rng.choice(names), rng.choice(names)
        bare = (
            one.split(".")[1]
            if sum(n.endswith(f".{one.split('.')[1]}") for n in names) == 1
            else one
        )
        if aggregate:
            return rng.choice(
                [f"count({one})", "count(*)", f"max({one}::VARCHAR)", f"count(DISTINCT {bare})"]
            )
        return rng.choice([
            one, bare, f"coalesce({one}::VARCHAR, {other}::VARCHAR)", f"upper({bare}::VARCHAR)",
            f"CASE WHEN {one}::VARCHAR > '2' THEN {other}::VARCHAR END", "'constant'",
            f"rank() OVER (ORDER BY {one}::VARCHAR)", f"count(*) OVER (PARTITION BY {bare})",
            f"(SELECT max(x.id) FROM raw.b x WHERE x.s::VARCHAR = {one}::VARCHAR)",
            f"{one}::VARCHAR IN (SELECT z.s FROM raw.a z)",
        ])  # fmt: skip

    def condition(self, names: list[str]) -> str:
        one = self.rng.choice(names)
        return self.rng.choice(
            [
                f"{one}::VARCHAR > '1'",
                f"{one} IS NOT NULL",
                f"EXISTS (SELECT 1 FROM raw.a z WHERE z.s::VARCHAR = {one}::VARCHAR)",
            ]
        )

    def change(self) -> None:
        """Change one or two pieces of the tables."""
        for _ in range(self.rng.choice([1, 1, 1, 2])):
            self._change(self.tables[self.rng.choice(list(self.tables)[:3])])

    def _change(self, query: Select) -> None:  # noqa: C901, PLR0912 - a kind of change in each branch
        rng, columns = self.rng, list(query["columns"])
        left, right = str(query["left"]), query["right"]
        names = [f"l.{c}" for c in COLUMNS.get(left, []) or self.columns[left]]
        names += [f"r.{c}" for c in self.columns[str(right)]] if right else []
        at = rng.randrange(len(columns))
        grouped = bool(query["grouped"])
        kind = rng.choice(
            [
                "value",
                "value",
                "add",
                "drop",
                "rename",
                "where",
                "distinct",
                "join",
                "order",
                "limit",
                "swap",
                "cast",
            ]
        )
        if kind == "value":
            columns[at] = (columns[at][0], self.expression(names, aggregate=grouped and at > 0))
        elif kind == "add":
            alias = rng.choice(["extra", "id", "s", "v", "w", "k", "c0"])
            if alias not in dict(columns):
                columns.append((alias, self.expression(names, aggregate=grouped)))
        elif kind == "drop" and len(columns) > 1:
            del columns[at]
        elif kind == "rename":
            columns[at] = ("renamed", columns[at][1])
        elif kind == "where":
            query["where"] = self.condition(names)
        elif kind == "distinct":
            query["distinct"] = not query["distinct"]
        elif kind == "join":
            query["join"] = {"JOIN": "LEFT JOIN", "LEFT JOIN": "JOIN"}[str(query["join"])]
        elif kind == "order":
            query["order"] = rng.choice(["ORDER BY 1 DESC", "ORDER BY 1", "ORDER BY ALL"])
        elif kind == "limit":
            query["limit"], query["order"] = " LIMIT 3", "ORDER BY ALL"
        elif kind == "swap":
            columns.reverse()
        elif kind == "cast":
            columns[at] = (columns[at][0], f"({columns[at][1]})::VARCHAR")
        query["columns"] = columns
        if query["shape"] == "star" and kind in {"value", "add", "drop", "rename", "swap", "cast"}:
            query["shape"] = "plain"

    def sql(self, name: str) -> str:
        query = self.tables[name]
        columns = ", ".join(f"{text} AS {alias}" for alias, text in query["columns"])
        source = str(query["left"])
        join = f" {query['join']} {query['right']} r ON {query['on']}" if query["right"] else ""
        tail = f" WHERE {query['where']}" if query["where"] else ""
        tail += " GROUP BY ALL" if query["grouped"] else ""
        word = "SELECT DISTINCT" if query["distinct"] else "SELECT"
        ordered = f" {query['order']}{query['limit']}"
        match query["shape"]:
            case "cte":
                text = f"WITH l0 AS (SELECT * FROM {source}) {word} {columns} FROM l0 AS l{join}{tail}{ordered}"
            case "subquery":
                inner = f"SELECT {columns} FROM {source} AS l{join}{tail}"
                aliases = ", ".join(f"q.{alias}" for alias, _ in query["columns"])
                text = f"{word} {aliases} FROM ({inner}) AS q{ordered}"
            case "union":
                one = f"{word} {columns} FROM {source} AS l{join}{tail}"
                other = ", ".join(f"NULL AS {alias}" for alias, _ in query["columns"])
                text = f"{one} UNION ALL SELECT {other}{ordered}"
            case "star":
                text = f"{word} * FROM {source} AS l{tail}{ordered}"
            case _:
                text = f"{word} {columns} FROM {source} AS l{join}{tail}{ordered}"
        return text


def written(folder: Path, queries: dict[str, str]) -> Project:
    (folder / "assets").mkdir(parents=True)
    (folder / "pipeline.yml").write_text("name: random\n")
    for name, sql in queries.items():
        depends = [other for other in queries if other != name and other in sql]
        (folder / f"assets/{name}.sql").write_text(
            f"/* @bruin\nname: {name}\ntype: duckdb.sql\nmaterialization: {{type: table}}\n"
            f"depends: {depends}\n@bruin */\n{sql}\n"
        )
    found = read_project(folder, ProblemLog())
    assert found is not None
    return found


def built(queries: dict[str, str]) -> Iterator[tuple[str, duckdb.DuckDBPyConnection]]:
    """The tables that could be made, in a database of their own."""
    with duckdb.connect(":memory:", config={"threads": 1}) as connection:
        connection.execute("CREATE SCHEMA raw; CREATE SCHEMA stg; CREATE SCHEMA mart")
        for name, sql in queries.items():
            try:
                connection.execute(f"CREATE TABLE {name} AS {sql}")
            except duckdb.Error:
                continue
            yield name, connection


def contents(queries: dict[str, str]) -> dict[str, dict[str, list[object]]]:
    """Each table as its columns, all in the order of its rows."""
    found = {}
    for name, connection in built(queries):
        cursor = connection.execute(f"SELECT * FROM {name}")
        names = [column[0].lower() for column in cursor.description]
        rows = cursor.fetchall()
        found[name] = {column: [row[n] for row in rows] for n, column in enumerate(names)}
    return found


def same_rows(
    columns: list[str], one: dict[str, list[object]], other: dict[str, list[object]]
) -> bool:
    """Whether these columns together hold the same rows, in whatever order."""
    tables = [zip(*(table[column] for column in columns), strict=True) for table in (one, other)]
    first, second = (sorted(map(repr, table)) for table in tables)
    return first == second


def wrongly_unaffected(queries: list[dict[str, str]], comparison: Comparison) -> list[str]:
    """The tables and columns that are called not affected, and are."""
    before, after = map(contents, queries)
    verdicts = {impact.asset: impact.columns for impact in comparison.impacts}
    wrong = []
    for name in before:
        columns = verdicts.get(name)
        kept = [c for c in before[name] if columns is None or columns.get(c, "?") == "unaffected"]
        if not kept:
            continue
        if name not in after or not all(c in after[name] for c in kept):
            wrong.append(f"{name}: {kept} cannot be built")
        elif not same_rows(kept, before[name], after[name]):
            wrong.append(f"{name}: {kept} differ")
    return wrong


@pytest.mark.parametrize("seed", SEEDS)
def test_no_table_is_called_unaffected_that_is_affected(seed: int, tmp_path: Path) -> None:
    pipeline = Pipeline(random.Random(seed))
    before = {**BASES, **{name: pipeline.sql(name) for name in pipeline.tables}}
    pipeline.change()
    after = {**BASES, **{name: pipeline.sql(name) for name in pipeline.tables}}
    sides = [Side(written(tmp_path / n, q)) for n, q in (("old", before), ("new", after))]
    comparison = compare(*sides)
    wrong = wrongly_unaffected([before, after], comparison)
    texts = "\n".join(f"{n}:\n  {before[n]}\n  {after[n]}" for n in before if n not in BASES)
    assert not wrong, f"seed {seed}: {wrong}\n{texts}"
