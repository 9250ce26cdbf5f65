"""YAML text to plain values that remember the line they came from.

Built on the parser's events, one at a time, so that no input can exhaust the stack or the memory:
PyYAML's own composer crashes the interpreter on deeply nested text. No tag constructs an object,
and no message repeats a value, which may be a secret.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple, cast

import yaml

from ecommerce_dagster.bruin.problems import ProblemLog
from ecommerce_dagster.bruin.yaml.located import Position, YamlList, YamlMapping
from ecommerce_dagster.bruin.yaml.scalars import plain_value

# An alias repeats its target; nested aliases multiply. No real file comes near these.
MAX_VALUES = 200_000
MAX_DEPTH = 50
_TOO_MANY = f"more than {MAX_VALUES} values in one file; expected what people write by hand"
_TOO_DEEP = f"nested more than {MAX_DEPTH} levels deep; expected what people write by hand"

_RULE = "valid-yaml"
# What libyaml refuses without a line.
_FORBIDDEN = re.compile(r"[^\t\n\r\x20-\x7e\x85\xa0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_PLAIN_TAGS = {f"tag:yaml.org,2002:{name}" for name in ("int", "float", "bool", "null")}
_KNOWN_TAGS = {None, "!", *(f"tag:yaml.org,2002:{name}" for name in ("str", "map", "seq"))}
_HINTS = {
    "mapping values are not allowed in this context": "quote a text that contains ': '",
    "found character that cannot start any token": "quote a text that starts with @, ` or %",
    "did not find expected key": "check the indentation",
    "did not find expected '-' indicator": "check the indentation",
    "could not find expected ':'": "write `key: value`",
}


def read_mapping(
    text: str, path: Path, log: ProblemLog, *, first_line: int = 1
) -> YamlMapping | None:
    """The mapping that `text` holds, or None after logging why it is none.

    Text without any value is an empty mapping. `first_line` is the line of `path` at which `text`
    starts, for YAML inside another file.
    """
    forbidden = _FORBIDDEN.search(text)
    if forbidden:
        line = first_line + text.count("\n", 0, forbidden.start())
        message = f"the character U+{ord(forbidden.group()):04X} is not allowed; remove it"
        log.error(path, line, _RULE, f"this is not valid YAML: {message}")
        return None
    try:
        value = _Reader(text, path, first_line - 1, log).document()
    except yaml.MarkedYAMLError as error:
        line, message = _explained(error, text)
        log.error(path, line + first_line, _RULE, f"this is not valid YAML: {message}")
        return None
    except _UnreadableError as error:
        log.error(*error.at, _RULE, str(error))
        return None
    if value is None:
        return YamlMapping(Position(path, first_line))
    if not isinstance(value, YamlMapping):
        log.error(path, first_line, _RULE, "expected `key: value` lines (a YAML mapping)")
        return None
    return value


class _UnreadableError(Exception):
    def __init__(self, at: Position, message: str) -> None:
        super().__init__(message)
        self.at = at


class _Anchored(NamedTuple):
    value: Any
    size: int


class _Reader:
    """Builds the value of one document from the parser's events."""

    def __init__(self, text: str, path: Path, offset: int, log: ProblemLog) -> None:
        # None comes after the last event only.
        self._next = cast("Callable[[], yaml.Event]", yaml.CBaseLoader(text).get_event)
        self._path = path
        self._positions: dict[int, Position] = {}
        self._offset = offset
        self._log = log
        self._anchors: dict[str, _Anchored | None] = {}
        self._size = 0
        self._depth = 0

    def document(self) -> Any:
        """The value of the only document; None when there is none."""
        self._next()
        if isinstance(self._next(), yaml.StreamEndEvent):
            return None
        value = self._value(self._next())
        self._next()
        after = self._next()
        if not isinstance(after, yaml.StreamEndEvent):
            problem = "a second document begins here; remove the line `---`"
            raise _UnreadableError(self._at(after), problem)
        return value

    def _value(self, event: yaml.Event) -> Any:
        self._size += 1
        if self._size > MAX_VALUES:
            raise _UnreadableError(self._at(event), _TOO_MANY)
        if type(event) is yaml.ScalarEvent and event.tag is None and event.anchor is None:
            return plain_value(event.value) if event.implicit[0] else event.value
        if isinstance(event, yaml.AliasEvent):
            return self._alias(event)
        assert isinstance(event, yaml.ScalarEvent | yaml.CollectionStartEvent)
        self._check_tag(event)
        before = self._size
        if event.anchor:
            self._anchors[event.anchor] = None
        value = self._scalar(event) if isinstance(event, yaml.ScalarEvent) else self._nested(event)
        if event.anchor:
            self._anchors[event.anchor] = _Anchored(value, self._size - before)
        return value

    def _scalar(self, event: yaml.ScalarEvent) -> Any:
        unquoted = event.tag is None and event.implicit[0]
        return plain_value(event.value) if unquoted or event.tag in _PLAIN_TAGS else event.value

    def _nested(self, event: yaml.Event) -> YamlMapping | YamlList:
        self._depth += 1
        if self._depth > MAX_DEPTH:
            raise _UnreadableError(self._at(event), _TOO_DEEP)
        is_list = isinstance(event, yaml.SequenceStartEvent)
        value = self._list(event) if is_list else self._mapping(event)
        self._depth -= 1
        return value

    def _list(self, start: yaml.Event) -> YamlList:
        items = YamlList(self._at(start))
        while type(event := self._next()) is not yaml.SequenceEndEvent:
            items.add(self._value(event), self._at(event))
        return items

    def _mapping(self, start: yaml.Event) -> YamlMapping:
        mapping = YamlMapping(self._at(start))
        merged: list[YamlMapping] = []
        while type(key := self._next()) is not yaml.MappingEndEvent:
            if not isinstance(key, yaml.ScalarEvent):
                message = "a key must be plain text; quote a value that starts with { or ["
                raise _UnreadableError(self._at(key), message)
            self._grow(1, key)
            event = self._next()
            value = self._value(event)
            if key.value == "<<" and key.implicit[0]:
                merged += self._merged(value, key)
            elif key.value in mapping:
                first = mapping.key_at[key.value].line
                message = f"the key '{key.value}' stands here and in line {first}; remove one"
                self._log.error(*self._at(key), _RULE, message)
            else:
                mapping.put(key.value, value, self._at(key), self._text_at(event))
        for source in merged:
            for name in source:
                if name not in mapping:
                    mapping.take(name, source)
        return mapping

    def _merged(self, value: Any, key: yaml.Event) -> list[YamlMapping]:
        sources = value if isinstance(value, YamlList) else [value]
        if not all(isinstance(source, YamlMapping) for source in sources):
            raise _UnreadableError(self._at(key), "`<<` needs a mapping, as in `<<: *name`")
        return list(sources)

    def _alias(self, event: yaml.AliasEvent) -> Any:
        if event.anchor not in self._anchors:
            message = "no `&name` stands before this alias; quote a text that starts with *"
            raise _UnreadableError(self._at(event), message)
        anchored = self._anchors[event.anchor]
        if anchored is None:
            raise _UnreadableError(
                self._at(event), "an alias (`*name`) refers to what contains it; remove it"
            )
        self._grow(anchored.size, event)
        return anchored.value

    def _check_tag(self, event: yaml.ScalarEvent | yaml.CollectionStartEvent) -> None:
        if event.tag not in _KNOWN_TAGS and event.tag not in _PLAIN_TAGS:
            message = "tags (`!name`) are not supported; quote a text that starts with !"
            self._log.error(*self._at(event), _RULE, message)

    def _grow(self, values: int, event: yaml.Event) -> None:
        self._size += values
        if self._size > MAX_VALUES:
            raise _UnreadableError(self._at(event), _TOO_MANY)

    def _at(self, event: yaml.Event) -> Position:
        """What stands in one line has one position: it is asked for a hundred times in a small
        file."""
        line = event.start_mark.line if event.start_mark else 0
        found = self._positions.get(line)
        if found is None:
            found = self._positions[line] = Position(self._path, line + 1 + self._offset)
        return found

    def _text_at(self, event: yaml.Event) -> Position:
        at = self._at(event)
        is_block = type(event) is yaml.ScalarEvent and event.style in {"|", ">"}
        return Position(at.path, at.line + 1) if is_block else at


def _explained(error: yaml.MarkedYAMLError, text: str) -> tuple[int, str]:
    """The line (from 0) and the words of a syntax error, said so that a user can mend it."""
    problem = error.problem or "it cannot be read"
    mark, begin = error.problem_mark, error.context_mark
    lines = text.rstrip().split("\n")
    line = min(mark.line if mark else 0, len(lines) - 1)
    if begin and problem == "found unexpected end of stream":
        return begin.line, "the quoted text that starts here does not end"
    written = lines[line]
    if "\t" in written[: len(written) - len(written.lstrip())]:
        return line, "a tab stands in the indentation; use spaces"
    hint = _HINTS.get(problem)
    return line, f"{problem}; {hint}" if hint else problem
