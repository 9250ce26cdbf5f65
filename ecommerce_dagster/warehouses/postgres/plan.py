"""What a load does to a table, worked out from columns alone: nothing here asks a database."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial

from ecommerce_dagster.bruin.model.asset import Asset
from ecommerce_dagster.sql.identifiers import actual, quoted
from ecommerce_dagster.sql.load_columns import (
    declaration,
    gone,
    kept_type,
    on_merge,
    require_fills,
    require_needed,
)
from ecommerce_dagster.sql.load_result import LoadError
from ecommerce_dagster.sql.strategies import postgres
from ecommerce_dagster.sql.strategies.common import STRATEGIES, LoadSpec, Strategy, TargetColumn
from ecommerce_dagster.warehouses.base import WriteOptions
from ecommerce_dagster.warehouses.postgres.catalog import Table
from ecommerce_dagster.warehouses.postgres.types import (
    UNKNOWN,
    converted,
    exact,
    is_time,
    target_type,
    widened,
)

# The incoming rows, stored: the query is read once, before anything of the table changes.
STAGED = 'pg_temp."_query"'
STAGE = 'CREATE TEMP TABLE "_query" ON COMMIT DROP AS'


@dataclass(frozen=True)
class Plan:
    """The statements of one load.

    `staging` gives the staged rows the names and types of the table. `reshaping` changes of the
    table what a view can depend on, `filling` all else, and `moved`, last, removes the rows that
    are found elsewhere now. `columns` are those to fill, in the order of the query's; `changes`
    are for people.
    """

    columns: tuple[TargetColumn, ...]
    staging: tuple[str, ...]
    reshaping: tuple[str, ...]
    filling: tuple[str, ...]
    moved: str | None
    changes: tuple[str, ...]


@dataclass(frozen=True)
class Job:
    """A load of staged rows into `table`, which has the columns `existing` (None: it has to be
    made, in place of the view of its name when it is one). `declared` are the types of the
    file as PostgreSQL calls them."""

    asset: Asset
    how: WriteOptions
    table: Table
    existing: Mapping[str, str] | None
    declared: Mapping[str, str]

    @property
    def needs(self) -> Strategy:
        """What the strategy asks of an asset."""
        return STRATEGIES[self.how.strategy]

    @property
    def rebuilds(self) -> bool:
        """Whether the table gets its columns from the query, as on a first run."""
        fresh = self.how.full_refresh and not self.asset.is_refresh_restricted
        return self.existing is None or self.needs.rebuilds or fresh

    @property
    def kept(self) -> dict[str, str] | None:
        """The columns of the table that the query has to fit; None when it is rebuilt."""
        if self.rebuilds or self.existing is None:
            return None
        return {n: kind for n, kind in self.existing.items() if n not in self.needs.fills}

    def plan(self, incoming: Mapping[str, str]) -> Plan:
        """The plan for rows with these columns. Raises LoadError.

        Column names are matched without case. A new column is added, a wider type widens the
        table's, a column that no longer comes stays and is filled with NULL.
        """
        require_fills(self.asset, self.needs, incoming, None if self.rebuilds else self.existing)
        _require_names(incoming)
        columns: list[TargetColumn] = []
        wider: list[str] = []
        added: list[str] = []
        changes: list[str] = []
        kept = self.kept
        for comes_as, kind in incoming.items():
            column = declaration(self.asset, comes_as)
            promise = self.declared.get(column.type)
            target = partial(target_type, promise)
            wanted = target(kind)
            name = actual(comes_as, kept or {})
            if column.type and promise is None:
                changes.append(f"{name} is {wanted}: PostgreSQL has no type '{column.type}'")
            if kept is not None and name in kept:
                has = kept[name]
                wanted = kept_type(
                    self.asset, name, has, kind, wanted=target, widened=widened, unknown=UNKNOWN
                )
                if wanted != has:
                    changes.append(f"widened column {name} from {has} to {wanted}")
                    wider.append(f"ALTER COLUMN {quoted(name)} TYPE {wanted}")
            elif kept is not None:
                changes.append(f"added column {name} {wanted}")
                added.append(f"ADD COLUMN {quoted(name)} {wanted}")
            replaced = on_merge(self.asset, name, self.how.update_all)
            columns.append(TargetColumn(name, wanted, quoted(comes_as), replaced, exact(wanted)))
        changes += gone(kept or {}, incoming)
        load = self._load(columns)
        require_needed(load, self.needs, incoming)
        _require_instants(load, self.needs)
        reshaping, filling = self._steps(load, wider, added)
        return Plan(
            tuple(columns),
            tuple(_retyping(incoming, columns)),
            tuple(reshaping),
            tuple(filling),
            None if self.rebuilds else self.needs.moved(load),
            tuple(changes),
        )

    def _steps(
        self, load: LoadSpec, wider: list[str], added: list[str]
    ) -> tuple[list[str], list[str]]:
        """A table that has the right columns already is emptied instead of made anew, so that
        nobody has to wait to read it, and whatever depends on it stays."""
        strategy = postgres.STRATEGIES[self.how.strategy]
        if not self.rebuilds:
            alter = f"ALTER TABLE {load.table}"
            filling = [*(f"{alter} {change}" for change in added), *strategy.statements(load)]
            return [f"{alter} {change}" for change in wider], filling
        types = [(column.name, column.type) for column in load.columns]
        if list((self.existing or {}).items()) == types and not self.needs.fills:
            return [], strategy.refill(load)
        kind = self.table.kind
        return [f"DROP {kind.upper()} {load.table}"] if kind else [], strategy.create(load)

    def _load(self, columns: list[TargetColumn]) -> LoadSpec:
        asset, how = self.asset, self.asset.materialization
        types = {column.name: column.type for column in columns}
        key = self.how.incremental_key or how.incremental_key
        return LoadSpec(
            table=self.table.sql,
            source=STAGED,
            columns=tuple(columns),
            primary_key=tuple(actual(key, types) for key in asset.primary_key),
            incremental_key=actual(key, types) if key else None,
            incremental_predicate=how.incremental_predicate,
            window=self.how.window,
            by_date=how.time_granularity == "date",
            row="ctid",
        )


def _require_names(incoming: Mapping[str, str]) -> None:
    lower = Counter(name.lower() for name in incoming)
    twice = sorted(name for name in incoming if lower[name.lower()] > 1)
    if twice:
        raise LoadError(
            f"the query returns columns with the same name but for case ({', '.join(twice)}); "
            "rename one"
        )


def _require_instants(load: LoadSpec, needs: Strategy) -> None:
    types = {column.name: column.type for column in load.columns}
    key = load.incremental_key or ""
    if needs.needs_instants and not is_time(types[key]):
        raise LoadError(
            f"the column {key} is {types[key]}; as the incremental_key of this strategy it must "
            "be a date, a timestamp or a timestamptz; cast it in the query"
        )


def _retyping(incoming: Mapping[str, str], columns: list[TargetColumn]) -> list[str]:
    """The statements that give the staged rows the names and types of the table."""
    found: list[str] = []
    for (comes_as, kind), column in zip(incoming.items(), columns, strict=True):
        if kind != column.type:
            found.append(
                f"ALTER TABLE {STAGED} ALTER COLUMN {quoted(comes_as)} TYPE {column.type}"
                f" USING {converted(comes_as, kind, column.type)}"
            )
        if comes_as != column.name:
            change = f"RENAME COLUMN {quoted(comes_as)} TO {quoted(column.name)}"
            found.append(f"ALTER TABLE {STAGED} {change}")
    return found
