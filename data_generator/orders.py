"""Orders and their items: what is drawn, and the lines COPY reads."""

from array import array
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import accumulate
from random import Random

from data_generator.options import Window

STATUSES = ("pending", "paid", "cancelled", "shipped")
_WEIGHTS = tuple(accumulate((0.2, 0.5, 0.1, 0.2)))


@dataclass(frozen=True, slots=True)
class Orders:
    """The orders of one load in compact form, 25 bytes each: a load of millions fits in memory."""

    window: Window
    customer_ids: "array[int]"
    seconds: "array[int]"
    """Seconds after the start of the window."""
    statuses: bytearray
    """Positions in STATUSES."""
    totals: "array[int]"
    """Sums of the items in cents; filled while the items are drawn."""

    def __len__(self) -> int:
        return len(self.seconds)

    def date(self, position: int) -> str:
        """Return the date of the order as Postgres reads it."""
        return self.window.moment(self.seconds[position])

    def end_by(self, now: datetime) -> None:
        """Move the orders closer together where the window is not over yet: none is later."""
        last, end = self.window.seconds_until(now), self.window.seconds
        if last < end:
            self.seconds[:] = array("q", (second * last // end for second in self.seconds))


def draw_orders(rng: Random, count: int, customer_ids: Sequence[int], window: Window) -> Orders:
    """Draw the customer, time and status of every order."""
    orders = Orders(window, array("q"), array("q"), bytearray(), array("q"))
    positions = range(len(STATUSES))
    seconds = window.seconds
    for _ in range(count):
        orders.customer_ids.append(rng.choice(customer_ids))
        orders.seconds.append(rng.randint(0, seconds))
        orders.statuses.append(rng.choices(positions, cum_weights=_WEIGHTS)[0])
    return orders


def item_lines(
    rng: Random, orders: Orders, first_id: int, variant_ids: Sequence[int], max_items: int
) -> Iterator[str]:
    """Draw the items order by order; yields one text of lines an order and fills the totals.

    Columns: order_id, variant_id, quantity, unit_price, created_at. No order holds a variant twice.
    """
    sample, choice, uniform = rng.sample, rng.choice, rng.uniform
    # choice draws exactly as randint does, in two thirds of the time.
    counts = range(1, min(max_items, len(variant_ids)) + 1)
    quantities = range(1, 4)
    for position in range(len(orders)):
        order_id = first_id + position
        date = orders.date(position)
        lines = ""
        total = 0
        for variant_id in sample(variant_ids, choice(counts)):
            quantity = choice(quantities)
            price = f"{uniform(20, 200):.2f}"
            total += quantity * int(price.replace(".", ""))
            lines += f"{order_id}\t{variant_id}\t{quantity}\t{price}\t{date}\n"
        orders.totals.append(total)
        yield lines


def order_lines(orders: Orders, first_id: int, now: datetime) -> Iterator[str]:
    """Yield the lines of the orders; needs the totals.

    Columns: id, customer_id, order_date, status, total_amount, created_at, updated_at.
    """
    updated = now.isoformat()
    for position, total in enumerate(orders.totals):
        date = orders.date(position)
        yield (
            f"{first_id + position}\t{orders.customer_ids[position]}\t{date}"
            f"\t{STATUSES[orders.statuses[position]]}\t{total // 100}.{total % 100:02d}\t{date}"
            f"\t{updated}\n"
        )
