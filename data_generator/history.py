"""The orders of a shop with a past: seasons, weekdays, growth, and customers who come back.

Whole days are drawn, and what is not over yet is left out: a load at noon and one in the evening
agree about the morning.
"""

from __future__ import annotations

from array import array
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from itertools import accumulate, pairwise
from random import Random

from data_generator.options import Options, Window
from data_generator.orders import STATUSES, Orders
from data_generator.words import Words

DAY = 86_400

# Monday to Sunday, and the middle of each month.
_WEEKDAYS = (1.0, 0.92, 0.9, 0.93, 1.0, 1.1, 1.2)
_MONTHS = (0.85, 0.8, 0.9, 0.95, 1.0, 1.0, 0.9, 0.85, 0.95, 1.05, 1.2, 1.35)
_GROWTH = 0.003  # a day
_NOISE = 0.06
# On Black Friday and the three days after it.
_SALE = 1.5

# From midnight, UTC.
_HOURS = (4, 2, 1, 1, 1, 2, 5, 10, 16, 21, 25, 27, 28, 26, 24, 24, 25, 28, 34, 40, 42, 36, 24, 12)
# By age of the order in days: how likely each of STATUSES is.
_YOUNG = {0: (45, 47, 6, 2), 1: (15, 60, 8, 17), 2: (4, 46, 8, 42), 3: (1, 30, 9, 60)}
_SETTLED = (0, 11, 9, 80)
# How unequal customers are in coming back: the spread, and how often the most loyal do.
_LOYALTY, _MOST_LOYAL = 1.2, 8.0


@dataclass(frozen=True, slots=True)
class History:
    """The orders of some days. Their `customer_ids` are positions in `first_orders`, which are the
    seconds after the start of the window at which each customer first ordered."""

    orders: Orders
    first_orders: array[int]

    def customer_lines(self, seed: int) -> Iterator[str]:
        """Draw the customers; yields position, full_name, email, country, age, created_at."""
        words, rng = Words(f"customers {seed}"), Random(f"ages {seed}")
        for position, second in enumerate(self.first_orders):
            created = self.orders.window.moment(second)
            # Half of them are younger than 35, a sixth are 50 or older.
            age = min(18 + int(rng.gammavariate(2.3, 8)), 85)
            email = f"customer.{position + 1:06d}@example.com"
            yield f"{position}\t{words.full_name()}\t{email}\t{words.country()}\t{age}\t{created}\n"


def draw_history(options: Options, window: Window, now: datetime) -> History:
    """Draw the orders of every day of the window until `now`, the earliest first.

    There are `options.orders` in the whole window, of `options.customers`; where there are fewer
    orders than customers, those who have not ordered are left out.
    """
    rng = Random(f"history {options.seed}")
    first_day = window.starting_at.date()
    days = [first_day + timedelta(days=n) for n in range(window.days)]
    numbers = _shares([_weight(rng, day, n) for n, day in enumerate(days)], options.orders)
    new = _new_customers(numbers, options.customers)
    orders = Orders(window, array("q"), array("q"), bytearray(), array("q"))
    first_orders = array("q")
    last = window.seconds_until(now)
    loyalty: list[float] = []  # sums, so that one draw finds a customer
    for day, (number, first_time) in enumerate(zip(numbers, new, strict=True)):
        seconds = _moments(rng, number, day * DAY)
        statuses = _statuses(rng, number, len(days) - 1 - day)
        newcomers = set(rng.sample(range(number), first_time)) if loyalty else {*range(first_time)}
        for at, second in enumerate(seconds):
            if at in newcomers:
                customer = len(loyalty)
                weight = min(rng.lognormvariate(0, _LOYALTY), _MOST_LOYAL)
                loyalty.append((loyalty[-1] if loyalty else 0.0) + weight)
            else:
                customer = bisect_right(loyalty, rng.random() * loyalty[-1])
            if second > last:
                continue
            if at in newcomers:
                first_orders.append(second)
            orders.customer_ids.append(customer)
            orders.seconds.append(second)
            orders.statuses.append(statuses[at])
    return History(orders, first_orders)


def _weight(rng: Random, day: date, number: int) -> float:
    """How much busier a day is than others."""
    month, share = day.month - 1, (day.day - 15) / 30
    neighbour = _MONTHS[(month + (1 if share > 0 else -1)) % 12]
    season = _MONTHS[month] * (1 - abs(share)) + neighbour * abs(share)
    noise = rng.lognormvariate(0, _NOISE)
    sale = _SALE if is_sale(day) else 1.0
    return _WEEKDAYS[day.weekday()] * season * sale * noise * (1 + _GROWTH) ** number


def is_sale(day: date) -> bool:
    """Whether it is one of the four days from Black Friday on."""
    friday = day - timedelta(days=(day.weekday() - 4) % 7)
    return friday.month == 11 and 23 <= friday.day <= 29 and (day - friday).days < 4


def _shares(weights: Sequence[float], total: int) -> list[int]:
    """Divide a number by weights, to whole numbers of the same sum."""
    sums = [0.0, *accumulate(weights)]
    return [round(total * b / sums[-1]) - round(total * a / sums[-1]) for a, b in pairwise(sums)]


def _new_customers(orders: Sequence[int], customers: int) -> list[int]:
    """How many of the orders of each day are a customer's first.

    Customers come back at one rate, whenever they came first; it is the one that leads to as many
    customers in the end.
    """
    low, high = 0.0, 1.0
    for _ in range(40):
        rate = (low + high) / 2
        many = _customers_by_day(orders, rate)[-1] > customers
        low, high = (rate, high) if many else (low, rate)
    there = [min(round(number), customers) for number in _customers_by_day(orders, high)]
    return [min(b - a, most) for (a, b), most in zip(pairwise([0, *there]), orders, strict=True)]


def _customers_by_day(orders: Sequence[int], rate: float) -> list[float]:
    there: list[float] = []
    for number in orders:
        known = there[-1] if there else 0.0
        there.append(known + max(0.0, number - rate * known))
    return there


def _moments(rng: Random, number: int, midnight: int) -> list[int]:
    hours = rng.choices(range(24), _HOURS, k=number)
    return sorted(midnight + 3600 * hour + int(3600 * rng.random()) for hour in hours)


def _statuses(rng: Random, number: int, age: int) -> list[int]:
    return rng.choices(range(len(STATUSES)), _YOUNG.get(age, _SETTLED), k=number)
