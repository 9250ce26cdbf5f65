"""All keys of a source beside those of its table in DuckDB: which rows are gone, which were missed.

A watermark sees rows that come and rows that change. A deleted row leaves no trace to see, and a
row may be committed too late for any overlap. The keys tell, in the snapshot of the load: the
primary key and the incremental key of every row. Mostly they agree, and a sum over them says so.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import duckdb

from ecommerce_dagster.bruin.model.asset import Asset
from ecommerce_dagster.sources.parameters import incremental_key_of, primary_key_of
from ecommerce_dagster.sources.postgres.describe import (
    Source,
    relation_of,
    types_of,
    wanted_types,
)
from ecommerce_dagster.sql.dialect import DUCKDB
from ecommerce_dagster.sql.identifiers import quoted, relation
from ecommerce_dagster.sql.strategies import common
from ecommerce_dagster.warehouses.duckdb.database import described, types_in

_KEYS = f"temp.{quoted('_keys')}"
# The rows of the source that an appended table lacks.
LATE = f"temp.{quoted('_late')}"
_COUNT = quoted("_how many")


@dataclass(frozen=True)
class Keys:
    """The keys of `whole`, the rows that a full load would take, and those of the table of `asset`,
    which has the columns `existing`."""

    duck: duckdb.DuckDBPyConnection
    asset: Asset
    whole: Source
    existing: Mapping[str, str]

    @property
    def table(self) -> str:
        return relation(self.asset.name)

    @cached_property
    def types(self) -> dict[str, str]:
        """The type of each column of the whole source as it arrives."""
        return self._types_of(self.whole)

    def agree(self, among: str | None) -> bool:
        """See `compare.Keys`. It takes 0.3 s for a million rows, a fifth of what it takes to join
        them. Both are hashed by this DuckDB, in the types of the table."""
        marks = [
            self.duck.execute(f"SELECT count(*), sum(hash({self._names})) FROM {rows}").fetchone()
            for rows in (
                f"(\n{self._arriving_keys}\n) AS source",
                f"{self.table} WHERE {among or 'TRUE'}",
            )
        ]
        return marks[0] == marks[1]

    def stage(self) -> None:
        """Each primary key once, with its newest other values."""
        keys = {name.lower() for name in primary_key_of(self.asset)}
        names = [column.name for column in self._keys.columns]
        selected = ", ".join(
            quoted(name) if name.lower() in keys else f"max({quoted(name)}) AS {quoted(name)}"
            for name in names
        )
        grouped = ", ".join(quoted(name) for name in names if name.lower() in keys)
        self.duck.execute(
            f"CREATE OR REPLACE TEMP TABLE {quoted('_keys')} AS\nSELECT {selected}\n"
            f"FROM (\n{self._arriving_keys}\n) AS source\nGROUP BY {grouped}"
        )

    def missed(self) -> int:
        known = DUCKDB.same(described(self.duck, _KEYS), "source", "target")
        return self._count(
            f"SELECT count(*) FROM {_KEYS} AS source WHERE NOT EXISTS ("
            f"SELECT 1 FROM {self.table} AS target WHERE {known})"
        )

    def delete_gone(self, among: str | None) -> tuple[int, str]:
        keys = primary_key_of(self.asset)
        statement = common.delete_gone(DUCKDB, self.table, _KEYS, keys, among)
        return self._count(statement), statement

    def find_short(self) -> int:
        key = self._names
        self.duck.execute(
            f"CREATE OR REPLACE TEMP TABLE {quoted('_keys')} AS\n"
            f"SELECT {key}, count(*) AS {_COUNT} FROM (\n"
            f"  SELECT {key} FROM ({self._arriving_keys}) AS source\n"
            f"  EXCEPT ALL SELECT {key} FROM {self.table}\n) AS short GROUP BY ALL"
        )
        return self._count(f"SELECT coalesce(sum({_COUNT}), 0) FROM {_KEYS}")

    def keep_late(self) -> int:
        """They are kept as LATE."""
        keys = [column.name for column in self._keys.columns]
        cells = ", ".join(quoted(column.name) for column in self.whole.columns)
        short = f"SEMI JOIN {_KEYS} AS short ON {DUCKDB.same(keys, 'rows_', 'short')}"
        self.duck.execute(
            f"CREATE OR REPLACE TEMP TABLE {quoted('_late')} AS\n"
            f"SELECT {cells} FROM ({self._arriving(self.whole, self.types)}) AS rows_ {short}\n"
            f"EXCEPT ALL SELECT {cells} FROM {self.table} AS rows_ {short}"
        )
        late = f"SELECT {self._names}, count(*) AS {_COUNT} FROM {LATE} GROUP BY ALL"
        self.duck.execute(
            f"DELETE FROM {LATE} AS rows_ WHERE NOT EXISTS (\n"
            f"  SELECT 1 FROM {_KEYS} AS short JOIN ({late}) AS late ON"
            f" {DUCKDB.same([*keys, '_how many'], 'short', 'late')}\n"
            f"  WHERE {DUCKDB.same(keys, 'rows_', 'short')}\n)"
        )
        return self._count(f"SELECT count(*) FROM {LATE}")

    @cached_property
    def _keys(self) -> Source:
        """The source with the columns of the keys alone."""
        names = (*primary_key_of(self.asset), incremental_key_of(self.asset) or "")
        return self.whole.only(names)

    @property
    def _names(self) -> str:
        return ", ".join(quoted(column.name) for column in self._keys.columns)

    @cached_property
    def _arriving_keys(self) -> str:
        return self._arriving(self._keys, self._types_of(self._keys))

    def _types_of(self, source: Source) -> dict[str, str]:
        return types_of(self.duck, source, wanted_types(self.asset, source, self.existing))

    def _arriving(self, source: Source, types: Mapping[str, str]) -> str:
        """A SELECT of the rows of `source`, which arrive as `types`, in the types of the table."""
        kinds = types_in(self.duck, self.table)
        cells = ", ".join(
            f"CAST({quoted(c.name)} AS {kinds[c.name.lower()]}) AS {quoted(c.name)}"
            for c in source.columns
        )
        return f"SELECT {cells}\nFROM (\n{relation_of(self.duck, source, types)}\n) AS arriving"

    def _count(self, statement: str) -> int:
        """The number that a query returns, or that of the rows that a statement deletes."""
        ((count,),) = self.duck.execute(statement).fetchall()
        return int(count)


def forget(duck: duckdb.DuckDBPyConnection) -> None:
    """Drop what was kept aside; a connection that is used again would keep it in memory."""
    for table in (_KEYS, LATE):
        duck.execute(f"DROP TABLE IF EXISTS {table}")
