"""Jinja that cannot reach Python, and stops before it fills the memory or runs for ever.

Jinja's own sandbox keeps templates from Python's internals. What it leaves open, `'a' * 10**10` or
one loop inside another, is counted here: each operator, call, filter and turn of a loop takes from
a budget, by the size of what it makes.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sized
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, cast

from jinja2 import FunctionLoader, StrictUndefined, nodes, pass_context
from jinja2.exceptions import SecurityError, TemplateRuntimeError
from jinja2.sandbox import ImmutableSandboxedEnvironment
from jinja2.visitor import NodeTransformer

from ecommerce_dagster.bruin.problems import did_you_mean
from ecommerce_dagster.errors import UnlocatedError

# In characters, items and steps: a thousand times what a long query takes, and about a second.
BUDGET = 5_000_000

# What a call takes, measured in characters written.
_CALL = 30

_spent: ContextVar[int] = ContextVar("spent", default=0)

# Functions that make much out of little.
_AMPLIFIERS = {
    "batch", "center", "expandtabs", "indent", "join", "ljust", "replace", "rjust", "slice",
    "tojson", "translate", "zfill",
}  # fmt: skip
_WIDE = re.compile(r"\d{6,}|%[^a-zA-Z%]*\*|\{[^{}]*\{")


class TooMuchError(UnlocatedError, SecurityError):
    """A template that makes too much of something."""


@contextmanager
def budget() -> Iterator[None]:
    """A fresh budget for what templates do inside."""
    token = _spent.set(0)
    try:
        yield
    finally:
        _spent.reset(token)


def _spend(amount: int) -> None:
    spent = _spent.get() + amount
    if spent > BUDGET:
        raise TooMuchError("it makes too much text or takes too many steps")
    _spent.set(spent)


class _Missing(StrictUndefined):
    """A name that nothing stands behind; the error says which, and which there are."""

    __slots__ = ()

    @property
    def _undefined_message(self) -> str:
        if self._undefined_hint is None and isinstance(self._undefined_obj, Mapping):
            name = str(self._undefined_name)
            return f"missing variable '{name}'; {did_you_mean(name, map(str, self._undefined_obj))}"
        return super()._undefined_message


class BoundedEnvironment(ImmutableSandboxedEnvironment):
    """A strict sandbox with a budget; the keys of a mapping go before Python's methods."""

    intercepted_binops = frozenset({"+", "*", "**", "%"})

    def __init__(self) -> None:
        super().__init__(
            undefined=_Missing,
            keep_trailing_newline=True,
            finalize=_counted,
            loader=FunctionLoader(_no_file),
        )
        self.filters = {name: _bounded(name, function) for name, function in self.filters.items()}
        self.filters.update(_turns=_turns, _joined=_joined)
        # Makes any amount of Latin.
        del self.globals["lipsum"]

    def getattr(self, obj: Any, attribute: str) -> Any:
        """So that `var.items` is the variable of that name."""
        if isinstance(obj, Mapping) and attribute in obj:
            return obj[attribute]
        return super().getattr(obj, attribute)

    def call_binop(self, context: Any, operator: str, left: Any, right: Any) -> Any:
        """Count what an operator makes before it makes it."""
        if operator == "%":
            _check_format(left)
        else:
            grows = operator == "**" or not (isinstance(left, int) and isinstance(right, int))
            _spend(_product((left, right)) if grows and operator != "+" else _size((left, right)))
        return super().call_binop(context, operator, left, right)

    def call(self, context: Any, obj: Any, /, *args: Any, **kwargs: Any) -> Any:
        """Count what a macro or a method makes."""
        method = getattr(obj, "__wrapped__", obj)
        receiver = getattr(method, "__self__", None)
        if isinstance(receiver, str):
            _foresee(str(getattr(method, "__name__", "")), (receiver, *args, *kwargs.values()))
        _spend(_CALL)
        return _counted(super().call(context, obj, *args, **kwargs))

    def _parse(self, source: str, name: str | None, filename: str | None) -> nodes.Template:
        template: nodes.Template = _Counting().visit(super()._parse(source, name, filename))
        return template


class _Counting(NodeTransformer):
    """Adds counting to the syntax that calls nothing of the environment."""

    def visit_For(self, node: nodes.For) -> nodes.For:  # noqa: N802 - jinja2 calls it by the name of the node
        """A turn costs at least what the body says itself."""
        self.generic_visit(node)
        size = 1 + sum(len(text.data) for text in node.find_all(nodes.TemplateData))
        in_pairs = isinstance(node.target, nodes.Tuple)
        node.iter = _filtered(node.iter, "_turns", nodes.Const(size), nodes.Const(in_pairs))
        return node

    def visit_Concat(self, node: nodes.Concat) -> nodes.Filter:  # noqa: N802 - jinja2 calls it by the name of the node
        """`a ~ b`"""
        self.generic_visit(node)
        return _filtered(nodes.List(node.nodes, lineno=node.lineno), "_joined")


def _no_file(name: str) -> str:
    raise TemplateRuntimeError("files cannot be included or imported; put macros into macros/")


def _filtered(node: nodes.Node, name: str, *args: nodes.Expr) -> nodes.Filter:
    return nodes.Filter(
        cast(nodes.Expr, node), name, list(args), [], None, None, lineno=node.lineno
    )


# With the context, so that Jinja does not work it out when it compiles the template.
@pass_context
def _turns(context: Any, items: Iterable[Any], cost: int, in_pairs: bool) -> Iterable[Any]:
    if in_pairs and isinstance(items, Mapping):
        # `for key, value in mapping` works in Bruin, and means nothing in Jinja.
        items = items.items()
    if isinstance(items, Sized):
        _spend(len(items) * cost)
        return items
    return _metered(items, cost)


def _metered(items: Iterable[Any], cost: int = 1) -> Iterator[Any]:
    for item in items:
        _spend(cost * _size(item))
        yield item


def _joined(parts: Iterable[Any]) -> str:
    return "".join(str(_counted(part)) for part in parts)


def _bounded(name: str, function: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(function)
    def bounded(*args: Any, **kwargs: Any) -> Any:
        args = tuple(_metered(arg) if isinstance(arg, Iterator) else arg for arg in args)
        _foresee(name, (*args, *kwargs.values()))
        return _counted(function(*args, **kwargs))

    return bounded


def _foresee(name: str, values: Collection[Any]) -> None:
    """Count what a function is going to make of `values`, if it can be more than they are."""
    if name in _AMPLIFIERS:
        _spend(_product(values))
    elif name in {"format", "format_map"}:
        for value in values:
            _check_format(value)


def _check_format(value: Any) -> None:
    if isinstance(value, str) and _WIDE.search(value):
        raise TooMuchError("a width in the format is too large")


def _counted(value: Any) -> Any:
    _spend(_size(value))
    return value


def _product(values: Iterable[Any]) -> int:
    """How much can come out when each of `values` multiplies the others."""
    amount = 1
    for value in values:
        amount *= max(1, abs(value) if isinstance(value, int) else _size(value))
    return amount


def _size(value: Any) -> int:
    """Roughly the characters that a value takes when it is printed; at least one.

    Looks no further than the budget reaches: a list can hold itself, or another one many times.
    """
    size, waiting = 0, [value]
    while waiting and size <= BUDGET:
        item = waiting.pop()
        size += 1
        if isinstance(item, int):
            size += item.bit_length() // 4
        elif isinstance(item, str):
            size += len(item)
        elif isinstance(item, Mapping):
            waiting += [*item.keys(), *item.values()]
        elif isinstance(item, list | tuple):
            waiting += item
    return size
