"""A report: numbers, charts and tables on one page that needs nothing but a browser."""

from __future__ import annotations

import base64
import hashlib
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from decimal import Decimal
from functools import cached_property
from importlib.resources import files
from pathlib import Path
from typing import Any

from markupsafe import Markup

from ecommerce_dagster.bruin.graph import reached
from ecommerce_dagster.bruin.plurals import counted
from ecommerce_dagster.pages import charts
from ecommerce_dagster.pages.figures import DAY, Cube, Figure, Tile
from ecommerce_dagster.pages.formats import moment, text
from ecommerce_dagster.pages.source import Answer
from ecommerce_dagster.pages.templating import render, script_json
from ecommerce_dagster.runtime.asset_state import AssetState, CheckState, overtaken

_NAMED_MARKS = 5  # in words
_EPOCH = date(1970, 1, 1).toordinal()


@dataclass(frozen=True)
class Section:
    """Figures about one thing."""

    title: str
    figures: Sequence[Figure]
    note: str = ""
    tiles: Sequence[Tile] = ()


@dataclass(frozen=True)
class Report:
    """A page.

    Args:
        title: The heading.
        covers: Which time the numbers are about.
        tiles: The main numbers.
        sections: The figures.
        filters: The dimensions that a reader can choose a value of, each with its name on the page.
        assets: The tables behind it, as Dagster knows them, to say how far they can be trusted.
        unit: What amounts are in.
        made_at: When the page was made.
    """

    title: str
    covers: str
    tiles: Sequence[Tile]
    sections: Sequence[Section]
    filters: Mapping[str, str] = field(default_factory=dict)
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

    @cached_property
    def as_of(self) -> datetime:
        """When the latest of the tables was published; without Dagster when the page was made."""
        known = [datetime.fromisoformat(a.built_at) for a in self.assets if a.built_at]
        return max(known, default=self.made_at)

    @cached_property
    def overtaken(self) -> dict[str, list[AssetState]]:
        """The tables that are older than what they are made of, with what failed upstream."""
        return overtaken(self.assets)

    @property
    def state(self) -> str:
        """How old the data are, in one sentence."""
        said = f"Data of {moment(self.as_of)}"
        if not self.overtaken:
            return f"{said}."
        tables = "1 table is" if len(self.overtaken) == 1 else f"{len(self.overtaken)} tables are"
        return f"{said}; {tables} older{_because(self.overtaken.values())}."

    def age(self, answer: Answer) -> str:
        """What to know of the age of numbers that are older than others of the page."""
        known = {asset.name: asset for asset in self.assets}
        old = [known[name] for name in answer.tables if name in self.overtaken]
        if not old:
            return ""
        oldest = min(old, key=lambda asset: asset.built_at)
        since = f"data of {moment(oldest.built_at)}" if oldest.built_at else "never published"
        return f"Older than the rest: {since}{_because([self.overtaken[oldest.name]])}."

    def marks(self, figure: Figure) -> list[charts.Drawn]:
        """The days of a figure on which a load of what its numbers are made of failed or was late,
        each at its first such moment."""
        days = figure.cubes[0].days
        if not days or next(iter(figure.by), "") != DAY:
            return []
        first, last = min(days).isoformat(), max(days).isoformat()
        by_day: dict[str, dict[str, str]] = {}
        for at, said in sorted(self._setbacks(figure.answer)):
            if first <= at[:10] <= last:
                by_day.setdefault(at[:10], {}).setdefault(said, at)
        return [
            {
                "at": round(datetime.fromisoformat(min(found.values())).timestamp() * 1000),
                "text": next(iter(found)) + (f", {len(found) - 1} more" if len(found) > 1 else ""),
                "day": day,
            }
            for day, found in by_day.items()
        ]

    def marked(self, figure: Figure) -> str:
        """The marks of a figure in words, the latest ones."""
        marks = self.marks(figure)
        found = [f"{mark['day']} ({mark['text']})" for mark in marks[-_NAMED_MARKS:]]
        more = len(marks) - len(found)
        earlier = f", and {counted(more, 'earlier day')}" if more else ""
        return f"Dashed lines: {', '.join(found)}{earlier}." if found else ""

    def _setbacks(self, answer: Answer) -> set[tuple[str, str]]:
        """When loads of what numbers are made of failed or were late, and which."""
        known = {asset.name: asset for asset in self.assets}
        depends = {asset.name: asset.depends for asset in self.assets}
        needed = [known[name] for name in reached(answer.tables, depends) if name in known]
        failed = {
            (check.at, f"{state.name} failed")
            for name in answer.tables
            for state in self.overtaken.get(name, ())
            for check in state.checks
            if check.status == "failed" and check.blocking
        }
        return failed | {
            (s.at, f"{state.name} {s.what}") for state in needed for s in state.setbacks
        }

    @property
    def figures(self) -> list[Figure]:
        """All of them, in their order."""
        return [figure for section in self.sections for figure in section.figures]

    def pictures(self, figure: Figure) -> dict[str, Markup]:
        """The chart of a figure as SVG, for a wide page and for a phone."""
        rows, marks = figure.drawn(self.as_of), self.marks(figure)
        widths = {"wide": charts.WIDE, "narrow": charts.NARROW}
        return {
            name: Markup(charts.svg(figure.kind, rows, marks, width, figure.named))  # noqa: S704 - Vega and svg() escape its texts
            for name, width in widths.items()
        }

    def ignored_by_all(self, section: Section) -> str:
        """What a reader may choose that changes nothing in a section; empty for nothing."""
        items: list[Figure | Tile] = [*section.tiles, *section.figures]
        found = [self._ignored(item) for item in items]
        return ", ".join(name for name in found[0] if all(name in other for other in found))

    def ignores(self, figure: Figure, section: Section) -> str:
        """What changes nothing in this figure of a section; empty where that is said of all."""
        found = ", ".join(self._ignored(figure))
        return "" if found == self.ignored_by_all(section) else found

    def _ignored(self, item: Figure | Tile) -> list[str]:
        known = {name for cube in item.cubes for name in cube.dimensions}
        choices = {DAY: "dates", **{name: title.lower() for name, title in self.filters.items()}}
        return [title for name, title in choices.items() if name not in known]

    def html(self) -> str:
        """The whole page."""
        scripts = [charts.script(), _own_script()]
        hashes = " ".join(
            f"'sha256-{base64.b64encode(hashlib.sha256(s.encode()).digest()).decode()}'"
            for s in scripts
        )
        return render(
            "report.html.j2",
            report=self,
            scripts=[Markup(script) for script in scripts],  # noqa: S704 - files of this package and of Vega
            hashes=Markup(hashes),  # noqa: S704 - base64
            data=Markup(script_json(self._data())),  # noqa: S704 - it escapes it
        )

    def _data(self) -> dict[str, Any]:
        """What the script of the page works with."""
        shown: list[Figure | Tile] = [
            *self.tiles,
            *(tile for section in self.sections for tile in section.tiles),
            *self.figures,
        ]
        cubes: list[Cube] = []
        for cube in (cube for item in shown for cube in item.cubes):
            if not any(cube is other for other in cubes):
                cubes.append(cube)
        days = [day for cube in cubes for day in cube.days]
        first = min(days).toordinal() if days else 0

        def numbers(item: Figure | Tile) -> list[int]:
            return [next(i for i, c in enumerate(cubes) if c is cube) for cube in item.cubes]

        return {
            "first": first - _EPOCH,
            "last": (max(days).toordinal() - first) if days else -1,
            "asOf": round(self.as_of.timestamp() * 1000),
            "filters": {
                name: sorted(
                    {
                        text(row[name])
                        for c in cubes
                        if name in c.dimensions
                        for row in c.answer.rows
                    }
                )
                for name in self.filters
            },
            "cubes": [_columns(cube, first) for cube in cubes],
            "tall": charts.TALL,
            "charts": {
                kind: charts.spec(kind) for kind in dict.fromkeys(f.kind for f in self.figures)
            },
            "tiles": [
                {"cubes": numbers(tile), "measure": vars(tile.measure)}
                for tile in shown
                if isinstance(tile, Tile)
            ],
            "figures": [
                {
                    "title": figure.title,
                    "kind": figure.kind,
                    "cubes": numbers(figure),
                    "by": list(figure.by),
                    "measures": [vars(measure) for measure in figure.measures],
                    "behind": figure.behind,
                    "step": figure.step,
                    "limit": figure.limit,
                    "headings": [title for title, _ in figure.headings],
                    "marks": self.marks(figure),
                }
                for figure in self.figures
            ],
        }

    def summary(self, path: Path) -> str:
        """What Dagster shows of it: the state, the main numbers, the first picture."""
        lines = [f"**{self.trust[0]}** {self.state} {self.covers}", "", f"`{path}`", ""]
        lines += ["| | | |", "|---|--:|---|"]
        lines += [f"| {t.title} | **{t.exact}** | {t.note} |" for t in self.tiles]
        for figure in self.figures[:1]:
            if figure.answer.rows:
                picture = charts.file(figure.kind, figure.drawn(self.as_of), charts.WIDE).encode()
                data = base64.b64encode(picture).decode()
                lines += [
                    "",
                    f"**{figure.named}**",
                    "",
                    f"![{figure.named}](data:image/svg+xml;base64,{data})",
                ]
        return "\n".join(lines)


