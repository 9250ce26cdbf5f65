"""A report: numbers, charts and tables on one page that needs nothing but a browser."""

from __future__ import annotations

import base64
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from markupsafe import Markup

from ecommerce_dagster.pages.charts import NARROW, WIDE, Chart
from ecommerce_dagster.pages.formats import Field, moment
from ecommerce_dagster.pages.source import Answer, Row
from ecommerce_dagster.pages.templating import render
from ecommerce_dagster.runtime.asset_state import AssetState, CheckState


@dataclass(frozen=True)
class Tile:
    """One number that sums up a lot, in words: `note` says of what."""

    title: str
    value: str
    note: str = ""


@dataclass(frozen=True)
class Figure:
    """A table of numbers and a picture of it.

    `title` names the measure and its unit, `finding` says in a sentence what can be seen. Without
    rows the figure says why.
    """

    title: str
    fields: Sequence[Field]
    answer: Answer
    chart: Callable[[Sequence[Row]], Chart]
    finding: Callable[[Sequence[Row]], str] = lambda rows: ""

    @property
    def rows(self) -> Sequence[Row]:
        return self.answer.rows

    @property
    def says(self) -> str:
        """The finding of this figure."""
        return self.finding(self.rows) if self.rows else ""

    @property
    def cells(self) -> list[list[str]]:
        """The rows as they are written."""
        return [[field.format(row[field.name]) for field in self.fields] for row in self.rows]

    def picture(self, width: int) -> Markup:
        """The chart as SVG."""
        description = f"{self.title}. {self.says}".strip()
        return Markup(self.chart(self.rows).svg(width, description))  # noqa: S704 - Vega and svg() escape its texts

    @property
    def pictures(self) -> dict[str, Markup]:
        """The chart for a wide page and for a phone."""
        return {"wide": self.picture(WIDE), "narrow": self.picture(NARROW)}


@dataclass(frozen=True)
class Section:
    """Figures about one thing."""

    title: str
    figures: Sequence[Figure]
    note: str = ""


@dataclass(frozen=True)
class Report:
    """A page. `assets` are the tables behind it, as Dagster knows them, to say how far they can be
    trusted; `covers` says which time the numbers are about."""

    title: str
    covers: str
    tiles: Sequence[Tile]
    sections: Sequence[Section]
    assets: Sequence[AssetState] = ()
    unit: str = "amount"
    made_at: datetime = field(default_factory=lambda: datetime.now(UTC))

    @property
    def failed(self) -> list[tuple[AssetState, CheckState]]:
        """The checks that failed when they last ran, each with its table."""
        return [
            (asset, check)
            for asset in self.assets
            for check in asset.checks
            if check.status == "failed"
        ]

    @property
    def checks(self) -> tuple[int, int]:
        """How many checks passed, and how many there are."""
        states = [check.status for asset in self.assets for check in asset.checks]
        return states.count("passed"), len(states)

    @property
    def trust(self) -> tuple[str, str]:
        """The state of the checks in one sentence, and whether it is good, bad or unknown."""
        passed, total = self.checks
        if not total:
            return "The state of the checks is not known here.", "unknown"
        if self.failed:
            return f"{len(self.failed)} of {total:,} checks behind these numbers failed.", "bad"
        if passed < total:
            return f"{passed:,} of {total:,} checks behind these numbers passed.", "unknown"
        return f"All {total:,} checks behind these numbers passed.", "good"

    def html(self) -> str:
        """The whole page."""
        return render("report.html.j2", report=self)

    def summary(self, path: Path) -> str:
        """What Dagster shows of it: the state, the main numbers, the first picture."""
        lines = [f"**{self.trust[0]}** {self.covers}", "", f"`{path}`", ""]
        lines += ["| | | |", "|---|--:|---|"]
        lines += [f"| {t.title} | **{t.value}** | {t.note} |" for t in self.tiles]
        for figure in [figure for section in self.sections for figure in section.figures][:1]:
            if figure.rows:
                picture = figure.chart(figure.rows).file(WIDE).encode()
                data = base64.b64encode(picture).decode()
                lines += [
                    "",
                    f"**{figure.title}**",
                    "",
                    f"![{figure.title}](data:image/svg+xml;base64,{data})",
                ]
        return "\n".join(lines)


def publish(report: Report, path: Path) -> None:
    """Write the page, replacing the one before in one step, and tell Dagster of it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    draft.write_text(report.html(), encoding="utf-8")
    draft.replace(path)
    told = os.environ.get("ECOMMERCE_SUMMARY")
    if told:
        Path(told).write_text(report.summary(path), encoding="utf-8")
    print(f"{path}: {moment(report.made_at)}, {report.trust[0]}")
