"""What the pages of a catalogue are about, ready to be filled in."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from typing import Any

from ecommerce_dagster.bruin.model.asset import Asset, Column
from ecommerce_dagster.bruin.model.glossary import Attribute
from ecommerce_dagster.bruin.problems import listed
from ecommerce_dagster.bruin.project import Project
from ecommerce_dagster.orchestration.records import PastResult
from ecommerce_dagster.pages.formats import moment
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
    synonyms: Sequence[str] = ()
    reads: Sequence[Link] = ()
    begins: Sequence[Link] = ()
    feeds: Sequence[Link] = ()


@dataclass(frozen=True)
class CheckEntry:
    """A check, where it is declared, and how it ended last."""

    state: CheckState
    declared: str
    results: Sequence[PastResult] = ()

    @property
    def history(self) -> str:
        """The last results in words."""
        failed = [moment(result.at) for result in self.results if not result.passed]
        of = f"{len(self.results)} results since {moment(self.results[0].at)}"
        return f"{of}: {f'failed on {listed(failed)}' if failed else 'all passed'}"


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
    synonyms: Sequence[str] = ()
    rows: Sequence[Mapping[str, Any]] = ()
    fresh_until: datetime | None = None
    links: Sequence[Link] = ()

    @property
    def first_sentence(self) -> str:
        """What the asset is, for a list."""
        return " ".join(self.asset.description.split()).split(". ")[0].removesuffix(".")

    @property
    def numbers(self) -> set[str]:
        """The columns of the first rows that are numbers, which stand to the right."""
        return {
            name
            for name in (self.rows[0] if self.rows else ())
            if all(_is_number(row[name]) for row in self.rows)
        }

    @property
    def passed(self) -> int:
        """How many checks passed when they last ran."""
        return sum(check.state.status == "passed" for check in self.checks)

    @property
    def failed(self) -> int:
        return sum(check.state.status == "failed" for check in self.checks)


def _is_number(value: object) -> bool:
    """Whether a value is a number or nothing. A decimal is recorded as text."""
    return value is None or re.fullmatch(r"-?\d+(\.\d+)?", str(value)) is not None


@dataclass(frozen=True)
class Term:
    """An attribute of the glossary, and the columns that extend it."""

    name: str
    anchor: str
    attribute: Attribute
    rules: Sequence[str]
    columns: Sequence[Link]
    synonyms: Sequence[str] = ()


@dataclass(frozen=True)
class EntityEntry:
    """A thing of the business with its attributes."""

    name: str
    description: str
    domains: Sequence[str]
    terms: Sequence[Term]


@dataclass(frozen=True)
class Catalogue:
    """All pages. `links` lead out of them; they were `written` at a moment."""

    project: Project
    assets: Sequence[AssetEntry]
    entities: Sequence[EntityEntry]
    graph: Graph
    layers: Mapping[str, Sequence[AssetEntry]]
    links: Sequence[Link]
    written: datetime

    @cached_property
    def has_states(self) -> bool:
        """Whether it is known of any table when it was published."""
        return any(entry.state.built_at for entry in self.assets)

    @cached_property
    def marks(self) -> dict[str, str]:
        """The checks of each asset in words; empty where not all of them are known."""
        return {
            entry.asset.name: f"{entry.failed} of {len(entry.checks)} checks failed"
            if entry.failed
            else f"all {len(entry.checks)} checks passed"
            if entry.checks and entry.passed == len(entry.checks)
            else ""
            for entry in self.assets
        }

    def is_stale(self, entry: AssetEntry) -> bool:
        """Whether a table was too old when the pages were written."""
        return entry.fresh_until is not None and entry.fresh_until < self.written
