"""What a database can store: which type a column gets, and which it cannot have."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from ecommerce_dagster.sql import types


def _nothing(kind: str) -> str | None:
    return None


def _as_it_is(column: str, expression: str, kind: str) -> str:
    return expression


@dataclass(frozen=True)
class TypeRules:
    """What a database can store.

    `target_type` is the type of a column that is declared so and comes so, as in `types`.
    `refusal` says why there can be no column of a type, `doubt` why its values have to be looked at
    one by one, and `kept` makes an expression for a column of a type raise an error instead of a
    value that is lost. `constrains_later`: a column that is there can come to be never NULL in the
    transaction that adds it. `has_keys`: tables have primary keys.
    """

    target_type: Callable[[str, str], str] = types.target_type
    refusal: Callable[[str], str | None] = _nothing
    doubt: Callable[[str], str | None] = _nothing
    kept: Callable[[str, str, str], str] = _as_it_is
    constrains_later: bool = True
    has_keys: bool = True
