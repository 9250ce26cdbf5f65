"""What a load does to a table, worked out from columns alone: nothing here asks a database."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import partial

from ecommerce_dagster.bruin.model.asset import Asset
from ecommerce_dagster.bruin.model.interval import Interval
from ecommerce_dagster.sql.dialect import Dialect
from ecommerce_dagster.sql.identifiers import actual, quoted
from ecommerce_dagster.sql.load_columns import (
    declaration,
    gone,
    kept_type,
    on_merge,
    require_fills,
    require_needed,
    require_ordered,
)
from ecommerce_dagster.sql.load_result import LoadError
from ecommerce_dagster.sql.strategies.base import LoadSpec, Strategy, TargetColumn
from ecommerce_dagster.sql.strategies.common import delete_gone
from ecommerce_dagster.sql.strategies.registry import STRATEGIES
from ecommerce_dagster.sql.type_rules import TypeRules


@dataclass(frozen=True)
class WriteOptions:
    """How rows enter a table.

    The `strategy` is one of `STRATEGIES`; where the `lint` of a warehouse refuses one in files,
    ingestr and Python assets may still ask for it: raise LoadError. A `full_refresh` makes the
    table anew, unless the asset keeps a history. `only_window` refuses rows outside of the window;
    `update_all` makes a merge replace every column instead of those that the file names; `complete`
    says that the rows are all there are: those of the table whose key is not among them are
    deleted.
    """

    strategy: str
    window: Interval | None = None
    incremental_key: str | None = None
    full_refresh: bool = False
    update_all: bool = False
    only_window: bool = False
    complete: bool = False


@dataclass(frozen=True)
class Plan:
    """The statements of one load.

    `staging` gives stored rows the names and types of the table. `reshaping` changes of the table
    what a view can depend on, `filling` all else. Last, `moved` removes the rows that are found
    elsewhere now, and `gone` those that the source has no more. `columns` are those to fill, in the
    order of the query's; `changes` are for people.
    """

    columns: tuple[TargetColumn, ...]
    staging: tuple[str, ...]
    reshaping: tuple[str, ...]
    filling: tuple[str, ...]
    moved: str | None
    gone: str | None
    changes: tuple[str, ...]

    @property
    def statements(self) -> tuple[str, ...]:
        """All of them, in order."""
        last = (step for step in (self.moved, self.gone) if step)
        return (*self.staging, *self.reshaping, *self.filling, *last)


@dataclass
class _Changes:
    """How a table has to change for the columns that come, and what to tell of it."""

    wider: list[str] = field(default_factory=list)
    added: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Job:
    """A load of the rows of `source` into `table`, both of which are SQL. What there is of that
    name is of the `kind` (table, view, ...; None: nothing), and has, if it is a table, the columns
    `existing`."""

    asset: Asset
    how: WriteOptions
    table: str
    kind: str | None
    existing: Mapping[str, str] | None
    source: str
    dialect: Dialect
    types: TypeRules

    @property
    def strategy(self) -> Strategy:
        return STRATEGIES[self.how.strategy]

    @property
    def rebuilds(self) -> bool:
        """Whether the table gets its columns from the query, as on a first run."""
        fresh = self.how.full_refresh and not self.asset.is_refresh_restricted
        return self.existing is None or self.strategy.rebuilds or fresh

    @property
    def kept(self) -> dict[str, str] | None:
        """The columns of the table that the query has to fit; None when it is rebuilt."""
        if self.rebuilds or self.existing is None:
            return None
        fills = self.strategy.fills
        return {name: kind for name, kind in self.existing.items() if name.lower() not in fills}

    def plan(self, incoming: Mapping[str, str]) -> Plan:
        """The plan for rows with these columns. Raises LoadError.

        Column names are matched without case. A new column is added, a wider type widens the
        table's, a column that no longer comes stays and is filled with NULL.
        """
        existing = None if self.rebuilds else self.existing
        require_fills(self.asset, self.strategy, incoming, existing)
        _require_names(incoming)
        changes = _Changes()
        columns = [self._column(name, kind, changes) for name, kind in incoming.items()]
        changes.notes += gone(self.kept or {}, incoming)
        load = self._load(columns)
        require_needed(load, self.strategy, incoming)
        require_ordered(load, self.strategy, self.types)
        self._require_row(incoming)
        self._require_instants(load)
        reshaping, filling = self._steps(load, changes)
        return Plan(
            tuple(columns),
            tuple(self._retyping(incoming, columns)) if self.dialect.stages else (),
            tuple(reshaping),
            tuple(filling),
            None if self.rebuilds else self.strategy.moved(load),
            self._gone(load) if self.how.complete else None,
            tuple(changes.notes),
        )

    def _column(self, comes_as: str, kind: str, changes: _Changes) -> TargetColumn:
        types, kept = self.types, self.kept
        column = declaration(self.asset, comes_as)
        target = partial(types.target_type, column.type)
        wanted = target(kind)
        name = actual(comes_as, kept or {})
        if column.type and types.known(column.type) is None:
            changes.notes.append(
                f"{name} is {wanted}: {self.dialect.name} has no type '{column.type}'"
            )
        if kept is not None and name in kept:
            has = kept[name]
            wanted = kept_type(self.asset, name, has, kind, wanted=target, types=types)
            if wanted != has:
                changes.notes.append(f"widened column {name} from {has} to {wanted}")
                changes.wider.append(f"ALTER COLUMN {quoted(name)} TYPE {wanted}")
        elif kept is not None:
            changes.notes.append(f"added column {name} {wanted}")
            changes.added.append(f"ADD COLUMN {quoted(name)} {wanted}")
        if refusal := types.refusal(wanted):
            raise LoadError(f"the column {name} is {wanted}: {refusal}")
        replaced = on_merge(self.asset, name, self.how.update_all)
        if replaced and column.merge_sql and types.doubt(wanted):
            replaced = types.kept(name, f"CAST(({replaced}) AS {wanted})", wanted)
        expression = types.converted(comes_as, kind, wanted)
        return TargetColumn(name, wanted, expression, replaced, types.exact(wanted))

    def _steps(self, load: LoadSpec, changes: _Changes) -> tuple[list[str], list[str]]:
        """What changes the table, and what fills it. Where a table is not simply replaced, one that
        has the right columns already is emptied instead of made anew: readers need not wait,
        and whatever depends on it stays."""
        if not self.rebuilds:
            alter = f"ALTER TABLE {load.table}"
            added = [f"{alter} {change}" for change in changes.added]
            filling = [*added, *self.strategy.statements(load)]
            return [f"{alter} {change}" for change in changes.wider], filling
        replaces, columns = self.dialect.replaces, {c.name: c.type for c in load.columns}
        is_same = list((self.existing or {}).items()) == list(columns.items())
        if not replaces and is_same and not self.strategy.fills:
            return [], self.strategy.create(replace(load, refills=True))
        gives_way = self.kind is not None and not (replaces and self.kind == "table")
        drop = [f"DROP {self.kind.upper()} {load.table}"] if self.kind and gives_way else []
        return drop, self.strategy.create(load)

    def _load(self, columns: list[TargetColumn]) -> LoadSpec:
        asset, how = self.asset, self.asset.materialization
        names = [column.name for column in columns]
        key = self.how.incremental_key or how.incremental_key
        return LoadSpec(
            table=self.table,
            source=self.source,
            columns=tuple(columns),
            dialect=self.dialect,
            primary_key=tuple(actual(key, names) for key in asset.primary_key),
            incremental_key=actual(key, names) if key else None,
            incremental_predicate=how.incremental_predicate,
            window=self.how.window,
            by_date=how.time_granularity == "date",
            is_staged=self.dialect.stages,
        )

    def _gone(self, load: LoadSpec) -> str:
        rows = f"(SELECT * FROM {self.source})"
        return delete_gone(self.dialect, load.table, rows, load.primary_key)

    def _retyping(self, incoming: Mapping[str, str], columns: list[TargetColumn]) -> list[str]:
        """The statements that give the stored rows the names and types of the table. The statements
        are counted."""
        found: list[str] = []
        for (comes_as, kind), column in zip(incoming.items(), columns, strict=True):
            if kind != column.type:
                found.append(
                    f"ALTER TABLE {self.source} ALTER COLUMN {quoted(comes_as)} TYPE {column.type}"
                    f" USING {column.expression}"
                )
            if comes_as != column.name:
                change = f"RENAME COLUMN {quoted(comes_as)} TO {quoted(column.name)}"
                found.append(f"ALTER TABLE {self.source} {change}")
        return [*found, f"ANALYZE {self.source}"]

    def _require_row(self, incoming: Mapping[str, str]) -> None:
        row = self.dialect.row
        if self.strategy.needs_primary_key and row in {name.lower() for name in incoming}:
            raise LoadError(
                f"the strategy tells equal rows apart by {self.dialect.name}'s {row}, which a "
                f"column of that name hides; rename the column {row} in the query"
            )

    def _require_instants(self, load: LoadSpec) -> None:
        if not self.strategy.needs_instants:
            return
        (key,) = load.called([load.incremental_key or ""])
        if not self.dialect.is_time(key.type):
            raise LoadError(
                f"the column {key.name} is {key.type}; as the incremental_key of this strategy it "
                "must be a date, a timestamp or a timestamptz; cast it in the query"
            )


def _require_names(incoming: Mapping[str, str]) -> None:
    lower = Counter(name.lower() for name in incoming)
    twice = sorted(name for name in incoming if lower[name.lower()] > 1)
    if twice:
        raise LoadError(
            f"the query returns columns with the same name but for case ({', '.join(twice)}); "
            "rename one"
        )
