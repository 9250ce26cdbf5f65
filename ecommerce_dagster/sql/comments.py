"""Descriptions of files as comments of tables, views and their columns in a warehouse.

What a file describes has that text as its comment. What no file describes keeps the comment that it
has, also where a load makes the table anew. Only what differs is written.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

from ecommerce_dagster.bruin.model.asset import Asset
from ecommerce_dagster.sql.identifiers import literal, quoted

# Texts by the name of a column, that of the table itself by an empty name.
Comments = Mapping[str, str]


def describes_all(asset: Asset, columns: Iterable[str]) -> bool:
    """Whether the file describes a table and each of its columns: no comment is another's then."""
    return {"", *(name.lower() for name in columns)} <= _descriptions(asset).keys()


def missing_comments(
    asset: Asset, columns: Iterable[str], before: Comments, now: Callable[[], Comments]
) -> dict[str, str]:
    """The comments to write: those that the file asks for or that the table had `before` the load,
    as far as they are not there `now`, which is asked only where there are any. Both have names in
    lower case; the answer has those of `columns`, which the table has."""
    wanted = {**before, **_descriptions(asset)}
    found = {name: text for name in ("", *columns) if (text := wanted.get(name.lower()))}
    there = now() if found else {}
    return {name: text for name, text in found.items() if text != there.get(name.lower())}


def comment_statements(kind: str, table: str, comments: Comments) -> list[str]:
    """The statements that write comments of a `kind` of relation (TABLE, VIEW), which is SQL."""
    return [
        f"COMMENT ON COLUMN {table}.{quoted(name)} IS {literal(text)}"
        if name
        else f"COMMENT ON {kind} {table} IS {literal(text)}"
        for name, text in comments.items()
    ]


def _descriptions(asset: Asset) -> dict[str, str]:
    texts = {"": asset.description, **{c.name.lower(): c.description for c in asset.columns}}
    # No database has a NUL in its texts.
    clean = {name: text.replace("\0", "").strip() for name, text in texts.items()}
    return {name: text for name, text in clean.items() if text}
