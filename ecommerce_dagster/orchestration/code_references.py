"""File and line of each declaration, as text and as links for an editor."""

from __future__ import annotations

import warnings
from pathlib import Path

import dagster as dg

from ecommerce_dagster.bruin.model.asset import Asset
from ecommerce_dagster.bruin.paths import from_root
from ecommerce_dagster.bruin.project import Project


def place(path: Path, project: Project, line: int | None = None) -> str:
    """`glossary.yml:12`, from the folder of the checkout on; the whole path of a file outside."""
    shown = from_root(path, project.root)
    return f"{shown}:{line}" if line is not None else shown


def code_references(asset: Asset, project: Project) -> dg.CodeReferencesMetadataValue:
    """The file of an asset and, when its code is in another one, that one too."""
    lines = {asset.path: asset.line}
    if asset.body:
        lines.setdefault(asset.body_path, asset.body_line)
    with warnings.catch_warnings():
        # Dagster calls them beta each time one is made; nothing here depends on their details.
        warnings.simplefilter("ignore", dg.BetaWarning)
        return dg.CodeReferencesMetadataValue(
            code_references=[
                dg.LocalFileCodeReference(
                    file_path=str(path), line_number=line, label=place(path, project)
                )
                for path, line in lines.items()
            ]
        )
