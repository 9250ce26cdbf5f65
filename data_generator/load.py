"""Write one generated data set to Postgres, in one transaction."""

from collections.abc import Mapping
from contextlib import nullcontext
from dataclasses import dataclass
from datetime import UTC, datetime
from random import Random
from typing import Any

import psycopg

from data_generator import bulk, chaos
from data_generator.catalogue import APPAREL_SIZES, CATEGORIES
from data_generator.connect import connect
from data_generator.history import draw_history
from data_generator.job import Job, Progress, one_value
from data_generator.options import Options, Window
from data_generator.replace import replace_orders
from data_generator.schema import migrate
from data_generator.upsert import upsert_catalogue

# From here on it pays to take the foreign keys away, unless far more orders stay than come.
_BULK_ORDERS = 5_000
_BULK_STAYING = 5
_ORDERS_STAYING = b"SELECT count(*) FROM public.orders WHERE order_date NOT BETWEEN %s AND %s"
_INVALID_SIZES = b"""
SELECT p.category, count(*) FROM public.product_variants AS v
JOIN public.products AS p ON p.id = v.product_id
WHERE CASE WHEN p.category = 'shoes' THEN v.size ~ '^[0-9]+$' ELSE v.size = ANY(%s) END IS NOT TRUE
GROUP BY p.category
"""


_COUNTS = b"""
SELECT (SELECT count(*) FROM public.customers), (SELECT count(*) FROM public.products),
    (SELECT count(*) FROM public.product_variants), (SELECT count(*) FROM public.orders),
    (SELECT count(*) FROM public.order_items)
"""
_ORDERED = b"SELECT min(order_date), max(order_date) FROM public.orders"


@dataclass(frozen=True, slots=True)
class Summary:
    """What a load wrote, or of one that only set sizes what there is. `invalid_sizes` counts all
    variants of the database, by category."""

    window: Window
    customers: int
    products: int
    variants: int
    orders: int
    items: int
    invalid_sizes: Mapping[str, int]


def generate(dsn: str, options: Options, *, progress: Progress | None = None) -> Summary:
    """Create missing tables, upsert the catalogue and replace the orders of the window.

    All or nothing: an exception, an interrupt or a lost connection leaves the database as it was.

    Raises InvalidOptionsError; InvalidDsnError or UnavailableError when there is no connection to
    be had; psycopg.Error when Postgres refuses a statement.
    """
    options, window = options.scaled(), options.window()
    with connect(dsn) as connection:
        migrate(connection)
        # No other load is running now, so that later loads get later times.
        now = one_value(connection, b"SELECT clock_timestamp()")
        job = Job(connection, options, window, Random(options.seed), now, progress)
        large = _is_large(job)
        history = draw_history(options, window, now) if options.days else None
        with bulk.without_constraints(connection, progress) if large else nullcontext():
            catalogue = upsert_catalogue(job, history)
            orders, items = replace_orders(job, catalogue, history, items_first=large)
        return Summary(
            window=window,
            customers=len(catalogue.customer_ids),
            products=options.products,
            variants=len(catalogue.variant_ids),
            orders=orders,
            items=items,
            invalid_sizes=_invalid_sizes(connection),
        )


def set_sizes(
    dsn: str, percent: float, seed: int = Options.seed, *, since: datetime | None = None
) -> Summary | None:
    """Give `percent` of the variants that are there a size of the wrong kind, all others one of the
    right kind, and change nothing else. None, and nothing done, where there are no orders, or none
    `since` a moment.

    Raises as `generate` does.
    """
    Options(chaos_percent=percent, seed=seed).window()
    with connect(dsn) as connection:
        migrate(connection)
        ((first, last),) = connection.execute(_ORDERED).fetchall()
        if first is None or (since is not None and last < since):
            return None
        chaos.set_sizes(connection, percent, seed)
        ((customers, products, variants, orders, items),) = connection.execute(_COUNTS).fetchall()
        window = Window(first.astimezone(UTC), last.astimezone(UTC))
        invalid = _invalid_sizes(connection)
        return Summary(window, customers, products, variants, orders, items, invalid)


def _is_large(job: Job) -> bool:
    """Tell whether checking all rows at once is cheaper than checking each new one."""
    count = job.options.orders
    if count < _BULK_ORDERS or not bulk.may_alter(job.connection):
        return False
    window = job.window
    staying = one_value(job.connection, _ORDERS_STAYING, window.starting_at, window.ending_at)
    return bool(staying <= _BULK_STAYING * count)


def _invalid_sizes(connection: psycopg.Connection[Any]) -> dict[str, int]:
    found = dict(connection.execute(_INVALID_SIZES, [list(APPAREL_SIZES)]).fetchall())
    return dict.fromkeys(CATEGORIES, 0) | found
