"""From the words of the files to Dagster's: the one place that knows both.

Subclass BruinTranslator and hand it to `build_defs` to change what an asset or a check looks like.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from typing import Any

import dagster as dg

from ecommerce_dagster.bruin.model.asset import Asset, Dependency
from ecommerce_dagster.bruin.model.glossary import Domain
from ecommerce_dagster.bruin.project import Project
from ecommerce_dagster.orchestration.asset_keys import asset_key, check_key
from ecommerce_dagster.orchestration.code_references import code_references, place
from ecommerce_dagster.orchestration.freshness import (
    automation_condition_of,
    freshness_policy_of,
)
from ecommerce_dagster.orchestration.partitions import Partitions, partitions_of
from ecommerce_dagster.orchestration.table_columns import table_schema
from ecommerce_dagster.runtime.asset_types import has_table, kinds_of
from ecommerce_dagster.runtime.plain_names import default_key_parts, slug, tag_of
from ecommerce_dagster.runtime.schedule import is_partitioned
from ecommerce_dagster.sql.checks import Check

# What Dagster takes for an address, or for a team.
_OWNER = re.compile(r"\w[\w.%+-]*@[A-Za-z0-9.-]+\.[A-Za-z]{2,7}|team:.+", re.ASCII)


class BruinTranslator:
    """What the asset of a file and the check of a rule look like in Dagster.

    Subclass it, override the method of an attribute, and hand an instance to `build_defs`:

        class WithTeam(BruinTranslator):
            def get_tags(self, asset, project):
                tags = super().get_tags(asset, project)
                return {**tags, "team": asset.meta.get("team", "none")}

    `asset` is the file as read, the glossary applied: `name`, `type`, `path`, `columns`, `tags`,
    `meta`, `owner`, `depends`, `body` and more; `project` is the pipeline that it belongs to:
    `pipeline`, `glossary`, `assets`.
    """

    def get_asset_spec(self, asset: Asset, project: Project) -> dg.AssetSpec:
        """The asset of one file. Override it to make the whole spec in another way.

        Args:
            asset: The file as read.
            project: The pipeline that it belongs to.

        Returns:
            The spec, of what the other methods return. Its key is the one by which jobs, sensors,
            events and other assets know it. A source that other code makes has no spec.
        """
        return dg.AssetSpec(
            key=self.get_asset_key(asset, project),
            deps=self.get_deps(asset, project),
            description=self.get_description(asset, project),
            group_name=self.get_group_name(asset, project),
            code_version=self.get_code_version(asset, project),
            owners=self.get_owners(asset, project),
            tags=self.get_tags(asset, project),
            kinds=self.get_kinds(asset, project),
            metadata=self.get_metadata(asset, project),
            partitions_def=self.get_partitions_def(asset, project),
            freshness_policy=self.get_freshness_policy(asset, project),
            automation_condition=self.get_automation_condition(asset, project),
        )

    def get_asset_key(self, asset: Asset, project: Project) -> dg.AssetKey:
        """The key by which everything in Dagster knows the asset.

        Args:
            asset: The file as read.
            project: The pipeline that it belongs to.

        Returns:
            The prefix of the copy, if there is one, and the parts of the asset's name.
        """
        return dg.AssetKey(default_key_parts(asset.name, project))

    def get_deps(self, asset: Asset, project: Project) -> Sequence[dg.AssetDep]:
        """What the asset waits for.

        Args:
            asset: The file as read.
            project: The pipeline that it belongs to.

        Returns:
            Assets of the pipeline, of others, and of other code.
        """
        return [dg.AssetDep(key) for key in upstream_of(asset, project)]

    def get_description(self, asset: Asset, project: Project) -> str | None:
        """What its page says first.

        Args:
            asset: The file as read.
            project: The pipeline that it belongs to.

        Returns:
            The prose of the file, and after it the query.
        """
        return description_of(asset)

    def get_group_name(self, asset: Asset, project: Project) -> str | None:
        """The group that it is shown in.

        Args:
            asset: The file as read.
            project: The pipeline that it belongs to.

        Returns:
            The schema of the table, else the name of the pipeline.
        """
        return group_of(asset, project)

    def get_code_version(self, asset: Asset, project: Project) -> str | None:
        """What tells an asset that was built from one that is out of date.

        Args:
            asset: The file as read.
            project: The pipeline that it belongs to.

        Returns:
            A text that changes with the file, and with a glossary entry that it extends.
        """
        return code_version_of(asset)

    def get_owners(self, asset: Asset, project: Project) -> Sequence[str]:
        """Who answers for it.

        Args:
            asset: The file as read.
            project: The pipeline that it belongs to.

        Returns:
            The owner of the file, else of the pipeline, else of its domains.
        """
        return owners_of(asset, project)

    def get_tags(self, asset: Asset, project: Project) -> Mapping[str, str]:
        """The tags by which it is selected.

        Args:
            asset: The file as read.
            project: The pipeline that it belongs to.

        Returns:
            The tags of the file, and its domains, each without a value.
        """
        return tags_of(asset, project)

    def get_kinds(self, asset: Asset, project: Project) -> set[str]:
        """The icons in the graph.

        Args:
            asset: The file as read.
            project: The pipeline that it belongs to.

        Returns:
            At most ten words: what it is made with, and which databases it reads.
        """
        return kinds_of(project, asset)

    def get_metadata(self, asset: Asset, project: Project) -> Mapping[str, Any]:
        """What is known of it before a run.

        Args:
            asset: The file as read.
            project: The pipeline that it belongs to.

        Returns:
            The table, its columns, where the file is.
        """
        return {
            **_table(asset, project),
            "dagster/code_references": code_references(asset, project),
            "bruin/type": asset.type,
            "bruin/file": place(asset.path, project),
            **_domains(asset, project),
        }

    def get_partitions_def(self, asset: Asset, project: Project) -> Partitions | None:
        """How it is cut into partitions. All of a pipeline that have some must have the same.

        Args:
            asset: The file as read.
            project: The pipeline that it belongs to.

        Returns:
            A partition for each tick of the schedule, for what is rebuilt by time; else None.
        """
        return partitions_of(project.pipeline) if is_partitioned(asset) else None

    def get_freshness_policy(self, asset: Asset, project: Project) -> dg.FreshnessPolicy | None:
        """How old the table may become.

        Args:
            asset: The file as read.
            project: The pipeline that it belongs to.

        Returns:
            The policy that `freshness` of the file or the schedule asks for; None for no limit.
        """
        return freshness_policy_of(asset, project)

    def get_automation_condition(
        self, asset: Asset, project: Project
    ) -> dg.AutomationCondition[dg.AssetKey] | None:
        """When it is rebuilt by itself.

        Args:
            asset: The file as read.
            project: The pipeline that it belongs to.

        Returns:
            With `automation: eager`, after anything upstream was; else None.
        """
        return automation_condition_of(asset)

    def get_asset_check_spec(self, check: Check, project: Project) -> dg.AssetCheckSpec:
        """The asset check of one rule: name, description, whether it blocks, metadata.

        Args:
            check: The rule: `id`, `asset`, `column` (None for one of the whole table), `rule`,
                `blocking`.
            project: The pipeline that its asset belongs to.

        Returns:
            The spec. Its name and its asset must stay. Whether a failed check keeps the table from
            being published is decided by `blocking` of the file, not of the spec.
        """
        key = check_key(check, project)
        return dg.AssetCheckSpec(
            name=key.name,
            asset=key.asset_key,
            description=check.words,
            blocking=check.blocking,
            # A run that asks the check alone builds first what it compares with.
            additional_deps=upstream_of(check.asset, project) if check.reads_other_tables else [],
            metadata={
                "bruin/id": check.id,
                "bruin/declared_in": place(check.rule.path, project, check.rule.line),
                "bruin/severity": severity_of(check).value,
            },
        )


def upstream_of(asset: Asset, project: Project) -> list[dg.AssetKey]:
    """The keys of what an asset waits for; each once, as Dagster wants it."""
    found = [_key_of(d, project) for d in asset.depends if d.mode == "full"]
    return [key for key in dict.fromkeys(found) if key is not None]


def _key_of(dependency: Dependency, project: Project) -> dg.AssetKey | None:
    """The key of an asset here, in another pipeline or of other code; None if none has the uri."""
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
    domains = [f"domain/{tag_of(key)}" for key, _ in domains_of(asset, project)]
    return dict.fromkeys([*map(tag_of, asset.tags), *domains], "")


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
