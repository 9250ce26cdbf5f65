"""What `meta` says for the catalogue: `synonyms: [turnover]` of an asset, a column or a term of the
glossary, and `dagster_url` of the pipeline."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ecommerce_dagster.bruin.model.asset import Asset, Column
from ecommerce_dagster.bruin.model.glossary import Attribute
from ecommerce_dagster.bruin.problems import ProblemLog
from ecommerce_dagster.bruin.project import Project


def synonyms_of(meta: Mapping[str, Any]) -> list[str]:
    """The other words for a thing. Raises ValueError when they are no words."""
    written = meta.get("synonyms") or []
    words = [written] if isinstance(written, str) else written
    if not isinstance(words, list) or not all(isinstance(word, str) for word in words):
        raise ValueError("'synonyms' must be a list of words")
    return [word.strip() for word in words if word.strip()]


def lint_catalogue(project: Project, log: ProblemLog) -> None:
    """Report a `synonyms` or a `dagster_url` that means nothing."""
    terms = [a for e in project.glossary.entities.values() for a in e.attributes.values()]
    columns = [column for asset in project.assets for column in asset.columns]
    nodes: list[Asset | Column | Attribute] = [*project.assets, *columns, *terms]
    for node in nodes:
        try:
            synonyms_of(node.meta)
        except ValueError as error:
            log.error(*node.at("meta", "synonyms"), "valid-meta", str(error))
    pipeline = project.pipeline
    address = str(pipeline.meta.get("dagster_url", "http://"))
    if not address.startswith(("http://", "https://")):
        at = pipeline.at("meta", "dagster_url")
        log.error(*at, "valid-meta", "'dagster_url' must begin with http:// or https://")
