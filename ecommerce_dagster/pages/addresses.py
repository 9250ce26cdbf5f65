"""Where things stand in a catalogue: files, and places on their pages."""

from __future__ import annotations

import re
from collections.abc import Iterable

from ecommerce_dagster.bruin.model.asset import Asset

_PLAIN = re.compile(r"[\w-]+", re.ASCII)


def page_names(names: Iterable[str]) -> dict[str, str]:
    """A file for each asset: plain letters, and no two that a file system takes for one."""
    pages: dict[str, str] = {}
    taken: set[str] = set()
    for name in names:
        plain = re.sub(r"[^A-Za-z0-9_.-]+", "_", name).strip(".")[:100] or "asset"
        candidate, number = plain, 1
        while candidate.lower() in taken:
            number += 1
            candidate = f"{plain}-{number}"
        taken.add(candidate.lower())
        pages[name] = f"assets/{candidate}.html"
    return pages


def anchor(text: str) -> str:
    """A name as the id of a place on a page."""
    return re.sub(r"[^A-Za-z0-9_.-]+", "_", text)


def column_anchors(asset: Asset) -> dict[str, str]:
    """The id of each column on the page of its asset."""
    return {
        column.name: f"column-{column.name if _PLAIN.fullmatch(column.name) else number}"
        for number, column in enumerate(asset.columns)
    }
