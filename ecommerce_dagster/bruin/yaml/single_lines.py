"""The one-line form of a header: `-- @bruin.key: value`, in Python and R `# @bruin.key: value`."""

from __future__ import annotations

import re

from ecommerce_dagster.bruin.problems import ProblemLog
from ecommerce_dagster.bruin.yaml.located import Position, YamlList, YamlMapping

LINE = re.compile(r"(?:--|#)\s*@bruin\.([^\s:]+)\s*:\s*(.*)")

_LISTS = {"depends", "tags", "domains", "extends", "materialization.cluster_by"}
_RULE = "asset-header"


def read_single_lines(
    lines: list[str], start: Position, log: ProblemLog
) -> tuple[YamlMapping, list[str]] | None:
    """The definition in the leading comments of a file, and its lines without them.

    None when there is no such comment. `start` is the position of the first line.
    """
    is_sql = start.path.suffix == ".sql"
    comment = "--" if is_sql else "#"
    definition = YamlMapping(start)
    code_began = False
    body = []
    for number, line in enumerate(lines, start=start.line):
        text, at = line.strip(), Position(start.path, number)
        is_comment = text.startswith(comment)
        code_began = code_began or not (is_comment or not text)
        found = LINE.fullmatch(text) if is_comment else None
        if found and code_began and definition:
            message = "this line is ignored; `@bruin.` lines must stand above the code"
            log.warning(*at, _RULE, message)
        elif found and not code_began:
            _set(definition, found.group(1), found.group(2), at, log)
        # Bruin drops every comment line from SQL in this form. An empty line in its place keeps
        # the line numbers of error messages right.
        body.append("" if is_comment and is_sql else line)
    if not definition:
        return None
    return _as_in_yaml(definition, log), body


def _set(definition: YamlMapping, key: str, text: str, at: Position, log: ProblemLog) -> None:
    target = definition
    *parents, leaf = key.split(".")
    for parent in parents:
        if parent not in target:
            target.put(parent, YamlMapping(at), at)
        inner = target[parent]
        if not isinstance(inner, YamlMapping):
            first = target.key_at[parent].line
            message = f"'{parent}' has a value in line {first}, so it can have no keys; remove one"
            log.error(*at, _RULE, message)
            return
        target = inner
    if leaf in target:
        first = target.key_at[leaf].line
        log.error(*at, _RULE, f"the key '{key}' stands here and in line {first}; remove one")
        return
    target.put(leaf, _value(key, text, at), at)


def _value(key: str, text: str, at: Position) -> object:
    is_checks = key.startswith("columns.") and key.endswith(".checks")
    if not (key in _LISTS or key == "secrets" or is_checks):
        return {"true": True, "false": False}.get(text.lower(), text)
    items = YamlList(at)
    for item in filter(None, (item.strip() for item in text.split(","))):
        items.add(item if key in _LISTS else _mapping(key, item, at), at)
    return items


def _mapping(key: str, text: str, at: Position) -> YamlMapping:
    """`PG:MY_VAR` as a secret, or the name of a check as a check."""
    mapping = YamlMapping(at)
    if key == "secrets":
        name, _, variable = (part.strip() for part in text.partition(":"))
        mapping.put("key", name, at)
        mapping.put("inject_as", variable or name, at)
    else:
        mapping.put("name", text, at)
    return mapping


def _as_in_yaml(definition: YamlMapping, log: ProblemLog) -> YamlMapping:
    """The type in lower case, as Bruin has it in this form, and the columns as a list."""
    result = definition.without(())
    if isinstance(result.get("type"), str):
        result["type"] = result["type"].lower()
    columns = result.get("columns")
    if isinstance(columns, YamlMapping):
        result["columns"] = items = YamlList(columns.at)
        for name, column in columns.items():
            at = columns.key_at[name]
            if isinstance(column, YamlMapping):
                if "name" not in column:
                    column.put("name", name, at)
                items.add(column, at)
            else:
                message = f"write `@bruin.columns.{name}.KEY: value`, as in columns.{name}.type"
                log.error(*at, _RULE, message)
    return result
