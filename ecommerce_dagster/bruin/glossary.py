"""The glossary: reading it, and giving its attributes to the columns that extend them.

Bruin takes name, type and description of an attribute. Here its checks and its primary key reach
the column as well, so that a rule is written once.
"""

from __future__ import annotations

from pathlib import Path

from ecommerce_dagster.bruin.models import Asset, Attribute, Column, Glossary
from ecommerce_dagster.bruin.parsing import parse_file
from ecommerce_dagster.bruin.problems import ProblemLog, did_you_mean


def read_glossary(paths: list[Path], log: ProblemLog) -> Glossary:
    """The glossary of all files together. No file is an empty glossary."""
    glossary = Glossary()
    for path in paths:
        part = parse_file(Glossary, path, log)
        if part is not None:
            glossary = glossary.merged(part)
    for domain in glossary.domains.values():
        if domain.parent_domain and domain.parent_domain not in glossary.domains:
            hint = did_you_mean(domain.parent_domain, glossary.domains)
            message = f"the parent domain '{domain.parent_domain}' does not exist; {hint}"
            log.error(domain.path, domain.line, "valid-parent-domains", message)
    return glossary


def apply_glossary(
    asset: Asset, glossary: Glossary, log: ProblemLog, *, inherit_checks: bool
) -> Asset:
    """`asset` with every `extends`, of columns and of itself, replaced by what it stands for."""
    columns = [
        _extended(column, asset, glossary, log, inherit_checks) if column.extends else column
        for column in asset.columns
    ]
    columns += _entity_columns(asset, columns, glossary, log, inherit_checks)
    if not columns:
        return asset
    return asset.model_copy(update={"columns": tuple(columns)})


def _extended(
    column: Column, asset: Asset, glossary: Glossary, log: ProblemLog, inherit_checks: bool
) -> Column:
    entity, dot, key = (column.extends or "").partition(".")
    if not dot or not entity or not key:
        message = f"'extends: {column.extends}' must name an attribute, as in Customer.Email"
        log.error(asset.path, column.line, "valid-entity-references", message)
        return column
    attribute = _attribute(entity, key, asset.path, column.line, glossary, log)
    return _inherit(column, attribute, key, inherit_checks) if attribute else column


def _attribute(
    entity: str, key: str, path: Path, line: int, glossary: Glossary, log: ProblemLog
) -> Attribute | None:
    found = glossary.entities.get(entity)
    if found is None:
        hint = did_you_mean(entity, glossary.entities)
        message = f"the glossary has no entity '{entity}'; {hint}"
        log.error(path, line, "valid-entity-references", message)
        return None
    attribute = found.attributes.get(key)
    if attribute is None:
        hint = did_you_mean(key, found.attributes)
        message = f"the entity '{entity}' has no attribute '{key}'; {hint}"
        log.error(path, line, "valid-entity-references", message)
    return attribute


def _inherit(column: Column, attribute: Attribute, key: str, inherit_checks: bool) -> Column:
    """What the column says itself wins; an own check replaces the inherited one of its name."""
    update: dict[str, object] = {
        "name": column.name or attribute.name or key,
        "type": column.type or attribute.type,
        "description": column.description or attribute.description,
    }
    if inherit_checks:
        own = {check.name for check in column.checks}
        inherited = tuple(check for check in attribute.checks if check.name not in own)
        update["checks"] = inherited + column.checks
        if column.primary_key is None:
            update["primary_key"] = attribute.primary_key
    return column.model_copy(update=update)


def _entity_columns(
    asset: Asset, columns: list[Column], glossary: Glossary, log: ProblemLog, inherit_checks: bool
) -> list[Column]:
    """One column for each attribute of the extended entities that no column stands for yet."""
    extended = {column.extends for column in columns}
    names = {column.name for column in columns}
    added: list[Column] = []
    for entity in asset.extends:
        found = glossary.entities.get(entity)
        if found is None:
            hint = did_you_mean(entity, glossary.entities)
            message = f"the glossary has no entity '{entity}'; {hint}"
            log.error(asset.path, asset.line, "valid-entity-references", message)
            continue
        for key, attribute in sorted(found.attributes.items()):
            reference = f"{entity}.{key}"
            if reference in extended or (attribute.name or key) in names:
                continue
            column = Column(extends=reference, path=asset.path, line=asset.line)
            added.append(_inherit(column, attribute, key, inherit_checks))
            extended.add(reference)
            names.add(attribute.name or key)
    return added