def _own_script() -> str:
    return files("ecommerce_dagster.pages").joinpath("templates/report.js").read_text("utf-8")


def _because(failed: Any) -> str:
    found = {
        f"{state.name} failed its check '{check.label}'"
        for states in failed
        for state in states
        for check in state.checks
        if check.status == "failed" and check.blocking
    }
    first = min(found, default="")
    more = f" and {len(found) - 1} more failed" if len(found) > 1 else ""
    return f", because {first}{more}" if found else ""


def _columns(cube: Cube, first: int) -> dict[str, Any]:
    """A cube by columns: names as numbers of a list; sums as whole numbers, `scale` of them one."""
    rows = cube.answer.rows
    dimensions: dict[str, Any] = {}
    for name in cube.dimensions:
        if name == DAY:
            dimensions[name] = {"codes": [row[name].toordinal() - first for row in rows]}
            continue
        values = list(dict.fromkeys(text(row[name]) for row in rows))
        code = {value: number for number, value in enumerate(values)}
        dimensions[name] = {"values": values, "codes": [code[text(row[name])] for row in rows]}
    sums = {}
    for name in cube.sums:
        scale = 100 if any(isinstance(row[name], Decimal) for row in rows) else 1
        found = [(row[name] or 0) * scale for row in rows]
        whole = [int(value) if value == int(value) else float(value) for value in found]
        sums[name] = {"scale": scale, "values": whole}
    return {"dimensions": dimensions, "sums": sums, "size": len(rows)}


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
