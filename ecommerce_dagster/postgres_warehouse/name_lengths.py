"""Names that PostgreSQL would cut: it keeps 63 bytes of one, and says nothing that anybody reads.

What was cut is not found again under its own name: a table is built once and never again, and two
names that begin alike become one.
"""

from __future__ import annotations

from collections.abc import Iterable

from ecommerce_dagster.bruin.models import Asset
from ecommerce_dagster.bruin.problems import ProblemLog
from ecommerce_dagster.warehouse.loaded import LoadError

_LONGEST = 63  # bytes


def lint_lengths(asset: Asset, table: str, log: ProblemLog) -> None:
    """Report names of an asset, whose table is called `table`, that PostgreSQL would cut."""
    *schemas, name = table.split(".")
    for what, part in (*(("schema", schema) for schema in schemas), ("table", name)):
        if _is_cut(part):
            log.error(*asset.at("name"), "valid-database", _complaint(what, part))
    for column in asset.columns:
        if _is_cut(column.name):
            log.error(*column.at("name"), "valid-database", _complaint("column", column.name))


def require_uncut(what: str, names: Iterable[str]) -> None:
    """Raise LoadError when PostgreSQL would cut one of the names."""
    for name in names:
        if _is_cut(name):
            raise LoadError(_complaint(what, name))


def _is_cut(name: str) -> bool:
    return len(name.encode()) > _LONGEST


def _complaint(what: str, name: str) -> str:
    return (
        f"the {what} '{name}' has a name of {len(name.encode())} bytes, and PostgreSQL keeps "
        f"{_LONGEST}; give it a shorter one"
    )
