"""What a statement is called, or means, in one database and not in another.

Most of a load is the same SQL everywhere; a `Dialect` has what is left. Strategies take it from
their `LoadSpec`. No statement is edited once it is written.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from ecommerce_dagster.sql.identifiers import quoted


@dataclass(frozen=True)
class Dialect:
    """The SQL of one database.

    `row` is a column that each stored row has beside its own: it tells equal rows apart, in the
    order in which they came. A new table `replaces` the one of its name, or that is dropped first.
    Where a load `stages` its rows, they are stored before anything of the table changes. Temporary
    tables are in the schema `temporary`. `equal` is the condition that two expressions have the
    same value, NULL being one; large tables are joined by it. Where the database `reads_distinct`
    rows fast, by DISTINCT ON, no copies are deleted first. `is_time` knows the types of days and
    instants.
    """

    name: str
    row: str
    replaces: bool
    stages: bool
    temporary: str
    equal: Callable[[str, str], str]
    is_time: Callable[[str], bool]
    reads_distinct: bool = False

    @property
    def create(self) -> str:
        """How a statement begins that makes a table or a temporary table."""
        return "CREATE OR REPLACE" if self.replaces else "CREATE"

    def same(self, names: Iterable[str], one: str, other: str) -> str:
        """The condition that two rows have the same values in these columns; NULL is a value."""
        return " AND ".join(
            self.equal(f"{one}.{quoted(name)}", f"{other}.{quoted(name)}") for name in names
        )

    def temp(self, name: str) -> str:
        """A temporary table of this name."""
        return f"{self.temporary}.{quoted(name)}"

    def create_temp(self, name: str, query: str) -> str:
        """The statement that keeps the rows of a query as a temporary table."""
        return f"{self.create} TEMP TABLE {quoted(name)} AS\n{query}"


def _not_distinct(one: str, other: str) -> str:
    return f"{one} IS NOT DISTINCT FROM {other}"


def _equal_arrays(one: str, other: str) -> str:
    """PostgreSQL joins by IS NOT DISTINCT FROM in quadratic time. Arrays it compares by hash, and
    with NULL as a value."""
    return f"ARRAY[{one}] = ARRAY[{other}]"


def _matches(types: str) -> Callable[[str], bool]:
    return lambda kind: re.fullmatch(types, kind) is not None


DUCKDB = Dialect(
    name="DuckDB",
    row="rowid",
    replaces=True,
    stages=False,
    temporary="temp",
    equal=_not_distinct,
    is_time=_matches("DATE|TIMESTAMP( WITH TIME ZONE|_S|_MS|_NS)?"),
)
POSTGRES = Dialect(
    name="PostgreSQL",
    row="ctid",
    replaces=False,
    stages=True,
    temporary="pg_temp",
    equal=_equal_arrays,
    is_time=_matches(r"date|timestamp(\(\d\))? with(out)? time zone"),
    reads_distinct=True,
)
