"""Columns whose values leave their source as something else: `mask` of an ingestr asset.

A masked column is a text, and NULL stays NULL. A mask that is not here keeps its asset from being
loaded: a value that was to be hidden must not arrive as it is.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass

from ecommerce_dagster.bruin.model.asset import Asset
from ecommerce_dagster.bruin.yaml.located import Position
from ecommerce_dagster.sql.column_names import meant
from ecommerce_dagster.sql.identifiers import literal

# {value} is a text, {sha256} the database's way to the digest of one, as hexadecimal digits.
_MASKS = {
    "hash": "{sha256}",
    "sha256": "{sha256}",
    "md5": "md5({value})",
    "redact": "CASE WHEN {value} IS NOT NULL THEN 'REDACTED' END",
    "stars": "repeat('*', length({value}))",
}
_FIXED = "fixed:"
BLANKS = r" \t\n\r\f\v"
POSTGRES_SHA256 = "encode(sha256(convert_to({value}, 'UTF8')), 'hex')"
DUCKDB_SHA256 = "sha256({value})"


@dataclass(frozen=True)
class Mask:
    """A mask as it is written, and where."""

    column: str
    name: str
    at: Position

    @property
    def is_known(self) -> bool:
        return self.name in _MASKS or self.name.startswith(_FIXED)

    def applied(self, value: str, sha256: str) -> str:
        """The masked text of `value`, which is SQL for a text."""
        if self.name.startswith(_FIXED):
            fixed = literal(self.name.removeprefix(_FIXED))
            return f"CASE WHEN {value} IS NOT NULL THEN {fixed} END"
        # No text of a file is formatted: `value` holds names of columns.
        return _MASKS[self.name].replace("{sha256}", sha256).replace("{value}", value)


@dataclass(frozen=True)
class Unmaskable:
    """Why an asset cannot be loaded as masked as it asks for, and where it says so."""

    at: Position
    message: str


def masks_of(asset: Asset) -> tuple[Mask, ...]:
    """What the file asks for: `mask` of its columns, and the parameter `mask` (`column: mask`, or
    a list of `column:mask`)."""
    return (*_of_columns(asset), *_of_parameter(asset))


def by_column(asset: Asset) -> dict[str, Mask]:
    """The masks by the names of their columns in lower case."""
    return {mask.column.lower(): mask for mask in masks_of(asset)}


def masks_in(masks: Mapping[str, Mask], columns: Collection[str]) -> dict[str, Mask]:
    """The masks by the columns of a source that they are for."""
    found = {meant(mask.column, columns): mask for mask in masks.values()}
    return {column: mask for column, mask in found.items() if column is not None}


def without_column(masks: Mapping[str, Mask], columns: Collection[str]) -> str | None:
    """What is wrong with masks of columns that a source, which has these, does not have."""
    unknown = [mask.column for mask in masks.values() if meant(mask.column, columns) is None]
    if not unknown:
        return None
    return f"it has no {', '.join(unknown)} to mask; it has {', '.join(columns)}"


def first_unmaskable(asset: Asset, incremental_key: str | None) -> Unmaskable | None:
    """The first mask that cannot be applied."""
    for mask in masks_of(asset):
        where = f"the column '{mask.column}' has the mask '{mask.name}'"
        if not mask.is_known:
            known = ", ".join((*_MASKS, f"{_FIXED}TEXT"))
            return Unmaskable(mask.at, f"{where}; known: {known}")
        if mask.column.lower() == (incremental_key or "").lower():
            return Unmaskable(mask.at, f"{where}, and as the incremental_key it must be readable")
    return None


def _of_columns(asset: Asset) -> Iterator[Mask]:
    for column in asset.columns:
        if column.mask:
            name = column.source_column or column.name
            yield Mask(name, column.mask.strip(), column.at("mask"))


def _of_parameter(asset: Asset) -> Iterator[Mask]:
    written, at = asset.parameters.get("mask"), asset.at("parameters", "mask")
    if isinstance(written, dict):
        pairs = [f"{name}:{mask}" for name, mask in written.items()]
    else:
        pairs = (
            list(written) if isinstance(written, list | tuple) else str(written or "").split(",")
        )
    for pair in map(str, pairs):
        if pair.strip():
            column, _, name = pair.partition(":")
            yield Mask(column.strip(), name.strip(), at)
