"""The table of an asset as its checks see it, in DuckDB."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import duckdb

from ecommerce_dagster.bruin.model.asset import Asset
from ecommerce_dagster.sql.checks import (
    Check,
    CheckCannotRun,
    TimeUnit,
    bad_rows_sql,
    counted_rows,
)
from ecommerce_dagster.sql.column_names import column_of, meant
from ecommerce_dagster.sql.dialect import DUCKDB
from ecommerce_dagster.sql.identifiers import relation
from ecommerce_dagster.sql.measures import MeasuredTable
from ecommerce_dagster.sql.rules import RuleError
from ecommerce_dagster.warehouses.duckdb import script
from ecommerce_dagster.warehouses.duckdb.count_failures import counts_of, kind_in
from ecommerce_dagster.warehouses.duckdb.database import described, types_in
from ecommerce_dagster.warehouses.duckdb.rows_by_time import moments_in
from ecommerce_dagster.warehouses.query import Answer


@dataclass(frozen=True)
class DuckDBTable:
    """A table, in the transaction of a connection."""

    connection: duckdb.DuckDBPyConnection
    asset: Asset
    dialect = "duckdb"
    errors = (duckdb.Error, RuleError)

    @cached_property
    def _kinds(self) -> Mapping[str, str]:
        return types_in(self.connection, relation(self.asset.name))

    def counts(self, checks: Sequence[Check]) -> Mapping[str, tuple[int, int]]:
        return counts_of(self.connection, self.asset, list(map(self._named, checks)), self._kinds)

    def bad_rows(self, check: Check) -> str:
        check = self._named(check)
        return bad_rows_sql(self.asset, check, kind_in(self._kinds, check)) or ""

    def measured(self) -> MeasuredTable:
        return MeasuredTable(relation(self.asset.name), self._kinds)

    def _named(self, check: Check) -> Check:
        """The check of the column as the table calls it."""
        name = column_of(self.asset, check.column, self._kinds)
        if check.column is None or name is None:
            return check
        return replace(check, column=check.column.model_copy(update={"name": name}))

    def only_query(self, text: str) -> str:
        """As it is: what reads it gives it a name first."""
        return text

    def count(self, query: str) -> int:
        rows = script.stage(self.connection, "_check", query)
        ((found,),) = self.connection.execute(f"SELECT count(*) FROM {rows}").fetchall()
        return int(found)

    def answer(self, query: str, limit: int) -> Answer:
        rows = script.stage(self.connection, "_check", query)
        cursor = self.connection.execute(f"SELECT * FROM {rows} LIMIT {limit}")
        return [str(column[0]) for column in cursor.description or []], cursor.fetchall()

    def moments(self, query: str, check: Check, by: TimeUnit) -> Mapping[float, int]:
        staged = script.stage(self.connection, "_check", query)
        kinds = described(self.connection, staged)
        name = meant(by.column, kinds)
        if name is None or not (DUCKDB.is_time(kinds[name]) or kinds[name] == "VARCHAR"):
            return {}
        column = self._named(check).column
        rows = counted_rows(check, staged, column.name if column else "", name)
        return moments_in(self.connection, rows, name, kinds[name], by.unit)

    def error_message_or_reraise(self, check: Check | None, error: Exception) -> str:
        """The text of an error that leaves the transaction alive, as a name that does not exist
        does. Raises CheckCannotRun for one that ended it, as a value that cannot be computed does,
        and the error itself for an interruption, which is meant for the whole build."""
        if isinstance(error, duckdb.InterruptException):
            raise error
        try:
            self.connection.execute("SELECT 1")
        except duckdb.Error:
            raise CheckCannotRun(check, str(error)) from error
        return str(error)
