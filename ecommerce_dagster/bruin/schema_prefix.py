"""`schema_prefix` of an environment: the same files over schemas of its own (raw as dev_raw)."""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import lru_cache

from ecommerce_dagster.bruin.model.asset import Asset, Column

# Texts, quoted names, comments.
_OTHER = r"'[^']*'|\"[^\"]*\"|\$(?P<tag>\w*)\$.*?\$(?P=tag)\$|--[^\n]*|/\*.*?\*/"
_PARTS = re.compile(r'"[^"]*"|[^\s.]+')


def prefixed_name(name: str, prefix: str) -> str:
    """raw.orders is dev_raw.orders; a name without a schema stays."""
    *database, schema, table = name.split(".") if "." in name else ("", name)
    if not prefix or not schema:
        return name
    return ".".join([*database, f"{prefix}{schema}", table])


def own_tables(names: Iterable[str], prefix: str, there: Iterable[str]) -> frozenset[str]:
    """Those of the tables `names` that an environment reads with its prefix.

    What it has not is read under its plain name: so an asset can be changed and built alone, over
    the tables of production. `there` are the tables and views of the database, as schema.table. A
    table that is there in neither form is to have the prefix, so that an error names it.
    """
    found = {name.lower() for name in there}

    def is_there(name: str) -> bool:
        return ".".join(name.lower().split(".")[-2:]) in found

    return frozenset(
        name
        for name in names
        if not prefix or is_there(prefixed_name(name, prefix)) or not is_there(name)
    )


def prefixed_asset(asset: Asset, prefix: str, known: Iterable[str]) -> Asset:
    """The asset with its table, and the tables its foreign keys name, in prefixed schemas."""
    if not prefix:
        return asset
    names = set(known)
    columns = tuple(_prefixed_column(column, prefix, names) for column in asset.columns)
    return asset.model_copy(update={"name": prefixed_name(asset.name, prefix), "columns": columns})


def prefixed_sql(text: str, prefix: str, known: Iterable[str]) -> str:
    """SQL that reads the project's tables where the environment has them."""
    names = tuple(name for name in known if "." in name)
    if not prefix or not names:
        return text
    return _tables(names).sub(lambda found: _prefixed(found, prefix), text)


@lru_cache(maxsize=16)
def _tables(names: tuple[str, ...]) -> re.Pattern[str]:
    """Finds these tables in SQL, and what only looks like one: texts and comments."""
    longest_first = sorted(names, key=len, reverse=True)
    tables = "|".join(r"\s*\.\s*".join(map(_part, name.split("."))) for name in longest_first)
    return re.compile(rf"(?<![\w.$\"])(?P<table>{tables})(?![\w$\"])|{_OTHER}", re.I | re.S)


def _part(name: str) -> str:
    """A part of a table's name, which may be quoted and sometimes must be."""
    plain = re.escape(name)
    return f'(?:"{plain}"|{plain})' if name.isidentifier() else f'"{plain}"'


def _prefixed(found: re.Match[str], prefix: str) -> str:
    table = found["table"]
    if table is None:
        return found[0]
    *database, schema, name = _PARTS.findall(table)
    quote = '"' if schema.startswith('"') else ""
    return ".".join([*database, f"{quote}{prefix}{schema.removeprefix(quote)}", name])


def _prefixed_column(column: Column, prefix: str, known: set[str]) -> Column:
    key = column.foreign_key
    if key is None or key.table not in known:
        return column
    moved = key.model_copy(update={"table": prefixed_name(key.table, prefix)})
    return column.model_copy(update={"foreign_key": moved})
