"""What a warehouse does for an asset; the packages `duckdb` and `postgres` here do it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from typing import Protocol, runtime_checkable

import duckdb

from ecommerce_dagster.bruin.model.asset import Asset
from ecommerce_dagster.bruin.model.interval import Interval
from ecommerce_dagster.sql.checks import Check, CheckResult
from ecommerce_dagster.sql.identifiers import literal, quoted
from ecommerce_dagster.sql.load_result import LoadResult
from ecommerce_dagster.sql.plan import WriteOptions
from ecommerce_dagster.warehouses.table_facts import TableFacts

Render = Callable[[str], str]


@dataclass(frozen=True)
class Watermark:
    """How far a table is loaded by a key column of the type `kind`: the largest key as text, the
    number of rows, and how many of them have a key that tells nothing of older and newer."""

    kind: str
    is_text: bool
    largest: str | None
    rows: int
    unordered: int


def unordered(key: str, infinities: Sequence[str]) -> str:
    """The condition that a key cannot be ordered (NULL or infinite), in SQL for any database."""
    values = ", ".join(map(literal, infinities))
    return f"{quoted(key)} IS NULL" + (f" OR {quoted(key)} IN ({values})" if values else "")


def watermark_query(
    table: str, key: str, infinities: Sequence[str], until: str | None, order: str = ""
) -> str:
    """The query for the last three of a Watermark, in SQL for any database.

    Times after `until` are in the future and ignored. `order` is what makes the largest text the
    same everywhere.
    """
    name, nothing = quoted(key), unordered(key, infinities)
    past = f" AND CAST({name} AS TIMESTAMPTZ) <= {literal(until)}" if until else ""
    return (
        f"SELECT CAST(max({name}{order}) FILTER (WHERE NOT ({nothing}){past}) AS VARCHAR),"
        f" count(*), count(*) FILTER (WHERE {nothing}) FROM {table}"
    )


class Target(Protocol):
    """A database inside a transaction, in which the table of an asset is made.

    Its methods raise ScriptError for what people wrote, LoadError for rows that do not fit, and
    `errors` for what else is wrong with the SQL; `said` puts those into words. What comes from
    outside, like a lost connection, is none of these.

    What fills a table makes it when it is missing, its schema too, and a view of its name gives way
    to it, as a table does to a view. Its columns have the declared types; a new one is added. What
    was done is in `LoadResult`: the `statements` for people to read, `schema_changes` in words.
    """

    @property
    def errors(self) -> tuple[type[Exception], ...]: ...

    def error_message(self, error: Exception) -> str: ...

    def run_script(self, script: str) -> list[str]:
        """Run the statements of a script (a hook, or an asset without a table) and return them.
        None of them ends the transaction."""
        ...

    def ensure_schema(self, table: str) -> None:
        """Create the schema of a table, where there is none."""
        ...

    def create_view(self, asset: Asset, query: str) -> LoadResult:
        """Make the view of one query, or replace it. A query is as written in the file: a comment
        or a `;` may follow."""
        ...

    def declare_table(self, asset: Asset) -> LoadResult:
        """Bring the table to what the columns of the file declare (the strategy `ddl`)."""
        ...

    def fill_from_query(self, asset: Asset, query: str, how: WriteOptions) -> LoadResult:
        """Fill the table with what one query, as written in the file, returns."""
        ...

    def fill_from_rows(
        self, asset: Asset, reader: duckdb.DuckDBPyConnection, rows: str, how: WriteOptions
    ) -> LoadResult:
        """Fill the table from a relation (SQL that can follow FROM) that the `reader` can read.
        `scratch.as_declared` gives its rows the declared types."""
        ...

    def reader(self) -> AbstractContextManager[duckdb.DuckDBPyConnection]:
        """A DuckDB to read files and other databases with; `scratch.scratch`, if the database is
        none."""
        ...

    def columns(self, table: str) -> dict[str, str]:
        """The columns of a table and their types, as the database calls them; none when there is
        no such table."""
        ...

    def watermark(
        self, table: str, key: str, infinities: Sequence[str], until: str | None = None
    ) -> Watermark | None:
        """How far a table is loaded by its column `key`; None when it has no such column.

        `infinities` and NULL cannot be ordered (see `unordered`); times after `until` are in the
        future and ignored.
        """
        ...


Writer = Callable[[Target], LoadResult]


@runtime_checkable
class Cancellable(Protocol):
    """A fill that waits for another database."""

    def cancel(self) -> None:
        """End what that does for it, from another thread; nothing when it does nothing."""
        ...


def nothing(target: Target) -> LoadResult:
    """The writer of a table that another program makes: it is only checked, without a lock, and
    nothing need be writable."""
    return LoadResult()


@dataclass(frozen=True)
class BuildResult:
    """The outcome of one build. When not `published`, the table is as it was before.

    `rows` and `columns` describe the table as built; both are empty for an asset without one.
    `summary` is what the asset says of its own work, as Markdown.
    `rows_before` is how many it had before, None when it did not exist. `build_seconds` are without
    those that the load waited for its source.
    """

    published: bool
    results: tuple[CheckResult, ...]
    loaded: LoadResult
    rows: int | None
    columns: dict[str, str]
    build_seconds: float
    check_seconds: float
    summary: str = ""
    rows_before: int | None = None
    facts: TableFacts = field(default_factory=TableFacts)


def despite(error: Exception, done: Sequence[BuildResult]) -> BuildResult:
    """The outcome of a build that was `done` when something went wrong, as when its connection was
    closed. Raises the error when there is none."""
    if not done:
        raise error
    loaded, text = done[0].loaded, f"what follows a build went wrong: {error}"
    return replace(done[0], loaded=replace(loaded, warnings=(*loaded.warnings, text)))


class Warehouse(Protocol):
    """A database that holds tables of assets.

    Its methods raise AssetError for what an asset does wrong and OutsideError for what is worth
    another try, both with the place in its file, TimeLimitError when the `timeout` (in seconds) is
    over: `time_limit` interrupts the work then, and a fill that is `Cancellable` as well.
    """

    def publish(
        self,
        asset: Asset,
        fill: Writer,
        checks: Sequence[Check],
        render: Render,
        timeout: float | None = None,
    ) -> BuildResult:
        """Run `fill`, then `checks` on what it made; commit unless a blocking check fails.

        `publish.publish` does it for all databases.
        `render` fills in the templates of custom checks.
        """
        ...

    def check(
        self, asset: Asset, checks: Sequence[Check], render: Render, timeout: float | None = None
    ) -> tuple[CheckResult, ...]:
        """Run checks on the table as it stands (`without_table` when there is none)."""
        ...

    def moments(
        self, table: str, column: str, unit: str, window: Interval | None = None
    ) -> dict[float, int]:
        """The minutes, hours or days (`unit`; in seconds since 1970) in which a table has rows, by
        a column of time, and how many: all, or those of a window."""
        ...

    def tables(self) -> set[str]:
        """The tables and views that exist, as schema.table."""
        ...

    def columns_of(self, names: Iterable[str]) -> dict[str, list[str]]:
        """The columns of those of the named tables and views that exist, for the lineage."""
        ...
