"""The glossary: reading it, and giving its attributes to the columns that extend them.

Bruin takes name, type and description of an attribute. Here its checks and its primary key reach
the column as well, so that a rule is written once.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from ecommerce_dagster.bruin.model.anomalies import inherited_anomalies
from ecommerce_dagster.bruin.model.asset import Asset, Column
from ecommerce_dagster.bruin.model.glossary import Attribute, Domain, Entity, Glossary
from ecommerce_dagster.bruin.model.pipeline import Pipeline
from ecommerce_dagster.bruin.on_off import switched
from ecommerce_dagster.bruin.problems import ProblemLog, did_you_mean
from ecommerce_dagster.bruin.yaml.located import Position
from ecommerce_dagster.bruin.yaml.parsing import parse_file

_RULE = "valid-entity-references"


def read_glossary(paths: list[Path], log: ProblemLog) -> Glossary | None:
    """The glossary of all files together; None when one of them cannot be read.

    No file is an empty glossary.
    """
    parts = [parse_file(Glossary, path, log) for path in paths]
    if None in parts:
        return None
    domains: dict[str, Domain] = {}
    entities: dict[str, Entity] = {}
    for part in filter(None, parts):
        for key in sorted((domains.keys() & part.domains) | (entities.keys() & part.entities)):
            kind = "entities" if key in entities else "domains"
            message = f"'{key}' stands in both glossary files; this one counts, remove one"
            log.warning(*part.at(kind, key), "duplicate-entities", message)
        domains |= part.domains
        entities |= part.entities
    for domain in domains.values():
        _lint_parent(domain, domains, log)
    return Glossary(domains=domains, entities=entities)


def inherits_checks(pipeline: Pipeline, log: ProblemLog) -> bool:
    """Whether the pipeline leaves checks and keys of the glossary on: `glossary_checks` in meta."""
    inherits = switched(pipeline.meta.get("glossary_checks", True))
    if inherits is None:
        at = pipeline.at("meta", "glossary_checks")
        log.error(*at, "valid-pipeline", "'glossary_checks' must be true or false")
    return inherits is not False


def apply_glossary(
    asset: Asset, glossary: Glossary, log: ProblemLog, *, inherit_checks: bool
) -> Asset:
    """`asset` with every `extends`, of columns and of itself, replaced by what it stands for."""
    words = _Words(glossary, log, inherit_checks)
    columns = [words.extended(column) if column.extends else column for column in asset.columns]
    columns += words.entity_columns(asset, columns)
    return asset.model_copy(update={"columns": tuple(columns)}) if columns else asset


def _lint_parent(domain: Domain, domains: Mapping[str, Domain], log: ProblemLog) -> None:
    parent = domain.parent_domain
    if parent and parent not in domains:
        message = f"the parent domain '{parent}' does not exist; {did_you_mean(parent, domains)}"
        log.error(*domain.at("parent_domain"), "valid-parent-domains", message)


@dataclass(frozen=True)
class _Words:
    glossary: Glossary
    log: ProblemLog
    inherit_checks: bool

    def extended(self, column: Column) -> Column:
        """What the column says itself, and the rest from the attribute that it extends."""
        at = column.at("extends")
        entity, _, key = (column.extends or "").partition(".")
        if not entity or not key:
            message = f"'extends: {column.extends}' must name an attribute, as in Customer.Email"
            self.log.error(*at, _RULE, message)
            return column
        found = self._entity(entity, at)
        if found is None:
            return column
        attribute = found.attributes.get(key)
        if attribute is None:
            hint = did_you_mean(key, found.attributes)
            message = f"the entity '{entity}' has no attribute '{key}'; {hint}"
            self.log.error(*at, _RULE, message)
            return column
        return self._inherit(column, attribute, key)

    def entity_columns(self, asset: Asset, columns: list[Column]) -> Iterator[Column]:
        """A column for each attribute of the extended entities that no column stands for yet."""
        extended = {column.extends for column in columns}
        names = {column.name.lower() for column in columns}
        for index, entity in enumerate(asset.extends):
            at = asset.at("extends", index)
            found = self._entity(entity, at)
            for key, attribute in sorted(found.attributes.items()) if found else ():
                name = (attribute.name or key).lower()
                if f"{entity}.{key}" in extended or name in names:
                    continue
                column = Column(extends=f"{entity}.{key}", path=at.path, line=at.line)
                yield self._inherit(column, attribute, key)
                names.add(name)

    def _entity(self, name: str, at: Position) -> Entity | None:
        found = self.glossary.entities.get(name)
        if found is None:
            hint = did_you_mean(name, self.glossary.entities)
            if not self.glossary.entities:
                hint = "there is no glossary.yml with entities above the pipeline"
            self.log.error(*at, _RULE, f"the glossary has no entity '{name}'; {hint}")
        return found

    def _inherit(self, column: Column, attribute: Attribute, key: str) -> Column:
        """An own check replaces the inherited ones of its name; `checks: []` all of them."""
        update: dict[str, object] = {
            "name": column.name or attribute.name or key,
            "type": column.type or attribute.type,
            "description": column.description or attribute.description,
        }
        if self.inherit_checks:
            own = {check.name for check in column.checks}
            opted_out = "checks" in column.model_fields_set and not column.checks
            inherited = () if opted_out else attribute.checks
            update["checks"] = (*(c for c in inherited if c.name not in own), *column.checks)
            if column.primary_key is None:
                update["primary_key"] = attribute.primary_key
            if anomalies := inherited_anomalies(column.meta, attribute.meta):
                update |= {"meta": {**column.meta, **anomalies}, "term": attribute}
        return column.model_copy(update=update)
