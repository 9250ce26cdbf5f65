"""YAML text to plain values that remember the line they came from.

Scalars read as in Bruin (YAML 1.2): only `true` and `false` are booleans, dates stay text,
`010` and `1:30` are not converted. No tag constructs an object.
"""

from __future__ import annotations

import re
from collections.abc import Hashable
from pathlib import Path
from typing import Any

import yaml

from ecommerce_dagster.bruin.problems import ProblemLog

# An alias repeats its target; nested aliases multiply. No real file comes near this many values.
MAX_VALUES = 200_000


class YamlMapping(dict[str, Any]):
    """A mapping with the file and line of itself and the line of each of its keys."""

    path: Path
    line: int
    key_lines: dict[str, int]


class YamlList(list[Any]):
    """A list with the line of each of its items."""

    line: int
    item_lines: list[int]


class _Loader(yaml.CSafeLoader):
    """The C parser with the scalar rules of YAML 1.2."""

    yaml_implicit_resolvers: dict[str, Any] = {}


for _tag, _pattern, _first in [
    ("bool", r"true|True|TRUE|false|False|FALSE", "tTfF"),
    ("int", r"[-+]?(0|[1-9][0-9_]*)|0x[0-9a-fA-F]+|0o[0-7]+", "-+0123456789"),
    (
        "float",
        r"[-+]?(\.[0-9]+|(0|[1-9][0-9]*)(\.[0-9]*)?)([eE][-+]?[0-9]+)?"
        r"|[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)",
        "-+.0123456789",
    ),
    ("null", r"~|null|Null|NULL|", "~nN\0"),
    ("merge", r"<<", "<"),
]:
    _Loader.add_implicit_resolver(
        f"tag:yaml.org,2002:{_tag}",
        re.compile(rf"^(?:{_pattern})$"),
        [*_first.replace("\0", ""), ""] if _tag == "null" else list(_first),
    )


class _Invalid(Exception):
    def __init__(self, line: int, message: str) -> None:
        super().__init__(message)
        self.line = line


def read_mapping(
    text: str, path: Path, log: ProblemLog, *, first_line: int = 1
) -> YamlMapping | None:
    """The mapping that `text` holds, or None after logging why it is none.

    `first_line` is the line of `path` at which `text` starts, for YAML inside another file.
    """
    offset = first_line - 1
    try:
        node = yaml.compose(text, Loader=_Loader)
        value = _Constructor(path, offset).value(node) if node else None
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = mark.line + 1 + offset if mark else first_line
        log.error(path, line, "valid-yaml", f"this is not valid YAML: {error.problem}")
        return None
    except yaml.YAMLError as error:
        log.error(path, first_line, "valid-yaml", f"this is not valid YAML: {error}")
        return None
    except (_Invalid, RecursionError) as error:
        line = error.line if isinstance(error, _Invalid) else first_line
        message = str(error) if isinstance(error, _Invalid) else "nested too deeply"
        log.error(path, line, "valid-yaml", message)
        return None
    if not isinstance(value, YamlMapping):
        log.error(path, first_line, "valid-yaml", "expected `key: value` lines (a YAML mapping)")
        return None
    return value


def line_of(data: YamlMapping, location: tuple[str | int, ...]) -> int:
    """The line of the value at `location`, or of the nearest thing around it that is written."""
    value: Any = data
    line = data.line
    for step in location:
        if isinstance(value, YamlMapping) and isinstance(step, str) and step in value:
            line, value = value.key_lines.get(step, line), value[step]
        elif isinstance(value, YamlList) and isinstance(step, int) and step < len(value):
            line, value = value.item_lines[step], value[step]
        else:
            break
    return line


class _Constructor:
    def __init__(self, path: Path, offset: int) -> None:
        self.path = path
        self.offset = offset
        self.count = 0
        self.open: set[int] = set()

    def value(self, node: yaml.Node) -> Any:
        self.count += 1
        if self.count > MAX_VALUES:
            raise _Invalid(self._line(node), f"more than {MAX_VALUES} values in one file")
        if isinstance(node, yaml.ScalarNode):
            return self._scalar(node)
        if id(node) in self.open:
            raise _Invalid(self._line(node), "an alias (*name) refers to what contains it")
        self.open.add(id(node))
        try:
            if isinstance(node, yaml.MappingNode):
                return self._mapping(node)
            return self._list(node)
        finally:
            self.open.discard(id(node))

    def _line(self, node: yaml.Node) -> int:
        return int(node.start_mark.line) + 1 + self.offset

    def _list(self, node: yaml.Node) -> YamlList:
        if node.tag != "tag:yaml.org,2002:seq":
            raise _Invalid(self._line(node), f"the tag {node.tag} is not supported")
        items = YamlList(self.value(item) for item in node.value)
        items.line = self._line(node)
        items.item_lines = [self._line(item) for item in node.value]
        return items

    def _mapping(self, node: yaml.MappingNode) -> YamlMapping:
        if node.tag != "tag:yaml.org,2002:map":
            raise _Invalid(self._line(node), f"the tag {node.tag} is not supported")
        mapping = YamlMapping()
        mapping.path, mapping.line, mapping.key_lines = self.path, self._line(node), {}
        merged: list[YamlMapping] = []
        for key_node, value_node in node.value:
            if key_node.tag == "tag:yaml.org,2002:merge":
                merged += self._merged(value_node)
                continue
            key = self.value(key_node)
            if not isinstance(key, Hashable):
                raise _Invalid(self._line(key_node), "a key must be plain text")
            name = key_node.value
            if name in mapping:
                first = mapping.key_lines[name]
                raise _Invalid(
                    self._line(key_node), f"the key '{name}' stands here and in line {first}"
                )
            mapping[name] = self.value(value_node)
            mapping.key_lines[name] = self._line(key_node)
        for source in merged:
            for name, value in source.items():
                if name not in mapping:
                    mapping[name], mapping.key_lines[name] = value, source.key_lines[name]
        return mapping

    def _merged(self, node: yaml.Node) -> list[YamlMapping]:
        nodes = node.value if isinstance(node, yaml.SequenceNode) else [node]
        values = [self.value(item) for item in nodes]
        if not all(isinstance(value, YamlMapping) for value in values):
            raise _Invalid(self._line(node), "`<<` needs a mapping")
        return values

    def _scalar(self, node: yaml.ScalarNode) -> Any:
        kind = node.tag.removeprefix("tag:yaml.org,2002:")
        text: str = node.value
        match kind:
            case "str":
                return text
            case "null":
                return None
            case "bool":
                return text.lower() == "true"
            case "int":
                return self._number(node, lambda: int(text.replace("_", ""), 0))
            case "float":
                return self._number(node, lambda: float(re.sub(r"\.(?=inf|nan)", "", text.lower())))
        raise _Invalid(self._line(node), f"the tag {node.tag} is not supported")

    def _number(self, node: yaml.ScalarNode, read: Any) -> Any:
        try:
            return read()
        except ValueError:
            raise _Invalid(self._line(node), f"'{node.value[:40]}' is not a number") from None
