"""All keys of a source beside those of its table where both are in PostgreSQL (see `keys.py`)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from ecommerce_dagster.bruin.model.asset import Asset
from ecommerce_dagster.sources.parameters import incremental_key_of, primary_key_of
from ecommerce_dagster.sources.postgres.describe import Source
from ecommerce_dagster.sql.dialect import POSTGRES
from ecommerce_dagster.sql.identifiers import actual, quoted
from ecommerce_dagster.sql.strategies import common
from ecommerce_dagster.warehouses.postgres.catalog import STAGE, STAGED, Catalog
from ecommerce_dagster.warehouses.postgres.session import Session, ask, run

_KEYS = 'pg_temp."_keys"'
_LATE = 'pg_temp."_late"'
_COUNT = quoted("_how many")


@dataclass(frozen=True)
class Keys:
    """The keys of `whole`, the rows that a full load would take, asked by the session of the
    source, and those of the table of `asset`.

    `source` has the columns of the keys alone; in `table` they are called and typed as in `kinds`.
    """

    asset: Asset
    session: Session
    whole: Source
    catalog: Catalog
    source: Source
    table: str
    kinds: Mapping[str, str]

    @classmethod
    def of(cls, asset: Asset, session: Session, whole: Source, catalog: Catalog) -> Keys:
        table = catalog.find(asset.name).sql
        columns = catalog.columns(table)
        only = whole.only((*primary_key_of(asset), incremental_key_of(asset) or ""))
        kinds = {name: columns[name] for name in (actual(c.name, columns) for c in only.columns)}
        return cls(asset, session, whole, catalog, only, table, kinds)

    @property
    def names(self) -> list[str]:
        return list(self.kinds)

    @property
    def primary(self) -> list[str]:
        return [actual(name, self.kinds) for name in primary_key_of(self.asset)]

    def agree(self, among: str | None) -> bool:
        """See `compare.Keys`. Hashed are the texts in which both servers write them."""
        own = _known_types(self.catalog.session, self.kinds.values())
        cells = {
            column.name: kind if kind in own else "text"
            for column, kind in zip(self.source.columns, self.kinds.values(), strict=True)
        }
        theirs = ask(self.session, self.source.select(_mark(cells)))
        ours = ask(
            self.catalog.session,
            f"SELECT {_mark(dict.fromkeys(self.kinds))} FROM {self.table} WHERE {among or 'TRUE'}",
        )
        return theirs == ours

    def stage(self) -> None:
        target, names = self.catalog.session, ", ".join(map(quoted, self.kinds))
        run(target, f"DROP TABLE IF EXISTS {_KEYS}")
        run(
            target,
            f'CREATE TEMP TABLE "_keys" ON COMMIT DROP AS SELECT {names} FROM {self.table} LIMIT 0',
        )
        cells = {column.name: "text" for column in self.source.columns}
        _copy_rows(self.source, cells, self.session, target, _KEYS)
        run(target, f"ANALYZE {_KEYS}")

    def missed(self) -> int:
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
        statement = common.delete_gone(POSTGRES, self.table, _KEYS, self.primary, among)
        return run(self.catalog.session, statement), statement

    def find_short(self) -> int:
        self.stage()
        target, names = self.catalog.session, ", ".join(map(quoted, self.names))
        run(
            target,
            f'CREATE TEMP TABLE "_short" ON COMMIT DROP AS SELECT {names}, count(*) AS {_COUNT}\n'
            f"FROM (SELECT {names} FROM {_KEYS} EXCEPT ALL SELECT {names} FROM {self.table}) AS s\n"
            f"GROUP BY {names}",
        )
        ((lacking,),) = ask(target, f'SELECT coalesce(sum({_COUNT}), 0) FROM pg_temp."_short"')
        return int(lacking)

    def keep_late(self) -> int:
        """They stay of the staged rows, which are all of the source at first."""
        target, columns = self.catalog.session, self.catalog.columns(self.table)
        stage_rows(self.whole, self.session, target)
        types = {c.name: columns[actual(c.name, columns)] for c in self.whole.columns}
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


def stage_rows(source: Source, session: Session, target: Session) -> None:
    """The rows to where a query's rows would be. Types that are PostgreSQL's own stay; those that
    are user-defined become text."""
    own = _known_types(target, [column.type for column in source.columns])
    kinds = {c.name: c.type if c.type in own else "text" for c in source.columns}
    nothing = ", ".join(f"NULL::{kind} AS {quoted(name)}" for name, kind in kinds.items())
    run(target, f"DROP TABLE IF EXISTS {STAGED}")
    run(target, f"{STAGE} SELECT {nothing} LIMIT 0")
    _copy_rows(source, kinds, session, target, STAGED)


def _known_types(session: Session, types: Iterable[str]) -> set[str]:
    """Those of these types that are built in, not user-defined."""
    found = ask(
        session,
        "SELECT name FROM unnest(%s::text[]) AS given(name) WHERE to_regtype(name)::oid < 16384",
        list(types),
    )
    return {str(row[0]) for row in found}


def _copy_rows(
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
