"""Build, check, then publish: one transaction, so that nothing unchecked is ever seen."""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from functools import partial
from typing import Protocol

from ecommerce_dagster.bruin.model.asset import Asset
from ecommerce_dagster.sql.checks import Check, CheckResult, or_unanswered
from ecommerce_dagster.sql.comments import Comments, describes_all, missing_comments
from ecommerce_dagster.sql.load_result import LoadError
from ecommerce_dagster.warehouses.base import BuildResult, Render, Target, Writer, nothing
from ecommerce_dagster.warehouses.table_facts import TableFacts, with_changes
from ecommerce_dagster.warehouses.transaction_rules import require_same_transaction


class Transaction(Protocol):
    """A transaction that is for one asset. Unless it is committed it leaves nothing behind.

    What a `target` does may be public before it is committed: it then `autocommits`.
    """

    @property
    def target(self) -> Target: ...

    @property
    def autocommits(self) -> bool: ...

    def begin(self) -> None:
        """Begin, or begin again after an error."""
        ...

    def shape(self) -> tuple[int | None, dict[str, str]]:
        """How many rows the table has (None for a view), and the types of the columns of either by
        their names; none when there is no such thing. Raises LoadError for a name that cannot
        be."""
        ...

    def comments(self) -> Comments:
        """The comments of the table, or the view, as it is here, by names in lower case."""
        ...

    def comment(self, comments: Comments) -> None:
        """Write comments on the table, or the view, and its columns. Raises LoadError when they
        cannot be written; the rest of the transaction can be."""
        ...

    def results(self, checks: Sequence[Check], render: Render) -> tuple[CheckResult, ...]:
        """What checks find in the table as it is here."""
        ...

    def number(self) -> object:
        """The number that the database gave to this transaction."""
        ...

    def commit(self, *, is_table: bool) -> TableFacts:
        """Let others see what was done. What else is worth knowing of a table is returned, and
        raises nothing: a table that is published is recorded."""
        ...

    def roll_back(self) -> None:
        """Leave everything as it was."""
        ...

    def recovers(self, error: BaseException) -> bool:
        """Undo what is not committed, and say whether the build is to be done again after this
        error. Waits before it says yes. Raises a better error than this, if there is one."""
        ...


def publish(
    transaction: Transaction, asset: Asset, fill: Writer, checks: Sequence[Check], render: Render
) -> BuildResult:
    """Run `fill`, then `checks` on what it made; commit unless a blocking check fails.

    With `meta: {publish: always}` the table is committed before it is checked, as Bruin does.
    Raises AssetError when a hook or the script ended the transaction.
    """
    rows_before, before = None, dict[str, str]()
    commented: Comments = {}
    # The writer reports an impossible name, with its line.
    with suppress(LoadError):
        rows_before, before = transaction.shape()
        if before and not describes_all(asset, before):
            commented = transaction.comments()
    while True:
        try:
            built = _build(transaction, asset, fill, checks, render, commented)
        except BaseException as error:
            if not transaction.recovers(error):
                raise
        else:
            loaded = with_changes(built.loaded, before, built.columns)
            return replace(built, loaded=loaded, rows_before=rows_before)


def _build(
    transaction: Transaction,
    asset: Asset,
    fill: Writer,
    checks: Sequence[Check],
    render: Render,
    commented: Comments,
) -> BuildResult:
    transaction.begin()
    begun = transaction.number()
    started = time.perf_counter()
    loaded = fill(transaction.target)
    build_seconds = time.perf_counter() - started - (loaded.source_seconds or 0.0)
    rows, columns = transaction.shape()
    if columns and fill is not nothing:
        now = dict if loaded.is_new else transaction.comments
        problems = _comment(transaction, asset, missing_comments(asset, columns, commented, now))
        loaded = replace(loaded, warnings=(*loaded.warnings, *problems))
    # The rows of a view may take long.
    is_table = rows is not None
    started, facts = time.perf_counter(), TableFacts()
    ask = partial(transaction.results, checks, render)
    if asset.is_always_published or transaction.autocommits:
        facts = transaction.commit(is_table=is_table)
        results, rejected = or_unanswered(checks, ask), False
    else:
        results = ask()
        rejected = any(result.rejects for result in results)
        require_same_transaction(asset, begun, transaction.number())
        if rejected:
            transaction.roll_back()
        else:
            facts = transaction.commit(is_table=is_table)
    return BuildResult(
        not rejected,
        results,
        loaded,
        rows,
        columns,
        build_seconds,
        time.perf_counter() - started,
        facts=facts,
    )


def _comment(transaction: Transaction, asset: Asset, missing: Comments) -> list[str]:
    """Write comments; what to tell of them when they cannot be written."""
    try:
        if missing:
            transaction.comment(missing)
    except LoadError as error:
        return [f"the descriptions of {asset.name} are not written as its comments: {error}"]
    return []
