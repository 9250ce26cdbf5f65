"""From the words of the files to Dagster's: the one place that knows both.

Subclass BruinTranslator and hand it to `build_defs` to change what an asset or a check looks like.
"""

from __future__ import annotations

import hashlib
import re
from typing import Any

import dagster as dg

from ecommerce_dagster.bruin.model.asset import Asset, Dependency
from ecommerce_dagster.bruin.model.glossary import Domain
from ecommerce_dagster.bruin.project import Project
from ecommerce_dagster.orchestration.asset_keys import asset_key
from ecommerce_dagster.orchestration.freshness import (
    automation_condition_of,
    freshness_policy_of,
)
from ecommerce_dagster.orchestration.partitions import partitions_of
from ecommerce_dagster.orchestration.places import code_references, place
from ecommerce_dagster.orchestration.table_columns import table_schema
from ecommerce_dagster.runtime.asset_types import has_table, kinds_of
from ecommerce_dagster.runtime.names import check_name, slug
from ecommerce_dagster.runtime.schedule import is_partitioned
from ecommerce_dagster.sql.checks import Check

# What Dagster takes for an address, or for a team.
_OWNER = re.compile(r"\w[\w.%+-]*@[A-Za-z0-9.-]+\.[A-Za-z]{2,7}|team:.+", re.ASCII)
_TAG = re.compile(r"^[A-Za-z0-9_.-]{1,63}$")


class BruinTranslator:
    """What the asset of a file and the check of a rule look like in Dagster.

    Subclass it, override a method, and hand an instance to `build_defs`:

        class WithTeam(BruinTranslator):
            def get_asset_spec(self, asset, project):
                spec = super().get_asset_spec(asset, project)
                return spec.merge_attributes(tags={"team": asset.meta.get("team", "none")})
    """

    def get_asset_spec(self, asset: Asset, project: Project) -> dg.AssetSpec:
        """The asset of one file: key, dependencies, group, owners, tags, kinds, metadata.

        Args:
            asset: The file as read, the glossary applied: `name`, `type`, `path`, `columns`,
                `tags`, `meta`, `owner`, `depends`, `body` and more.
            project: The pipeline that the file belongs to: `pipeline`, `glossary`, `assets`.

        Returns:
            The spec. Its key must stay `dagster.AssetKey` of the asset's name: `build_defs` raises
            DagsterInvalidDefinitionError for another one.
        """
        return dg.AssetSpec(
            key=asset_key(asset.name, project),
            deps=_upstream(asset, project),
            description=description_of(asset),
            group_name=group_of(asset, project),
            code_version=code_version_of(asset),
            owners=owners_of(asset, project),
            tags=tags_of(asset, project),
            kinds=kinds_of(project, asset),
            metadata={
                **_table(asset, project),
                "dagster/code_references": code_references(asset, project),
                "bruin/type": asset.type,
                "bruin/file": place(asset.path, project),
                **_domains(asset, project),
            },
            partitions_def=partitions_of(project.pipeline) if is_partitioned(asset) else None,
            freshness_policy=freshness_policy_of(asset, project),
            automation_condition=automation_condition_of(asset),
        )

    def get_asset_check_spec(self, check: Check, project: Project) -> dg.AssetCheckSpec:
        """The asset check of one rule: name, description, whether it blocks, metadata.

        Args:
            check: The rule: `id`, `asset`, `column` (None for a custom check), `rule`, `blocking`.
            project: The pipeline that its asset belongs to.

        Returns:
            The spec. Its name and its asset must stay. Whether a failed check keeps the table from
            being published is decided by `blocking` of the file, not of the spec.
        """
        return dg.AssetCheckSpec(
            name=check_name(check),
            asset=asset_key(check.asset.name, project),
            description=check.words,
            blocking=check.blocking,
            # A run that asks the check alone builds first what it compares with.
            additional_deps=_upstream(check.asset, project) if check.reads_other_tables else [],
            metadata={
                "bruin/id": check.id,
                "bruin/declared_in": place(check.rule.path, project, check.rule.line),
                "bruin/severity": severity_of(check).value,
            },
        )


def _upstream(asset: Asset, project: Project) -> list[dg.AssetKey]:
    """The keys of what an asset waits for; each once, as Dagster wants it."""
    found = [_key_of(d, project) for d in asset.depends if d.mode == "full"]
    return [key for key in dict.fromkeys(found) if key is not None]


def _key_of(dependency: Dependency, project: Project) -> dg.AssetKey | None:
    """The key of an asset here, in another pipeline or of other code; None for a uri of nobody."""
    if dependency.external_key:
        return dg.AssetKey(dependency.external_key)
    name = dependency.asset or dependency.owner
    return asset_key(name, project) if name else None


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
        names = [name for _, domain in domains_of(asset, project) for name in domain.owners]
    return [name if _OWNER.fullmatch(name) else f"team:{name}" for name in dict.fromkeys(names)]


def tags_of(asset: Asset, project: Project) -> dict[str, str]:
    """Each tag, and each domain as `domain/sales`, as a key without value: `tag:mart` selects."""
    domains = [f"domain/{_tag(key)}" for key, _ in domains_of(asset, project)]
    return dict.fromkeys([*map(_tag, asset.tags), *domains], "")


def domains_of(asset: Asset, project: Project) -> list[tuple[str, Domain]]:
    """The domains of the file, else of the glossary's entities that its columns extend."""
    glossary = project.glossary
    entities = (column.extends.partition(".")[0] for column in asset.columns if column.extends)
    extended = [
        domain
        for name in dict.fromkeys(entities)
        if name in glossary.entities
        for domain in glossary.entities[name].domains
    ]
    names = dict.fromkeys(asset.domains or extended)
    return [(name, glossary.domains.get(name) or Domain(name=name)) for name in names]


def severity_of(check: Check) -> dg.AssetCheckSeverity:
    """A check that does not block only warns."""
    return dg.AssetCheckSeverity.ERROR if check.blocking else dg.AssetCheckSeverity.WARN


def _tag(word: str) -> str:
    return word if _TAG.match(word) else slug(word)[:63]


def _table(asset: Asset, project: Project) -> dict[str, Any]:
    """The table of an asset that has one: a script, or a report, does not."""
    if not has_table(asset):
        return {}
    return {
        "dagster/table_name": asset.name,
        "dagster/storage_kind": project.platform(asset),
        "dagster/column_schema": table_schema(asset),
    }


def _domains(asset: Asset, project: Project) -> dict[str, dg.MetadataValue[Any]]:
    lines = [
        f"- **{name}**: {d.description}".rstrip(": ") for name, d in domains_of(asset, project)
    ]
    return {"domains": dg.MetadataValue.md("\n".join(lines))} if lines else {}
