"""Conditions in policies: a part of the language of expr-lang.org, compiled to functions.

No text can do more than combine the operators and functions below; nothing of Python is within
reach.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ecommerce_dagster.bruin.policy.functions import (
    CLOSURES,
    FUNCTIONS,
    OPERATORS,
    ExpressionError,
    bounded,
    member,
    number,
    sequence,
    truth,
)
from ecommerce_dagster.bruin.policy.tokens import Token, tokens_of, unquoted
from ecommerce_dagster.bruin.problems import did_you_mean

# How tightly each operator binds, as in the original.
_BINARY = {
    "|": 0, "or": 10, "||": 10, "and": 15, "&&": 15, "==": 20, "!=": 20, "<": 20, ">": 20,
    "<=": 20, ">=": 20, "in": 20, "not": 20, "matches": 20, "contains": 20, "startsWith": 20,
    "endsWith": 20, "..": 25, "+": 30, "-": 30, "*": 60, "/": 60, "%": 60, "**": 100, "^": 100,
    "??": 500,
}  # fmt: skip
_RIGHT = {"**", "^"}
_UNARY: dict[str, tuple[int, Callable[[Any], Any]]] = {
    "not": (50, lambda found: not truth(found)),
    "!": (50, lambda found: not truth(found)),
    "-": (90, lambda found: -number(found)),
    "+": (90, number),
}
_WORDS = {"true": True, "false": False, "nil": None}
_ITEM = "#"
_DEEPEST = 60
# All items that one answer may look at.
_MOST_STEPS = 1_000_000


def answer(condition: str, names: Mapping[str, Any]) -> bool:
    """Whether a condition holds. Raises ExpressionError when it cannot be read or answered."""
    found = value(condition, names)
    if not isinstance(found, bool):
        raise ExpressionError(f"the answer is {found!r:.60}; expected true or false")
    return found


def value(expression: str, names: Mapping[str, Any]) -> Any:
    """What an expression stands for. Raises ExpressionError."""
    try:
        return compiled(expression)(_Scope(names))
    except ExpressionError:
        raise
    except (TypeError, ValueError, ArithmeticError, LookupError, RecursionError) as error:
        raise ExpressionError(str(error) or type(error).__name__) from None


@dataclass
class _Scope:
    """What names mean, and how much has been asked already."""

    names: Mapping[str, Any]
    steps: list[int] = field(default_factory=lambda: [0])

    def about(self, item: Any) -> _Scope:
        """The same inside of a closure."""
        self.steps[0] += 1
        if self.steps[0] > _MOST_STEPS:
            raise ExpressionError("the condition takes too long")
        return _Scope({**self.names, _ITEM: item}, self.steps)


Compiled = Callable[[_Scope], Any]


def compiled(text: str) -> Compiled:
    """The function that a condition is. Raises ExpressionError."""
    parser = _Parser(tokens_of(text))
    whole = parser.expression()
    parser.expect("end")
    return whole


class _Parser:
    """A parser by precedence: each method takes what it reads from the tokens."""

    def __init__(self, tokens: Sequence[Token]) -> None:
        self._tokens, self._next, self._depth = tokens, 0, 0

    def expression(self, binding: int = 0) -> Compiled:
        """An expression of operators that bind at least so tightly."""
        self._depth += 1
        if self._depth > _DEEPEST:
            raise ExpressionError("the condition is nested too deeply")
        left = self._prefix()
        while (operator := self._operator()) is not None and _BINARY[operator] >= binding:
            self._next += 1
            left = self._piped(left) if operator == "|" else self._binary(operator, left)
        if binding == 0 and self._take("?"):
            yes = self.expression()
            self.expect(":")
            left = _choice(left, yes, self.expression())
        self._depth -= 1
        return left

    def expect(self, what: str) -> None:
        """Take a sign, or the end. Raises ExpressionError."""
        if not self._take(what):
            wanted = "the end" if what == "end" else f"'{what}'"
            raise ExpressionError(f"expected {wanted} {self._here()}")

    def _here(self) -> str:
        return f"before '{self._token.text}'" if self._token.text else "at the end"

    @property
    def _token(self) -> Token:
        return self._tokens[self._next]

    def _is(self, text: str) -> bool:
        kind, written = self._token
        return kind == "end" if text == "end" else written == text and kind != "text"

    def _take(self, text: str) -> bool:
        is_it = self._is(text)
        self._next += is_it and text != "end"
        return is_it

    def _taken(self, *kinds: str) -> Token:
        token = self._token
        if token.kind not in kinds:
            raise ExpressionError(f"expected a {' or '.join(kinds)} {self._here()}")
        self._next += 1
        return token

    def _operator(self) -> str | None:
        kind, text = self._token
        is_one = kind in {"sign", "name"} and text in _BINARY
        if text == "not":
            is_one = is_one and self._tokens[self._next + 1].text == "in"
        return text if is_one else None

    def _binary(self, operator: str, left: Compiled) -> Compiled:
        if operator == "not":
            self._next += 1
            inside = self._binary("in", left)
            return lambda scope: not inside(scope)
        right = self.expression(_BINARY[operator] + (operator not in _RIGHT))
        match operator:
            case "and" | "&&":
                return lambda scope: truth(left(scope)) and truth(right(scope))
            case "or" | "||":
                return lambda scope: truth(left(scope)) or truth(right(scope))
            case "??":
                return lambda scope: right(scope) if (it := left(scope)) is None else it
        function = OPERATORS[operator]
        return lambda scope: bounded(function(left(scope), right(scope)))

    def _piped(self, left: Compiled) -> Compiled:
        """`x | f(y)` is f(x, y)."""
        name = self._taken("name").text
        self.expect("(")
        return self._postfix(_call(name, [left, *self._listed(")")]))

    def _prefix(self) -> Compiled:
        kind, text = self._token
        if kind in {"sign", "name"} and text in _UNARY:
            self._next += 1
            binding, function = _UNARY[text]
            operand = self.expression(binding)
            return lambda scope: function(operand(scope))
        return self._postfix(self._primary())

    def _primary(self) -> Compiled:
        if self._is("."):
            return _name(_ITEM)
        for sign, read in _OPENED.items():
            if self._take(sign):
                return read(self)
        kind, text = self._taken("number", "text", "name")
        if kind == "number":
            digits = text.replace("_", "")
            return _constant(int(digits) if digits.isdecimal() else float(digits))
        if kind == "text":
            return _constant(unquoted(text))
        if text in _WORDS:
            return _constant(_WORDS[text])
        return _call(text, self._listed(")")) if self._take("(") else _name(text)

    def _postfix(self, whole: Compiled) -> Compiled:
        while True:
            if self._take("["):
                whole = self._indexed(whole)
            elif self._is(".") or self._is("?."):
                optional = self._is("?.")
                self._next += 1
                whole = _member(whole, _constant(self._taken("name").text), optional=optional)
            else:
                return whole

    def _indexed(self, whole: Compiled) -> Compiled:
        first = _constant(None) if self._is(":") else self.expression()
        if self._take(":"):
            last = _constant(None) if self._is("]") else self.expression()
            self.expect("]")
            return lambda scope: sequence(whole(scope))[slice(first(scope), last(scope))]
        self.expect("]")
        return _member(whole, first)

    def _listed(self, end: str) -> list[Compiled]:
        return [self.expression() for _ in self._until(end)]

    def _until(self, end: str) -> Iterator[None]:
        """Once for each item of a list with commas."""
        while not self._take(end):
            yield
            if not self._take(","):
                self.expect(end)
                break

    def in_parentheses(self) -> Compiled:
        """What stands after `(`."""
        inside = self.expression()
        self.expect(")")
        return inside

    def list(self) -> Compiled:
        """What stands after `[`."""
        items = self._listed("]")
        return lambda scope: [item(scope) for item in items]

    def item(self) -> Compiled:
        """What a closure is about."""
        return _name(_ITEM)

    def braces(self) -> Compiled:
        """What stands after `{`: a map, or the body of a closure."""
        is_map = self._token.kind in {"name", "text"} and self._tokens[self._next + 1].text == ":"
        if not is_map and not self._is("}"):
            body = self.expression()
            self.expect("}")
            return body
        pairs: dict[str, Compiled] = {}
        for _ in self._until("}"):
            kind, text = self._taken("name", "text")
            self.expect(":")
            pairs[unquoted(text) if kind == "text" else text] = self.expression()
        return lambda scope: {key: item(scope) for key, item in pairs.items()}


_OPENED: dict[str, Callable[[_Parser], Compiled]] = {
    "(": _Parser.in_parentheses,
    "[": _Parser.list,
    "{": _Parser.braces,
    _ITEM: _Parser.item,
}


def _constant(found: Any) -> Compiled:
    return lambda scope: found


def _choice(condition: Compiled, yes: Compiled, no: Compiled) -> Compiled:
    return lambda scope: yes(scope) if truth(condition(scope)) else no(scope)


def _member(whole: Compiled, key: Compiled, *, optional: bool = False) -> Compiled:
    return lambda scope: member(whole(scope), key(scope), optional=optional)


def _name(name: str) -> Compiled:
    def look_up(scope: _Scope) -> Any:
        if name not in scope.names:
            hint = did_you_mean(name, set(scope.names) - {_ITEM})
            raise ExpressionError(f"unknown name '{name}'; {hint}")
        return scope.names[name]

    return look_up


def _call(name: str, arguments: Sequence[Compiled]) -> Compiled:
    function, closure = FUNCTIONS.get(name), CLOSURES.get(name)
    if function is not None:
        return lambda scope: bounded(function(*(each(scope) for each in arguments)))
    if closure is None:
        hint = did_you_mean(name, [*FUNCTIONS, *CLOSURES])
        raise ExpressionError(f"unknown function '{name}'; {hint}")
    if len(arguments) != 2:
        raise ExpressionError(f"{name}() needs a list and a condition")
    items, body = arguments

    def ask(scope: _Scope) -> Any:
        found = sequence(items(scope))
        return closure(found, (body(scope.about(item)) for item in found))

    return ask
