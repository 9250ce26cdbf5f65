"""The parameter `schema_contract`: whether what is loaded may change the columns of its table."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from ecommerce_dagster.bruin.model.asset import Asset
from ecommerce_dagster.bruin.problems import ProblemLog
from ecommerce_dagster.sql.load_result import LoadError
from ecommerce_dagster.warehouses.base import Target

_CONTRACTS = ("discard_row", "discard_value", "evolve", "freeze")


def lint_contract(asset: Asset, log: ProblemLog) -> None:
    """Report a contract that does not exist, and one that is not kept here."""
    contract = asset.parameter("schema_contract").lower()
    at = asset.at("parameters", "schema_contract")
    if contract and contract not in _CONTRACTS:
        message = f"unknown schema_contract '{contract}'; expected {', '.join(_CONTRACTS)}"
        log.error(*at, "valid-ingestr", message)
    elif contract.startswith("discard"):
        message = (
            f"schema_contract '{contract}' is not done here: no value is dropped, new columns are "
            "added and a value that does not fit stops the load; write evolve or freeze"
        )
        log.warning(*at, "not-done-here", message)


@contextmanager
def columns_kept(target: Target, asset: Asset) -> Iterator[None]:
    """Raise LoadError after a load that changed columns of a table that `schema_contract: freeze`
    keeps."""
    is_frozen = asset.parameter("schema_contract").lower() == "freeze"
    before = target.columns(asset.name) if is_frozen else {}
    yield
    after = target.columns(asset.name) if before else {}
    changed = [name for name in before | after if before.get(name) != after.get(name)]
    if changed:
        raise LoadError(
            f"the columns {', '.join(changed)} of what is loaded are not those of {asset.name}, "
            "and `schema_contract: freeze` keeps these; leave them out, or write evolve"
        )
