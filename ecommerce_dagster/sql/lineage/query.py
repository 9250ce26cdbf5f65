"""From which columns of which tables the columns of a query, or of a script's table, come."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ecommerce_dagster.sql.lineage.columns import NOTHING, Refs, Table, Tracer, key_of_table
from ecommerce_dagster.sql.parser_log import without_remarks
from ecommerce_dagster.sql.used_tables import key_of

if TYPE_CHECKING:
    from sqlglot import exp


@dataclass(frozen=True)
class Lineage:
    """What each column of a query or a table is computed from, by its name, in their order.

    `gaps` say what could not be followed: columns may be missing then, or come from more.
    """

    columns: Mapping[str, Refs]
    gaps: tuple[str, ...] = ()


@without_remarks()
def query_lineage(
    sql: str, tables: Iterable[Table], *, target: str = "", dialect: str = "duckdb"
) -> Lineage:
    """The lineage of a query or, with a `target`, of what a script puts into that table.

    A table that is not among `tables` is referred to as it is written. Never raises: SQL that
    the parser does not understand is a gap.
    """
    from sqlglot.errors import SqlglotError

    try:
        return _traced(sql, {key_of(table.name): table for table in tables}, target, dialect)
    except SqlglotError as error:
        reason = str(error).splitlines()[0].split(". Line")[0]
    except Exception as error:  # whatever sqlglot fails at
        reason = type(error).__name__
    return Lineage({}, (f"the SQL cannot be followed: {reason}",))


def _traced(sql: str, tables: Mapping[str, Table], target: str, dialect: str) -> Lineage:
    import sqlglot
    from sqlglot import exp

    statements = [tree for tree in sqlglot.parse(sql, read=dialect) if tree is not None]
    fillings: list[tuple[exp.Query, Sequence[str]]] = []
    if target:
        fillings = [f for t in statements if (f := _filling(t, key_of(target), tables))]
    elif len(statements) == 1 and isinstance(statements[0], exp.Query):
        fillings = [(statements[0], ())]
    if not fillings:
        kinds = ", ".join(tree.key.upper() for tree in statements)
        purpose = f" that fills {target}" if target else ""
        return Lineage({}, (f"no query{purpose} can be followed among: {kinds}",))
    columns: dict[str, Refs] = {}
    gaps: dict[str, None] = {}
    for query, names in fillings:
        tracer = Tracer(query, tables, dialect)
        found = tracer.outputs()
        if len(names) == len(found):
            found = [(name, refs) for name, (_, refs) in zip(names, found, strict=True)]
        for name, refs in found:
            columns[name] = columns.get(name, NOTHING) | refs
        gaps |= tracer.gaps
    return Lineage(columns, tuple(gaps))


def _filling(
    tree: exp.Expr, target: str, tables: Mapping[str, Table]
) -> tuple[exp.Query, Sequence[str]] | None:
    """The query of a statement that fills the table with this key, and the columns that its
    result goes to when that is a matter of their order."""
    from sqlglot import exp

    query, into = tree.args.get("expression"), tree.args.get("this")
    if not isinstance(tree, exp.Create | exp.Insert) or not isinstance(query, exp.Query):
        return None
    table = into.find(exp.Table) if into is not None else None
    if table is None or key_of_table(table) != target:
        return None
    if tree.args.get("with_") and not query.args.get("with_"):
        query.set("with_", tree.args["with_"])
    if isinstance(into, exp.Schema):
        return query, [column.name for column in into.expressions]
    known = tables.get(target)
    by_order = isinstance(tree, exp.Insert) and not tree.args.get("by_name")
    return query, known.columns if by_order and known and known.complete else ()
