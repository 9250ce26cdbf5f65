"""An ingestr asset from PostgreSQL into PostgreSQL: COPY out of the one and into the other, so that
every value stays what it is."""

from __future__ import annotations

from dataclasses import dataclass, replace

import psycopg

from ecommerce_dagster.bruin.connections import PostgresConnection
from ecommerce_dagster.bruin.interval import Interval
from ecommerce_dagster.bruin.models import Asset
from ecommerce_dagster.ingestion.postgres import SourceError, cancel
from ecommerce_dagster.ingestion.request import Request
from ecommerce_dagster.ingestion.source import Source, describe
from ecommerce_dagster.postgres_warehouse.plan import STAGE, STAGED
from ecommerce_dagster.postgres_warehouse.session import Session, ask, opened, run, said
from ecommerce_dagster.postgres_warehouse.target import PostgresTarget
from ecommerce_dagster.warehouse.identifiers import quoted
from ecommerce_dagster.warehouse.interface import Target
from ecommerce_dagster.warehouse.loaded import Loaded, LoadError


@dataclass(frozen=True)
class CopyIngestion(Request):
    """How to load one ingestr asset in one run. Call it with the place for its table."""

    asset: Asset
    postgres: PostgresConnection
    interval: Interval | None = None
    full_refresh: bool = False
    reconcile: bool = False

    def cancel(self) -> None:
        """End what PostgreSQL is doing for this process, from another thread."""
        cancel(self.postgres)

    def __call__(self, target: Target) -> Loaded:
        assert isinstance(target, PostgresTarget)
        try:
            with opened(self.postgres) as source:
                return self._load(target, source)
        except (SourceError, LoadError) as error:
            raise self.failure(str(error)) from None
        except psycopg.Error as error:
            raise self.failure(said(error)) from None

    def _load(self, target: PostgresTarget, session: Session) -> Loaded:
        source = describe(self.postgres, self.source_table, self.excluded, self.masks)
        run(session, "SET TRANSACTION READ ONLY")
        # Whoever rewrites the table has to wait from here on: to an older look it would be empty.
        ask(session, f"{source.select('1')}\nLIMIT 0")

        def count(condition: str) -> int:
            query = replace(source, condition=condition).select("count(*)")
            return int(ask(session, query)[0][0])

        condition = self.condition(
            target,
            [column.name for column in source.columns],
            source.key,
            count=count,
            now=lambda: str(ask(session, "SELECT now()::text")[0][0]),
        )
        source = replace(source, condition=condition, limit=self.limit)
        _copy(source, session, target.catalog.session)
        return target.load_staged(self.keyed, self.filling(condition))


def _copy(source: Source, session: Session, target: Session) -> None:
    """The rows to where a query's rows would be. Types that are PostgreSQL's own stay; those that
    somebody made become text."""
    types = {column.name: column.type for column in source.columns}
    known = ask(
        target,
        "SELECT name FROM unnest(%s::text[]) AS given(name) WHERE to_regtype(name)::oid < 16384",
        list(types.values()),
    )
    own = {row[0] for row in known}
    kinds = {name: kind if kind in own else "text" for name, kind in types.items()}
    nothing = ", ".join(f"NULL::{kind} AS {quoted(name)}" for name, kind in kinds.items())
    run(target, f"{STAGE} SELECT {nothing} LIMIT 0")
    cells = ", ".join(f"{quoted(name)}::{kind}" for name, kind in kinds.items())
    reading = f"COPY ({source.select(cells)}) TO STDOUT".encode()
    writing = f"COPY {STAGED} FROM STDIN".encode()
    with session.cursor().copy(reading) as rows, target.cursor().copy(writing) as copy:
        for block in rows:
            copy.write(block)
