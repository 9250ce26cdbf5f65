"""The values that the templates of the catalogue show."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from typing import Any

from ecommerce_dagster.bruin.model.asset import Asset, Column
from ecommerce_dagster.bruin.model.glossary import Attribute
from ecommerce_dagster.bruin.plurals import counted
from ecommerce_dagster.bruin.project import Project
from ecommerce_dagster.orchestration.check_history import CheckHistory, PastResult
from ecommerce_dagster.pages.formats import moment
from ecommerce_dagster.pages.graph import Graph
from ecommerce_dagster.runtime.asset_state import AssetState, CheckState

_LOWEST = 0.15  # what can be seen of a bar


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
class Bar:
    """A past result as a bar: how high (at most 1), and what it says."""

    passed: bool
    height: float
    words: str


@dataclass(frozen=True)
class CheckEntry:
    """A check, where it is declared, and how it ended over time."""

    state: CheckState
    declared: str
    history: CheckHistory | None = None

    @property
    def results(self) -> Sequence[PastResult]:
        """The last results, the latest last."""
        return self.history.results if self.history else ()

    @property
    def bars(self) -> list[Bar]:
        """A bar for each of them: low when it passed, else as high as its bad rows are many."""
        most = max((result.bad_rows or 0 for result in self.results), default=0)
        return [_bar(result, most) for result in self.results]

    @property
    def course(self) -> str:
        """The last results in a few words."""
        failed = [result for result in self.results if not result.passed]
        most = max(failed, key=lambda result: result.bad_rows or 0, default=None)
        said = f"since {moment(self.results[0].at)}: {len(failed)} of {len(self.results)} failed"
        worst = _bad_rows(most) if most else ""
        return said + (f", at most {worst}" if worst else "")

    @property
    def spoken(self) -> str:
        """The same with the times of the failures, for those who do not see the bars."""
        failed = [f"{moment(r.at)}{_in_brackets(r)}" for r in self.results if not r.passed]
        of = f"{len(self.results)} results since {moment(self.results[0].at)}"
        return f"{of}: {'failed on ' + '; '.join(failed) if failed else 'all passed'}"


def _bar(result: PastResult, most: int) -> Bar:
    words = f"{'passed' if result.passed else 'failed'} {moment(result.at)}{_in_brackets(result)}"
    if result.passed:
        return Bar(True, _LOWEST, words)
    part = result.bad_rows / most if result.bad_rows is not None and most else 1.0
    return Bar(False, max(part, 2 * _LOWEST), words)


def _bad_rows(result: PastResult) -> str:
    """How many rows were bad, and their share; empty where that is not known, or none was."""
    if not result.bad_rows:
        return ""
    share = f" ({result.bad_share:.1%})" if result.bad_share else ""
    return f"{counted(result.bad_rows, 'bad row')}{share}"


def _in_brackets(result: PastResult) -> str:
    return f", {_bad_rows(result)}" if _bad_rows(result) else ""


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
