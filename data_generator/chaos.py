"""Sizes of the wrong kind, for showing that the quality checks find them."""

from collections.abc import Sequence
from random import Random

from data_generator.catalogue import other_sizes


def wrong_sizes(categories: Sequence[str], percent: float, seed: int) -> dict[int, str]:
    """Return wrong sizes by the position of their variant; `categories` has one entry a variant.

    The draws come from a generator of their own, so that chaos moves no other number. Above 0
    percent at least one variant is hit.
    """
    if percent <= 0:
        return {}
    rng = Random(f"chaos {seed}")
    count = min(len(categories), max(1, round(len(categories) * percent / 100)))
    positions = rng.sample(range(len(categories)), count)
    return {position: rng.choice(other_sizes(categories[position])) for position in positions}
