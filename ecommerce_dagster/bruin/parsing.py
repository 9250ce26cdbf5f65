"""A mapping from a file to a model of it; errors name the line of the value that is wrong."""

from __future__ import annotations

from pathlib import Path
from typing import Any, TypeVar

from pydantic import ValidationError

from ecommerce_dagster.bruin.models import Node
from ecommerce_dagster.bruin.problems import ProblemLog
from ecommerce_dagster.bruin.yaml_source import YamlList, YamlMapping, line_of, read_mapping

N = TypeVar("N", bound=Node)


def parse(model: type[N], data: YamlMapping, log: ProblemLog) -> N | None:
    """`data` as a `model`, or None after logging everything that does not fit."""
    try:
        return model.model_validate(data, context=log)
    except ValidationError as error:
        for detail in error.errors(include_url=False):
            location = _written(data, detail["loc"])
            where = _dotted(location)
            message = _sentence(dict(detail), where, data)
            log.error(
                data.path, line_of(data, location), f"valid-{model.__name__.lower()}", message
            )
        return None


def parse_file(model: type[N], path: Path, log: ProblemLog) -> N | None:
    """The YAML file at `path` as a `model`."""
    text = read_text(path, log)
    data = read_mapping(text, path, log) if text is not None else None
    return parse(model, data, log) if data is not None else None


def read_text(path: Path, log: ProblemLog) -> str | None:
    """The text of a file, or None after logging why it cannot be read."""
    try:
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        log.error(path, 1, "readable-file", f"this is not UTF-8 text (byte {error.start})")
    except OSError as error:
        log.error(path, 1, "readable-file", f"cannot be read: {error.strerror}")
    return None


def _written(data: YamlMapping, location: tuple[str | int, ...]) -> tuple[str | int, ...]:
    """The part of pydantic's location that stands in the file (it adds names of union members)."""
    value: Any = data
    steps: list[str | int] = []
    for step in location:
        if isinstance(value, YamlMapping) and isinstance(step, str):
            steps.append(step)
            if step not in value:
                break
            value = value[step]
        elif isinstance(value, YamlList) and isinstance(step, int) and step < len(value):
            steps.append(step)
            value = value[step]
        else:
            break
    return tuple(steps)


def _dotted(location: tuple[str | int, ...]) -> str:
    text = ""
    for step in location:
        text += f"[{step}]" if isinstance(step, int) else f".{step}" if text else step
    return text


def _sentence(detail: dict[str, Any], where: str, data: YamlMapping) -> str:
    kind, context = detail["type"], detail.get("ctx", {})
    if kind == "missing":
        return f"'{where}' is missing"
    if kind == "literal_error":
        return f"'{where}' is {_shown(detail['input'])}; expected {context['expected']}"
    expected = str(detail["msg"]).removeprefix("Input should be ").removeprefix("Value error, ")
    return f"'{where}' is {_shown(detail['input'])}; expected {expected}"


def _shown(value: Any) -> str:
    if isinstance(value, dict):
        return "a mapping"
    if isinstance(value, list | tuple):
        return "a list"
    return "empty" if value is None else repr(value)[:60]
