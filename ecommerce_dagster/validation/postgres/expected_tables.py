"""The tables of a pipeline in a PostgreSQL database as they will be once it has run."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

from ecommerce_dagster.bruin.model.asset import Asset
from ecommerce_dagster.sql.postgres_types import target_type
from ecommerce_dagster.sql.strategies.history import COLUMNS as HISTORY
from ecommerce_dagster.sql.strategies.registry import STRATEGIES, strategy_name
from ecommerce_dagster.sql.used_tables import key_of
from ecommerce_dagster.validation.schema_only import Schema
from ecommerce_dagster.warehouses.postgres.catalog import Catalog


@dataclass
class ExpectedTables:
    """What the `assets` of the database, by their keys, make of it.

    `unclear` are the keys of tables that another program may make, or an asset that is switched
    off.
    """

    assets: Mapping[str, Asset]
    unclear: Collection[str]
    _made: dict[str, Schema] = field(default_factory=dict)

    @property
    def words(self) -> set[str]:
        """The last part of each name that `find` may know, in lower case."""
        keys = (*self._made, *self.assets, *self.unclear)
        return {key.rpartition('"."')[2].strip('"') for key in keys}

    def make(self, name: str, schema: Schema) -> None:
        """Take note of a table that will be there."""
        self._made[key_of(name)] = schema

    def find(self, catalog: Catalog, name: str) -> Schema | None:
        """What is known of a table; None for one that is as the database has it."""
        key = key_of(name)
        if key in self._made:
            return self._made[key]
        asset = self.assets.get(key)
        if asset is None and key not in self.unclear:
            return None
        there = _columns(catalog, name)
        if there and (asset is None or asset.type == "pg.source"):
            return None
        # One that is unknown, or part of a circle, or one that reads itself.
        return Schema({**there, **(_declared(catalog, asset) if asset else {})})


def loaded(catalog: Catalog, asset: Asset, source: Collection[str] | None) -> Schema:
    """The table of an asset without a query; of its `source` the columns, if they are known."""
    columns: dict[str, str | None] = dict.fromkeys(source or ())
    columns |= {**_columns(catalog, asset.name), **_declared(catalog, asset)}
    is_declared = asset.type == "pg.sql" and strategy_name(asset) == "ddl"
    return Schema(columns, complete=is_declared or source is not None)


def filled(catalog: Catalog, asset: Asset, bound: Schema) -> Schema:
    """The table of an asset whose query returns `bound`: in the declared types, with what its
    strategy or earlier runs have added."""
    if asset.materialization.type == "view":
        return bound
    declared = {name.lower(): kind for name, kind in _declared(catalog, asset).items()}
    columns: dict[str, str | None] = {
        name: target_type(declared.get(name.lower()), kind) if kind else None
        for name, kind in bound.columns.items()
    }
    strategy = STRATEGIES.get(strategy_name(asset))
    if strategy is not None and not strategy.rebuilds:
        added = {name: kind for name, kind in HISTORY.items() if name in strategy.fills}
        columns = {**_columns(catalog, asset.name), **columns, **added}
    return Schema(columns, bound.complete)


def _columns(catalog: Catalog, name: str) -> dict[str, str]:
    return catalog.columns(catalog.find(name).sql)


def _declared(catalog: Catalog, asset: Asset) -> dict[str, str | None]:
    types = catalog.types({column.type for column in asset.columns})
    return {column.name: types.known(column.type) for column in asset.columns if column.name}
