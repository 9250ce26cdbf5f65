"""The base of all models of files: a position, and errors that name it."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from functools import cache
from pathlib import Path
from typing import Any, ClassVar, Self

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    PrivateAttr,
    ValidationError,
    ValidationInfo,
    model_validator,
)
from pydantic_core import PydanticCustomError

from ecommerce_dagster.bruin.problems import TYPING_ERROR, ProblemLog, listed, nearest
from ecommerce_dagster.bruin.yaml.located import Location, Position, YamlList, YamlMapping

_REPORTED = "reported"
_EXPECTED = {
    "bool": "true or false",
    "dict": "a mapping (`key: value` lines)",
    "float": "a number",
    "int": "a whole number",
    "list": "a list (`- item` lines)",
    "model": "a mapping (`key: value` lines)",
    "string": "text",
    "tuple": "a list (`- item` lines)",
}
_WORD = re.compile(r"[\w.-]+")


class Node(BaseModel):
    """Something written in a file, at `line` (1-based) of `path`.

    Validated with a ProblemLog as context, it reports what is wrong in it and goes on without, so
    that one mistake does not hide the next.
    """

    model_config = ConfigDict(frozen=True, extra="ignore")

    # What a user calls this thing.
    label: ClassVar[str] = "a thing"
    # Keys that mean something to Bruin, and to which this project has its own answer.
    foreign: ClassVar[frozenset[str]] = frozenset()
    # Whether the rest still makes sense when one value of it is wrong.
    separable: ClassVar[bool] = False
    # Fields that no file sets.
    internal: ClassVar[frozenset[str]] = frozenset({"path", "line"})
    # The rules that wrong values break, for keys that have one of their own.
    key_rules: ClassVar[Mapping[str, str]] = {}
    # Keys of a part of it, and of which: people write them one level too high.
    parts: ClassVar[Mapping[str, str]] = {}
    # Whether values may be secrets, which no message shows.
    secret: ClassVar[bool] = False

    path: Path = Field(default=Path(), exclude=True, repr=False)
    line: int = Field(default=1, exclude=True, repr=False)
    _written: YamlMapping | None = PrivateAttr(default=None)

    def at(self, *location: str | int) -> Position:
        """Where a key of this thing stands, or the thing itself when the key is not written."""
        # Read once: pydantic looks a private attribute up in 1.5 us.
        written = self._written
        if written is None:
            return Position(self.path, self.line)
        return written.position(location)

    def written(self, key: str) -> Any:
        """What the file says under a key, also under one that has no meaning here."""
        written = self._written
        return written.get(key) if written is not None else None

    def text_at(self, *location: str) -> Position:
        """Where the text of a key begins: for a block (`key: |`) on the line below the key."""
        around: Any = self._written
        for step in location[:-1]:
            around = around.get(step) if isinstance(around, YamlMapping) else None
        known = around.text_at if isinstance(around, YamlMapping) else {}
        return known.get(location[-1]) or self.at(*location)

    @classmethod
    @cache
    def keys(cls) -> frozenset[str]:
        """The keys that may be written."""
        return frozenset(cls.model_fields) - cls.internal

    @model_validator(mode="wrap")
    @classmethod
    def _from_file(cls, data: Any, handler: Callable[[Any], Self], info: ValidationInfo) -> Self:
        if not isinstance(data, YamlMapping):
            return handler(data)
        if not isinstance(info.context, ProblemLog):
            return cls._built(data, handler)
        cls._report_unknown(data, info.context)
        try:
            return cls._built(data, handler)
        except ValidationError as error:
            wrong = cls._report(error, data, info.context)
        try:
            return cls._built(_without(data, wrong), handler)
        except ValidationError:
            raise PydanticCustomError(_REPORTED, "reported") from None

    @classmethod
    def _built(cls, data: YamlMapping, handler: Callable[[Any], Self]) -> Self:
        """A key without a value is a key that is not written, as in Bruin."""
        names = cls.keys()
        values = {key: value for key, value in data.items() if value is not None and key in names}
        node = handler({**values, "path": data.at.path, "line": data.at.line})
        node._written = data
        return node

    @classmethod
    def _report_unknown(cls, data: YamlMapping, log: ProblemLog) -> None:
        """A key close to a known one is a typing error; anything else Bruin ignores, with a word.

        Bruin ignores both. A misspelt `materialization` would silently build another table.
        """
        known = cls.keys()
        for key in data:
            if key in known or key in cls.foreign:
                continue
            rule = f"unknown-{cls._slug()}-fields"
            name = f"key '{key}'" if _WORD.fullmatch(key) or not cls.secret else "key"
            match = nearest(key, known, TYPING_ERROR)
            if match is not None:
                message = f"unknown {name} in {cls.label}; did you mean '{match}'?"
                log.error(*data.key_at[key], rule, message)
            else:
                part = cls.parts.get(key)
                right = f"it belongs in {part}" if part else f"known: {listed(known)}"
                message = f"unknown {name} in {cls.label} is ignored; {right}"
                log.warning(*data.key_at[key], rule, message)

    @classmethod
    def _report(cls, error: ValidationError, data: YamlMapping, log: ProblemLog) -> set[Location]:
        """Log what is wrong in `data`, and return where: what to go on without."""
        found: dict[Location, list[dict[str, Any]]] = {}
        for detail in error.errors(include_url=False):
            location = _written(data, detail["loc"])
            if detail["type"] == "missing":
                location = (*location, detail["loc"][-1])
            found.setdefault(location, []).append(dict(detail))
        for location, details in found.items():
            if details[0]["type"] == _REPORTED:
                continue
            message = cls._sentence(_dotted(location), details)
            rule = cls.key_rules.get(str(location[0]) if location else "", f"valid-{cls._slug()}")
            log.error(*data.position(location), rule, message)
        own = any(details[0]["type"] != _REPORTED for details in found.values())
        if own and not cls.separable:
            raise PydanticCustomError(_REPORTED, "reported")
        return set(found)

    @classmethod
    def _sentence(cls, name: str, details: list[dict[str, Any]]) -> str:
        if details[0]["type"] == "missing":
            return f"{cls.label} needs '{name}'"
        expected = " or ".join(dict.fromkeys(_expected(detail) for detail in details))
        return f"'{name}' of {cls.label} is {cls._shown(details[0]['input'])}; expected {expected}"

    @classmethod
    def _shown(cls, value: Any) -> str:
        if isinstance(value, dict):
            return "a mapping"
        if isinstance(value, list | tuple):
            return "a list"
        if value is None or value == "":
            return "empty"
        return "something else" if cls.secret else repr(value)[:60]

    @classmethod
    def _slug(cls) -> str:
        return re.sub("^an? ", "", cls.label).replace(" ", "-")


def filled(value: Any) -> Any:
    """A mapping of things, in which a name with nothing behind it is a thing without keys."""
    if not isinstance(value, Mapping):
        return value
    return {name: {} if thing is None else thing for name, thing in value.items()}


def _written(data: YamlMapping, location: Iterable[str | int]) -> Location:
    """The part of pydantic's location that stands in the file (it adds names of union members)."""
    value: Any = data
    steps: list[str | int] = []
    for step in location:
        in_mapping = isinstance(value, YamlMapping) and step in value
        in_list = isinstance(value, YamlList) and isinstance(step, int) and step < len(value)
        if not (in_mapping or in_list):
            break
        steps.append(step)
        value = value[step]
    return tuple(steps)


