"""Compare all keys of a source with those of its table where both are in PostgreSQL.

`sources/postgres/keys.py` does it where the table is in DuckDB.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from ecommerce_dagster.bruin.model.asset import Asset
from ecommerce_dagster.sources.parameters import incremental_key_of, primary_key_of
from ecommerce_dagster.sources.postgres.describe import Source
from ecommerce_dagster.sql.dialect import POSTGRES
from ecommerce_dagster.sql.identifiers import actual, quoted
from ecommerce_dagster.sql.strategies import common
from ecommerce_dagster.warehouses.postgres.catalog import STAGED, Catalog
from ecommerce_dagster.warehouses.postgres.session import Session, ask, run

_KEYS = 'pg_temp."_keys"'
_LATE = 'pg_temp."_late"'
_COUNT = quoted("_how many")


@dataclass(frozen=True)
class Keys:
    """The primary key and the incremental key of an asset: those of `source`, which has these
    columns alone, and those of `table`, where they are called and typed as in `kinds`."""

    asset: Asset
    source: Source
    catalog: Catalog
    table: str
    kinds: Mapping[str, str]

    @classmethod
    def of(cls, asset: Asset, source: Source, catalog: Catalog) -> Keys:
        table = catalog.find(asset.name).sql
        columns = catalog.columns(table)
        only = source.only((*primary_key_of(asset), incremental_key_of(asset) or ""))
        names = [actual(column.name, columns) for column in only.columns]
        return cls(asset, only, catalog, table, {name: columns[name] for name in names})

    @property
    def names(self) -> list[str]:
        return list(self.kinds)

    @property
    def primary(self) -> list[str]:
        return [actual(name, self.kinds) for name in primary_key_of(self.asset)]

    def agree(self, session: Session, among: str | None) -> bool:
        """Whether the table has the keys that the source has, by the session of that, in its rows
        that meet the condition `among`.

        Compared are the number of rows and the sum of a hash of each, of the texts in which both
        servers write them.
        """
        own = known_types(self.catalog.session, self.kinds.values())
        cells = {
            column.name: kind if kind in own else "text"
            for column, kind in zip(self.source.columns, self.kinds.values(), strict=True)
        }
        theirs = ask(session, self.source.select(_mark(cells)))
        ours = ask(
            self.catalog.session,
            f"SELECT {_mark(dict.fromkeys(self.kinds))} FROM {self.table} WHERE {among or 'TRUE'}",
        )
        return theirs == ours

    def stage(self, session: Session) -> None:
        """Bring the source's keys, in the types of the table."""
        target, names = self.catalog.session, ", ".join(map(quoted, self.kinds))
        run(target, f"DROP TABLE IF EXISTS {_KEYS}")
        run(
            target,
            f'CREATE TEMP TABLE "_keys" ON COMMIT DROP AS SELECT {names} FROM {self.table} LIMIT 0',
        )
        copy_rows(
            self.source, {c.name: "text" for c in self.source.columns}, session, target, _KEYS
        )
        run(target, f"ANALYZE {_KEYS}")

    def missed(self) -> int:
        """How many primary keys the table has not, or not with their newest incremental key."""
        keys, names = (", ".join(map(quoted, part)) for part in (self.primary, self.names))
        key = incremental_key_of(self.asset)
        newest = f", {quoted(actual(key, self.kinds))} DESC NULLS LAST" if key else ""
        ((count,),) = ask(
            self.catalog.session,
            f"SELECT count(*) FROM (\n  (SELECT DISTINCT ON ({keys}) {names} FROM {_KEYS}"
            f" ORDER BY {keys}{newest})\n  EXCEPT SELECT {names} FROM {self.table}\n) AS missed",
        )
        return int(count)

    def delete_gone(self, among: str | None) -> tuple[int, str]:
        """Delete the rows that meet the condition `among` and whose primary key the source has no
        more: how many, and how."""
        statement = common.delete_gone(POSTGRES, self.table, _KEYS, self.primary, among)
        return run(self.catalog.session, statement), statement

    def find_short(self) -> int:
        """Keep aside the keys that the table has less often than the source: how many rows it
        lacks."""
        target, names = self.catalog.session, ", ".join(map(quoted, self.names))
        run(
            target,
            f'CREATE TEMP TABLE "_short" ON COMMIT DROP AS SELECT {names}, count(*) AS {_COUNT}\n'
            f"FROM (SELECT {names} FROM {_KEYS} EXCEPT ALL SELECT {names} FROM {self.table}) AS s\n"
            f"GROUP BY {names}",
        )
        ((lacking,),) = ask(target, f'SELECT coalesce(sum({_COUNT}), 0) FROM pg_temp."_short"')
        return int(lacking)

    def keep_late(self, source: Source) -> int:
        """Keep of the staged rows, which are all of `source`, those that the table lacks, and of
        the keys that it has less often: how many. Whole rows are compared where a key is not
        unique; those that cannot be told from changed ones go.
        """
        target, columns = self.catalog.session, self.catalog.columns(self.table)
        types = {c.name: columns[actual(c.name, columns)] for c in source.columns}
        incoming = ", ".join(f"{quoted(name)}::{kind}" for name, kind in types.items())
        there = ", ".join(quoted(actual(name, columns)) for name in types)
        staged = {
            name: f"{quoted(column.name)}::{kind}"
            for column, (name, kind) in zip(self.source.columns, self.kinds.items(), strict=True)
        }
        keys = ", ".join(f"{cell} AS {quoted(name)}" for name, cell in staged.items())
        names = ", ".join(map(quoted, self.names))
        short = (
            f'SELECT FROM pg_temp."_short" AS short WHERE {POSTGRES.same(self.names, "short", "r")}'
        )
        run(
            target,
            f'CREATE TEMP TABLE "_late" ON COMMIT DROP AS\nSELECT place, {names} FROM (\n'
            f"  SELECT r.*, row_number() OVER (PARTITION BY cells) AS nth FROM (\n"
            f"    SELECT ctid AS place, ROW({incoming})::text AS cells, {keys} FROM {STAGED}\n"
            f"  ) AS r WHERE EXISTS ({short})\n) AS staged LEFT JOIN (\n"
            f"  SELECT ROW({there})::text AS cells, count(*) AS known FROM {self.table} AS r\n"
            f"  WHERE EXISTS ({short}) GROUP BY 1\n) AS loaded USING (cells)\n"
            f"WHERE nth > coalesce(known, 0)",
        )
        run(
            target,
            f"DELETE FROM {_LATE} AS r WHERE EXISTS (\n"
            f'  SELECT FROM pg_temp."_short" AS short JOIN (\n'
            f"    SELECT {names}, count(*) AS found FROM {_LATE} GROUP BY {names}\n"
            f"  ) AS late ON {POSTGRES.same(self.names, 'short', 'late')} AND found <> {_COUNT}\n"
            f"  WHERE {POSTGRES.same(self.names, 'short', 'r')}\n)",
        )
        run(
            target,
            f"DELETE FROM {STAGED} AS r\n"
            f"WHERE NOT EXISTS (SELECT FROM {_LATE} WHERE place = r.ctid)",
        )
        ((late,),) = ask(target, f"SELECT count(*) FROM {STAGED}")
        return int(late)


