"""The operators and functions that conditions of policies know, each strict about its values."""

from __future__ import annotations

import math
import operator as op
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Protocol, runtime_checkable

from ecommerce_dagster.errors import UnlocatedError

LONGEST = 1_000_000

Function = Callable[..., Any]


class ExpressionError(UnlocatedError):
    """A condition that cannot be read, or has no answer."""


@runtime_checkable
class Record(Protocol):
    """A value with keys of its own."""

    def member(self, key: str) -> Any:
        """The value of a key. Raises ExpressionError for one that it has not."""


def truth(found: Any) -> bool:
    """`found`, when it is true or false. Raises ExpressionError for anything else."""
    if not isinstance(found, bool):
        raise ExpressionError(f"{found!r:.60} is neither true nor false")
    return found


def number(found: Any) -> int | float:
    """`found`, when it is a number. Raises ExpressionError for anything else."""
    if isinstance(found, bool) or not isinstance(found, int | float):
        raise ExpressionError(f"{found!r:.60} is not a number")
    return found


def text(found: Any) -> str:
    """`found`, when it is a text. Raises ExpressionError for anything else."""
    if not isinstance(found, str):
        raise ExpressionError(f"{found!r:.60} is not a text")
    return found


def sequence(found: Any) -> Sequence[Any]:
    """The items of a list, or the values of a map. Raises ExpressionError for anything else."""
    if isinstance(found, Mapping):
        return list(found.values())
    if not isinstance(found, Sequence):
        raise ExpressionError(f"{found!r:.60} is not a list")
    return found


def member(whole: Any, key: Any, *, optional: bool) -> Any:
    """`whole.key`, or `whole[key]`; None for an `optional` key when `whole` is None. Raises
    ExpressionError when `whole` has no keys."""
    if whole is None and optional:
        return None
    if isinstance(whole, Record):
        return whole.member(text(key))
    if isinstance(whole, Mapping):
        return whole.get(key)
    if isinstance(key, str):
        raise ExpressionError(f"{whole!r:.60} has no '{key}'")
    return sequence(whole)[key]


def bounded(found: Any) -> Any:
    """`found` as it is. Raises ExpressionError for a text, list or number that is
    larger than any pipeline needs."""
    if isinstance(found, str | list) and len(found) > LONGEST:
        raise ExpressionError("a value is too long")
    if isinstance(found, int) and found.bit_length() > 64:
        raise ExpressionError("a number is too large")
    return found


def _equal(left: Any, right: Any) -> bool:
    if isinstance(left, bool) or isinstance(right, bool):
        return left is right
    return bool(left == right)


def _among(left: Any, right: Any) -> bool:
    if isinstance(right, Mapping):
        return left in right
    return any(_equal(left, item) for item in sequence(right))


def _compared(compare: Callable[[Any, Any], bool]) -> Function:
    def comparison(left: Any, right: Any) -> bool:
        if isinstance(left, str) and isinstance(right, str):
            return compare(left, right)
        return compare(number(left), number(right))

    return comparison


def _arithmetic(compute: Callable[[Any, Any], Any]) -> Function:
    return lambda left, right: compute(number(left), number(right))


def _plus(left: Any, right: Any) -> Any:
    if isinstance(left, str) and isinstance(right, str):
        return left + right
    return number(left) + number(right)


def _power(left: Any, right: Any) -> float:
    return math.pow(number(left), number(right))


def _range(first: Any, last: Any) -> Sequence[int]:
    if number(last) - number(first) > LONGEST:
        raise ExpressionError("a range is too long")
    return range(first, last + 1)


def _matches(found: Any, pattern: Any) -> bool:
    try:
        return re.search(text(pattern), text(found)) is not None
    except re.error as error:
        raise ExpressionError(f"'{pattern}' is not a regular expression: {error}") from None


def _joined(items: Any, between: str = "") -> str:
    return text(between).join(map(text, sequence(items)))


def _length(found: Any) -> int:
    return len(found) if isinstance(found, str | Mapping) else len(sequence(found))


def _replaced(found: Any, old: Any, new: Any) -> str:
    if len(text(found)) * len(text(new)) > LONGEST:
        raise ExpressionError("a value is too long")
    return text(found).replace(text(old), text(new))


def _index(found: Any, part: Any) -> int:
    return text(found).find(text(part))


def _count(items: Sequence[Any], answers: Iterable[Any]) -> int:
    return sum(map(truth, answers))


def _chosen(items: Sequence[Any], answers: Iterable[Any]) -> list[Any]:
    return [item for item, is_in in zip(items, answers, strict=True) if truth(is_in)]


OPERATORS: dict[str, Function] = {
    "==": _equal,
    "!=": lambda left, right: not _equal(left, right),
    "<": _compared(op.lt),
    "<=": _compared(op.le),
    ">": _compared(op.gt),
    ">=": _compared(op.ge),
    "+": _plus,
    "-": _arithmetic(op.sub),
    "*": _arithmetic(op.mul),
    "/": _arithmetic(op.truediv),
    "%": _arithmetic(op.mod),
    "**": _power,
    "..": _range,
    "in": _among,
    "contains": lambda left, right: text(right) in text(left),
    "startsWith": lambda left, right: text(left).startswith(text(right)),
    "endsWith": lambda left, right: text(left).endswith(text(right)),
    "matches": _matches,
}
FUNCTIONS: dict[str, Function] = {
    "abs": lambda found: abs(number(found)),
    "first": lambda items: next(iter(sequence(items)), None),
    "float": float,
    "hasPrefix": OPERATORS["startsWith"],
    "hasSuffix": OPERATORS["endsWith"],
    "indexOf": _index,
    "int": int,
    "join": _joined,
    "keys": list,
    "last": lambda items: next(iter(reversed(sequence(items))), None),
    "len": _length,
    "lower": lambda found: text(found).lower(),
    "max": lambda *numbers: max(map(number, numbers)),
    "min": lambda *numbers: min(map(number, numbers)),
    "replace": _replaced,
    "split": lambda found, between: text(found).split(text(between)),
    "string": str,
    "sum": lambda items: sum(map(number, sequence(items))),
    "trim": lambda found: text(found).strip(),
    "upper": lambda found: text(found).upper(),
    "values": lambda mapping: list(sequence(mapping)),
}
# Functions of a list and of what is asked of each of its items.
CLOSURES: dict[str, Callable[[Sequence[Any], Iterable[Any]], Any]] = {
    "all": lambda items, answers: all(map(truth, answers)),
    "any": lambda items, answers: any(map(truth, answers)),
    "count": _count,
    "filter": _chosen,
    "find": lambda items, answers: next(iter(_chosen(items, answers)), None),
    "map": lambda items, answers: list(answers),
    "none": lambda items, answers: not any(map(truth, answers)),
    "one": lambda items, answers: sum(map(truth, answers)) == 1,
}
