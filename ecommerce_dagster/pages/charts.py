"""Charts as SVG, drawn by Vega-Lite before the page is written: no script on the page.

Colours are variables of the page, so that one picture is right in light and dark mode. Bars
and lines begin at zero.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from html import escape
from typing import Any, Literal

from ecommerce_dagster.errors import MissingExtra
from ecommerce_dagster.pages.palette import LIGHT

try:
    import vl_convert
except ModuleNotFoundError:
    raise MissingExtra("the charts of a report need vl-convert", "report") from None

Spec = dict[str, Any]
Kind = Literal["bars", "line", "rows", "columns"]

WIDE, NARROW = 620, 350
_HEIGHT = 220
_ROWS = 27, 44  # heights of a horizontal bar with the gap below it, at least and at most
_CHARACTER = 7  # width of a letter of a label, about
_VARIABLE = re.compile(r"var\(--([\w-]+)\)")
_CONFIG: Spec = {
    "aria": False,  # the picture has one description, and a table beside it
    # Of the same widths everywhere: room for labels is measured when the picture is drawn.
    "font": "Arial, 'Liberation Sans', Helvetica, sans-serif",
    "view": {"stroke": None},
    "axis": {
        "labelColor": "var(--muted)",
        "gridColor": "var(--line)",
        "domain": False,
        "ticks": False,
        "labelFontSize": 12,
        "labelPadding": 6,
        "title": None,
    },
    "text": {"color": "var(--text)", "fontSize": 12},
}


@dataclass(frozen=True)
class Point:
    """One value of a chart. `label` is the value as it is written on the page; `behind` a larger
    value of which this one is a part."""

    at: str | date
    value: float
    label: str = ""
    behind: float | None = None


@dataclass(frozen=True)
class Chart:
    """What to draw, in any width: bars or a line over days, rows or columns of named values."""

    kind: Kind
    points: Sequence[Point] = field(default_factory=tuple)

    def svg(self, width: int, description: str) -> str:
        """The picture as an element of a page, for people who see it and for those who hear it."""
        drawn = vl_convert.vegalite_to_svg(self._spec(width))
        box = re.search(r'viewBox="[^"]*"', drawn)
        assert box is not None
        opening = (
            f'<svg xmlns="http://www.w3.org/2000/svg" {box[0]} role="img" '
            f'aria-label="{escape(description)}">'
        )
        return re.sub(r"<svg[^>]*>", lambda _: opening, drawn, count=1)

    def file(self, width: int) -> str:
        """The picture as a file of its own, in the colours of the light mode, on white."""
        drawn = vl_convert.vegalite_to_svg({**self._spec(width), "background": "var(--surface)"})
        return _VARIABLE.sub(lambda found: LIGHT[found[1]], drawn)

    def _spec(self, width: int) -> Spec:
        draw = {"bars": _bars, "line": _line, "rows": _rows, "columns": _columns}[self.kind]
        return {
            "$schema": "https://vega.github.io/schema/vega-lite/v5.json",
            "background": None,
            "width": width,
            "height": _HEIGHT,
            "autosize": {"type": "fit", "contains": "padding"},
            "config": _CONFIG,
            "data": {"values": [_plain(point) for point in self.points]},
            **draw(self.points, width),
        }


def _plain(point: Point) -> Mapping[str, Any]:
    return {
        "at": str(point.at),
        "value": point.value,
        "label": point.label,
        "behind": point.behind,
    }


def _days(width: int) -> Spec:
    axis = {
        "format": "%-d %b",
        "grid": False,
        "tickCount": width // 65,
        "labelOverlap": True,
        "labelSeparation": 12,
    }
    return {"field": "at", "type": "temporal", "scale": {"type": "utc"}, "axis": axis}


def _amounts() -> Spec:
    axis = {"labelExpr": "format(datum.value, '~s')", "tickCount": 4}
    return {
        "field": "value",
        "type": "quantitative",
        "axis": axis,
        "scale": {"zero": True, "nice": True},
    }


def _bars(points: Sequence[Point], width: int) -> Spec:
    days = [point.at for point in points if isinstance(point.at, date)]
    span = (max(days) - min(days)).days + 1 if days else 1
    thickness = max(1.0, min(36.0, 0.75 * (width - 60) / span))
    return {
        "mark": {"type": "bar", "color": "var(--chart)", "size": thickness},
        "encoding": {"x": _days(width), "y": _amounts()},
    }


def _line(points: Sequence[Point], width: int) -> Spec:
    mark = {
        "type": "line",
        "color": "var(--chart)",
        "strokeWidth": 2,
        "point": {"color": "var(--chart)", "size": 22} if len(points) <= 62 else False,
    }
    return {"mark": mark, "encoding": {"x": _days(width), "y": _amounts()}}


def _rows(points: Sequence[Point], width: int) -> Spec:
    """Horizontal bars in the given order, each with its name before it and its value behind it."""
    room = max((len(point.label) for point in points), default=0) * _CHARACTER
    names = {"labelColor": "var(--text)", "labelLimit": width * 0.42, "grid": False}
    longest = max((point.value for point in points), default=0) or 1
    bars = 0.5 * width
    least, most = _ROWS
    return {
        "height": len(points) * min(most, max(least, _HEIGHT // max(1, len(points)))),
        "encoding": {
            "y": {"field": "at", "type": "nominal", "sort": None, "axis": names},
            "x": {
                "field": "value",
                "type": "quantitative",
                "axis": None,
                "scale": {"domain": [0, longest * (1 + room / bars)], "nice": False},
            },
        },
        "layer": [
            {"mark": {"type": "bar", "color": "var(--chart)", "height": {"band": 0.72}}},
            {
                "mark": {"type": "text", "align": "left", "dx": 6},
                "encoding": {"text": {"field": "label"}},
            },
        ],
    }


def _columns(points: Sequence[Point], width: int) -> Spec:
    """Vertical bars in the given order, each with its value above it."""
    size = min(56.0, 0.7 * (width - 60) / max(1, len(points)))
    crowded = max((len(str(p.at)) for p in points), default=0) * _CHARACTER * len(points) > width
    names = {
        "labelColor": "var(--text)",
        "grid": False,
        "labelAngle": -40 if crowded else 0,
        "labelOverlap": "greedy" if len(points) > 24 else False,
    }
    highest = {"type": "text", "dy": -8, "baseline": "bottom"}
    labelled = len(points) <= 14
    behind = any(point.behind is not None for point in points)
    pale = {
        "mark": {"type": "bar", "color": "var(--chart-pale)", "size": size},
        "encoding": {"y": {**_amounts(), "field": "behind"}},
    }
    solid = {
        "mark": {"type": "bar", "color": "var(--chart)", "size": size * (0.6 if behind else 1)},
        "encoding": {"y": _amounts()},
    }
    above = {
        "mark": highest,
        "encoding": {
            "y": {**_amounts(), "field": "behind" if behind else "value"},
            "text": {"field": "label"},
        },
    }
    return {
        "encoding": {"x": {"field": "at", "type": "nominal", "sort": None, "axis": names}},
        "layer": [*([pale] if behind else []), solid, *([above] if labelled else [])],
    }
