"""Bind every query of a pipeline against the tables that it will read, without data.

The tables of the pipeline are made in memory, empty, one after the other. A table has the columns
that its query returns, or that its source has, or, when the source cannot be asked, those that its
file declares, and perhaps more: what depends on those is left alone.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import suppress
from graphlib import CycleError, TopologicalSorter
from types import MappingProxyType
from typing import NamedTuple

import duckdb

from ecommerce_dagster.bruin.graph import reached
from ecommerce_dagster.bruin.model.asset import Asset
from ecommerce_dagster.bruin.model.platforms import has_prefix
from ecommerce_dagster.bruin.problems import ProblemLog
from ecommerce_dagster.bruin.project import Project
from ecommerce_dagster.bruin.yaml.located import Position
from ecommerce_dagster.sql.column_names import renamed, table_names
from ecommerce_dagster.sql.lake_types import LAKE_RULES
from ecommerce_dagster.sql.load_result import LoadError
from ecommerce_dagster.sql.sql_text import SqlText, lint_parameters, texts_of
from ecommerce_dagster.sql.used_tables import Use, key_of
from ecommerce_dagster.validation import dependency_lint
from ecommerce_dagster.validation.asset import SECONDS, AssetBinding
from ecommerce_dagster.validation.column_lint import (
    declared_schema,
    lint_columns,
    lint_stored,
    lint_types,
    loaded_schema,
)
from ecommerce_dagster.validation.diagnostics import PendingError
from ecommerce_dagster.validation.external_tables import ExternalTables, other_names
from ecommerce_dagster.validation.schema_only import Schema, SchemaOnlyWarehouse
from ecommerce_dagster.warehouses.time_limit import TimeLimits
from ecommerce_dagster.warehouses.transaction_rules import lint_transactions

SourceColumns = Callable[[Asset], Mapping[str, str] | None]
# Binds the texts of an asset in another database than DuckDB. It gets the columns of its source as
# well, and returns those of its query, as far as they are known.
Validation = Callable[[Asset, Sequence[SqlText], Mapping[str, str] | None], Collection[str] | None]

# The types of assets whose connection says where they are.
_ANYWHERE = {"empty", "ingestr", "python"}
# The types of assets, without their prefixes, that can store rows.
_STORED = {"sql", "seed", "ingestr", "python"}


def bind_project(
    project: Project,
    log: ProblemLog,
    *,
    source_columns: SourceColumns,
    proofs: Mapping[str, Validation] = MappingProxyType({}),
    variables: Mapping[str, str] = os.environ,
    asks: bool = True,
    then: Callable[[SchemaOnlyWarehouse], None] = lambda empty: None,
) -> Mapping[str, Collection[str]]:
    """Report what of the SQL in `project` DuckDB would refuse, and what its files declare of
    columns and dependencies that does not agree with it.

    `source_columns` tells the columns (name to DuckDB type, empty when only the values decide) that
    the source of an asset has; None when it cannot be asked. `proofs` are those of the other
    platforms, by their names. `variables` are what `${VAR}` in .bruin.yml refers to; without `asks`
    no catalog of a DuckLake is asked what is in it. `then` gets the warehouse with all its tables.
    Returns the columns of each query, by the name of the asset, as far as they are known.
    """
    external = ExternalTables(project, variables, asks=asks)
    binder = _Binder(project, log, source_columns, proofs, external)
    binder.run(then)
    return binder.returned


class _Used(NamedTuple):
    """A table that a text of an asset names, as it is rendered for some run."""

    text: SqlText
    rendered: str
    use: Use

    @property
    def key(self) -> str:
        return self.use.key

    @property
    def place(self) -> Position:
        """Where the file names it."""
        return self.text.place(self.rendered, self.use.line)


class _Binder:
    def __init__(
        self,
        project: Project,
        log: ProblemLog,
        source_columns: SourceColumns,
        proofs: Mapping[str, Validation],
        external: ExternalTables,
    ) -> None:
        self._project, self._log, self._source_columns = project, log, source_columns
        self._proofs = proofs
        self._by_key = {key_of(asset.name): asset for asset in project.assets}
        self.returned: dict[str, Collection[str]] = {}
        self._suspicions: list[PendingError] = []
        self._others = other_names(project, log)
        self._elsewhere = external

    def run(self, then: Callable[[SchemaOnlyWarehouse], None]) -> None:
        project, log = self._project, self._log
        names = [*self._others, *(asset.name for asset in project.assets)]
        warehouse = SchemaOnlyWarehouse(self._elsewhere.database, names)
        with warehouse as empty, TimeLimits(SECONDS) as limits:
            session = empty.shared_session
            for name in self._others:
                empty.make(session, name, Schema())
            texts = {
                id(asset): texts_of(project, asset, log) if _is_ours(asset) else []
                for asset in project.assets
            }
            empty.read_uses(r for found in texts.values() for text in found for r in text.texts)
            uses = {key: _uses(empty, found) for key, found in texts.items()}
            empty.has_hidden_makers = any(map(_makes_anything, project.assets))
            for asset in _in_order(project, uses):
                for used in uses[id(asset)]:
                    if used.text.part != "check" or used.key != key_of(asset.name):
                        self._stand_in(empty, session, used.key)
                self._bind(empty, asset, texts[id(asset)], limits)
            self._confirm(empty, session)
            then(empty)
            for asset in project.assets:
                self._lint_usage(asset, texts[id(asset)], uses[id(asset)])
        dependency_lint.lint_variables(project, log)

    def _stand_in(
        self, empty: SchemaOnlyWarehouse, session: duckdb.DuckDBPyConnection, key: str
    ) -> None:
        """A table that does not exist yet, for an asset that reads itself, or part of a circle."""
        asset = self._by_key.get(key)
        if asset is not None and empty.schema(key) is None:
            empty.make(session, asset.name, declared_schema(asset))

    def _bind(
        self,
        empty: SchemaOnlyWarehouse,
        asset: Asset,
        texts: list[SqlText],
        limits: TimeLimits,
    ) -> None:
        lint_transactions(asset, self._project.platform(asset), texts, self._log)
        if _is_ours(asset):
            lint_parameters(self._project, asset, self._log)
        if asset.type == "duckdb.sql":
            binding = AssetBinding(empty, asset, limits, self._log)
            binding.bind(texts)
            returned: Collection[str] | None = binding.returned
        else:
            source = self._source_columns(asset) if _is_ours(asset) else None
            named, columns = self._named(asset, source)
            binding = AssetBinding(empty, named, limits, self._log)
            self._bind_loaded(binding, named, texts, columns)
            returned = None
            proof = self._proofs.get(self._project.platform(asset)) if _is_ours(asset) else None
            if proof is not None and not _is_in_duckdb(self._project, asset):
                returned = proof(asset, texts, source)
        if returned is not None:
            self.returned[asset.name] = returned
        found = empty.schema(key_of(asset.name))
        if found is not None and _is_stored_in_lake(self._project, asset):
            lint_stored(asset, found, LAKE_RULES, self._log)
        self._suspicions += binding.verdicts.suspicions

    def _named(
        self, asset: Asset, found: Mapping[str, str] | None
    ) -> tuple[Asset, Mapping[str, str] | None]:
        """The asset and the columns of its source as its table will call them."""
        if found is None:
            return asset, None
        try:
            names = table_names(asset, found)
            if any(column != name for column, name in names.items()):
                names = table_names(asset, found, self._elsewhere.columns(asset.name))
        except LoadError as error:
            at = asset.at("parameters", "path" if asset.type.endswith(".seed") else "source_table")
            self._log.error(*at, "valid-naming", str(error))
            return asset, None
        return renamed(asset, names), {names[column]: kind for column, kind in found.items()}

    def _bind_loaded(
        self,
        binding: AssetBinding,
        asset: Asset,
        texts: list[SqlText],
        found: Mapping[str, str] | None,
    ) -> None:
        """An asset whose rows come from elsewhere, or that lives there."""
        if found is not None:
            lint_columns(asset, Schema(dict(found), complete=True), "the source", self._log)
        if _is_in_duckdb(self._project, asset):
            lint_types(asset, {}, lambda name: True, self._log)
            binding.load(loaded_schema(asset, found), texts)
        else:
            binding.load(declared_schema(asset), [])

    def _confirm(self, empty: SchemaOnlyWarehouse, session: duckdb.DuckDBPyConnection) -> None:
        """Report what does not exist, now that all that is made has been made."""
        if empty.has_hidden_makers:
            return
        for suspicion in self._suspicions:
            found, missing, elsewhere = suspicion.problem, suspicion.table, self._elsewhere
            if missing is None:
                self._log.error(found.path, found.line, found.rule, found.message)
            elif not suspicion.exists(missing) and not elsewhere.has(missing):
                sure = elsewhere.is_surely_missing(missing)
                report = self._log.error if sure else self._log.warning
                message = f"{found.message} {elsewhere.explained(missing)}"
                report(found.path, found.line, found.rule, message)

    def _lint_usage(
        self,
        asset: Asset,
        texts: list[SqlText],
        uses: list[_Used],
    ) -> None:
        project, log = self._project, self._log
        dependency_lint.lint_interval(asset, project.macros, log)
        keys = [(column, key_of(k.table)) for column in asset.columns if (k := column.foreign_key)]
        if asset.type == "duckdb.sql":
            keys_used = {used.key for used in uses} | {key for _, key in keys}
            if all(text.rendered is not None for text in texts):
                written = [text.template for text in texts]
                dependency_lint.lint_unused_depends(project, asset, keys_used, written, log)
        # What a check reads must be there before, and is not part of the table; what a sensor waits
        # for may come from anywhere.
        asked = {used.key for used in uses if used.text.part == "check"}
        asked |= {key for column, key in keys if column.checks}
        # What the file says itself is left out: of a long chain, all is upstream of each part.
        said = {key_of(d.asset) for d in asset.depends if d.asset} | {key_of(asset.name)}
        start = [asset.name] if asked - said else []
        upstream = {key_of(name) for name in reached(start, project.neighbours.upstream)}
        places = [
            (used.key, used.place)
            for used in uses
            if used.text.part != "sensor"
            and (used.text.part != "check" or used.key not in upstream)
        ]
        places += [
            (key, column.foreign_key.at("table"))
            for column, key in keys
            if column.foreign_key and column.checks and key not in upstream
        ]
        found = [(self._by_key[key], at) for key, at in places if key in self._by_key]
        dependency_lint.lint_used_tables(project, asset, found, log)


def _uses(empty: SchemaOnlyWarehouse, texts: list[SqlText]) -> list[_Used]:
    return [
        _Used(text, rendered, use)
        for text in texts
        for rendered in text.texts
        for use in empty.uses(rendered) or ()
    ]


def _in_order(project: Project, uses: Mapping[int, list[_Used]]) -> Iterator[Asset]:
    """The assets, those first that others depend on, whether they say so or not."""
    by_key = {key_of(asset.name): asset for asset in project.assets}
    graph: dict[str, set[str]] = {key: set() for key in by_key}
    for key, asset in by_key.items():
        named = {key_of(d.asset) for d in asset.depends if d.asset and d.mode == "full"}
        used = {used.key for used in uses[id(asset)]}
        graph[key] = ((named | used) & by_key.keys()) - {key}
    with suppress(CycleError):
        return iter([by_key[key] for key in TopologicalSorter(graph).static_order()])
    return iter(project.assets)


def _makes_anything(asset: Asset) -> bool:
    """Whether an asset is a program that may make any table."""
    return asset.type == "python" and asset.materialization.type != "table"


def _is_ours(asset: Asset) -> bool:
    """Whether anything of this asset runs here; the types of other platforms are left out."""
    return has_prefix(asset.type) or asset.type.split(".")[0] in _ANYWHERE


def _is_stored_in_lake(project: Project, asset: Asset) -> bool:
    """Whether the table of an asset has rows of its own in a DuckLake."""
    connection = project.connections.by_name.get(project.connection_name(asset))
    is_stored = asset.type.split(".")[-1] in _STORED and asset.materialization.type != "view"
    return is_stored and connection is not None and connection.is_lakehouse


def _is_in_duckdb(project: Project, asset: Asset) -> bool:
    kind = asset.type.split(".")[0]
    can_be = kind in _ANYWHERE and project.platform(asset) == "duckdb"
    return kind == "duckdb" or can_be
