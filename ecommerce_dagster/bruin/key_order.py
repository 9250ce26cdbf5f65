"""The keys of a definition in the order of the format, by moving whole lines.

A comment belongs to the key below it and moves with it. Only block style is moved; what is written
in one line, or in a way that has no lines of its own, stays as it is.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import yaml

from ecommerce_dagster.bruin.model.asset import (
    Asset,
    Column,
    ColumnCheck,
    CustomCheck,
    Dependency,
    ForeignKey,
    Hook,
    Hooks,
    IntervalModifiers,
    Materialization,
    Secret,
    Upstream,
)
from ecommerce_dagster.bruin.yaml.node import Node

Kind = type[Node]

# What stands below a key: one of these, or a list of them.
_BELOW: Mapping[Kind, Mapping[str, Kind]] = {
    Asset: {
        "columns": Column,
        "custom_checks": CustomCheck,
        "depends": Dependency,
        "hooks": Hooks,
        "interval_modifiers": IntervalModifiers,
        "materialization": Materialization,
        "secrets": Secret,
    },
    Column: {"checks": ColumnCheck, "foreign_key": ForeignKey, "upstreams": Upstream},
    Hooks: {"pre": Hook, "post": Hook},
}


def in_order(text: str) -> str:
    """The YAML of an asset with its keys in order. Raises ValueError when it cannot be read."""
    try:
        node = yaml.compose(text, Loader=yaml.CBaseLoader)
    except yaml.YAMLError as error:
        raise ValueError("this is not YAML") from error
    if not isinstance(node, yaml.MappingNode):
        return text
    lines = text.rstrip("\n").split("\n")
    first = _head(lines, node)
    return "\n".join([*lines[:first], *_mapping(lines, node, first, len(lines), Asset)]) + "\n"


def _head(lines: Sequence[str], node: yaml.MappingNode) -> int:
    """Where the keys begin: below what a blank line keeps apart from the first of them."""
    first = node.start_mark.line
    while first > 0 and lines[first - 1].lstrip().startswith("#"):
        first -= 1
    return first


def _mapping(lines: Sequence[str], node: yaml.Node, start: int, end: int, kind: Kind) -> list[str]:
    """The lines from `start` to `end`, which hold the entries of a mapping, in order."""
    if not isinstance(node, yaml.MappingNode) or node.flow_style or not node.value:
        return list(lines[start:end])
    column = node.start_mark.column
    starts = [key.start_mark.line for key, _ in node.value]
    if len(set(starts)) < len(starts):
        return list(lines[start:end])
    begins = [start, *(_above(lines, line, column) for line in starts[1:]), end]
    chunks = []
    for n, (key, value) in enumerate(node.value):
        below = _BELOW.get(kind, {}).get(key.value)
        chunk = list(lines[begins[n] : begins[n + 1]])
        inner = value.start_mark.line
        if below is not None and inner > starts[n]:
            inner = _above(lines, inner, value.start_mark.column)
            chunk = [
                *lines[begins[n] : inner],
                *_value(lines, value, inner, begins[n + 1], below),
            ]
        chunks.append((key.value, chunk))
    order = {name: n for n, name in enumerate(kind.model_fields)}
    chunks.sort(key=lambda chunk: order.get(chunk[0], len(order)))
    return [line for _, chunk in chunks for line in chunk]


def _value(lines: Sequence[str], node: yaml.Node, start: int, end: int, kind: Kind) -> list[str]:
    if isinstance(node, yaml.SequenceNode) and not node.flow_style:
        column = node.start_mark.column
        dashes = [_dash(lines, item, column) for item in node.value]
        if None in dashes:
            return list(lines[start:end])
        known = [line for line in dashes if line is not None]
        begins = [start, *(_above(lines, line, column) for line in known[1:]), end]
        return [
            line
            for n, item in enumerate(node.value)
            for line in _item(lines, item, known[n], begins[n], begins[n + 1], kind)
        ]
    return _mapping(lines, node, start, end, kind)


def _dash(lines: Sequence[str], item: yaml.Node, column: int) -> int | None:
    """The line of an item's dash, when the item begins there."""
    line = item.start_mark.line
    before = lines[line][: item.start_mark.column]
    return line if before.strip() == "-" and before.index("-") == column else None


def _item(
    lines: Sequence[str], item: yaml.Node, dash: int, start: int, end: int, kind: Kind
) -> list[str]:
    """The lines of one item of a list, the dash before its first key."""
    if not isinstance(item, yaml.MappingNode) or item.flow_style:
        return list(lines[start:end])
    before = lines[dash][: item.start_mark.column]
    undashed = list(lines)
    undashed[dash] = before.replace("-", " ") + lines[dash][len(before) :]
    moved = _mapping(undashed, item, dash, end, kind)
    first = next(n for n, line in enumerate(moved) if line.strip()[:1] not in {"", "#"})
    above = [before[: before.index("-")] + line.strip() for line in moved[:first] if line.strip()]
    moved[first] = before + moved[first][len(before) :]
    return [*lines[start:dash], *above, *moved[first:]]


def _above(lines: Sequence[str], line: int, column: int) -> int:
    """The first of the lines above a key that belong to it: comments that begin where it does."""
    while line > 0:
        text = lines[line - 1]
        is_comment = text.strip().startswith("#") and len(text) - len(text.lstrip()) == column
        if not is_comment:
            break
        line -= 1
    # A blank line keeps apart what is above.
    while line > 0 and not lines[line - 1].strip():
        line -= 1
    return line
