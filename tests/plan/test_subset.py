"""Parts of tables belong together: a row that is left refers to rows that are left."""

from __future__ import annotations

import os
import random
from typing import Any

import duckdb
import pytest

from ecommerce_dagster.bruin.model.asset import Asset, Column, ForeignKey
from ecommerce_dagster.runtime.existing_tables import Table
from ecommerce_dagster.runtime.subset import Subset, Wish, subset_of
from ecommerce_dagster.warehouses.query import QueryError

SEEDS = range(40 * int(os.environ.get("FUZZ", "1")))


class Shop:
    """Tables with keys, of which some refer to others, some to nothing that is there."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.duck = duckdb.connect(":memory:")
        self.duck.execute("CREATE SCHEMA raw")
        self.tables: list[Table] = []
        for number in range(self.random.randint(2, 6)):
            self.tables.append(self.table(number))

    def table(self, number: int) -> Table:
        draw, rows = self.random, self.random.randint(50, 200)
        columns = [Column(name=f"k{number}", primary_key=True)]
        if self.tables and draw.random() < 0.4:  # a row for each of another table
            other = draw.choice(self.tables).asset
            key = ForeignKey(table=other.name, column=other.columns[0].name)
            columns = [Column(name=f"k{number}", primary_key=True, foreign_key=key)]
        parts = [
            f"n AS k{number}",
            f"DATE '2025-01-01' + CAST(n % {draw.randint(2, 9)} AS INT) AS day",
        ]
        for parent in draw.choices(self.tables, k=draw.randint(1, 3)) if self.tables else ():
            parent_key = parent.asset.columns[0].name
            name = draw.choice([parent_key, f"of_{parent_key}_{len(parts)}"])
            if name in {column.name for column in columns}:
                continue
            lost = draw.randint(0, 60)  # keys that no parent has
            parts.append(
                f"CASE WHEN n % 7 > 0 THEN 1 + (n * {draw.randint(3, 31)}) % {100 + lost} END AS {name}"
            )
            declared = ForeignKey(table=parent.asset.name, column=parent_key)
            columns.append(Column(name=name, foreign_key=declared if draw.random() < 0.8 else None))
        name = f"raw.t{number}"
        self.duck.execute(
            f"CREATE TABLE {name} AS SELECT {', '.join(parts)} FROM range(1, {rows}) AS r(n)"
        )
        how = {"incremental_key": "day"} if draw.random() < 0.5 else {}
        asset = Asset(name=name, columns=tuple(columns), parameters=how)
        types = {str(row[0]): str(row[1]) for row in self.ask(f"DESCRIBE {name}")}
        return Table(asset, name, types)

    def ask(self, sql: str) -> list[tuple[Any, ...]]:
        return self.duck.execute(sql).fetchall()

    def left(self, subset: Subset, name: str) -> str:
        return f"(SELECT * FROM {name} WHERE {subset.conditions.get(name, 'true')})"


@pytest.mark.parametrize("seed", SEEDS)
def test_no_row_that_is_left_has_lost_its_parent(seed: int) -> None:
    shop = Shop(seed)
    names = [table.asset.name for table in shop.tables]
    for wish in (Wish(percent=20.0), Wish(days=2), Wish()):
        try:
            subset = subset_of(shop.tables, names, wish, shop.ask)
        except QueryError:
            assert wish.days
            assert not any(t.asset.parameters for t in shop.tables)
            continue
        assert subset.conditions, subset.of
        for table in shop.tables:
            name = table.asset.name
            for column in table.asset.columns:
                key = column.foreign_key
                if key is None:
                    continue
                own, parent = f"c.{column.name}", shop.left(subset, key.table)
                lost = shop.ask(
                    f"SELECT count(*) FROM {shop.left(subset, name)} AS c WHERE {own} IN "
                    f"(SELECT {key.column} FROM {key.table}) AND {own} NOT IN "
                    f"(SELECT {key.column} FROM {parent})"
                )
                assert lost == [(0,)], (subset.of, name, column.name)
        if wish.percent and subset.conditions.keys() == {*names}:
            [(some,)] = shop.ask(f"SELECT count(*) FROM {shop.left(subset, names[-1])}")
            [(every,)] = shop.ask(f"SELECT count(*) FROM {names[-1]}")
            assert some < every


def test_a_name_that_every_table_has_is_no_relation() -> None:
    duck = duckdb.connect(":memory:")
    duck.execute("CREATE TABLE a AS SELECT range AS id FROM range(100)")
    duck.execute("CREATE TABLE b AS SELECT range AS id, range AS a_id FROM range(100)")
    tables = [
        Table(Asset(name=n, columns=(Column(name="id", primary_key=True),)), n, types)
        for n, types in (("a", {"id": "BIGINT"}), ("b", {"id": "BIGINT", "a_id": "BIGINT"}))
    ]
    subset = subset_of(
        tables, ["a", "b"], Wish(percent=10.0), lambda sql: duck.execute(sql).fetchall()
    )
    assert [*subset.conditions] == ["a"]