def known_types(session: Session, types: Iterable[str]) -> set[str]:
    """Those of these types that are PostgreSQL's own, and not somebody's."""
    found = ask(
        session,
        "SELECT name FROM unnest(%s::text[]) AS given(name) WHERE to_regtype(name)::oid < 16384",
        list(types),
    )
    return {str(row[0]) for row in found}


def copy_rows(
    source: Source, cells: Mapping[str, str], session: Session, target: Session, place: str
) -> None:
    """Bring the columns of a source, as these types, into a table of another session."""
    selected = ", ".join(f"{quoted(name)}::{kind}" for name, kind in cells.items())
    reading = f"COPY ({source.select(selected)}) TO STDOUT".encode()
    writing = f"COPY {place} FROM STDIN".encode()
    with session.cursor().copy(reading) as rows, target.cursor().copy(writing) as copy:
        for block in rows:
            copy.write(block)


def _mark(cells: Mapping[str, str | None]) -> str:
    """The number of rows and the sum of their hashes, by these columns as these types."""
    row = ", ".join(
        f"{quoted(name)}::{kind}::text" if kind else f"{quoted(name)}::text"
        for name, kind in cells.items()
    )
    return f"""count(*), sum(hashtextextended(ROW({row})::text COLLATE "C", 0))"""