def _without(data: YamlMapping, wrong: set[Location]) -> YamlMapping:
    """`data` without the wrong keys and, in its lists and mappings, without the wrong items."""
    rest = data.without({str(location[0]) for location in wrong if len(location) == 1})
    for key in {str(location[0]) for location in wrong if len(location) > 1} & rest.keys():
        items = {location[1] for location in wrong if location[0] == key and len(location) > 1}
        inner = rest[key]
        if isinstance(inner, YamlMapping):
            rest[key] = inner.without({str(item) for item in items})
        elif isinstance(inner, YamlList):
            rest[key] = inner.without({item for item in items if isinstance(item, int)})
    return rest


def _dotted(location: Location) -> str:
    text = ""
    for step in location:
        text += f"[{step}]" if isinstance(step, int) else f".{step}" if text else step
    return text


def _expected(detail: Mapping[str, Any]) -> str:
    kind, context = str(detail["type"]), detail.get("ctx", {})
    if kind == "literal_error":
        return str(context["expected"])
    if kind == "greater_than_equal":
        return f"at least {context['ge']}"
    if kind == "less_than_equal":
        return f"at most {context['le']}"
    words = str(detail["msg"]).removeprefix("Input should be ").removeprefix("Value error, ")
    return _EXPECTED.get(kind.partition("_")[0], words)
