"""Whether two templates of SQL mean the same, and where they can be compared as SQL."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sqlglot.tokenizer_core import Token

_BLOCK = re.compile(r"\{\{.*?\}\}|\{%.*?%\}|\{#.*?#\}", re.DOTALL)
_OPENING = re.compile(r"\{%-?\s*(if|for|macro|call|filter|block|with|autoescape|raw)\b")
_CLOSING = re.compile(r"\{%-?\s*end\w+\s*-?%\}")


def is_same_text(old: str, new: str, dialect: str) -> bool:
    """Whether two templates differ at most in white space, comments and the case of keywords."""
    return old == new or _tokens(old, dialect) == _tokens(new, dialect)


def can_be_compared(old: str, new: str, dialect: str) -> bool:
    """Whether what two templates become in one run tells how they differ in all runs: they have the
    same variables, and the same text within the same conditions and loops."""
    if _blocks(old) != _blocks(new):
        return False
    regions = [_regions(text) for text in (old, new)]
    if None in regions or len(regions[0] or ()) != len(regions[1] or ()):
        return False
    pairs = zip(regions[0] or (), regions[1] or (), strict=True)
    return all(is_same_text(one, other, dialect) for one, other in pairs)


def _blocks(template: str) -> list[str]:
    found = _BLOCK.findall(template)
    return ["".join(block.split()) for block in found if not block.startswith("{#")]


def _regions(template: str) -> list[str] | None:
    """The text within each outermost block that has an end; None when the ends do not match."""
    found: list[str] = []
    depth = start = 0
    for match in _BLOCK.finditer(template):
        if _OPENING.match(match[0]):
            start = start if depth else match.start()
            depth += 1
        elif _CLOSING.match(match[0]):
            depth -= 1
            if depth < 0:
                return None
            if depth == 0:
                found.append(template[start : match.end()])
    return found if depth == 0 else None


def _tokens(template: str, dialect: str) -> object:
    """The tokens of a template without comments; the text itself when it has none."""
    from sqlglot import Dialect

    def word(match: re.Match[str]) -> str:
        if match[0].startswith("{#"):
            return ""
        text = "".join(match[0].split())
        return f"jinja_{hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest()}"

    text = _BLOCK.sub(word, template)
    try:
        return list(_of(Dialect.get_or_raise(dialect).tokenize(text)))
    except Exception:  # whatever sqlglot fails at
        return text.strip()


def _of(tokens: Sequence[Token]) -> Iterator[tuple[str, str]]:
    from sqlglot import TokenType

    exact = {TokenType.IDENTIFIER, TokenType.STRING, TokenType.VAR}
    for token in tokens:
        kind, text = token.token_type, str(token.text)
        is_exact = kind in exact or str(kind.value).endswith("STRING")
        yield str(kind), text if is_exact else text.upper()
