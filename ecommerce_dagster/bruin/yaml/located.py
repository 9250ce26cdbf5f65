"""Plain values that remember where in which file they stand."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from pathlib import Path
from typing import Any, NamedTuple

Location = tuple[str | int, ...]


class Position(NamedTuple):
    """A line (1-based) of a file."""

    path: Path
    line: int


class YamlMapping(dict[str, Any]):
    """A mapping with its position and that of each of its keys.

    `text_at` is where the text of a key begins, for those where that is another line, as below a
    block (`key: |`).
    """

    __slots__ = ("at", "key_at", "text_at")

    def __init__(self, at: Position) -> None:
        super().__init__()
        self.at = at
        self.key_at: dict[str, Position] = {}
        self.text_at: dict[str, Position] = {}

    def put(self, key: str, value: Any, at: Position, text_at: Position | None = None) -> None:
        """Set `key`, written at `at`."""
        self[key], self.key_at[key] = value, at
        if text_at is not None and text_at != at:
            self.text_at[key] = text_at

    def take(self, key: str, other: YamlMapping) -> None:
        """Set `key` to what `other` says."""
        self.put(key, other[key], other.key_at[key], other.text_at.get(key))

    def without(self, keys: Collection[str]) -> YamlMapping:
        """This mapping without `keys`."""
        rest = YamlMapping(self.at)
        for key in self:
            if key not in keys:
                rest.take(key, self)
        return rest

    def position(self, location: Location) -> Position:
        """Where `location` stands, or the nearest thing around it that is written."""
        value: Any = self
        at = self.at
        for step in location:
            if isinstance(value, YamlMapping) and isinstance(step, str) and step in value:
                value, at = value[step], value.key_at[step]
            elif isinstance(value, YamlList) and isinstance(step, int) and step < len(value):
                value, at = value[step], value.item_at[step]
            else:
                break
        return at


class YamlList(list[Any]):
    """A list with its position and that of each of its items."""

    __slots__ = ("at", "item_at")

    def __init__(
        self, at: Position, items: Iterable[Any] = (), item_at: Iterable[Position] = ()
    ) -> None:
        super().__init__(items)
        self.at = at
        self.item_at = list(item_at)

    def add(self, item: Any, at: Position) -> None:
        """Append `item`, written at `at`."""
        self.append(item)
        self.item_at.append(at)

    def without(self, indexes: Collection[int]) -> YamlList:
        """This list without the items at `indexes`."""
        rest = YamlList(self.at)
        for index, (item, at) in enumerate(zip(self, self.item_at, strict=True)):
            if index not in indexes:
                rest.add(item, at)
        return rest


class WrittenInt(int):
    """An integer that remembers how it is spelt: as a text, `0x10` is not `16`."""

    written: str


class WrittenFloat(float):
    """A number that remembers how it is spelt: as a text, the version `1.10` is not `1.1`."""

    written: str
