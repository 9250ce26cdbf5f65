"""An ingestr asset from PostgreSQL into PostgreSQL: COPY out of the one and into the other, so that
every value stays what it is."""

from __future__ import annotations

from dataclasses import dataclass, replace

import psycopg

from ecommerce_dagster.sources.postgres.compare import compared
from ecommerce_dagster.sources.postgres.describe import Source
from ecommerce_dagster.sources.postgres.guards import refuse_rewritten
from ecommerce_dagster.sources.postgres.keys_in_postgres import Keys, stage_rows
from ecommerce_dagster.sources.postgres.request import PostgresRequest
from ecommerce_dagster.sql.load_result import LoadError, LoadResult
from ecommerce_dagster.warehouses.base import Target
from ecommerce_dagster.warehouses.postgres.connect import SourceError
from ecommerce_dagster.warehouses.postgres.session import Session, ask, error_message, opened
from ecommerce_dagster.warehouses.postgres.target import PostgresTarget
from ecommerce_dagster.warehouses.schema_contract import columns_kept


@dataclass(frozen=True)
class CopyIngestion(PostgresRequest):
    """How to load one ingestr asset in one run. Call it with the place for its table."""

    def __call__(self, target: Target) -> LoadResult:
        assert isinstance(target, PostgresTarget)
        try:
            source = self.described()
            with opened(self.postgres, read_only=True) as session:
                return self._load(target, session, source)
        except (SourceError, LoadError) as error:
            raise self.failure(str(error)) from None
        except psycopg.Error as error:
            raise self.failure(error_message(error)) from None

    def _load(self, target: PostgresTarget, session: Session, source: Source) -> LoadResult:
        named, names = self.named(target, [column.name for column in source.columns])
        with columns_kept(target, self.asset):
            loaded = named._load_from(target, session, source.renamed(names))
        refuse_rewritten(lambda query: ask(session, query)[0][0], source)
        return loaded

    def _load_from(self, target: PostgresTarget, session: Session, source: Source) -> LoadResult:
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
        is_continued = bool(target.columns(self.asset.name)) and not self.from_scratch
        loaded = self._fill(target, session, source)
        if is_continued and self.compares:
            whole = replace(source, condition=self.whole(source.key))
            loaded = compared(
                self,
                Keys.of(self.asset, session, whole, target.catalog),
                target,
                loaded,
                fill=lambda: self._fill(target, session, whole),
                fill_late=lambda: target.load_staged(self.keyed, self.filling(whole.condition)),
            )
        return loaded

    def _fill(self, target: PostgresTarget, session: Session, source: Source) -> LoadResult:
        stage_rows(source, session, target.catalog.session)
        return target.load_staged(self.keyed, self.filling(source.condition))
