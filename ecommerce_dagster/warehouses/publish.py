"""Build, check, then publish, in a database that does all of it in one transaction: nothing
unchecked is ever seen. (DuckDB does not always: see publish.py.)"""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import suppress
from functools import partial
from typing import Protocol

from ecommerce_dagster.bruin.model.asset import Asset
from ecommerce_dagster.sql.checks import Check, CheckResult, or_unanswered
from ecommerce_dagster.sql.load_result import LoadError
from ecommerce_dagster.warehouses.base import BuildResult, Render, Target, Writer
from ecommerce_dagster.warehouses.table_facts import TableFacts, with_changes
from ecommerce_dagster.warehouses.transaction_rules import require_same_transaction


class Transaction(Protocol):
    """A transaction that is for one asset. Unless it is committed it leaves nothing behind."""

    @property
    def target(self) -> Target: ...

    def shape(self) -> tuple[int | None, dict[str, str]]:
        """How many rows the table has (None for a view), and the types of the columns of either by
        their names; none when there is no such thing. Raises LoadError for a name that cannot
        be."""
        ...

    def results(self, checks: Sequence[Check], render: Render) -> tuple[CheckResult, ...]:
        """What checks find in the table as it is here."""
        ...

    def facts(self) -> TableFacts:
        """What else is worth knowing of the table. Raises nothing but what ends the
        transaction."""
        ...

    def number(self) -> object:
        """The number that the database gave to this transaction."""
        ...

    def commit(self) -> None:
        """Let others see what was done; what follows is another transaction."""
        ...

    def roll_back(self) -> None:
        """Leave everything as it was; what follows is another transaction."""
        ...


def publish(
    transaction: Transaction, asset: Asset, fill: Writer, checks: Sequence[Check], render: Render
) -> BuildResult:
    """Run `fill`, then `checks` on what it made; commit unless a blocking check fails.

    Nothing that follows the commit raises: a table that is published is recorded.
    With `meta: {publish: always}` the table is committed before it is checked, as Bruin does.
    Raises AssetError when a hook or the script ended the transaction.
    """
    always, rows_before, before = asset.is_always_published, None, dict[str, str]()
    # A name that cannot be is told by the fill, with its line.
    with suppress(LoadError):
        rows_before, before = transaction.shape()
    begun = transaction.number()
    started = time.perf_counter()
    loaded = fill(transaction.target)
    build_seconds = time.perf_counter() - started - (loaded.source_seconds or 0.0)
    rows, columns = transaction.shape()
    # The rows of a view may take long.
    facts = transaction.facts if rows is not None else TableFacts
    started, found = time.perf_counter(), TableFacts()
    ask = partial(transaction.results, checks, render)
    if always:
        found = facts()
        transaction.commit()
        results, rejected = or_unanswered(checks, ask), False
    else:
        results = ask()
        rejected = any(result.rejects for result in results)
        require_same_transaction(asset, begun, transaction.number())
        if rejected:
            transaction.roll_back()
        else:
            found = facts()
            transaction.commit()
    return BuildResult(
        not rejected,
        results,
        with_changes(loaded, before, columns),
        rows,
        columns,
        build_seconds,
        time.perf_counter() - started,
        rows_before=rows_before,
        facts=found,
    )
