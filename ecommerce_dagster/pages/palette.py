"""The colours of all pages, for the light and the dark mode of the reader's system.

Both sets keep a contrast of at least 4.5 to 1 between text and ground.
"""

from __future__ import annotations

LIGHT = {
    "ground": "#f7f7f5",
    "surface": "#ffffff",
    "line": "#e2e1dc",
    "text": "#1c1d20",
    "muted": "#5d6067",
    "accent": "#2456b4",
    "chart": "#3d6fd1",
    "chart-pale": "#c3d3f1",
    "series-1": "#3d6fd1",
    "series-2": "#c05f00",
    "series-3": "#2a8062",
    "series-4": "#9a4fb8",
    "series-5": "#b03a5b",
    "series-6": "#6b6f76",
    "good": "#1a6e42",
    "bad": "#b3261e",
    "code": "#f2f1ed",
}
DARK = {
    "ground": "#131417",
    "surface": "#1c1e22",
    "line": "#33363c",
    "text": "#eceae4",
    "muted": "#a2a5ac",
    "accent": "#8fb4ff",
    "chart": "#7ba4f4",
    "chart-pale": "#34466b",
    "series-1": "#7ba4f4",
    "series-2": "#f2a65a",
    "series-3": "#67c6a3",
    "series-4": "#cf9be6",
    "series-5": "#f08ba6",
    "series-6": "#b3b6bc",
    "good": "#6fcf97",
    "bad": "#ff8a80",
    "code": "#25282d",
}
