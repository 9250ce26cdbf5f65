"""An ingestr asset from PostgreSQL into PostgreSQL: COPY out of the one and into the other, so that
every value stays what it is."""

from __future__ import annotations

from dataclasses import dataclass, replace

import psycopg

from ecommerce_dagster.bruin.model.asset import Asset
from ecommerce_dagster.bruin.model.interval import Interval
from ecommerce_dagster.bruin.model.postgres_connection import PostgresConnection
from ecommerce_dagster.sources.known_parameters import trims
from ecommerce_dagster.sources.parameters import is_reconcilable
from ecommerce_dagster.sources.postgres.describe import Source, describe
from ecommerce_dagster.sources.postgres.guards import refuse_rewritten
from ecommerce_dagster.sources.postgres.keys_in_postgres import Keys, copy_rows, known_types
from ecommerce_dagster.sources.request import (
    Request,
    both,
    still_other,
    unordered_rows,
    warned,
)
from ecommerce_dagster.sql.identifiers import quoted
from ecommerce_dagster.sql.load_result import LoadError, LoadResult
from ecommerce_dagster.warehouses.base import Target
from ecommerce_dagster.warehouses.postgres.catalog import STAGE, STAGED
from ecommerce_dagster.warehouses.postgres.connect import SourceError, cancel
from ecommerce_dagster.warehouses.postgres.session import Session, ask, error_message, opened, run
from ecommerce_dagster.warehouses.postgres.target import PostgresTarget


@dataclass(frozen=True)
class CopyIngestion(Request):
    """How to load one ingestr asset in one run. Call it with the place for its table."""

    asset: Asset
    postgres: PostgresConnection
    interval: Interval | None = None
    full_refresh: bool = False
    reconcile: bool = False
    one_source: bool = True
    reads_keys = True

    def cancel(self) -> None:
        """End what PostgreSQL is doing for this process, from another thread."""
        cancel(self.postgres)

    def __call__(self, target: Target) -> LoadResult:
        assert isinstance(target, PostgresTarget)
        try:
            # First, since it waits for whoever rewrites the table, and no snapshot may be older.
            source = describe(self.postgres, self.source_table, self.excluded, self.masks)
            with opened(self.postgres, read_only=True) as session:
                return self._load(target, session, source)
        except (SourceError, LoadError) as error:
            raise self.failure(str(error)) from None
        except psycopg.Error as error:
            raise self.failure(error_message(error)) from None

    def _load(self, target: PostgresTarget, session: Session, source: Source) -> LoadResult:
        source = source.trimmed() if trims(self.asset) else source
        named, names = self.named(target, [column.name for column in source.columns])
        with self.columns_kept(target):
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
            loaded = self._compared(target, session, whole, loaded)
        return loaded

    def _fill(self, target: PostgresTarget, session: Session, source: Source) -> LoadResult:
        _stage(source, session, target.catalog.session)
        return target.load_staged(self.keyed, self.filling(source.condition))

    def _compared(
        self, target: PostgresTarget, session: Session, whole: Source, loaded: LoadResult
    ) -> LoadResult:
        """Make the table agree with the whole source in all keys, and report it with `loaded`."""
        keys = Keys.of(self.asset, whole, target.catalog)
        among = self.compared_rows(target.columns(self.asset.name))
        if keys.agree(session, among):
            return replace(loaded, rows_deleted=0 if is_reconcilable(self.asset) else None)
        keys.stage(session)
        if self.strategy == "append":
            return self._with_late(target, session, keys, whole, loaded)
        if lacking := keys.missed():
            loaded = both(loaded, self._fill(target, session, whole))
            loaded = replace(loaded, rows_missed=lacking)
            if still := keys.missed():
                loaded = warned(loaded, still_other(self.asset.name, still))
        if not is_reconcilable(self.asset):
            return loaded
        deleted, statement = keys.delete_gone(among)
        return replace(loaded, rows_deleted=deleted, statements=(*loaded.statements, statement))

    def _with_late(
        self,
        target: PostgresTarget,
        session: Session,
        keys: Keys,
        whole: Source,
        loaded: LoadResult,
    ) -> LoadResult:
        """The rows that came with a key that is not after the largest."""
        lacking = keys.find_short()
        if not lacking:
            return loaded
        _stage(whole, session, target.catalog.session)
        late = keys.keep_late(whole)
        if lacking > late:
            loaded = warned(loaded, unordered_rows(self.asset.name, lacking - late))
        if not late:
            return loaded
        rest = target.load_staged(self.keyed, self.filling(whole.condition))
        return replace(both(loaded, rest), rows_missed=late)


def _stage(source: Source, session: Session, target: Session) -> None:
    """The rows to where a query's rows would be. Types that are PostgreSQL's own stay; those that
    somebody made become text."""
    own = known_types(target, [column.type for column in source.columns])
    kinds = {c.name: c.type if c.type in own else "text" for c in source.columns}
    nothing = ", ".join(f"NULL::{kind} AS {quoted(name)}" for name, kind in kinds.items())
    run(target, f"DROP TABLE IF EXISTS {STAGED}")
    run(target, f"{STAGE} SELECT {nothing} LIMIT 0")
    copy_rows(source, kinds, session, target, STAGED)
