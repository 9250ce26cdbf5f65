"""The catalogue as a folder of files that a browser reads without a server."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path

from markupsafe import Markup
from pygments import highlight
from pygments.formatters.html import HtmlFormatter
from pygments.lexers import PythonLexer, SqlLexer

from ecommerce_dagster.bruin.model.asset import Asset
from ecommerce_dagster.errors import FolderError
from ecommerce_dagster.pages.entries import Catalogue
from ecommerce_dagster.pages.templating import render, script_json

_MARK = "catalogue.js"


def write_site(catalogue: Catalogue, folder: Path) -> Path:
    """Write all pages into `folder`, in place of an earlier catalogue; the first page.

    Raises FolderError, before anything is changed, for a folder that holds anything else.
    """
    if folder.is_dir() and any(folder.iterdir()) and not (folder / _MARK).is_file():
        raise FolderError(f"{folder} holds other files; name a new folder, or one of a catalogue")
    try:
        shutil.rmtree(folder / "assets", ignore_errors=True)
        for name, text in _pages(catalogue):
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise FolderError(f"{folder} cannot be written: {error.strerror}") from None
    return folder / "index.html"


def _pages(catalogue: Catalogue) -> Iterator[tuple[str, str]]:
    # The mark first: what is half written may be written again.
    script = files("ecommerce_dagster.pages").joinpath("templates/catalogue/catalogue.js")
    yield _MARK, script.read_text(encoding="utf-8")
    yield "style.css", render("catalogue/style.css.j2")
    yield "search.js", f"window.searchable = {script_json(_searchable(catalogue))};\n"
    common = {"catalogue": catalogue, "root": ""}
    yield "index.html", render("catalogue/index.html.j2", here="overview", **common)
    yield "lineage.html", render("catalogue/lineage.html.j2", here="lineage", **common)
    yield "glossary.html", render("catalogue/glossary.html.j2", here="glossary", **common)
    for entry in catalogue.assets:
        values = {"entry": entry, "code": highlighted(entry.asset), "here": ""}
        yield entry.page, render("catalogue/asset.html.j2", **{**common, "root": "../"}, **values)


def highlighted(asset: Asset) -> Markup:
    """The code of an asset with its words marked for colouring, escaped."""
    lexer = PythonLexer() if asset.type == "python" else SqlLexer()
    formatter = HtmlFormatter(nowrap=True, classprefix="h-")
    return Markup(highlight(asset.body, lexer, formatter))  # noqa: S704 - pygments escapes it


def _searchable(catalogue: Catalogue) -> list[dict[str, str]]:
    """Everything that can be found: what it is, its name, other words for it, words about it, its
    page."""
    found: list[dict[str, str]] = []
    for entry in catalogue.assets:
        asset = entry.asset
        about = " ".join([asset.description, *asset.tags, *entry.owners])
        found.append(
            {
                "kind": "asset",
                "name": asset.name,
                "also": ", ".join(entry.synonyms),
                "about": about,
                "page": entry.page,
            }
        )
        found += [
            {
                "kind": "column",
                "name": f"{asset.name}.{column.column.name}",
                "also": ", ".join(column.synonyms),
                "about": column.column.description,
                "page": f"{entry.page}#{column.anchor}",
            }
            for column in entry.columns
        ]
    for entity in catalogue.entities:
        found += [
            {
                "kind": "term",
                "name": term.name,
                "also": ", ".join(term.synonyms),
                "about": term.attribute.description,
                "page": f"glossary.html#{term.anchor}",
            }
            for term in entity.terms
        ]
    return [{key: text for key, text in entry.items() if text} for entry in found]
