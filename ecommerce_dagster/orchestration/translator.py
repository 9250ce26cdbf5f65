"""From the words of the files to Dagster's: the one place that knows both.

Subclass BruinTranslator and hand it to `build_defs` to change what an asset or a check looks like.
"""

from __future__ import annotations

import hashlib
import re

import dagster as dg

from ecommerce_dagster.bruin.models import Asset, Column
from ecommerce_dagster.bruin.project import Project
from ecommerce_dagster.orchestration.asset_types import ASSET_TYPES
from ecommerce_dagster.orchestration.names import asset_key, check_name, slug
from ecommerce_dagster.orchestration.partitions import is_partitioned, partitions_of
from ecommerce_dagster.warehouse.checks import Check
from ecommerce_dagster.warehouse.types import normal

_EMAIL = re.compile(r"^[^@\s]+@[^@\s]+\.[^@\s]+$")
_TAG = re.compile(r"^[A-Za-z0-9_.-]{1,63}$")


class BruinTranslator:
    """How a file becomes an AssetSpec and a rule an AssetCheckSpec."""

    def get_asset_spec(self, asset: Asset, project: Project) -> dg.AssetSpec:
        """The asset that a file stands for.

        Override this to change what Dagster shows, for example
        `return super().get_asset_spec(asset, project).merge_attributes(tags={"team": "a"})`.
        """
        return dg.AssetSpec(
            key=asset_key(asset.name),
            deps=[asset_key(d.asset) for d in asset.depends if d.asset and d.mode == "full"],
            description=description_of(asset),
            group_name=group_of(asset, project),
            code_version=code_version_of(asset),
            owners=owners_of(asset, project),
            tags=tags_of(asset),
            kinds=kinds_of(asset),
            metadata={
                "dagster/table_name": asset.name,
                "dagster/storage_kind": "duckdb",
                "dagster/column_schema": table_schema(asset),
                "bruin/type": asset.type,
                "bruin/file": str(asset.path.relative_to(project.root))
                if asset.path.is_relative_to(project.root)
                else str(asset.path),
            },
            partitions_def=partitions_of(project.pipeline) if is_partitioned(asset) else None,
        )

    def get_asset_check_spec(self, check: Check) -> dg.AssetCheckSpec:
        """The asset check that a rule stands for. Override this to change what Dagster shows."""
        return dg.AssetCheckSpec(
            name=check_name(check),
            asset=asset_key(check.asset.name),
            description=check.words,
            blocking=check.blocking,
            metadata={
                "bruin/id": check.id,
                "bruin/declared_in": f"{check.rule.path.name}:{check.rule.line}",
            },
        )


def description_of(asset: Asset) -> str:
    """The prose of the file, and below it the query."""
    prose = asset.description.strip()
    if not asset.body or asset.type == "python":
        return prose
    return f"{prose}\n\n#### SQL\n\n```sql\n{asset.body}\n```".strip()


def group_of(asset: Asset, project: Project) -> str:
    """The layer: the schema of the table, else the pipeline."""
    schema, dot, _ = asset.name.rpartition(".")
    return slug(schema if dot else project.pipeline.name)


def code_version_of(asset: Asset) -> str:
    """Changes when the file or a glossary entry it extends changes."""
    text = asset.model_dump_json() + asset.body
    return hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest()[:12]


def owners_of(asset: Asset, project: Project) -> list[str]:
    """The owner of the file, else of the pipeline, else of the asset's domains."""
    owner = asset.owner or project.pipeline.owner
    names = [owner] if owner else []
    if not names:
        domains = [
            project.glossary.domains[d] for d in asset.domains if d in project.glossary.domains
        ]
        names = [name for domain in domains for name in domain.owners]
    return [
        name if _EMAIL.match(name) or name.startswith("team:") else f"team:{name}"
        for name in dict.fromkeys(names)
    ]


def tags_of(asset: Asset) -> dict[str, str]:
    """Each tag as a key without value, so that `tag:mart` selects it."""
    return {tag if _TAG.match(tag) else slug(tag)[:63]: "" for tag in asset.tags}


def kinds_of(asset: Asset) -> set[str]:
    """What the asset is made with, for the icons in the graph."""
    known = ASSET_TYPES.get(asset.type)
    return set(known.kinds) if known else {slug(asset.type.split(".")[0])}


def table_schema(asset: Asset) -> dg.TableSchema:
    """The declared columns."""
    return dg.TableSchema(columns=[_table_column(column, None) for column in asset.columns])


def built_schema(asset: Asset, columns: dict[str, str]) -> dg.TableSchema:
    """The columns of the table as built, with what the file says about them."""
    declared = {column.name.lower(): column for column in asset.columns}
    return dg.TableSchema(
        columns=[
            _table_column(declared.get(name.lower(), Column(name=name)), kind, name)
            for name, kind in columns.items()
        ]
    )


def _table_column(column: Column, kind: str | None, name: str | None = None) -> dg.TableColumn:
    rules = {check.name for check in column.checks}
    other = [
        *(["primary key"] if column.primary_key else []),
        *sorted(rules - {"not_null", "unique"}),
    ]
    return dg.TableColumn(
        name=name or column.name,
        type=kind or (normal(column.type) if column.type else "unknown"),
        description=column.description or None,
        constraints=dg.TableColumnConstraints(
            nullable="not_null" not in rules, unique="unique" in rules, other=other
        ),
    )
