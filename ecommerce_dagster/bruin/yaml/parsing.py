"""From a file to a model of it. What is wrong goes to the log, with the line it stands in."""

from __future__ import annotations

from pathlib import Path
from typing import TypeVar

from pydantic import ValidationError

from ecommerce_dagster.bruin.problems import ProblemLog
from ecommerce_dagster.bruin.yaml.located import YamlMapping
from ecommerce_dagster.bruin.yaml.node import Node
from ecommerce_dagster.bruin.yaml.reader import read_mapping

N = TypeVar("N", bound=Node)

# More than people write by hand; a dump with such a name would take minutes to parse.
MAX_BYTES = 10_000_000
_TOO_LARGE = f"this file is larger than {MAX_BYTES // 1_000_000} MB; rows belong into a seed"

_RULE = "readable-file"


def parse(model: type[N], data: YamlMapping, log: ProblemLog) -> N | None:
    """`data` as a `model`, without what does not fit and was logged; None when nothing is left."""
    try:
        return model.model_validate(data, context=log)
    except ValidationError:
        return None


def parse_file(model: type[N], path: Path, log: ProblemLog) -> N | None:
    """The YAML file at `path` as a `model`, or None after logging why it cannot be read."""
    text = read_text(path, log)
    data = read_mapping(text, path, log) if text is not None else None
    return parse(model, data, log) if data is not None else None


def text_to_search(path: Path) -> str:
    """The text of a file in which only words are looked for, whatever its encoding.

    Empty for what cannot be read or is not a plain file: a pipe would be waited for.
    """
    try:
        return path.read_text("utf-8", errors="replace") if path.is_file() else ""
    except OSError:
        return ""


def read_text(path: Path, log: ProblemLog) -> str | None:
    """The text of a file, or None after logging why it cannot be read."""
    try:
        # A pipe or a device would be waited for, or never end.
        if path.exists() and not path.is_file():
            log.error(path, 1, _RULE, "this is not a plain file; remove it or rename it")
            return None
        if path.stat().st_size > MAX_BYTES:
            log.error(path, 1, _RULE, _TOO_LARGE)
            return None
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        line = error.object.count(b"\n", 0, error.start) + 1
        log.error(path, line, _RULE, "this is not UTF-8 text; save the file as UTF-8")
        return None
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        log.error(path, 1, _RULE, f"this file cannot be read: {reason}")
        return None
    if "\0" in text:
        line = text.count("\n", 0, text.index("\0")) + 1
        log.error(path, line, _RULE, "a NUL character stands here; save the file as UTF-8 text")
        return None
    return text
