"""What the pages of a catalogue are about, ready to be filled in."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ecommerce_dagster.bruin.model.asset import Asset, Column
from ecommerce_dagster.bruin.model.glossary import Attribute
from ecommerce_dagster.bruin.project import Project
from ecommerce_dagster.pages.graph import Graph
from ecommerce_dagster.runtime.asset_state import AssetState, CheckState


@dataclass(frozen=True)
class Link:
    """Words, and the page they lead to; no page when there is none of it."""

    text: str
    to: str = ""


@dataclass(frozen=True)
class ColumnEntry:
    """A column. `reads` are the columns it is computed from, `begins` those of sources where all
    of it starts, `feeds` the columns computed from it."""

    column: Column
    anchor: str
    term: Link
    rules: Sequence[str]
    reads: Sequence[Link] = ()
    begins: Sequence[Link] = ()
    feeds: Sequence[Link] = ()


@dataclass(frozen=True)
class CheckEntry:
    """A check, where it is declared, and how it ended last."""

    state: CheckState
    declared: str


@dataclass(frozen=True)
class AssetEntry:
    """An asset and all that its page says."""

    asset: Asset
    page: str
    layer: str
    file: str
    owners: Sequence[str]
    how: Sequence[tuple[str, str]]
    columns: Sequence[ColumnEntry]
    checks: Sequence[CheckEntry]
    upstream: Sequence[Link]
    downstream: Sequence[Link]
    graph: Graph
    gaps: Sequence[str]
    state: AssetState

    @property
    def first_sentence(self) -> str:
        """What the asset is, for a list."""
        return " ".join(self.asset.description.split()).split(". ")[0].removesuffix(".")

    @property
    def passed(self) -> int:
        """How many checks passed when they last ran."""
        return sum(check.state.status == "passed" for check in self.checks)

    @property
    def failed(self) -> int:
        return sum(check.state.status == "failed" for check in self.checks)


@dataclass(frozen=True)
class Term:
    """An attribute of the glossary, and the columns that extend it."""

    name: str
    anchor: str
    attribute: Attribute
    rules: Sequence[str]
    columns: Sequence[Link]


@dataclass(frozen=True)
class EntityEntry:
    """A thing of the business with its attributes."""

    name: str
    description: str
    domains: Sequence[str]
    terms: Sequence[Term]


@dataclass(frozen=True)
class Catalogue:
    """All pages."""

    project: Project
    assets: Sequence[AssetEntry]
    entities: Sequence[EntityEntry]
    graph: Graph
    layers: Mapping[str, Sequence[AssetEntry]]
