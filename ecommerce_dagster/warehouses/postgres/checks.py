"""The table of an asset as its checks see it, in PostgreSQL.

What is asked runs in a savepoint: a check that fails while it runs takes no other with it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import psycopg

from ecommerce_dagster.sql.checks import Check, TimeUnit, counted_rows
from ecommerce_dagster.sql.column_names import meant
from ecommerce_dagster.sql.load_result import LoadError
from ecommerce_dagster.sql.measures import MeasuredTable
from ecommerce_dagster.sql.rules import RuleError
from ecommerce_dagster.sql.statements import only_query
from ecommerce_dagster.warehouses.postgres.catalog import Catalog, Table
from ecommerce_dagster.warehouses.postgres.check_sql import ColumnRules
from ecommerce_dagster.warehouses.postgres.name_lengths import uncut
from ecommerce_dagster.warehouses.postgres.rows_by_time import moments_in
from ecommerce_dagster.warehouses.postgres.script import DIALECT
from ecommerce_dagster.warehouses.postgres.session import ask, error_message
from ecommerce_dagster.warehouses.query import Answer

# Those that one scan of the table does not answer.
_APART = {"unique", "relationships"}
# Types by which rows can be dated, without their precision.
_TIMES, _TEXTS = {"date", "timestamp", "timestamptz"}, {"text", "varchar", "bpchar"}


@dataclass(frozen=True)
class PostgresTable:
    """A table, in the transaction of a session."""

    catalog: Catalog
    table: Table
    dialect = DIALECT
    errors = (psycopg.Error, LoadError, RuleError)

    @cached_property
    def _rules(self) -> ColumnRules:
        return ColumnRules(self.catalog, self.table, self.catalog.columns(self.table.sql))

    def counts(self, checks: Sequence[Check]) -> Mapping[str, tuple[int, int]]:
        together = [check for check in checks if check.rule.name not in _APART]
        filters = [f"count(*) FILTER (WHERE {self._rules.broken(each)})" for each in together]
        query = f"SELECT {', '.join(['count(*)', *filters])} FROM {self.table.sql}"
        with self.catalog.session.transaction():
            ((total, *found),) = ask(self.catalog.session, query)
            counts = dict(zip([each.id for each in together], found, strict=True))
            for check in checks:
                if check.id not in counts:
                    ((counts[check.id],),) = ask(self.catalog.session, self._rules.count(check))
        return {id: (int(count), total) for id, count in counts.items()}

    def bad_rows(self, check: Check) -> str:
        return self._rules.bad_rows(check)

    def measured(self) -> MeasuredTable:
        return MeasuredTable(self.table.sql, self._rules.columns)

    def only_query(self, text: str) -> str:
        return only_query(text, DIALECT).text

    def count(self, query: str) -> int:
        with self.catalog.session.transaction():
            ((found,),) = ask(self.catalog.session, f"SELECT count(*) FROM (\n{query}\n) AS rows")
        return int(found)

    def answer(self, query: str, limit: int) -> Answer:
        rows = f"SELECT * FROM (\n{query}\n) AS rows LIMIT {limit}"
        session = self.catalog.session
        with session.transaction(), uncut(session, query):
            cursor = session.execute(rows.encode())
            return [column.name for column in cursor.description or ()], cursor.fetchall()

    def moments(self, query: str, check: Check, by: TimeUnit) -> Mapping[float, int]:
        session, rows = self.catalog.session, f"(\n{query}\n)"
        with session.transaction(), uncut(session, query):
            described = session.execute(f"SELECT * FROM {rows} AS r LIMIT 0".encode()).description
            kinds = {column.name: column.type_display for column in described or ()}
            name = meant(by.column, kinds)
            if name is None or kinds[name] not in {*_TIMES, *_TEXTS}:
                return {}
            column = self._rules.column_of(check).name if check.column else ""
            rows = counted_rows(check, rows, column, name)
            return moments_in(session, rows, name, by.unit, is_time=kinds[name] in _TIMES)

    def error_message_or_reraise(self, check: Check | None, error: Exception) -> str:
        if self.catalog.session.closed:
            raise error
        return error_message(error) if isinstance(error, psycopg.Error) else str(error)
