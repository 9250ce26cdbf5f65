"""Replace table references in a query with empty SELECTs of the same columns.

So the server can tell what it thinks of a query before its tables are there, or as they will be.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from typing import Any

from ecommerce_dagster.errors import UnlocatedError
from ecommerce_dagster.sql.parser_log import without_remarks

# What a table cannot be put in place of with: only tables have it.
_TABLES_ONLY = ("only", "sample", "pivots", "version", "when")

Parts = tuple[str, ...]
Edit = tuple[int, int, str]


class UnclearError(UnlocatedError):
    """Which tables a query reads, or where, is unknown."""


def with_substitutes(
    query: str, names: Collection[str], rows_of: Callable[[Parts], str | None]
) -> str:
    """A query that reads other rows, its lines as they are.

    `rows_of` gives the SELECT that stands for a table, by the parts of its name as PostgreSQL
    folds them, or None for one to leave alone. `names` are the last parts, in lower case, of those
    that it may know. Raises UnclearError.
    """
    lower = query.lower()
    if not any(name in lower for name in names):
        return query
    for start, end, text in sorted(_edits(_parsed(query), rows_of), reverse=True):
        query = query[:start] + text + query[end:]
    return query


@without_remarks()
def _parsed(query: str) -> Any:
    import sqlglot

    try:
        tree = sqlglot.parse_one(query, read="postgres")
    except (sqlglot.errors.SqlglotError, RecursionError, ValueError, AttributeError, TypeError):
        raise UnclearError from None
    if isinstance(tree, sqlglot.exp.Command):
        raise UnclearError
    return tree


def _edits(tree: Any, rows_of: Callable[[Parts], str | None]) -> Iterator[Edit]:
    from sqlglot import exp

    subqueries = {cte.alias.lower() for cte in tree.find_all(exp.CTE)}
    replaced: set[Parts] = set()
    for table in tree.find_all(exp.Table):
        if not all(isinstance(part, exp.Identifier) for part in table.parts):
            continue
        parts = _folded(table.parts)
        rows = rows_of(parts)
        if rows is None:
            continue
        if len(parts) == 1 and parts[0].lower() in subqueries:
            # Inside of the subquery of its name it may be the table all the same.
            if any(parts[0].lower() == cte.alias.lower() for cte in _around(table, exp.CTE)):
                raise UnclearError
            continue
        if any(table.args.get(key) for key in _TABLES_ONLY) or not _is_read(table):
            raise UnclearError
        alias = "" if table.alias else f' AS "{parts[-1]}"'
        replaced.add(parts)
        yield *_span(table.parts[0], table.parts[-1]), f"({rows}){alias}"
    for column in tree.find_all(exp.Column):
        # `schema.table.column` is `table.column` of what stands there now.
        qualifiers = column.parts[:-1]
        if len(qualifiers) > 1 and _folded(qualifiers) in replaced:
            yield _start(qualifiers[0]), _start(qualifiers[-1]), ""


def _is_read(table: Any) -> bool:
    from sqlglot import exp

    return isinstance(table.parent, exp.From | exp.Join | exp.Paren | exp.Lateral)


def _around(node: Any, kind: type) -> Iterator[Any]:
    while (node := node.find_ancestor(kind)) is not None:
        yield node


def _folded(parts: Any) -> Parts:
    return tuple(part.name if part.args.get("quoted") else part.name.lower() for part in parts)


def _span(first: Any, last: Any) -> tuple[int, int]:
    return _start(first), int(last.meta["end"]) + 1


def _start(identifier: Any) -> int:
    try:
        return int(identifier.meta["start"])
    except KeyError:
        raise UnclearError from None
