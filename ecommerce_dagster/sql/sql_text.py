"""SQL in a file, and what becomes of it: one text for each kind of run."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

from ecommerce_dagster.bruin.model.asset import Asset, CustomCheck
from ecommerce_dagster.bruin.model.platforms import dialect_of
from ecommerce_dagster.bruin.problems import ProblemLog
from ecommerce_dagster.bruin.project import Project
from ecommerce_dagster.bruin.templates.render import RenderError, RunContext
from ecommerce_dagster.bruin.yaml.located import Position

Part = Literal["body", "pre", "post", "check", "sensor"]

_RULES: dict[Part, str] = {
    "body": "query-binds",
    "pre": "hook-query-dry-run",
    "post": "hook-query-dry-run",
    "check": "custom-check-query-dry-run",
    "sensor": "query-binds",
}


@dataclass(frozen=True)
class SqlText:
    """A template of an asset, rendered for a run of yesterday.

    `refreshed` is the text of a full refresh, when it is another one. A template that cannot be
    rendered has no text.
    """

    part: Part
    name: str
    template: str
    at: Position
    rendered: str | None = None
    refreshed: str | None = None
    check: CustomCheck | None = None

    @property
    def rule(self) -> str:
        """The name of what this text must obey."""
        return _RULES[self.part]

    @property
    def texts(self) -> list[str]:
        """What may be run."""
        return [text for text in (self.rendered, self.refreshed) if text is not None]

    def place(self, text: str, line: int | None) -> Position:
        """Where a line (from 1) of a rendered text stands in the file, where that is known."""
        written, lines = self.template.split("\n"), text.split("\n")
        if line is None or not 0 < line <= len(lines):
            return self.at
        offset = self._line_of(lines[line - 1].strip(), line - 1, written)
        if offset is None and len(written) == len(lines):
            offset = line - 1
        return Position(self.at.path, self.at.line + (offset or 0))

    def _line_of(self, wanted: str, index: int, written: list[str]) -> int | None:
        """The line that rendering left alone: at the same place, or the only one that is equal."""
        if index < len(written) and written[index].strip() == wanted:
            return index
        same = [n for n, line in enumerate(written) if line.strip() == wanted]
        return same[0] if len(same) == 1 else None


def texts_of(project: Project, asset: Asset, log: ProblemLog) -> list[SqlText]:
    """All SQL of an asset. A template that cannot be rendered is reported."""
    return [_rendered(project, asset, text, log) for text in _written(asset)]


def lint_parameters(project: Project, asset: Asset, log: ProblemLog) -> None:
    """Report what of `parameters` cannot be rendered."""
    for place, value in _texts_in(asset.parameters, ()):
        at = asset.at("parameters", *place)
        if len(place) == 1:
            at = asset.text_at("parameters", str(place[0]))
        _rendered(project, asset, SqlText("body", str(place[0]), value, at), log)


_Place = tuple[str | int, ...]


def _texts_in(value: Any, place: _Place) -> Iterator[tuple[_Place, str]]:
    """Every text in it, at any depth, and the keys that lead there."""
    if isinstance(value, str):
        yield place, value
    elif isinstance(value, Mapping):
        for key, item in value.items():
            yield from _texts_in(item, (*place, str(key)))
    elif isinstance(value, list | tuple):
        for number, item in enumerate(value):
            yield from _texts_in(item, (*place, number))


def _written(asset: Asset) -> Iterator[SqlText]:
    if asset.type.endswith(".sensor.query") and isinstance(asset.parameters.get("query"), str):
        at = asset.text_at("parameters", "query")
        yield SqlText("sensor", "the query", asset.parameters["query"], at)
    for hook in asset.hooks.pre:
        yield SqlText("pre", "a hook", hook.query, hook.text_at("query"))
    if dialect_of(asset.type):
        at = Position(asset.body_path, asset.body_line)
        yield SqlText("body", "the query", asset.body, at)
    for hook in asset.hooks.post:
        yield SqlText("post", "a hook", hook.query, hook.text_at("query"))
    for check in asset.custom_checks:
        name = f"the custom check '{check.name}'"
        yield SqlText("check", name, check.query, check.text_at("query"), check=check)


def _rendered(project: Project, asset: Asset, text: SqlText, log: ProblemLog) -> SqlText:
    # Tables have their plain names here, whatever prefix an environment puts before them.
    context: dict[str, Any] = {
        "pipeline": project.pipeline.name,
        "run_id": "validate",
        "variables": project.variables,
    }
    found: list[str | None] = []
    for full_refresh in (False, True):
        try:
            run = RunContext(full_refresh=full_refresh, **context)
            found.append(project.render(text.template, run, asset))
        except RenderError as error:
            found.append(None)
            if full_refresh and found[0] is None:
                continue
            place = Position(text.at.path, text.at.line + error.line - 1)
            log.error(*place, "valid-template", str(error))
    normal, refreshed = found
    other = refreshed if refreshed != normal else None
    return replace(text, rendered=normal, refreshed=other)
