"""The names that columns of rows from elsewhere get in their table, as ingestr makes them.

Rows of ingestr assets, of seeds and of Python assets come with the names of their source. In a new
table these become snake_case; a table that has the source's own names keeps them.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from typing import Any

from ecommerce_dagster.bruin.model.asset import Asset, Column
from ecommerce_dagster.bruin.problems import ProblemLog, did_you_mean
from ecommerce_dagster.sql.load_result import LoadError

_CONVENTIONS = ("auto", "default", "direct", "snake_case")
_LETTERS = {"+": "x", "*": "x", "-": "_", "@": "a", "|": "l"}
_WORD_AFTER_CAPITALS = re.compile(r"([A-Z]+)([A-Z][a-z])")
_CAPITAL_AFTER_WORD = re.compile(r"([a-z\d])([A-Z])")


def snake_case(name: str) -> str:
    """The name as ingestr and dlt write it: `Trip Distance` is `trip_distance`, `2nd` is `_2nd`.

    `__` separates parts that keep their places. Underscores at an end become `x`.
    """
    parts = [_part(part) for part in _without_end(name).split("__") if part]
    joined = "__".join(parts)
    return f"_{joined}" if joined[:1].isdigit() else joined


def _part(name: str) -> str:
    plain = "".join(_LETTERS.get(c, c if c.isalpha() or c.isdigit() else "_") for c in name)
    split = _CAPITAL_AFTER_WORD.sub(r"\1_\2", _WORD_AFTER_CAPITALS.sub(r"\1_\2", plain))
    return _without_end(re.sub("_+", "_", split.lower()))


def _without_end(name: str) -> str:
    """The name with an `x` for each underscore at its end."""
    kept = name.rstrip("_")
    return kept + "x" * (len(name) - len(kept))


def meant(name: str, columns: Collection[str]) -> str | None:
    """The column that a file means by `name`: in that spelling, in another case, or as it is called
    on the other side of the copy. None when there is none."""
    if name in columns:
        return name
    for spelling in (str.lower, snake_case):
        for column in columns:
            if spelling(column) == spelling(name):
                return column
    return None


def lint_naming(asset: Asset, log: ProblemLog) -> None:
    """Report a `schema_naming` that is none."""
    written = asset.parameter("schema_naming")
    if written and written.lower() not in _CONVENTIONS:
        message = f"unknown schema_naming '{written}'; {did_you_mean(written, _CONVENTIONS)}"
        log.error(*asset.at("parameters", "schema_naming"), "valid-naming", message)


def table_names(
    asset: Asset, columns: Collection[str], existing: Collection[str] = ()
) -> dict[str, str]:
    """The names that the `columns` of a source get in the asset's table, which has those that are
    `existing` (none when it is new), by their own names.

    A column that a file declares with `source_column` is called as the file says. Raises LoadError
    when two columns get one name.
    """
    declared = {c.source_column.lower(): c.name for c in asset.columns if c.source_column}
    naming = asset.parameter("schema_naming").lower()
    lower = {name.lower() for name in existing}
    has_own = any(column in existing and snake_case(column) != column for column in columns)

    def new(column: str) -> str:
        snake = snake_case(column)
        if naming == "direct":
            return column
        if naming == "snake_case":
            return snake
        is_kept = column in existing or (has_own and snake.lower() not in lower)
        return column if is_kept else snake

    names = {column: declared.get(column.lower()) or new(column) or column for column in columns}
    _require_distinct(names)
    return names


def _require_distinct(names: Mapping[str, str]) -> None:
    sources: dict[str, str] = {}
    for column, name in names.items():
        first = sources.setdefault(name.lower(), column)
        if first != column:
            raise LoadError(
                f"the columns '{first}' and '{column}' would both be called '{name}'; rename one "
                "with `source_column`, or keep their names with `schema_naming: direct`"
            )


def renamed(asset: Asset, names: Mapping[str, str]) -> Asset:
    """The asset as its table sees it: what its file says of a column of the source is said of the
    column of the table. `names` are those in the table by those of the source."""
    if all(source == name for source, name in names.items()):
        return asset
    lower = {source.lower(): name for source, name in names.items()}

    def new(name: Any) -> Any:
        return lower.get(str(name).lower(), name)

    columns = (
        column if column.source_column else column.model_copy(update={"name": new(column.name)})
        for column in asset.columns
    )
    parameters = {**asset.parameters}
    for key in {"incremental_key", "primary_key"} & parameters.keys():
        parameters[key] = _each(parameters[key], new)
    how = asset.materialization
    if how.incremental_key:
        how = how.model_copy(update={"incremental_key": new(how.incremental_key)})
    return asset.model_copy(
        update={"columns": tuple(columns), "parameters": parameters, "materialization": how}
    )


def _each(value: Any, new: Any) -> Any:
    """The names in a parameter that lists some, with commas or as a YAML list."""
    if isinstance(value, list | tuple):
        return [new(str(name).strip()) for name in value]
    return ",".join(str(new(name.strip())) for name in str(value).split(","))


def column_of(asset: Asset, column: Column | None, columns: Collection[str]) -> str | None:
    """What the asset's table, which has these columns, calls one that the file calls as its source
    does; None when it calls it as the file does, or has none."""
    is_loaded = asset.type in {"ingestr", "python"} or asset.type.endswith(".seed")
    if column is None or not is_loaded or column.name.lower() in {name.lower() for name in columns}:
        return None
    return meant(column.name, columns)
