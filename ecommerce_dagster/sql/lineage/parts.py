"""A query cut into parts whose columns can be compared one by one.

A part is a SELECT that reads nothing but tables and other parts: a CTE, a subquery in FROM and a
branch of a UNION are parts of their own. What cannot be cut up is a part that is `opaque`: whatever
it reads decides all of it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import TYPE_CHECKING, NamedTuple

import duckdb

from ecommerce_dagster.sql.lineage.columns import key_of_table
from ecommerce_dagster.sql.parser_log import without_remarks

if TYPE_CHECKING:
    from sqlglot import exp

# The columns of a table or a part, in lower case and in their order; None when some are not known.
Columns = tuple[str, ...] | None
ColumnsOf = Callable[[str], Columns]
_WORD = re.compile(r"\w+")
# Aggregates whose result does not depend on the order of rows.
_UNORDERED = {"Avg", "Count", "CountIf", "LogicalAnd", "LogicalOr", "Max", "Min", "Sum"}
# What a SELECT may have beside its columns and its order without being opaque.
_READ = {"from_", "joins", "where", "group", "having", "qualify", "distinct", "limit", "offset"}
_CUT = {"expressions", "order", "with_", *_READ}


class Name(NamedTuple):
    """A column as a query writes it, in lower case. Without a `table` it may be of any."""

    table: str
    column: str


Names = frozenset[Name]


@dataclass(frozen=True)
class Output:
    """A column of a part. `text` is its expression in one spelling.

    `groups` tells that GROUP BY ALL or DISTINCT may take it for a key, `aggregates` that it makes
    one row of many, `unnests` that it makes many rows of one.
    """

    name: str
    text: str
    names: Names = frozenset()
    groups: bool = True
    aggregates: bool = False
    unnests: bool = False


@dataclass(frozen=True)
class Part:
    """A part of a query, by its `name`; the query itself is called as its table.

    `frame` and `order` are all of its text beside the outputs; the latter decides nothing but the
    order of rows. `sources` are the tables and parts that it reads, by their aliases, `whole` those
    of which it reads all columns. `ordered` tells that its rows may depend on the order of those
    that it reads, `grouped` that its outputs may decide which rows there are.
    """

    name: str
    frame: str
    order: str = ""
    outputs: tuple[Output, ...] | None = ()
    rows: Names = frozenset()
    sorts: Names = frozenset()
    sources: Mapping[str, frozenset[str]] = field(default_factory=dict)
    whole: frozenset[str] = frozenset()
    ordered: bool = False
    grouped: bool = False
    opaque: bool = False
    # Each word of an opaque part in lower case: columns that it may name.
    words: frozenset[str] = frozenset()
    has_macros: bool = False

    @property
    def tables(self) -> frozenset[str]:
        """The tables and parts that it reads."""
        return self.whole.union(*self.sources.values())

    @property
    def columns(self) -> Columns:
        """The names of its columns; None when some are not known."""
        if self.outputs is None:
            return None
        names = tuple(output.name for output in self.outputs)
        return names if len(set(names)) == len(names) else None


@without_remarks()
def parts_of(
    sql: str, key: str, dialect: str, columns_of: ColumnsOf, tables: Iterable[str]
) -> list[Part]:
    """The parts of a query, the query itself last, each after those that it reads. `key` is that of
    its table (of `key_of`); `tables` are what it may read if the parser does not understand it.
    Never raises."""
    import sqlglot
    from sqlglot import exp

    try:
        statements = [tree for tree in sqlglot.parse(sql, read=dialect) if tree is not None]
        if len(statements) == 1 and isinstance(statements[0], exp.Query):
            cutter = _Cutter(dialect, columns_of)
            cutter.cut(statements[0], key, {})
            return cutter.parts
    except Exception:  # whatever sqlglot fails at
        statements = []
    return [_unread(sql, key, statements, tables)]


def _unread(sql: str, key: str, statements: Sequence[exp.Expr], tables: Iterable[str]) -> Part:
    from sqlglot import exp

    named = {key_of_table(t) for tree in statements for t in tree.find_all(exp.Table)}
    return Part(
        key,
        sql.strip(),
        outputs=None,
        whole=frozenset(named | set(tables)),
        opaque=True,
        words=words_of(sql),
        has_macros=True,
    )


def words_of(text: str) -> frozenset[str]:
    """The words in a text that may be names, in lower case."""
    return frozenset(_WORD.findall(text.lower()))


class _Cutter:
    """Cuts one query; `parts` collects what was cut."""

    def __init__(self, dialect: str, columns_of: ColumnsOf) -> None:
        self._dialect, self._outside = dialect, columns_of
        self.parts: list[Part] = []

    def cut(self, query: exp.Query, name: str, ctes: Mapping[str, str]) -> Part:
        """Cut a query into parts; the last is the query itself, called `name`. `ctes` are the names
        of the parts that it can read, by those in the query."""
        from sqlglot import exp

        if isinstance(query, exp.Subquery) and not _differs(query, {"this", "alias"}):
            inner: exp.Query = query.args["this"]
            return self.cut(inner, name, ctes)
        ctes = self._with(query, name, ctes)
        if isinstance(query, exp.SetOperation):
            part = self._set_operation(query, name, ctes)
        elif isinstance(query, exp.Select) and not _differs(query, _CUT):
            part = self._select(query, name, ctes)
        else:
            part = self._opaque(query, name, ctes)
        self.parts.append(part)
        return part

    def _with(self, query: exp.Query, name: str, ctes: Mapping[str, str]) -> Mapping[str, str]:
        from sqlglot import exp

        clause = query.args.get("with_")
        if clause is None:
            return ctes
        for cte in clause.expressions:
            alias = cte.alias.lower()
            inner = f"{name}/{alias}"
            renames = bool(cte.args["alias"].args.get("columns"))
            query_of = cte.this
            if clause.args.get("recursive") or renames or not isinstance(query_of, exp.Query):
                known = {**ctes, alias: inner}
                self.parts.append(self._opaque(cte, inner, known))
            else:
                self.cut(query_of, inner, ctes)
            ctes = {**ctes, alias: inner}
        query.set("with_", None)
        return ctes

    def _set_operation(self, query: exp.SetOperation, name: str, ctes: Mapping[str, str]) -> Part:
        from sqlglot import exp

        sides: list[exp.Query] = [query.args["this"], query.args["expression"]]
        branches = [self.cut(sides[n], f"{name}/{n}", ctes) for n in (0, 1)]
        first, second = (branch.outputs for branch in branches)
        plain = not _differs(query, {"this", "expression", "distinct", "order", "limit", "offset"})
        if first is None or second is None or len(first) != len(second) or not plain:
            return self._around(query, name, branches)
        positions = [branch.columns for branch in branches]
        frame, order = query.copy(), query.args.get("order")
        for key in ("this", "expression"):
            frame.set(key, exp.Select())
        frame.set("order", None)
        limited = bool(query.args.get("limit") or query.args.get("offset"))
        names = [
            frozenset({Name("0", a.name), Name("1", b.name)})
            for a, b in zip(first, second, strict=True)
        ]
        is_all = isinstance(query, exp.Union) and not query.args.get("distinct")
        return Part(
            name,
            f"{self._text(frame)} {positions} {self._text(order) if limited else ''}",
            self._text(order),
            tuple(Output(a.name, "", n) for a, n in zip(first, names, strict=True)),
            rows=frozenset().union(*names) if not is_all or limited else frozenset(),
            sorts=frozenset().union(*names)
            if _has_places([order])
            else frozenset(self._names(order)),
            sources={str(n): frozenset({branch.name}) for n, branch in enumerate(branches)},
            ordered=limited,
            grouped=not is_all,
        )

    def _around(self, query: exp.Query, name: str, parts: Sequence[Part]) -> Part:
        whole = frozenset(part.name for part in parts)
        return Part(name, self._text(query), outputs=None, whole=whole, opaque=True)

    def _opaque(self, query: exp.Expr, name: str, ctes: Mapping[str, str]) -> Part:
        from sqlglot import exp

        text = self._text(query)
        tables = {self._key(table, ctes) for table in query.find_all(exp.Table)} - {name}
        return Part(
            name,
            f"{text} {sorted(tables)}",
            outputs=None,
            whole=frozenset(tables),
            opaque=True,
            words=words_of(text),
            has_macros=self._has_macros(query),
        )

    def _select(self, query: exp.Select, name: str, ctes: Mapping[str, str]) -> Part:

        original = query.copy()
        sources = self._sources(query, name, ctes)
        if sources is None or self._has_macros(original) or _is_unclear(query):
            return self._opaque(original, name, ctes)
        nested = self._resolve_nested(query, sources, ctes)
        outputs = self._outputs(query, sources)
        if outputs is None:
            return self._opaque(original, name, ctes)
        frame, order = query.copy(), query.args.get("order")
        frame.set("expressions", [])
        numbered = _is_by_position(query)
        limited = bool(query.args.get("limit") or query.args.get("offset"))
        distinct = query.args.get("distinct")
        keeps_first = distinct is not None and distinct.args.get("on") is not None
        is_ordered = limited or keeps_first
        if not is_ordered:
            frame.set("order", None)
        read = [query.args[key] for key in _READ if query.args.get(key)]
        rows = [name for node in _flattened(read) for name in self._names(node)]
        rows += [Name("", using.name.lower()) for using in _using(query)]
        sorts = list(self._names(order))
        if _has_places([order]):
            sorts += [Name("", output.name) for output in outputs]
        if numbered:
            rows += [Name("", output.name) for output in outputs]
        return Part(
            name,
            f"{self._text(frame)} {[output.name for output in outputs] if numbered else ''}",
            self._text(order),
            tuple(outputs),
            rows=frozenset([*rows, *(sorts if is_ordered else ())]),
            sorts=frozenset(sorts),
            sources=sources,
            whole=frozenset(nested) if _has_star(query) else frozenset(),
            ordered=is_ordered or _depends_on_order(query),
            grouped=distinct is not None or query.args.get("group") is not None,
        )

    def _sources(
        self, query: exp.Select, name: str, ctes: Mapping[str, str]
    ) -> dict[str, frozenset[str]] | None:
        """The tables and parts in FROM by their aliases, which are put in place of subqueries; None
        when there is something else."""
        from sqlglot import exp

        found: dict[str, frozenset[str]] = {}
        joins = query.args.get("joins") or []
        first = query.args.get("from_")
        for number, holder in enumerate([*([first] if first else []), *joins]):
            if holder.args.get("method") not in {None, ""}:
                return None
            source = holder.this
            if isinstance(source, exp.Subquery):
                if _differs(source, {"this", "alias"}) or _renames(source):
                    return None
                alias = source.alias.lower() or f"_{number}"
                key = self.cut(source.this.copy(), f"{name}/{alias}", ctes).name
            elif isinstance(source, exp.Table) and isinstance(source.this, exp.Identifier):
                if _differs(source, {"this", "db", "catalog", "alias"}) or _renames(source):
                    return None
                alias, key = source.alias_or_name.lower(), self._key(source, ctes)
            else:
                return None
            if alias in found:
                return None
            found[alias] = frozenset({key})
            table = exp.Table(this=exp.to_identifier(_flat(key), quoted=True))
            holder.set("this", exp.alias_(table, alias, table=True, quoted=True))
        return found

    def _resolve_nested(
        self, query: exp.Select, sources: dict[str, frozenset[str]], ctes: Mapping[str, str]
    ) -> set[str]:
        """Name the tables in the queries of its expressions by their keys, which are returned, and
        add them to the `sources`."""
        from sqlglot import exp

        found: set[str] = set()
        tables = {id(t): t for inner in _nested(query) for t in inner.find_all(exp.Table)}
        for table in tables.values():
            alias, key = table.alias_or_name.lower(), self._key(table, ctes)
            sources[alias] = sources.get(alias, frozenset()) | {key}
            found.add(key)
            table.set("alias", exp.TableAlias(this=exp.to_identifier(alias, quoted=True)))
            table.set("this", exp.to_identifier(_flat(key), quoted=True))
            table.set("db", None)
            table.set("catalog", None)
        return found

    def _key(self, table: exp.Table, ctes: Mapping[str, str]) -> str:
        known = ctes.get(table.name.lower()) if not table.args.get("db") else None
        return known or key_of_table(table)

    def _outputs(
        self, query: exp.Select, sources: Mapping[str, frozenset[str]]
    ) -> list[Output] | None:
        from sqlglot import exp

        found: list[Output] = []
        for node in query.expressions:
            inner = node.unalias()
            star = inner.this if isinstance(inner, exp.Column) else inner
            if isinstance(star, exp.Star):
                of = inner.table.lower() if isinstance(inner, exp.Column) else ""
                if (expanded := self._starred(star, of, query, sources)) is None:
                    return None
                found += expanded
                continue
            if inner.find(exp.Columns) is not None:
                return None
            text = self._text(inner)
            plain = isinstance(inner, exp.Column)
            name = node.alias_or_name if plain or isinstance(node, exp.Alias) else text
            calls = list(inner.find_all(exp.AggFunc))
            around = [call.find_ancestor(exp.Window, exp.Query) for call in calls]
            found.append(
                Output(
                    name.lower(),
                    text,
                    frozenset(self._names(inner)),
                    groups=all(each is not query for each in around),
                    aggregates=not all(map(_is_windowed, calls)),
                    unnests=inner.find(exp.Explode, exp.UDTF, exp.Unnest) is not None,
                )
            )
        names = {output.name for output in found}
        return found if len(names) == len(found) else None

    def _starred(
        self,
        star: exp.Star,
        of: str,
        query: exp.Select,
        sources: Mapping[str, frozenset[str]],
    ) -> list[Output] | None:
        """The columns that * stands for; None when they are not known."""
        if any(star.args.get(key) for key in ("replace", "rename")) or next(_using(query), None):
            return None
        left_out = {column.name.lower() for column in star.args.get("except_") or ()}
        aliases = [of] if of else list(self._in_from(query))
        found: list[Output] = []
        for alias in aliases:
            [key, *others] = sources.get(alias, frozenset()) or [None]
            columns = self._columns(key) if key is not None and not others else None
            if columns is None:
                return None
            for column in columns:
                if column not in left_out:
                    text = f"{alias}.{column}"
                    found.append(Output(column, text, frozenset({Name(alias, column)})))
        return found

    def _in_from(self, query: exp.Select) -> Iterator[str]:
        first = query.args.get("from_")
        for holder in [*([first] if first else []), *(query.args.get("joins") or [])]:
            yield holder.this.alias_or_name.lower()

    def _columns(self, key: str) -> Columns:
        own = next((part for part in self.parts if part.name == key), None)
        return own.columns if own is not None else self._outside(key)

    def _names(self, node: exp.Expr | None) -> Iterator[Name]:
        from sqlglot import exp

        if node is None:
            return
        for column in node.find_all(exp.Column):
            if not isinstance(column.this, exp.Star):
                yield Name(column.table.lower(), column.name.lower())
        for row in node.find_all(exp.TableColumn):
            yield Name("", row.name.lower())

    def _has_macros(self, query: exp.Expr) -> bool:
        """Whether it calls a function that may be a macro, and read any table."""
        from sqlglot import exp

        called = {call.name.lower() for call in query.find_all(exp.Anonymous)}
        called |= {call.name.lower() for call in query.find_all(exp.AnonymousAggFunc)}
        return not called <= (_builtin() if self._dialect == "duckdb" else frozenset())

    def _text(self, node: exp.Expr | None) -> str:
        return "" if node is None else node.sql(self._dialect, comments=False)


@cache
def _builtin() -> frozenset[str]:
    """The scalar functions of DuckDB, which read nothing but their arguments."""
    with duckdb.connect(":memory:") as connection:
        rows = connection.execute(
            "SELECT DISTINCT lower(function_name) FROM duckdb_functions() GROUP BY ALL "
            "HAVING bool_and(internal AND function_type = 'scalar')"
        ).fetchall()
    return frozenset(row[0] for row in rows)


def _flat(key: str) -> str:
    return key.replace('"', "")


def _differs(node: exp.Expr, known: Iterable[str]) -> bool:
    """Whether anything else than what is `known` is written there."""
    return any(value and key not in known for key, value in node.args.items())


def _renames(source: exp.Expr) -> bool:
    alias = source.args.get("alias")
    return alias is not None and bool(alias.args.get("columns"))


def _is_unclear(query: exp.Select) -> bool:
    """Whether there is anything in it whose meaning is not in its text and its columns."""
    from sqlglot import exp

    inner = [one for one in _nested(query) if one.args.get("with_")]
    return (
        bool(inner)
        or query.find(
            exp.Parameter, exp.Placeholder, exp.Pivot, exp.TableSample, exp.Command, exp.Lateral
        )
        is not None
    )


def _nested(query: exp.Select) -> list[exp.Expr]:
    """The queries in its expressions."""
    from sqlglot import exp

    return [one for one in query.find_all(exp.Query) if one is not query]


def _using(query: exp.Select) -> Iterator[exp.Expr]:
    for join in query.args.get("joins") or ():
        yield from join.args.get("using") or ()


def _flattened(values: Iterable[object]) -> Iterator[exp.Expr]:
    from sqlglot import exp

    for value in values:
        if isinstance(value, list):
            yield from _flattened(value)
        elif isinstance(value, exp.Expression):
            yield value


def _has_star(query: exp.Select) -> bool:
    from sqlglot import exp

    stars = (star for one in _nested(query) for star in one.find_all(exp.Star))
    return any(not isinstance(star.parent, exp.Count) for star in stars)


def _is_windowed(call: exp.Expr) -> bool:
    """Whether an aggregate is over a window: it makes no row of many."""
    from sqlglot import exp

    around = call.parent
    while isinstance(around, exp.Filter | exp.IgnoreNulls | exp.RespectNulls | exp.WithinGroup):
        call, around = around, around.parent
    return isinstance(around, exp.Window) and around.this is call


def _is_by_position(query: exp.Select) -> bool:
    """Whether columns are named by their place, in what decides which rows there are."""
    distinct = query.args.get("distinct")
    order = query.args.get("order") if query.args.get("limit") or distinct else None
    places = [order, query.args.get("group"), distinct and distinct.args.get("on")]
    return _has_places(places)


def _has_places(clauses: Iterable[exp.Expr | None]) -> bool:
    """Whether there is a number, or ALL, in one of these clauses."""
    from sqlglot import exp

    found = [each for clause in clauses if clause for each in clause.expressions]
    return any(each.find(exp.Literal, exp.Var) is not None for each in found)


def _depends_on_order(query: exp.Select) -> bool:
    from sqlglot import exp

    if query.find(exp.Window, exp.Limit, exp.Offset, exp.Fetch) is not None:
        return True
    return any(type(call).__name__ not in _UNORDERED for call in query.find_all(exp.AggFunc))
