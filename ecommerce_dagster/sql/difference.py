"""The SQL that compares two tables of DuckDB: by a key, or by whole rows where there is none.

One scan of each side and one join tell how many rows came, went and changed, how often each column
did, and sums; the rows of examples are read by their keys. What does not fit into memory DuckDB
writes to disk.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from ecommerce_dagster.sql.identifiers import quoted

_INTEGERS = {f"{sign}{size}INT" for sign in ("", "U") for size in ("TINY", "SMALL", "BIG", "HUGE")}
_INTEGERS |= {"INTEGER", "UINTEGER", "BIGNUM"}
_WIDE = {"HUGEINT", "UHUGEINT", "BIGNUM"}
_FLOATS = {"DOUBLE", "FLOAT"}
_DECIMAL = re.compile(r"DECIMAL\((\d+),\d+\)")
_TIMES = {"DATE", "TIMESTAMP", "TIMESTAMP WITH TIME ZONE"}
_TIMES |= {"TIMESTAMP_S", "TIMESTAMP_MS", "TIMESTAMP_NS"}

# What `Comparison.by_key` asks of each column: how many rows differ; values that are not NULL
# before and after; their sums, NULL of what is no number.
FACTS = 5
# Of so many rows that changed examples are taken: to look for them column by column in the join
# would take as long as the join.
_SAMPLE = 100


def is_number(kind: str) -> bool:
    """Whether values of a type of DuckDB can be added up."""
    return kind in _INTEGERS | _FLOATS or kind.startswith("DECIMAL")


@dataclass(frozen=True)
class SharedColumn:
    """A column that both sides have, by its name on each, and DuckDB's types there."""

    before: str
    after: str
    type_before: str
    type_after: str

    @property
    def name(self) -> str:
        return self.after

    @property
    def is_number(self) -> bool:
        return is_number(self.type_before) and is_number(self.type_after)

    def value(self, side: str) -> str:
        """Its value on a side (`before` or `after`) in a form that can be compared: numbers with
        numbers, times with times, else texts."""
        name = quoted(self.before if side == "before" else self.after)
        kinds = {self.type_before, self.type_after}
        if len(kinds) == 1 or self.is_number or kinds <= _TIMES:
            return name
        return f"CAST({name} AS VARCHAR)"


def shared_columns(before: Mapping[str, str], after: Mapping[str, str]) -> list[SharedColumn]:
    """The columns that both sides have, whatever their case, in the order of `after`.

    `before` and `after` give the type of each column by its name.
    """
    there = {name.lower(): name for name in before}
    return [
        SharedColumn(there[name.lower()], name, before[there[name.lower()]], kind)
        for name, kind in after.items()
        if name.lower() in there
    ]


