"""What an unquoted YAML scalar means, by the rules of YAML 1.2.

Only `true` and `false` are booleans; dates stay text, and so does whatever a number could not give
back: `010`, `1:30`, an identifier of a hundred digits, a commit hash like `12e4567`.
"""

from __future__ import annotations

import math
import re

from ecommerce_dagster.bruin.yaml.located import WrittenFloat, WrittenInt

_INT = re.compile(r"[-+]?(0|[1-9][0-9_]*)|0x[0-9a-fA-F]+|0o[0-7]+")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|(0|[1-9][0-9]*)(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
_SPECIAL = re.compile(r"([-+]?)\.(inf|Inf|INF)|\.(nan|NaN|NAN)")
_WORDS = {
    "": None, "~": None, "null": None, "Null": None, "NULL": None,
    "true": True, "True": True, "TRUE": True,
    "false": False, "False": False, "FALSE": False,
}  # fmt: skip
# What a number may begin with.
_NUMERIC = frozenset("+-.0123456789")
# No number that a database can hold is longer, and Python refuses to print very long ones.
_LONGEST_NUMBER = 60


def plain_value(text: str) -> bool | int | float | str | None:
    """The value of the unquoted scalar `text`."""
    if text in _WORDS:
        return _WORDS[text]
    if text[0] not in _NUMERIC:
        return text
    if len(text) > _LONGEST_NUMBER:
        return text
    if _INT.fullmatch(text):
        return _int(text)
    if _FLOAT.fullmatch(text):
        return _float(text)
    if _SPECIAL.fullmatch(text):
        return float(text.replace(".", ""))
    return text


def _int(text: str) -> int:
    value = WrittenInt(text.replace("_", ""), 0)
    value.written = text
    return value


def _float(text: str) -> float | str:
    value = WrittenFloat(text)
    value.written = text
    return text if math.isinf(value) else value
