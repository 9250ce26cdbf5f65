"""The columns of a table as Dagster shows them: types, rules, the glossary, and where they come
from."""

from __future__ import annotations

from collections.abc import Mapping

import dagster as dg

from ecommerce_dagster.bruin.model.asset import Asset, Column, ColumnCheck
from ecommerce_dagster.bruin.project import Project
from ecommerce_dagster.orchestration.asset_keys import asset_key
from ecommerce_dagster.runtime.column_lineage import origins
from ecommerce_dagster.runtime.plain_names import key_parts, tag_of
from ecommerce_dagster.sql.column_names import column_of
from ecommerce_dagster.sql.lineage.columns import NOTHING, ColumnRef, Refs
from ecommerce_dagster.sql.lineage.query import Lineage
from ecommerce_dagster.sql.rules import RULES
from ecommerce_dagster.sql.types import normal

_ENTITY = "glossary"


def table_schema(asset: Asset) -> dg.TableSchema:
    """The declared columns."""
    return dg.TableSchema(columns=[_table_column(column, None) for column in asset.columns])


def built_schema(asset: Asset, columns: Mapping[str, str]) -> dg.TableSchema:
    """The columns of the table as built, with what the file says about them."""
    declared = {
        (column_of(asset, column, columns) or column.name).lower(): column
        for column in asset.columns
    }
    return dg.TableSchema(
        columns=[
            _table_column(declared.get(name.lower(), Column(name=name)), kind, name)
            for name, kind in columns.items()
        ]
    )


def column_lineage(lineage: Lineage, project: Project) -> dg.TableColumnLineage:
    """From which columns of other assets, and of source databases, each column comes."""
    return dg.TableColumnLineage(
        deps_by_column={
            name: [
                dg.TableColumnDep(asset_key=key, column_name=ref.column)
                for ref in sorted(refs)
                if (key := key_of_source(ref, project)) is not None
            ]
            for name, refs in lineage.columns.items()
        }
    )


def key_of_source(ref: ColumnRef, project: Project) -> dg.AssetKey | None:
    """The asset that a column belongs to. The table public.orders behind the connection pg-default
    is called pg_default/public/orders; an unknown table has no name in Dagster."""
    if ref.connection:
        return dg.AssetKey(key_parts(f"{ref.connection}.{ref.table}"))
    return asset_key(ref.table, project) if ref.table in project.by_name else None


def lineage_in_words(lineage: Mapping[str, Lineage], table: str) -> dg.MarkdownMetadataValue:
    """The same for people, with where it all begins: Dagster's own pages do not show it."""
    lines = []
    for column, refs in lineage[table].columns.items():
        ends = origins(lineage, table, column) - refs if refs else NOTHING
        begins = f", in the end {_listed(ends)}" if ends else ""
        lines.append(f"- **{column}** from {_listed(refs) or 'no column'}{begins}")
    return dg.MetadataValue.md("\n".join(lines))


def _listed(refs: Refs) -> str:
    return ", ".join(f"`{ref.table}.{ref.column}`" for ref in sorted(refs))


def _table_column(column: Column, kind: str | None, name: str | None = None) -> dg.TableColumn:
    rules = {check.name for check in column.checks}
    other = ["primary key"] if column.primary_key else []
    other += [_words(column, check) for check in column.checks if check.name in RULES]
    return dg.TableColumn(
        name=name or column.name,
        type=kind or (normal(column.type) if column.type else "unknown"),
        description=column.description or None,
        constraints=dg.TableColumnConstraints(
            nullable="not_null" not in rules,
            unique="unique" in rules,
            other=[words for words in other if words],
        ),
        tags=_tags(column),
    )


def _tags(column: Column) -> dict[str, str]:
    """The tags and domains of a column, as those of its asset, and the attribute it extends."""
    domains = [f"domain/{tag_of(name)}" for name in column.domains]
    found = dict.fromkeys([*map(tag_of, column.tags), *domains], "")
    return found | ({_ENTITY: tag_of(column.extends)} if column.extends else {})


def _words(column: Column, check: ColumnCheck) -> str:
    """A rule in words, when Dagster has no sign of its own for it."""
    if check.name in {"not_null", "unique"}:
        return ""
    return RULES[check.name].words(column, check)
