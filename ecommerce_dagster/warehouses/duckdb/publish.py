"""Build, check, then publish: one transaction, so that nothing unchecked is ever seen."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial

import duckdb

from ecommerce_dagster.bruin.model.asset import Asset
from ecommerce_dagster.sql.checks import (
    Check,
    CheckCannotRun,
    CheckResult,
    failed_to_run,
    or_unanswered,
    without_table,
)
from ecommerce_dagster.sql.identifiers import relation
from ecommerce_dagster.sql.load_result import LoadResult
from ecommerce_dagster.warehouses.base import BuildResult, Render
from ecommerce_dagster.warehouses.duckdb.checks import DuckDBTable
from ecommerce_dagster.warehouses.duckdb.database import described, kind_of
from ecommerce_dagster.warehouses.duckdb.locking import WriteLock
from ecommerce_dagster.warehouses.duckdb.script import outgrows_transaction
from ecommerce_dagster.warehouses.duckdb.table_facts import facts_of
from ecommerce_dagster.warehouses.run_checks import run_checks
from ecommerce_dagster.warehouses.table_facts import TableFacts, with_changes
from ecommerce_dagster.warehouses.transaction_rules import (
    may_commit_early,
    refused,
    require_same_transaction,
)

Writer = Callable[[duckdb.DuckDBPyConnection], LoadResult]


def publish(
    connection: duckdb.DuckDBPyConnection,
    asset: Asset,
    fill: Writer,
    checks: Sequence[Check],
    render: Render,
    autocommit: Writer | None = None,
    lock: WriteLock | None = None,
) -> BuildResult:
    """Run `fill`, then `checks` on what it made; commit unless a blocking check fails.

    A check whose query fails while it runs ends DuckDB's transaction: the build is then repeated
    without that check, which counts as failed, so that every other check is still answered.
    With `meta: {publish: always}` the table is committed before it is checked, as Bruin does. It,
    and one without a blocking check, may also do what DuckDB refuses to do in one transaction: that
    is undone, and done by `apart`, in several. `turn` is the time in which this build may write.
    Raises AssetError when a hook or the script ended the transaction.
    """
    always, lock = asset.is_always_published, lock or WriteLock()
    questions = _Questions(checks, render)
    is_committed = is_published = False
    loaded: LoadResult | None = None
    build_seconds, rows, columns = 0.0, None, dict[str, str]()
    # Before the transaction: to look for a table in DuckDB's catalogue begins a transaction in each
    # attached database, and from then on nothing is seen of what others commit there.
    rows_before, before = _shape(connection, asset)
    while True:
        try:
            connection.execute("BEGIN")
            begun = _number_of_transaction(connection)
            if loaded is None or not always:
                started = time.perf_counter()
                loaded = fill(connection)
                elapsed = time.perf_counter() - started
                build_seconds = elapsed - (loaded.source_seconds or 0.0)
                rows, columns = _shape(connection, asset)
                if always:
                    lock.before_commit(connection)
                    connection.execute("COMMIT")
                    is_committed = is_published = True
                    connection.execute("BEGIN")
            started = time.perf_counter()
            ask = partial(questions.answers, connection, asset)
            if is_published:
                results, rejected = or_unanswered(checks, ask, CheckCannotRun), False
                roll_back(connection)
            else:
                results = ask()
                rejected = any(result.rejects for result in results)
                require_same_transaction(asset, begun, _number_of_transaction(connection))
                _end(connection, lock, rejected)
            check_seconds = time.perf_counter() - started
            # The rows of a view may take long.
            told = rows is not None and not rejected
            facts = facts_of(connection, asset.name) if told else TableFacts()
            return BuildResult(
                not rejected,
                results,
                with_changes(loaded, before, columns),
                rows,
                columns,
                build_seconds,
                check_seconds,
                rows_before=rows_before,
                facts=facts,
            )
        except CheckCannotRun as error:
            roll_back(connection)
            questions.leave_out(error)
        except BaseException as error:
            roll_back(connection)
            if not is_committed and lock.tries_again(error):
                loaded = None
                continue
            if autocommit is None or not outgrows_transaction(error):
                raise
            if not may_commit_early(asset):
                raise refused(asset, error) from error
            # It may commit at any time, and is not done twice.
            fill, autocommit, always, loaded, is_committed = autocommit, None, True, None, True


def check_only(
    connection: duckdb.DuckDBPyConnection, asset: Asset, checks: Sequence[Check], render: Render
) -> tuple[CheckResult, ...]:
    """Run checks on the table as it stands."""
    if kind_of(connection, asset.name) is None and any(check.column for check in checks):
        return without_table(asset, checks)
    questions = _Questions(checks, render)
    while True:
        try:
            connection.execute("BEGIN")
            results = questions.answers(connection, asset)
            connection.execute("COMMIT")
            return results
        except CheckCannotRun as error:
            roll_back(connection)
            questions.leave_out(error)
        except BaseException:
            roll_back(connection)
            raise


class _Questions:
    """Checks that are asked again, without those whose failure ended the transaction."""

    def __init__(self, checks: Sequence[Check], render: Render) -> None:
        self._checks, self._render = checks, render
        self._errors: dict[str, CheckResult] = {}
        self._one_by_one = False

    def answers(
        self, connection: duckdb.DuckDBPyConnection, asset: Asset
    ) -> tuple[CheckResult, ...]:
        runnable = [check for check in self._checks if check.id not in self._errors]
        table = DuckDBTable(connection, asset)
        found = run_checks(table, runnable, self._render, one_by_one=self._one_by_one)
        by_id = {result.check.id: result for result in found} | self._errors
        return tuple(by_id[check.id] for check in self._checks)

    def leave_out(self, error: CheckCannotRun) -> None:
        self._one_by_one = True
        if error.check is not None:
            self._errors[error.check.id] = failed_to_run(error.check, str(error))


def _number_of_transaction(connection: duckdb.DuckDBPyConnection) -> object:
    return connection.execute("SELECT current_transaction_id()").fetchone()


def _shape(
    connection: duckdb.DuckDBPyConnection, asset: Asset
) -> tuple[int | None, dict[str, str]]:
    """How many rows the table has (None for a view), and the columns of either by name; none when
    there is no such thing."""
    kind = kind_of(connection, asset.name)
    if kind is None:
        return None, {}
    if kind == "view":
        return None, _of_view(connection, asset.name)
    columns = described(connection, relation(asset.name))
    row = connection.execute(f"SELECT count(*) FROM {relation(asset.name)}").fetchone()
    return (int(row[0]) if row else None), columns


def _of_view(connection: duckdb.DuckDBPyConnection, name: str) -> dict[str, str]:
    """Its columns; none when it no longer binds: what it reads has changed since it was made, which
    is no reason not to make it again."""
    try:
        return described(connection, relation(name))
    except duckdb.InterruptException:
        raise
    except duckdb.Error:
        return {}


def _end(connection: duckdb.DuckDBPyConnection, lock: WriteLock, rejected: bool) -> None:
    """End the transaction of a build: undo it, or let others see it."""
    if not rejected:
        lock.before_commit(connection)
    connection.execute("ROLLBACK" if rejected else "COMMIT")


def roll_back(connection: duckdb.DuckDBPyConnection) -> None:
    """End the transaction, if there is one, and the statement that a signal has interrupted: DuckDB
    leaves that one at work, and the next statement would wait for it."""
    connection.interrupt()
    # There is no transaction when BEGIN itself failed or the file is gone.
    with suppress(duckdb.Error):
        connection.execute("ROLLBACK")
