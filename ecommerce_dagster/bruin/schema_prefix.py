"""`schema_prefix` of an environment: the same files over schemas of its own (raw as dev_raw)."""

from __future__ import annotations

import re
from collections.abc import Iterable

from ecommerce_dagster.bruin.models import Asset, Column


def prefixed_name(name: str, prefix: str) -> str:
    """raw.orders is dev_raw.orders; a name without a schema stays."""
    *database, schema, table = name.split(".") if "." in name else ("", name)
    if not prefix or not schema:
        return name
    return ".".join([*database, f"{prefix}{schema}", table])


def prefixed_asset(asset: Asset, prefix: str, known: Iterable[str]) -> Asset:
    """The asset with its table, and the tables its foreign keys name, in prefixed schemas."""
    if not prefix:
        return asset
    names = set(known)
    columns = tuple(_prefixed_column(column, prefix, names) for column in asset.columns)
    return asset.model_copy(update={"name": prefixed_name(asset.name, prefix), "columns": columns})


def prefixed_sql(text: str, prefix: str, known: Iterable[str]) -> str:
    """SQL that reads the project's tables where the environment has them."""
    if not prefix:
        return text
    for name in sorted(known, key=len, reverse=True):
        if "." in name:
            parts = r'"?\."?'.join(map(re.escape, name.split(".")))
            pattern = rf'(?<![\w.$"])"?{parts}"?(?![\w"])'
            text = re.sub(pattern, prefixed_name(name, prefix), text, flags=re.IGNORECASE)
    return text


def _prefixed_column(column: Column, prefix: str, known: set[str]) -> Column:
    key = column.foreign_key
    if key is None or key.table not in known:
        return column
    moved = key.model_copy(update={"table": prefixed_name(key.table, prefix)})
    return column.model_copy(update={"foreign_key": moved})
