"""The transaction of a build in DuckDB, which does not do everything in one, and ends it when a
check fails while it runs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import duckdb

from ecommerce_dagster.bruin.model.asset import Asset
from ecommerce_dagster.sql.checks import (
    Check,
    CheckCannotRun,
    CheckResult,
    failed_to_run,
    without_table,
)
from ecommerce_dagster.sql.comments import Comments, comment_statements
from ecommerce_dagster.sql.identifiers import relation
from ecommerce_dagster.warehouses.base import Render
from ecommerce_dagster.warehouses.duckdb.checks import DuckDBTable
from ecommerce_dagster.warehouses.duckdb.database import (
    comments_of,
    described,
    is_lake,
    kind_of,
    roll_back,
)
from ecommerce_dagster.warehouses.duckdb.locking import WriteLock
from ecommerce_dagster.warehouses.duckdb.script import outgrows_transaction
from ecommerce_dagster.warehouses.duckdb.table_facts import facts_of
from ecommerce_dagster.warehouses.duckdb.target import DuckDBTarget
from ecommerce_dagster.warehouses.run_checks import run_checks
from ecommerce_dagster.warehouses.table_facts import TableFacts
from ecommerce_dagster.warehouses.transaction_rules import may_commit_early, refused


@dataclass
class DuckDBTransaction:
    """The transactions of one build, one after the other. `lock` is the time in which it may write.

    A build is done again without a check whose query ended the transaction, which counts as failed,
    so that every other check is still answered; and when others wrote to a DuckLake at the same
    time. What DuckDB refuses to do in one transaction is done in several (`autocommits`) where no
    check could keep the table back.
    """

    connection: duckdb.DuckDBPyConnection
    asset: Asset
    lock: WriteLock = field(default_factory=WriteLock)
    autocommits: bool = False
    is_committed: bool = False
    _is_one_by_one: bool = False
    _errors: dict[str, CheckResult] = field(default_factory=dict)

    @property
    def target(self) -> DuckDBTarget:
        return DuckDBTarget(self.connection, self.autocommits)

    def begin(self) -> None:
        self.connection.execute("BEGIN")

    def shape(self) -> tuple[int | None, dict[str, str]]:
        """To look for a table in DuckDB's catalogue begins a transaction in each attached database,
        and from then on nothing is seen of what others commit there. So a build is first looked at
        outside of its transaction."""
        name = self.asset.name
        kind = kind_of(self.connection, name)
        if kind is None:
            return None, {}
        if kind == "view":
            return None, self._columns_of_view()
        columns = described(self.connection, relation(name))
        row = self.connection.execute(f"SELECT count(*) FROM {relation(name)}").fetchone()
        return (int(row[0]) if row else None), columns

    def comments(self) -> Comments:
        return comments_of(self.connection, self.asset.name)

    def comment(self, comments: Comments) -> None:
        name = self.asset.name
        kind = (kind_of(self.connection, name) or "table").upper()
        if kind == "VIEW" and is_lake(self.connection):
            # The columns of its views have none.
            comments = {own: text for own, text in comments.items() if not own}
        for statement in comment_statements(kind, relation(name), comments):
            self.connection.execute(statement)

    def results(self, checks: Sequence[Check], render: Render) -> tuple[CheckResult, ...]:
        if not self.is_committed:
            return self._answers(checks, render)
        while True:
            try:
                self.begin()
                return self._answers(checks, render)
            except CheckCannotRun as error:
                self._leave_out(error)
            finally:
                roll_back(self.connection)

    def number(self) -> object:
        return self.connection.execute("SELECT current_transaction_id()").fetchone()

    def commit(self, *, is_table: bool) -> TableFacts:
        self.lock.before_commit(self.connection)
        self.connection.execute("COMMIT")
        self.is_committed = True
        return facts_of(self.connection, self.asset.name) if is_table else TableFacts()

    def roll_back(self) -> None:
        self.connection.execute("ROLLBACK")

    def recovers(self, error: BaseException) -> bool:
        roll_back(self.connection)
        if self.is_committed or self.autocommits:
            return False
        if isinstance(error, CheckCannotRun):
            self._leave_out(error)
            return True
        if self.lock.tries_again(error):
            return True
        if not outgrows_transaction(error):
            return False
        if not may_commit_early(self.asset):
            raise refused(self.asset, error) from error
        self.autocommits = True
        return True

    def _columns_of_view(self) -> dict[str, str]:
        """Its columns; none when it no longer binds: what it reads has changed since it was made,
        which is no reason not to make it again."""
        try:
            return described(self.connection, relation(self.asset.name))
        except duckdb.InterruptException:
            raise
        except duckdb.Error:
            return {}

    def _answers(self, checks: Sequence[Check], render: Render) -> tuple[CheckResult, ...]:
        runnable = [check for check in checks if check.id not in self._errors]
        table = DuckDBTable(self.connection, self.asset)
        found = run_checks(table, runnable, render, one_by_one=self._is_one_by_one)
        by_id = {result.check.id: result for result in found} | self._errors
        return tuple(by_id[check.id] for check in checks)

    def _leave_out(self, error: CheckCannotRun) -> None:
        self._is_one_by_one = True
        if error.check is not None:
            self._errors[error.check.id] = failed_to_run(error.check, str(error))


def check_only(
    connection: duckdb.DuckDBPyConnection, asset: Asset, checks: Sequence[Check], render: Render
) -> tuple[CheckResult, ...]:
    """Run checks on the table as it stands."""
    if kind_of(connection, asset.name) is None and any(check.reads_rows for check in checks):
        return without_table(asset, checks)
    return DuckDBTransaction(connection, asset, is_committed=True).results(checks, render)
