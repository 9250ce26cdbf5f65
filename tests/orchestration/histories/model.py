"""What each table of a pipeline has to hold, in plain Python. None of the product's SQL is used.

Every table is judged by what it is made of as that is now: a raw table by its source, a staging
table by the raw one, a mart by the staging tables.

- replace, merge: the rows of the source.
- delete+insert, time_interval: the rows of the source whose time is in a period, from the first to
  the current one. What is before, later or has no time is not looked at, neither there nor here.
- append: each row of the source as it was when it was first loaded, once. The same row is what has
  the same keys; rows that share theirs come when it is clear which of them are new.
- merge in SQL: the row of each key as it was last seen.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Sequence
from typing import Any

import duckdb

from orchestration.histories.plan import Plan, Table
from orchestration.histories.source import Row, Source

Rows = Counter[tuple[Any, ...]]


class Model:
    """What the tables hold, and what they should."""

    def __init__(self, plan: Plan, source: Source, warehouse: duckdb.DuckDBPyConnection) -> None:
        self.plan, self.source, self.warehouse = plan, source, warehouse
        self.appended: dict[str, list[Row]] = {}
        self.merged: dict[int, int | None] = {}

    def built(self, assets: Collection[str]) -> None:
        """Learn that a run has published these assets, from the source as it is now."""
        for role in self.plan.roles:
            if self.plan.name(role) not in assets:
                continue
            table = self.plan.tables.get(role.removeprefix("raw."))
            if table is not None and table.keeps_old_rows:
                self.appended.setdefault(role, []).extend(self._to_append(role, table))
            if role == "stg.customers" and self.plan.customers_are_merged:
                self.merged |= dict(self.rows("raw.customers", "id, v"))

    def differences(self, behind: Collection[str] = ()) -> list[str]:
        """What the tables hold and should not, or should hold and do not. The raw tables in
        `behind` may be behind their sources."""
        found = [f"{role} is missing" for role in self.plan.roles if not self.exists(role)]
        if found:
            return found
        for role in self.plan.roles:
            layer, _, short = role.partition(".")
            if role in behind:
                continue
            if layer == "raw":
                found += self._raw(role, self.plan.tables[short])
            else:
                found += getattr(self, f"_{layer}_{short}")(role)
        return found

    def orphans(self, *roles: str) -> list[Row]:
        """The rows of these tables of orders whose customer is not published."""
        if not self.exists("stg.customers"):
            return []
        kind = self.plan.tables["orders"].kind
        rows = [row for role in roles if self.exists(role) for row in self.loaded(role, kind)]
        known = {None, *(id for (id,) in self.rows("stg.customers", "id"))}
        return [row for row in rows if row[2] not in known]

    def lost_outside(self) -> bool:
        """Whether an order of no period, which no run loads again, has lost its customer. Checks of
        everything fail for it until somebody runs everything."""
        lost = self.orphans("raw.orders", "stg.orders")
        return len(self.within(lost)) < len(lost)

    def exists(self, role: str) -> bool:
        schema, table = self.plan.name(role).split(".")
        return bool(
            self.warehouse.execute(
                "SELECT 1 FROM duckdb_tables() WHERE (schema_name, table_name) = (?, ?)",
                [schema, table],
            ).fetchall()
        )

    def rows(self, role: str, columns: str) -> list[tuple[Any, ...]]:
        return self.warehouse.execute(f"SELECT {columns} FROM {self.plan.name(role)}").fetchall()

    def loaded(self, role: str, kind: str) -> list[Row]:
        """The rows of a raw table, or of stg.orders, in the form of `Source.rows`."""
        at = "stamp::VARCHAR"
        if kind != "bigint":
            at = f"CASE WHEN isfinite(stamp) THEN epoch_us(stamp)::VARCHAR ELSE {at} END"
        return [(*row,) for row in self.rows(role, f"id, {at}, ref, v")]  # type: ignore[misc]

    def _raw(self, role: str, table: Table) -> list[str]:
        expected: Sequence[Row] = self.source.rows(table)
        found = self.loaded(role, table.kind)
        if table.keeps_old_rows:
            expected = self.appended.get(role, [])
            if missed := self._to_append(role, table):
                return [f"{role}: not loaded since {shown(missed)} came"]
        if table.is_windowed:
            expected, found = self.within(expected), self.within(found)
        return compared(role, Counter(expected), Counter(found))

    def _to_append(self, role: str, table: Table) -> list[Row]:
        """The rows of the source that a load adds to what was appended before."""

        def by_key(rows: Sequence[Row]) -> dict[Any, Counter[Row]]:
            found: dict[Any, Counter[Row]] = {}
            for row in rows:
                time = row[1] if table.key == "stamp" else None
                number = row[0] if "id" in {table.key, table.primary_key} else None
                found.setdefault((number, time), Counter())[row] += 1
            return found

        loaded, new = by_key(self.appended.get(role, [])), []
        for key, rows in by_key(self.source.rows(table)).items():
            known = loaded.get(key, Counter())
            late = rows - known
            if late.total() == rows.total() - known.total():
                new += list(late.elements())
        return new

    def _stg_customers(self, role: str) -> list[str]:
        expected = Counter(self.rows("raw.customers", "id, v"))
        if self.plan.customers_are_merged:
            expected = Counter(self.merged.items())
        return compared(role, expected, Counter(self.rows(role, "id, v")))

    def _stg_orders(self, role: str) -> list[str]:
        kind = self.plan.tables["orders"].kind
        expected = self.within(self.loaded("raw.orders", kind))
        found = self.loaded(role, kind)
        return compared(role, Counter(expected), Counter(self.within(found)))

    def _mart_by_customer(self, role: str) -> list[str]:
        orders = self.rows("stg.orders", "ref, v")
        expected: Rows = Counter()
        for (id,) in self.rows("stg.customers", "id"):
            own = [v for ref, v in orders if ref == id]
            expected[id, len(own), sum(v or 0 for v in own)] += 1
        return compared(role, expected, Counter(self.rows(role, "id, orders, amount")))

    def _mart_totals(self, role: str) -> list[str]:
        found = Counter(self.rows(role, "name, rows, amount"))
        expected: Rows = Counter()
        for read in ("raw.events", "raw.things", "stg.orders"):
            if read in self.plan.roles:
                values = [v or 0 for (v,) in self.rows(read, "v")]
                expected[read, len(values), sum(values)] += 1
        return compared(role, expected, found)

    def within(self, rows: Sequence[Row]) -> list[Row]:
        """The rows of the periods that there are."""
        first, last = (int(at.timestamp() * 1_000_000) for at in self.plan.span())
        return [
            row
            for row in rows
            if row[1] is not None and "inf" not in row[1] and first <= int(row[1]) < last
        ]


def compared(role: str, expected: Rows, found: Rows) -> list[str]:
    """How two tables differ, in a line."""
    if expected == found:
        return []
    missing, surplus = list((expected - found).elements()), list((found - expected).elements())
    return [f"{role}: missing {shown(missing)}, surplus {shown(surplus)}"]


def shown(rows: Sequence[Any]) -> str:
    return ", ".join(map(str, rows[:4])) + (f" and {len(rows) - 4} more" if len(rows) > 4 else "")
