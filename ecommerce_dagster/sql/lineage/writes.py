"""Which tables the statements of a script change."""

from __future__ import annotations

from ecommerce_dagster.sql.lineage.columns import key_of_table
from ecommerce_dagster.sql.parser_log import without_remarks


@without_remarks()
def written_tables(sql: str, dialect: str) -> frozenset[str] | None:
    """The keys (of `key_of`) of the tables that a script changes; None when that is unknown, as
    of a template."""
    import sqlglot
    from sqlglot import exp

    if "{{" in sql or "{%" in sql:
        return None
    try:
        statements = [tree for tree in sqlglot.parse(sql, read=dialect) if tree is not None]
    except Exception:  # whatever sqlglot fails at
        return None
    found: set[str] = set()
    for tree in statements:
        if isinstance(tree, exp.Query | exp.Set):
            continue
        target = tree.args.get("this")
        table = target.find(exp.Table) if isinstance(target, exp.Expression) else None
        known = exp.Insert | exp.Update | exp.Delete | exp.Create | exp.Merge | exp.Drop | exp.Alter
        if table is None or not isinstance(tree, known):
            return None
        found.add(key_of_table(table))
    return frozenset(found)
