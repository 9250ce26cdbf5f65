"""Which clauses of a query differ from those of another, in words."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ecommerce_dagster.sql.parser_log import without_remarks

if TYPE_CHECKING:
    from sqlglot import exp

_CLAUSES = {
    "from_": "FROM",
    "joins": "JOIN",
    "where": "WHERE",
    "group": "GROUP BY",
    "having": "HAVING",
    "qualify": "QUALIFY",
    "distinct": "DISTINCT",
    "order": "ORDER BY",
    "limit": "LIMIT",
    "offset": "OFFSET",
}


@without_remarks()
def changed_clauses(old: str, new: str, dialect: str) -> list[str]:
    """The clauses that differ: WHERE, JOIN, the CTE x. Empty where only the columns of the SELECT
    do, and for what the parser does not understand."""
    import sqlglot
    from sqlglot import exp

    try:
        trees = [sqlglot.parse_one(text, read=dialect) for text in (old, new)]
    except Exception:  # whatever sqlglot fails at
        return []
    if not all(isinstance(tree, exp.Select) for tree in trees):
        return []
    one, other = trees
    found = [
        words
        for key, words in _CLAUSES.items()
        if _text(one.args.get(key), dialect) != _text(other.args.get(key), dialect)
    ]
    ctes = [_ctes(tree, dialect) for tree in trees]
    names = [n for n in {**ctes[0], **ctes[1]} if ctes[0].get(n) != ctes[1].get(n)]
    return [*found, *(f"WITH {name}" for name in names)]


def _ctes(tree: exp.Expr, dialect: str) -> dict[str, str]:
    clause = tree.args.get("with_")
    found = clause.expressions if clause is not None else ()
    return {cte.alias: _text(cte, dialect) for cte in found}


def _text(node: object, dialect: str) -> str:
    from sqlglot import exp

    if isinstance(node, list):
        return " ".join(_text(each, dialect) for each in node)
    return node.sql(dialect, comments=False) if isinstance(node, exp.Expression) else ""
