"""Where the definition ends and the code begins in a SQL or Python asset file."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from ecommerce_dagster.bruin.problems import ProblemLog
from ecommerce_dagster.bruin.yaml_source import YamlList, YamlMapping, read_mapping

_OPEN = re.compile(r"^(/\*|\"\"\"|\"|')\s{0,3}@bruin$")
_LINE = re.compile(r"^(?:--|#)\s*@bruin\.([A-Za-z0-9_.\-]+)\s*:\s*(.*)$")
_LISTS = {"depends", "tags", "domains", "extends", "materialization.cluster_by"}
_MAPPED_LISTS = {"secrets"}


@dataclass(frozen=True)
class SourceFile:
    """An asset file cut in two. `body` starts at line `body_line` of the file."""

    definition: YamlMapping
    body: str
    body_line: int


def read_header(text: str, path: Path, log: ProblemLog) -> SourceFile | None:
    """The definition and the code of a file, or None when it has no (readable) header.

    Knows the block form (`/* @bruin` ... `@bruin */` on lines of their own) and, when there is no
    block, leading `-- @bruin.key: value` lines.
    """
    lines = text.removeprefix("\ufeff").splitlines()
    start = next((n for n, line in enumerate(lines) if line.strip()), None)
    if start is None:
        return None
    opened = _OPEN.match(lines[start].strip())
    if opened:
        return _block(lines, start, opened.group(1), path, log)
    return _single_lines(lines, path, log)


def _block(
    lines: list[str], start: int, quote: str, path: Path, log: ProblemLog
) -> SourceFile | None:
    closing = re.compile(rf"^@bruin\s{{0,3}}{re.escape('*/' if quote == '/*' else quote)}$")
    end = next((n for n in range(start + 1, len(lines)) if closing.match(lines[n].strip())), None)
    if end is None:
        close = "@bruin */" if quote == "/*" else f"@bruin {quote}"
        log.error(
            path,
            start + 1,
            "valid-header",
            f"the header that starts here does not end; add a line `{close}`",
        )
        return None
    definition = read_mapping("\n".join(lines[start + 1 : end]), path, log, first_line=start + 2)
    if definition is None:
        return None
    body, body_line = _trimmed(lines[end + 1 :], end + 2)
    return SourceFile(definition, body, body_line)


def _single_lines(lines: list[str], path: Path, log: ProblemLog) -> SourceFile | None:
    definition = _mapping(path, 1)
    comment = "#" if path.suffix in {".py", ".r"} else "--"
    body = []
    for number, line in enumerate(lines, start=1):
        found = _LINE.match(line.strip())
        if found:
            _set(definition, found.group(1), found.group(2).strip(), number)
        # Bruin drops every comment line from SQL in this form. An empty line in its place keeps
        # the line numbers of error messages right.
        body.append("" if line.strip().startswith(comment) and path.suffix == ".sql" else line)
    if not definition:
        return None
    if isinstance(definition.get("type"), str):
        definition["type"] = definition["type"].lower()
    _columns_as_list(definition)
    text, line_number = _trimmed(body, 1)
    return SourceFile(definition, text, line_number)


def _mapping(path: Path, line: int) -> YamlMapping:
    mapping = YamlMapping()
    mapping.path, mapping.line, mapping.key_lines = path, line, {}
    return mapping


def _set(definition: YamlMapping, key: str, text: str, line: int) -> None:
    value = _value(definition.path, key, text, line)
    target = definition
    *parents, leaf = key.split(".")
    for parent in parents:
        if not isinstance(target.get(parent), YamlMapping):
            target[parent] = _mapping(definition.path, line)
            target.key_lines[parent] = line
        target = target[parent]
    target[leaf] = value
    target.key_lines[leaf] = line


def _value(path: Path, key: str, text: str, line: int) -> object:
    items = [item.strip() for item in text.split(",") if item.strip()]
    if key in _LISTS:
        return _list(items, line)
    if key in _MAPPED_LISTS or (key.startswith("columns.") and key.endswith(".checks")):
        return _list([_item(path, key, item, line) for item in items], line)
    lowered = text.lower()
    return lowered == "true" if lowered in {"true", "false"} else text


def _item(path: Path, key: str, text: str, line: int) -> YamlMapping:
    item = _mapping(path, line)
    if key == "secrets":
        name, _, variable = text.partition(":")
        item.update(key=name, inject_as=variable or name)
    else:
        item.update(name=text)
    return item


def _list(items: list[object] | list[str] | list[YamlMapping], line: int) -> YamlList:
    values = YamlList(items)
    values.line, values.item_lines = line, [line] * len(values)
    return values


def _columns_as_list(definition: YamlMapping) -> None:
    columns = definition.get("columns")
    if not isinstance(columns, YamlMapping):
        return
    items = []
    for name, settings in columns.items():
        if isinstance(settings, YamlMapping):
            settings["name"] = name
            items.append(settings)
    definition["columns"] = _list(items, columns.line)


def _trimmed(lines: list[str], first_line: int) -> tuple[str, int]:
    """The text of `lines` without empty ones around it, and the line it starts at."""
    skipped = next((n for n, line in enumerate(lines) if line.strip()), len(lines))
    return "\n".join(lines[skipped:]).strip(), first_line + skipped
