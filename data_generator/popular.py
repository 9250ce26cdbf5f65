"""The items of a history: what sells, by season, at the prices of the catalogue."""

from __future__ import annotations

from array import array
from collections.abc import Iterator
from datetime import timedelta
from itertools import accumulate
from random import Random

from data_generator.history import DAY, is_sale
from data_generator.orders import Orders
from data_generator.upsert import Catalogue

_SALE_PRICE = 85  # percent
# Of a hundred orders and lines: how many lines an order has, how many pieces a line.
_LINES = (1,) * 46 + (2,) * 29 + (3,) * 15 + (4,) * 7 + (5,) * 3
_PIECES = (1,) * 84 + (2,) * 13 + (3,) * 3

# How unequal variants are in being bought.
_POPULARITY = 0.9
_SEASONS = {
    "t-shirts": (0.6, 0.6, 0.8, 1.0, 1.3, 1.6, 1.7, 1.5, 1.1, 0.8, 0.7, 0.7),
    "hoodies": (1.2, 1.1, 1.0, 0.9, 0.7, 0.6, 0.6, 0.8, 1.1, 1.3, 1.4, 1.4),
    "jackets": (1.3, 1.1, 1.0, 0.8, 0.6, 0.4, 0.4, 0.7, 1.1, 1.5, 1.6, 1.6),
    "accessories": (0.9, 0.9, 0.9, 0.9, 1.0, 1.0, 1.0, 0.9, 0.9, 1.0, 1.3, 1.8),
}
_EVEN = (1.0,) * 12


def popular_item_lines(
    seed: int, orders: Orders, first_id: int, catalogue: Catalogue, max_items: int
) -> Iterator[str]:
    """Draw the items order by order at the variants' selling prices; yields one text of lines an
    order and fills the totals. Columns as those of `orders.item_lines`."""
    rng = Random(f"items {seed}")
    draw, choices = rng.random, rng.choices
    variants = range(len(catalogue.variant_ids))
    popular = _popularity(rng, catalogue)
    reduced = array("q", (round(price * _SALE_PRICE / 100) for price in catalogue.prices))
    day, until, prices = 0, -1, catalogue.prices
    for position, second in enumerate(orders.seconds):
        if second > until:
            day, until = second // DAY, (second // DAY + 1) * DAY - 1
            today = orders.window.starting_at.date() + timedelta(days=day)
            weights = popular[today.month - 1]
            prices = reduced if is_sale(today) else catalogue.prices
        date, lines, total = orders.date(position), "", 0
        number = min(_LINES[int(100 * draw())], max_items)
        for variant in dict.fromkeys(choices(variants, cum_weights=weights, k=number)):
            pieces, price = _PIECES[int(100 * draw())], prices[variant]
            total += pieces * price
            lines += (
                f"{first_id + position}\t{catalogue.variant_ids[variant]}\t{pieces}"
                f"\t{price // 100}.{price % 100:02d}\t{date}\n"
            )
        orders.totals.append(total)
        yield lines


def _popularity(rng: Random, catalogue: Catalogue) -> list[list[float]]:
    """How likely each variant is, by month, as sums: a few sell far more than the rest."""
    ranks = list(range(1, len(catalogue.variant_ids) + 1))
    rng.shuffle(ranks)
    weights = [rank**-_POPULARITY for rank in ranks]
    seasons = [_SEASONS.get(category, _EVEN) for category in catalogue.categories]
    return [
        list(accumulate(w * season[month] for w, season in zip(weights, seasons, strict=True)))
        for month in range(12)
    ]