@dataclass(frozen=True)
class Comparison:
    """Two relations (SQL that can stand after FROM) and what of them is compared.

    `key` are columns that identify a row, `columns` the others. Numbers whose difference is at most
    `tolerance` percent of the larger one are equal. `examples` is how many are asked for.
    """

    before: str
    after: str
    key: Sequence[SharedColumn]
    columns: Sequence[SharedColumn]
    tolerance: float = 0.0
    examples: int = 3

    def by_key(self, into: str) -> str:
        """Make the table `into` of one row: rows before and after, matches, added, removed,
        changed; the FACTS of each column; keys of added, of removed, and of changed rows."""
        numbers = range(len(self.columns))
        asked = [
            # Not of the join: a row with several matches is there as often.
            f"(SELECT count(*) FROM {self.before})",
            f"(SELECT count(*) FROM {self.after})",
            "count(*) FILTER (b_there AND a_there)",
            "count(*) FILTER (b_there IS NULL)",
            "count(*) FILTER (a_there IS NULL)",
            "count(*) FILTER (d)",
            *(fact for n in numbers for fact in self._facts(n)),
            self._keys("a", self.examples, "b_there IS NULL"),
            self._keys("b", self.examples, "a_there IS NULL"),
            self._keys("a", _SAMPLE if self.examples else 0, "d"),
        ]
        return self._table(into, asked, self._joined(numbers))

    def keys_of(self, into: str, columns: Collection[int]) -> str:
        """Make the table `into` of one row: keys of rows in which one of these columns differs, for
        each of them, by its place."""
        asked = [self._keys("a", self.examples, f"d{n}") for n in columns]
        return self._table(into, asked, self._joined(columns))

    def rows_of(self, keys: str) -> str:
        """Rows of the keys in a column of a table (`table.column`), in their order: the key, then
        for each column whether it differs, before and after."""
        table, column = keys.rsplit(".", 1)
        fields = [f"k.k{n}" for n in range(len(self.key))]
        cells = [
            cell
            for n, each in enumerate(self.columns)
            for cell in (self._differs(each, n), f"b_c{n}", f"a_c{n}")
        ]
        joins = [
            f"JOIN {self._side(side, mark)} ON "
            + " AND ".join(f"{mark}_{f[2:]} IS NOT DISTINCT FROM {f}" for f in fields)
            for side, mark in (("before", "b"), ("after", "a"))
        ]
        wanted = f"(SELECT unnest({column}) AS k FROM {table})"
        return f"SELECT {', '.join([*fields, *cells])} FROM {wanted} {' '.join(joins)} ORDER BY ALL"

    def _joined(self, columns: Collection[int]) -> str:
        """The rows of both sides, `d` and `d0`, `d1`, ... for what differs in rows of both."""
        differ = [f"{self._differs(self.columns[n], n)} AS d{n}" for n in columns]
        names = " OR ".join(f"d{n}" for n in columns) or "FALSE"
        same = " AND ".join(f"b_k{n} IS NOT DISTINCT FROM a_k{n}" for n in range(len(self.key)))
        joined = f"{self._side('before', 'b')} FULL OUTER JOIN {self._side('after', 'a')} ON {same}"
        both = "b_there AND a_there"
        return (
            f"(SELECT *, {both} AND ({names}) AS d FROM (SELECT *"
            f"{''.join(f', {both} AND {each}' for each in differ)} FROM {joined}))"
        )

    def _table(self, into: str, asked: Sequence[str], rows: str) -> str:
        cells = ", ".join(f"{each} AS x{n}" for n, each in enumerate(asked))
        return f"CREATE OR REPLACE TEMP TABLE {into} AS SELECT {cells} FROM {rows}"

    def by_rows(self, into: str) -> str:
        """Make the table `into`: each row that one side has more often than the other, and how much
        more often `after` has it (less than 0: `before`)."""
        columns = [*self.key, *self.columns]
        sides = [
            f"SELECT {', '.join(f'{c.value(s)} AS {quoted(c.name)}' for c in columns)}, {n} AS _n"
            f" FROM {relation}"
            for s, relation, n in (("before", self.before, -1), ("after", self.after, 1))
        ]
        names = ", ".join(quoted(column.name) for column in columns)
        return (
            f"CREATE OR REPLACE TEMP TABLE {into} AS SELECT {names}, sum(_n)::BIGINT AS _n "
            f"FROM ({' UNION ALL '.join(sides)}) GROUP BY {names} HAVING sum(_n) <> 0"
        )

    def _side(self, side: str, mark: str) -> str:
        relation = self.before if side == "before" else self.after
        cells = [f"TRUE AS {mark}_there"]
        cells += [f"{c.value(side)} AS {mark}_k{n}" for n, c in enumerate(self.key)]
        cells += [f"{c.value(side)} AS {mark}_c{n}" for n, c in enumerate(self.columns)]
        return f"(SELECT {', '.join(cells)} FROM {relation})"

    def _differs(self, column: SharedColumn, n: int) -> str:
        unlike = f"b_c{n} IS DISTINCT FROM a_c{n}"
        if not self.tolerance or not column.is_number:
            return unlike
        before, after = f"b_c{n}::DOUBLE", f"a_c{n}::DOUBLE"
        most = f"{self.tolerance / 100!r} * greatest(abs({before}), abs({after}))"
        near = f"abs({before} - {after}) <= {most}"
        return f"({unlike} AND NOT coalesce({near}, FALSE))"

    def _facts(self, n: int) -> list[str]:
        column = self.columns[n]
        found = [f"count(*) FILTER (d{n})", f"count(b_c{n})", f"count(a_c{n})"]
        return [*found, *(_sum(column, side, n) for side in "ba")]

    def _keys(self, mark: str, most: int, condition: str) -> str:
        """The first keys of some rows."""
        fields = ", ".join(f"k{n} := {mark}_k{n}" for n in range(len(self.key)))
        found = f"min(struct_pack({fields}), {most}) FILTER ({condition})"
        return f"coalesce({found}, [])" if most else "[]"


def _sum(column: SharedColumn, mark: str, n: int) -> str:
    if not column.is_number:
        return "NULL"
    value = f"{mark}_c{n}"
    if _adds_up(column.type_before if mark == "b" else column.type_after):
        return f"sum({value})"
    # A sum of these may not fit into their type, and one with infinities says nothing.
    return f"sum({value}::DOUBLE) FILTER (isfinite({value}::DOUBLE))"


def _adds_up(kind: str) -> bool:
    """Whether the sum of any number of rows is exact, as of ten billions of 28 digits."""
    digits = _DECIMAL.fullmatch(kind)
    return int(digits[1]) <= 28 if digits else kind in _INTEGERS - _WIDE
