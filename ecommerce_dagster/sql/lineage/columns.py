"""Following the columns of one parsed query to the tables that it reads.

A column is computed from every column that its expression names, through subqueries, unions and
window functions; what only chooses rows (WHERE, ON) is no part of it. Counting rows is counting
what tells them apart: their group, else the primary keys of the tables that they come from.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from ecommerce_dagster.sql.used_tables import Use

if TYPE_CHECKING:
    from sqlglot import exp
    from sqlglot.optimizer.scope import Scope


class ColumnRef(NamedTuple):
    """A column of a table; of one outside of the warehouse, with the `connection` to it."""

    table: str
    column: str
    connection: str = ""


Refs = frozenset[ColumnRef]
NOTHING: Refs = frozenset()
_DEFAULT = "main"
_NAMELESS = re.compile(r"_col_\d+$")


@dataclass(frozen=True)
class Table:
    """A table as far as it is known. It may have other columns unless it is `complete`."""

    name: str
    columns: tuple[str, ...] = ()
    primary_key: tuple[str, ...] = ()
    complete: bool = False


class Tracer:
    """Follows the columns of one query. `gaps` collects, as its keys, what cannot be followed."""

    def __init__(self, query: exp.Query, tables: Mapping[str, Table], dialect: str) -> None:
        from sqlglot import exp
        from sqlglot.optimizer.qualify import qualify
        from sqlglot.optimizer.scope import build_scope, traverse_scope
        from sqlglot.schema import MappingSchema

        self.gaps: dict[str, None] = {}
        named = {key_of_table(table) for table in query.find_all(exp.Table)}
        # Of a large pipeline a query reads few tables.
        self._tables = {key: table for key, table in tables.items() if key in named}
        self._spelling = _spelling(query, self._tables.values())
        self._found: dict[tuple[int, int | str | None], Refs] = {}
        for scope in traverse_scope(query):
            for source in scope.sources.values():
                # Tables have two names, so that all are of one kind.
                if isinstance(source, exp.Table) and source.name:
                    source.set("catalog", None)
                    source.set("db", source.args.get("db") or exp.to_identifier(_DEFAULT))
        qualified = qualify(
            query,
            dialect=dialect,
            schema=MappingSchema(_schemas(self._tables), dialect=dialect, normalize=False),
            validate_qualify_columns=False,
            quote_identifiers=False,
            identify=False,
        )
        root = build_scope(qualified)
        assert root is not None
        self._root = root
        # The part of a query WITH RECURSIVE that reads itself holds a scope without content.
        self._scopes = {id(scope.expression): scope for scope in root.traverse()}

    def outputs(self) -> list[tuple[str, Refs]]:
        """Each column of the result. DuckDB numbers those that have the name of another one."""
        from sqlglot import exp

        scope = self._root
        seen: Counter[str] = Counter()
        found: list[tuple[str, Refs]] = []
        for index, select in enumerate(_selects(scope)):
            name = select.alias_or_name.lower()
            if select.is_star or isinstance(select.unalias(), exp.Columns):
                self._miss("the columns that * stands for are not known")
                continue
            if _NAMELESS.match(name):
                self._miss(f"column {index + 1} of the query has no name")
                continue
            count, spelt = seen[name], self._spelling.get(name, name)
            seen[name] += 1
            found.append((f"{spelt}_{count}" if count else spelt, self._output(scope, index)))
        return found

    def _miss(self, gap: str) -> Refs:
        self.gaps[gap] = None
        return NOTHING

    def _output(self, scope: Scope, which: int | str) -> Refs:
        """What a column of a subquery, by its place or its name, is computed from."""
        return self._once(scope, which, lambda scope: self._traced(scope, which))

    def _once(self, scope: Scope, what: int | str | None, find: Callable[[Scope], Refs]) -> Refs:
        scope = self._scopes.get(id(scope.expression), scope)
        found = self._found.get((id(scope), what))
        if found is None:
            # Until it is known, for a query WITH RECURSIVE: it comes from where it starts.
            self._found[id(scope), what] = NOTHING
            self._found[id(scope), what] = found = find(scope)
        return found

    def _traced(self, scope: Scope, which: int | str) -> Refs:
        from sqlglot import exp

        if isinstance(scope.expression, exp.Subquery):
            return _union(self._output(one, which) for one in scope.derived_table_scopes)
        if isinstance(scope.expression, exp.Lateral) and scope.subquery_scopes:
            return _union(self._output(one, which) for one in scope.subquery_scopes)
        if isinstance(scope.expression, exp.UDTF):
            return self._expression(scope, scope.expression)
        selects = _selects(scope)
        index = which if isinstance(which, int) else _index(selects, which)
        if index is None or index >= len(selects):
            return self._beyond(scope, str(which))
        if isinstance(scope.expression, exp.SetOperation):
            return self._of_branches(scope, index)
        return self._expression(scope, selects[index])

    def _of_branches(self, scope: Scope, index: int) -> Refs:
        branches = scope.set_operation_scopes
        if not scope.expression.args.get("by_name"):
            return _union(self._output(one, index) for one in branches)
        name = _selects(scope)[index].alias_or_name
        having = [one for one in branches if _index(_selects(one), name) is not None]
        return _union(self._output(one, name) for one in having)

    def _beyond(self, scope: Scope, name: str) -> Refs:
        """A column that a subquery does not name: one of its * if that stands for one table."""
        sources = [source for _, source in scope.selected_sources.values()]
        if len(sources) == 1 and any(select.is_star for select in _selects(scope)):
            return self._from(sources[0], name)
        return self._miss(f"the column {name} cannot be followed")

    def _expression(self, scope: Scope, node: exp.Expr) -> Refs:
        """What an expression of a query is computed from."""
        from sqlglot import exp
        from sqlglot.optimizer.scope import find_all_in_scope

        found = _union(self._column(scope, c) for c in find_all_in_scope(node, exp.Column))
        for row in find_all_in_scope(node, exp.TableColumn):
            found |= self._all_of(scope.sources[row.name])
        inner = {id(one.expression): one for one in scope.subquery_scopes}
        for query in find_all_in_scope(node, *exp.UNWRAPPED_QUERIES):
            if id(query) in inner:
                one = inner[id(query)]
                # A subquery of constants, as in EXISTS (SELECT 1 ...), is about its rows.
                found |= self._all_of(one) or self._rows_read(one)
        calls = find_all_in_scope(node, exp.AggFunc, exp.Window)
        if any(call.find(exp.Column) is None for call in calls):
            found |= self._rows_read(scope)
        return found

    def _column(self, scope: Scope, column: exp.Column) -> Refs:
        if column.table:
            within: Scope | None = scope
            while within is not None:
                source = _named(within, column.table)
                if source is not None:
                    return self._from(source, column.name)
                within = within.parent
        # What looks like the column of a table may be the field of a struct.
        name = column.table or column.name
        whole_row = _named(scope, name)
        if whole_row is not None:
            return self._all_of(whole_row)
        sources = [source for _, source in scope.selected_sources.values()]
        possible = [source for source in sources if self._may_have(source, name)]
        if len(possible) != 1:
            return self._miss(f"it is not known which table has the column {name}")
        return self._from(possible[0], name)

    def _may_have(self, source: exp.Table | Scope, name: str) -> bool:
        from sqlglot import exp

        if isinstance(source, exp.Table):
            table = self._table(source)
            return not table.complete or name in map(str.lower, table.columns)
        return any(one.is_star or one.alias_or_name == name for one in _selects(source))

    def _from(self, source: exp.Table | Scope, name: str) -> Refs:
        """What the column of that name, of a table or a subquery, is computed from."""
        from sqlglot import exp

        if not isinstance(source, exp.Table):
            return self._output(source, name)
        if not source.name:  # a function, like range()
            return NOTHING
        table = self._table(source)
        columns = {column.lower(): column for column in table.columns}
        names = [name]
        if name in source.alias_column_names:
            names = list(columns)[source.alias_column_names.index(name) :][:1]
        elif source.args.get("pivots") and name not in columns:
            pivoted = [c for pivot in source.args["pivots"] for c in pivot.find_all(exp.Column)]
            names = [column.name.lower() for column in pivoted]
        return frozenset(ColumnRef(table.name, columns.get(one, one)) for one in names)

    def _all_of(self, source: exp.Table | Scope) -> Refs:
        """What a whole row of a table or of a subquery is computed from."""
        from sqlglot import exp

        if isinstance(source, exp.Table):
            table = self._table(source)
            return frozenset(ColumnRef(table.name, column) for column in table.columns)
        if isinstance(source.expression, exp.UDTF):
            return self._expression(source, source.expression)
        return _union(self._output(source, index) for index in range(len(_selects(source))))

    def _rows_read(self, scope: Scope) -> Refs:
        """What tells those rows apart that a query finds in its tables and subqueries."""
        return _union(self._rows_of(source) for _, source in scope.selected_sources.values())

    def _rows_of(self, source: exp.Table | Scope) -> Refs:
        """What tells the rows of a table or of a subquery apart."""
        from sqlglot import exp

        if isinstance(source, exp.Table):
            table = self._table(source)
            return frozenset(ColumnRef(table.name, c) for c in table.primary_key or table.columns)
        return self._once(source, None, self._rows_of_subquery)

    def _rows_of_subquery(self, source: Scope) -> Refs:
        from sqlglot import exp

        query = source.expression
        if isinstance(query, exp.SetOperation):
            first, *_ = source.set_operation_scopes
            return self._rows_of(first) | self._all_of(source)
        if not isinstance(query, exp.Select) or query.args.get("distinct"):
            return self._all_of(source)
        group = query.args.get("group")
        plain = [one for one in query.selects if not _aggregates(one)]
        if group is not None:
            keys = plain if group.args.get("all") else [group]
            return _union(self._expression(source, key) for key in keys)
        return self._rows_read(source) if len(plain) == len(query.selects) else NOTHING

    def _table(self, source: exp.Table) -> Table:
        written = ".".join(part.name for part in source.parts).removeprefix(f"{_DEFAULT}.")
        return self._tables.get(key_of_table(source)) or Table(written)


def key_of_table(table: exp.Table) -> str:
    """The table in the one spelling that all ways to write it share, as of `key_of`."""
    return Use(tuple(part.name for part in table.parts), None).key


def _union(found: Iterable[Refs]) -> Refs:
    return NOTHING.union(*found)


def _schemas(tables: Mapping[str, Table]) -> dict[str, object]:
    """The columns of tables by schema and name, as the parser takes them."""
    found: dict[str, dict[str, dict[str, str]]] = {}
    for key, table in tables.items():
        schema, name = key[1:-1].split('"."')
        columns = {column.lower(): "unknown" for column in table.columns}
        if columns:
            found.setdefault(schema, {})[name] = columns
    return dict(found)


def _selects(scope: Scope) -> list[exp.Expr]:
    from sqlglot import exp

    query = scope.expression
    return list(query.selects) if isinstance(query, exp.Selectable) else []


def _index(selects: Sequence[exp.Expr], name: str) -> int | None:
    return next((n for n, one in enumerate(selects) if one.alias_or_name.lower() == name), None)


def _aggregates(select: exp.Expr) -> bool:
    """Whether a column of a query makes one row of many."""
    from sqlglot import exp
    from sqlglot.optimizer.scope import find_all_in_scope

    calls = find_all_in_scope(select, exp.AggFunc)
    around = [call.find_ancestor(exp.Window, exp.Select) for call in calls]
    return any(not isinstance(one, exp.Window) for one in around)


def _named(scope: Scope, name: str) -> exp.Table | Scope | None:
    """What a name in front of a column stands for in a query; a PIVOT renames its table."""
    for node, source in scope.selected_sources.values():
        if any(pivot.alias == name for pivot in node.args.get("pivots") or ()):
            return source
    return scope.sources.get(name)


def _spelling(query: exp.Expr, tables: Iterable[Table]) -> dict[str, str]:
    """How names are written that the parser knows in lower case only."""
    from sqlglot import exp

    found = {column.lower(): column for table in tables for column in table.columns}
    aliases = [alias.alias for alias in query.find_all(exp.Alias)]
    return found | {alias.lower(): alias for alias in aliases}
