"""The words and signs of a condition."""

from __future__ import annotations

import ast
import re
import warnings
from typing import NamedTuple

from ecommerce_dagster.bruin.policy.functions import ExpressionError

_LONGEST = 10_000
_TOKENS = re.compile(
    r"(?P<space>\s+|//[^\n]*|/\*.*?\*/)"
    r"|(?P<number>\d[\d_]*(?:\.\d+)?(?:[eE][+-]?\d+)?)"
    r"|(?P<text>\"(?:[^\"\\\n]|\\.)*\"|'(?:[^'\\\n]|\\.)*'|`[^`]*`)"
    r"|(?P<name>[A-Za-z_$]\w*)"
    r"|(?P<sign>\?\?|\?\.|\.\.|\*\*|&&|\|\||[=!<>]=|[-+*/%^<>!?:.,()\[\]{}#|])",
    re.DOTALL,
)


class Token(NamedTuple):
    """A number, a text, a name, a sign or the end."""

    kind: str
    text: str


def tokens_of(text: str) -> list[Token]:
    """All tokens, and one for the end. Raises ExpressionError."""
    if len(text) > _LONGEST:
        raise ExpressionError(f"a condition is longer than {_LONGEST} characters")
    tokens, at = [], 0
    while at < len(text):
        found = _TOKENS.match(text, at)
        if found is None:
            raise ExpressionError(f"unexpected {text[at]!r}")
        if found.lastgroup != "space":
            tokens.append(Token(str(found.lastgroup), found.group()))
        at = found.end()
    return [*tokens, Token("end", "")]


def unquoted(text: str) -> str:
    """What a text between quotes says. Raises ExpressionError."""
    if text.startswith("`"):
        return text[1:-1]
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            return str(ast.literal_eval(text))
    except (SyntaxError, SyntaxWarning, DeprecationWarning, ValueError):
        raise ExpressionError(f"the text {text} has a \\ that means nothing") from None
