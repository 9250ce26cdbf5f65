"""Bruin-style pipelines as Dagster assets and asset checks."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ecommerce_dagster._lazy import lazily

if TYPE_CHECKING:
    from ecommerce_dagster.bruin.model.connections import UnusableConnection
    from ecommerce_dagster.bruin.problems import ProjectError
    from ecommerce_dagster.component import BruinPipelineComponent
    from ecommerce_dagster.errors import (
        BruinError,
        ConfigurationError,
        FolderError,
        MissingExtra,
    )
    from ecommerce_dagster.orchestration.build import build_defs
    from ecommerce_dagster.orchestration.translator import BruinTranslator
    from ecommerce_dagster.warehouses.duckdb.database import WarehouseError
    from ecommerce_dagster.warehouses.postgres.connect import SourceError
    from ecommerce_dagster.warehouses.sql_asset import AssetError, OutsideError

__all__ = [
    "AssetError",
    "BruinError",
    "BruinPipelineComponent",
    "BruinTranslator",
    "ConfigurationError",
    "FolderError",
    "MissingExtra",
    "OutsideError",
    "ProjectError",
    "SourceError",
    "UnusableConnection",
    "WarehouseError",
    "build_defs",
]

_PUBLIC = {
    "AssetError": "ecommerce_dagster.warehouses.sql_asset",
    "BruinError": "ecommerce_dagster.errors",
    "BruinPipelineComponent": "ecommerce_dagster.component",
    "BruinTranslator": "ecommerce_dagster.orchestration.translator",
    "ConfigurationError": "ecommerce_dagster.errors",
    "FolderError": "ecommerce_dagster.errors",
    "MissingExtra": "ecommerce_dagster.errors",
    "OutsideError": "ecommerce_dagster.warehouses.sql_asset",
    "ProjectError": "ecommerce_dagster.bruin.problems",
    "SourceError": "ecommerce_dagster.warehouses.postgres.connect",
    "UnusableConnection": "ecommerce_dagster.bruin.model.connections",
    "WarehouseError": "ecommerce_dagster.warehouses.duckdb.database",
    "build_defs": "ecommerce_dagster.orchestration.build",
}


# `ecommerce --help` and `ecommerce validate` import no Dagster.
__getattr__ = lazily(__name__, _PUBLIC)


def __dir__() -> list[str]:
    """What is public: `dg list components` looks for components among these names."""
    return sorted({*globals(), *__all__})
