"""Pipelines that a test writes, and what a user is told about them."""

from __future__ import annotations

from pathlib import Path
from textwrap import dedent
from typing import Any

from ecommerce_dagster.bruin.model.asset import Asset, Column
from ecommerce_dagster.bruin.problems import ProblemLog
from ecommerce_dagster.bruin.project import Project, read_project

SQL = """
    /* @bruin
    type: duckdb.sql
    @bruin */
    SELECT 1
"""


def text_of(text: str) -> str:
    """An indented text as it stands in a file, from its first line; any other as it is."""
    return dedent(text).removeprefix("\n") if text.startswith("\n ") else text


class Files:
    """A pipeline in the current folder. Each file can be written as an indented text."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.write("pipeline.yml", "name: shop")

    def write(self, path: str, text: str | bytes) -> Files:
        """Write one file; a text without its indentation."""
        file = self.root / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(text_of(text).encode() if isinstance(text, str) else text)
        return self

    def read(self, **options: Any) -> tuple[Project | None, ProblemLog]:
        """The project and what is wrong with it."""
        log = ProblemLog()
        return read_project(self.root, log, **options), log

    def project(self, **options: Any) -> Project:
        """The project, which must be without errors."""
        project, log = self.read(**options)
        log.raise_errors()
        assert project is not None
        return project

    def asset(self, name: str = "a") -> Asset:
        """One asset of the project."""
        return self.project().by_name[name]

    def columns(self, name: str = "a") -> dict[str, Column]:
        """The columns of an asset by their names, in their order."""
        return {column.name: column for column in self.asset(name).columns}

    def errors(self, **options: Any) -> list[str]:
        """The errors as a user sees them."""
        return [str(problem) for problem in self.read(**options)[1].errors]

    def warnings(self, **options: Any) -> list[str]:
        """The warnings as a user sees them, where there is no error."""
        log = self.read(**options)[1]
        log.raise_errors()
        return [str(problem) for problem in log.warnings]
