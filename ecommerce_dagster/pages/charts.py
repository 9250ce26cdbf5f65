"""Charts as Vega-Lite: drawn as SVG before the page is written, and again by the page's script.

A chart does not depend on its rows, so that the script only has to replace them. Colours are
variables of the page: one picture is right in light and dark mode. Bars begin at zero.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from contextlib import suppress
from html import escape
from importlib.metadata import version
from typing import Any, Literal

from ecommerce_dagster.bruin.paths import cache_folder
from ecommerce_dagster.errors import MissingExtra
from ecommerce_dagster.pages.palette import LIGHT

try:
    import vl_convert
except ModuleNotFoundError:
    raise MissingExtra("the charts of a report need vl-convert", "report") from None

Spec = dict[str, Any]
Kind = Literal["bars", "line", "lines", "rows", "columns", "grid"]
# What is drawn of a row: `at` (a name, or a time in milliseconds that ends at `end`), `series`,
# `value`, `behind`; `label` is the value as it is written, `tip` what the pointer shows, and a row
# with a `note` is pale.
Drawn = dict[str, Any]

WIDE, NARROW = 620, 350
VERSION = "6.4"  # of Vega-Lite
# Heights of a row, at least and at most, of charts that are as high as their rows.
TALL: Mapping[Kind, tuple[int, int]] = {"rows": (30, 44), "grid": (30, 30)}
_HEIGHT = 220
_VARIABLE = re.compile(r"var\(--([\w-]+)\)")
_SERIES = [f"var(--series-{number})" for number in range(1, 7)]
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
    "legend": {
        "labelColor": "var(--text)",
        "labelFontSize": 12,
        "orient": "top",
        "title": None,
        "symbolType": "square",
        "columns": 3,
        "offset": 8,
    },
}
_PALE = {"condition": {"test": "datum.note", "value": 0.5}, "value": 1}
_TOOLTIP = {"field": "tip"}


def spec(kind: Kind) -> Spec:
    """A chart of the rows that its data set `rows` will hold."""
    draw = {
        "bars": _bars,
        "line": _line,
        "lines": _lines,
        "rows": _rows,
        "columns": _columns,
        "grid": _grid,
    }[kind]
    return {
        "$schema": "https://vega.github.io/schema/vega-lite/v6.json",
        "background": None,
        "width": "container",
        "height": _HEIGHT,
        "autosize": {"type": "fit-x", "contains": "padding"},
        "config": _CONFIG,
        "data": {"name": "rows"},
        **draw(),
    }


def svg(kind: Kind, rows: Sequence[Drawn], marks: Sequence[Drawn], width: int, words: str) -> str:
    """The picture as an element of a page, for people who see it and for those who hear it.

    Args:
        kind: What to draw.
        rows: What is drawn.
        marks: Times (`at`) to draw a line at, in a chart over time, each with its `text`.
        width: In pixels of the picture, which the page may scale.
        words: What a screen reader says.
    """
    drawn = vl_convert.vegalite_to_svg(_filled(kind, rows, marks, width), vl_version=VERSION)
    box = re.search(r'viewBox="[^"]*"', drawn)
    assert box is not None
    opening = (
        f'<svg xmlns="http://www.w3.org/2000/svg" {box[0]} role="img" aria-label="{escape(words)}">'
    )
    return re.sub(r"<svg[^>]*>", lambda _: opening, drawn, count=1)


def file(kind: Kind, rows: Sequence[Drawn], width: int) -> str:
    """The picture as a file of its own, in the colours of the light mode, on white."""
    chart = {**_filled(kind, rows, [], width), "background": "var(--surface)"}
    drawn = vl_convert.vegalite_to_svg(chart, vl_version=VERSION)
    return _VARIABLE.sub(lambda found: LIGHT[found[1]], drawn)


def _filled(kind: Kind, rows: Sequence[Drawn], marks: Sequence[Drawn], width: int) -> Spec:
    names = len({row["at"] for row in rows}) or 1
    least, most = TALL.get(kind, (0, 0))
    height = names * min(most, max(least, _HEIGHT // names)) or _HEIGHT
    found = {**spec(kind), "width": width, "height": height}
    return {**found, "datasets": {"rows": [*rows], "marks": [*marks]}}


def _time(**more: Any) -> Spec:
    words = "utcFormat(datum.value, utcFormat(datum.value, '%j') == '001' ? '%Y' : '%-d %b')"
    axis = {"labelExpr": words, "grid": False, "tickCount": {"expr": "max(2, floor(width / 75))"}}
    axis |= {"labelOverlap": True, "labelSeparation": 8, "labelFlush": True}
    return {"field": "at", "type": "temporal", "scale": {"type": "utc"}, "axis": axis, **more}


def _amounts(field: str = "value") -> Spec:
    small, large = "format(datum.value, '~r')", "replace(format(datum.value, '~s'), 'G', 'B')"
    axis = {"labelExpr": f"abs(datum.value) < 1000 ? {small} : {large}", "tickCount": 4}
    scale = {"zero": True, "nice": True}
    return {"field": field, "type": "quantitative", "axis": axis, "scale": scale}


def _marks() -> list[Spec]:
    """A line at each moment of the data set `marks`, and the text of the latest of them."""
    data, x = {"name": "marks"}, _time()
    latest = [
        {
            "window": [{"op": "row_number", "as": "nth"}],
            "sort": [{"field": "at", "order": "descending"}],
        },
        {"filter": "datum.nth === 1"},
    ]
    text = {"type": "text", "align": "right", "baseline": "top", "dx": -4, "color": "var(--bad)"}
    # Lines that the text stands over are interrupted there.
    ground = {**text, "stroke": "var(--surface)", "strokeWidth": 5}
    place = {"x": x, "y": {"value": 0}, "text": {"field": "text"}}
    return [
        {
            "data": data,
            "mark": {"type": "rule", "color": "var(--bad)", "strokeDash": [4, 3]},
            "encoding": {"x": x, "tooltip": {"field": "text"}},
        },
        *(
            {"data": data, "transform": latest, "mark": mark, "encoding": place}
            for mark in (ground, text)
        ),
    ]


def _bars() -> Spec:
    """Bars from `at` to `end`; `value` stands before `behind`, of which it is a part."""
    x = {"x": _time(), "x2": {"field": "end"}, "opacity": _PALE, "tooltip": _TOOLTIP}
    zero = {"datum": 0}
    bar = {"type": "bar", "stroke": "var(--surface)", "strokeWidth": 1}
    behind = {
        "transform": [{"filter": "isValid(datum.behind)"}],
        "mark": {**bar, "color": "var(--chart-pale)"},
        "encoding": {**x, "y": _amounts("behind"), "y2": zero},
    }
    front = {
        "mark": {**bar, "color": "var(--chart)"},
        "encoding": {**x, "y": _amounts(), "y2": zero},
    }
    return {"layer": [behind, front, *_marks()]}


def _line() -> Spec:
    return _drawn_lines({"value": "var(--chart)"})


def _lines() -> Spec:
    """A line for each `series`."""
    colour = {
        "field": "series",
        "type": "nominal",
        "sort": None,
        "scale": {"range": _SERIES},
        "legend": {"labelLimit": 140},
    }
    return _drawn_lines(colour)


def _drawn_lines(colour: Spec) -> Spec:
    """The point nearest to the pointer is shown with its value."""
    place = {"x": _time(), "y": _amounts(), "color": colour}
    near = {"type": "point", "on": "pointerover", "clear": "pointerout", "nearest": True}
    size = {"condition": {"param": "near", "empty": False, "value": 70}, "value": 14}
    return {
        "layer": [
            {"mark": {"type": "line", "strokeWidth": 2, "strokeJoin": "round"}, "encoding": place},
            {
                "params": [{"name": "near", "select": near}],
                "mark": {"type": "point", "filled": True, "opacity": 1},
                "encoding": {**place, "size": size, "tooltip": _TOOLTIP, "opacity": _PALE},
            },
            *_marks(),
        ]
    }


def _rows() -> Spec:
    """Horizontal bars in the given order, each with its name before it and its value behind it."""
    names = {"labelColor": "var(--text)", "labelLimit": 150, "grid": False}
    scale = {"range": [0, {"expr": "width - 90"}], "nice": False, "zero": True}
    x = {"field": "value", "type": "quantitative", "axis": None, "scale": scale}
    return {
        "encoding": {
            "y": {"field": "at", "type": "nominal", "sort": None, "axis": names},
            "x": x,
            "tooltip": _TOOLTIP,
        },
        "layer": [
            {"mark": {"type": "bar", "color": "var(--chart)", "height": {"band": 0.72}}},
            {
                "mark": {"type": "text", "align": "left", "dx": 6},
                "encoding": {"text": {"field": "label"}},
            },
        ],
    }


def _columns() -> Spec:
    """Vertical bars in the given order, each with its value on top."""
    names = {"labelColor": "var(--text)", "grid": False, "labelAngle": 0, "labelOverlap": "greedy"}
    return {
        "encoding": {
            "x": {"field": "at", "type": "nominal", "sort": None, "axis": names},
            "y": _amounts(),
            "tooltip": _TOOLTIP,
        },
        "layer": [
            {"mark": {"type": "bar", "color": "var(--chart)", "width": {"band": 0.75}}},
            {
                "mark": {"type": "text", "dy": -6, "baseline": "bottom"},
                "encoding": {"text": {"field": "label"}},
            },
        ],
    }


def _grid() -> Spec:
    """A field for each `at` (downwards) and `series` (to the right), the darker the larger."""
    names = {"labelColor": "var(--text)", "grid": False, "labelAngle": 0}
    strength = {"field": "value", "type": "quantitative", "legend": None}
    return {
        "encoding": {
            "y": {"field": "at", "type": "nominal", "sort": None, "axis": names},
            "x": {
                "field": "series",
                "type": "ordinal",
                "sort": None,
                "axis": {**names, "orient": "top"},
            },
            "tooltip": _TOOLTIP,
        },
        "layer": [
            {
                "mark": {"type": "rect", "color": "var(--chart)", "stroke": "var(--surface)"},
                "encoding": {
                    "opacity": {**strength, "scale": {"zero": True, "range": [0.04, 0.5]}}
                },
            },
            {"mark": "text", "encoding": {"text": {"field": "label"}}},
        ],
    }


def script() -> str:
    """Vega-Lite, Vega and Vega-Embed for a page, as one script that knows no network.

    It takes 2 s to put together, so it is kept in `~/.cache/ecommerce-dagster` (XDG_CACHE_HOME).
    """
    kept = cache_folder() / f"vega-{VERSION}-{version('vl-convert-python')}.js"
    with suppress(OSError):
        return kept.read_text("utf-8")
    made = str(vl_convert.javascript_bundle("window.vegaEmbed = vegaEmbed;", vl_version=VERSION))
    with suppress(OSError):  # then it is made again the next time
        kept.parent.mkdir(parents=True, exist_ok=True)
        draft = kept.with_name(f".{kept.name}.{os.getpid()}")
        draft.write_text(made, "utf-8")
        draft.replace(kept)
    return made
