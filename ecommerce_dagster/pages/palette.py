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
    "good": "#6fcf97",
    "bad": "#ff8a80",
    "code": "#25282d",
}
