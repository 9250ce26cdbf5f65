"""What a change does to the rows and the columns of what reads it.

    effects[part.name] = effect_of(part, before, effects, may_have)

What cannot be proven to stay as it is counts as changed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import IntEnum

from ecommerce_dagster.sql.lineage.parts import Columns, Name, Part


class Level(IntEnum):
    """What happens to a column, or to the rows, of a table; the larger the worse for readers.

    Rows that are GONE are those of a table that cannot be built any more.
    """

    SAME = 0
    ADDED = 1
    CHANGED = 2
    RETYPED = 3
    GONE = 4


@dataclass(frozen=True)
class Effect:
    """What happens to a table or a part of a query, the `columns` by their names in lower case.

    `rows` tells which rows there are, `order` that rows or columns may come in another order,
    `others` what happens to columns that are not named.
    """

    rows: Level = Level.SAME
    order: bool = False
    columns: Mapping[str, Level] = field(default_factory=dict)
    others: Level = Level.SAME

    def __bool__(self) -> bool:
        return self != NONE

    def of(self, column: str) -> Level:
        """What happens to a column."""
        return max(self.columns.get(column, self.others), self.rows)

    @property
    def worst(self) -> Level:
        """What happens to a reader of all columns: a column more or less is a change."""
        found = max([self.rows, self.others, *self.columns.values()])
        broken = self.rows is Level.GONE
        return Level.GONE if broken else Level.CHANGED if self else found


NONE = Effect()
EVERYTHING = Effect(Level.CHANGED, order=True, others=Level.CHANGED)
# The columns that a table has before or after the change; None when some are not known.
MayHave = Callable[[str], Columns]


def effect_of(
    part: Part, before: Part | None, effects: Mapping[str, Effect], may_have: MayHave
) -> Effect:
    """What happens to a part of a query that was `before`, when the `effects` happen to tables and
    other parts, by their keys and names."""
    read = {key: effects[key] for key in part.tables if effects.get(key)}
    if part == before and not read:
        return NONE
    if before is None or part.outputs is None or before.outputs is None:
        return _of_unknown(part, before, read)
    return _Comparison(part, before, read, may_have).effect()


def _of_unknown(part: Part, before: Part | None, read: Mapping[str, Effect]) -> Effect:
    """Of what cannot be followed all has changed; a column that is gone and named breaks it."""
    lost = any(
        level >= Level.RETYPED and column in part.words
        for effect in read.values()
        for column, level in effect.columns.items()
    )
    broken = lost or any(effect.rows is Level.GONE for effect in read.values())
    rows = Level.GONE if broken else Level.CHANGED
    old = {output.name for output in before.outputs or ()} if before is not None else set()
    new = {output.name for output in part.outputs or ()}
    columns = dict.fromkeys(old | new, rows)
    if old and new:
        columns |= dict.fromkeys(old - new, Level.GONE) | dict.fromkeys(new - old, Level.ADDED)
    return Effect(rows, order=True, columns=columns, others=rows)


class _Comparison:
    """A part with known columns, and what it was before."""

    def __init__(
        self, part: Part, before: Part, read: Mapping[str, Effect], may_have: MayHave
    ) -> None:
        self._part, self._before, self._read, self._may_have = part, before, read, may_have
        self._old = {output.name: output for output in before.outputs or ()}
        self._new = {output.name: output for output in part.outputs or ()}
        self._columns = {name: self._written(name) for name in {**self._old, **self._new}}
        self._follow()

    def effect(self) -> Effect:
        part, before = self._part, self._before
        rows = max([*self._rows(), *self._rows_by_outputs()], default=Level.SAME)
        if any(self._reads(o.names) is Level.GONE for o in part.outputs or ()):
            rows = Level.GONE
        sorts = part.order != before.order or self._reads(part.sorts) > Level.SAME
        order = rows > Level.SAME or sorts or self._moved()
        unnamed = [n for n, level in self._columns.items() if level and not n.isidentifier()]
        return Effect(
            rows,
            order=order or any(effect.order for effect in self._read.values()),
            columns={name: level for name, level in self._columns.items() if level},
            others=max(rows, Level.CHANGED) if unnamed else rows,
        )

    def _moved(self) -> bool:
        """Whether the outputs are in another order."""
        old, new = self._old, self._new
        return [name for name in old if name in new] != [name for name in new if name in old]

    def _written(self, name: str) -> Level:
        """What the text of an output says of it."""
        old, new = self._old.get(name), self._new.get(name)
        if old is None or new is None:
            return Level.ADDED if old is None else Level.GONE
        return Level.SAME if old == new else Level.CHANGED

    def _follow(self) -> None:
        """Add what happens to what the outputs name, which may be other outputs."""
        for _ in self._new:
            before = dict(self._columns)
            for name, output in self._new.items():
                if before[name] is not Level.ADDED:
                    self._columns[name] = max(before[name], self._reads(output.names))
            if self._columns == before:
                return

    def _rows(self) -> Iterator[Level]:
        """What decides which rows there are, beside the outputs."""
        part, before = self._part, self._before
        yield self._reads(part.rows)
        for key, effect in self._read.items():
            yield effect.worst if key in part.whole else effect.rows
            if part.ordered and effect.order:
                yield Level.CHANGED
        kept = ("frame", "sources", "rows", "whole")
        if any(getattr(part, key) != getattr(before, key) for key in kept):
            yield Level.CHANGED
        is_recursive = part.name in part.tables
        if is_recursive and (self._read or any(self._columns.values())):
            yield Level.CHANGED
        if self._moved() and self._names_aliases():  # an alias is known from there on
            yield Level.CHANGED
        aggregated = [any(o.aggregates for o in one.values()) for one in (self._old, self._new)]
        if aggregated[0] != aggregated[1]:
            yield Level.CHANGED

    def _names_aliases(self) -> bool:
        """Whether an output may name another one."""
        return any(
            not name.table and name.column != output.name and name.column in self._new
            for output in self._new.values()
            for name in output.names
        )

    def _rows_by_outputs(self) -> Iterator[Level]:
        """What happens to the outputs that decide which rows there are."""
        for name, level in self._columns.items():
            outputs = [o for o in (self._old.get(name), self._new.get(name)) if o is not None]
            is_key = self._part.grouped and any(output.groups for output in outputs)
            if level and (is_key or any(output.unnests for output in outputs)):
                yield Level.RETYPED if level is Level.RETYPED else Level.CHANGED

    def _reads(self, names: Iterable[Name]) -> Level:
        return max(map(self._read_of, names), default=Level.SAME)

    def _read_of(self, name: Name) -> Level:
        """What happens to a column that is read, of whichever table may have it."""
        sources = self._part.sources
        if name.table in sources:
            return self._among(sources[name.table], name.column)
        keys: frozenset[str] = frozenset().union(*sources.values())
        if name.table:  # the field of a struct, or a column of an inner query
            return max(self._among(keys, name.table), self._among(keys, name.column))
        found = self._among(keys, name.column)
        if name.column in sources:  # a whole row
            rows = (self._read[key].worst for key in sources[name.column] if key in self._read)
            found = max([found, *rows])
        own = self._columns.get(name.column, Level.SAME)
        if own is Level.SAME:
            return found
        return max(found, Level.RETYPED if own is Level.RETYPED else Level.CHANGED)

    def _among(self, keys: Iterable[str], column: str) -> Level:
        keys = [key for key in keys if key in self._part.tables]
        possible = [key for key in keys if column in (self._may_have(key) or (column,))]
        if not possible and column not in self._columns:
            worst = (self._read[key].worst for key in keys if key in self._read)
            return min(max(worst, default=Level.SAME), Level.CHANGED)
        levels = (self._read[key].of(column) for key in possible if key in self._read)
        found = max(levels, default=Level.SAME)
        return Level.CHANGED if found is Level.ADDED else found
