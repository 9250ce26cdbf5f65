"""Sizes of the wrong kind, for showing that the quality checks find them."""

from collections.abc import Iterable
from random import Random
from typing import Any

import psycopg

from data_generator.catalogue import APPAREL_SIZES, SHOE_SIZES, sizes, suits

_PAIRS = [*zip((*APPAREL_SIZES, "XXL"), SHOE_SIZES, strict=True)]
OTHER_SIZES = dict(_PAIRS) | {shoe: apparel for apparel, shoe in _PAIRS}
"""The size of the other kind for each size; that of the other one is the size again."""

_SIZES = b"""
SELECT v.id, v.size, p.category FROM public.product_variants AS v
JOIN public.products AS p ON p.id = v.product_id ORDER BY v.id
"""
_SET_SIZES = b"""
UPDATE public.product_variants AS v SET size = new.size, updated_at = clock_timestamp()
FROM unnest(%s::bigint[], %s::text[]) AS new (id, size) WHERE new.id = v.id
"""


def chosen(count: int, percent: float, seed: int) -> set[int]:
    """Choose which of `count` variants get a wrong size, by position.

    The draws come from a generator of their own, so that chaos moves no other number. Above 0
    percent at least one variant is hit.
    """
    if percent <= 0 or not count:
        return set()
    hit = min(count, max(1, round(count * percent / 100)))
    return set(Random(f"chaos {seed}").sample(range(count), hit))


def set_sizes(connection: psycopg.Connection[Any], percent: float, seed: int) -> None:
    """Give a share of the variants that are there a size of the wrong kind, and all others one of
    the right kind. A variant that was hit before gets back the size that it had."""
    variants = connection.execute(_SIZES).fetchall()
    hit = chosen(len(variants), percent, seed)
    new = dict(_changes(variants, hit))
    connection.execute(_SET_SIZES, [list(new), list(new.values())])


def _changes(
    variants: Iterable[tuple[int, str | None, str]], hit: set[int]
) -> Iterable[tuple[int, str]]:
    for position, (id, size, category) in enumerate(variants):
        if suits(size, category) == (position in hit):
            other = OTHER_SIZES.get(size or "")
            # One that was written by hand may have no other.
            if other is None or suits(other, category) == (position in hit):
                other = OTHER_SIZES[sizes(category)[0]] if position in hit else sizes(category)[0]
            yield id, other
