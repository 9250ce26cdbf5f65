"""Write orders and items: those of the window go, the new ones come."""

from array import array
from collections.abc import Iterable

from data_generator.history import History
from data_generator.job import Job, one_value
from data_generator.orders import Orders, draw_orders, item_lines, order_lines
from data_generator.popular import popular_item_lines
from data_generator.upsert import Catalogue

_DELETE_ITEMS = b"""
DELETE FROM public.order_items AS i USING public.orders AS o
WHERE o.id = i.order_id AND o.order_date BETWEEN %s AND %s
"""
_DELETE_ORDERS = b"DELETE FROM public.orders WHERE order_date BETWEEN %s AND %s"
# No other session can insert orders meanwhile, so that the reserved ids are free and in one piece.
_LOCK_ORDERS = b"LOCK TABLE public.orders IN SHARE ROW EXCLUSIVE MODE"
_RESERVE_IDS = b"""
SELECT setval(sequence, first + %s - 1) - %s + 1 FROM (
    SELECT sequence, greatest(nextval(sequence), (SELECT max(id) + 1 FROM public.orders)) AS first
    FROM CAST(pg_get_serial_sequence('public.orders', 'id') AS regclass) AS sequence
) AS reserved
"""
_ITEM_COLUMNS = "public.order_items (order_id, variant_id, quantity, unit_price, created_at)"
_ORDER_COLUMNS = (
    "public.orders (id, customer_id, order_date, status, total_amount, created_at, updated_at)"
)


def replace_orders(
    job: Job, catalogue: Catalogue, history: History | None, *, items_first: bool
) -> tuple[int, int]:
    """Replace the orders of the window; returns the orders and the items written.

    With `items_first` the items stream into their table while they are drawn, which needs the
    foreign keys out of the way. Otherwise their text is held until the orders are written.
    """
    connection, window = job.connection, job.window
    connection.execute(_LOCK_ORDERS)
    connection.execute(_DELETE_ITEMS, [window.starting_at, window.ending_at])
    connection.execute(_DELETE_ORDERS, [window.starting_at, window.ending_at])
    orders = _drawn(job, catalogue, history)
    count = len(orders)
    if not count:
        return 0, 0
    first_id: int = one_value(connection, _RESERVE_IDS, count, count)

    items = _items(job, catalogue, history, orders, first_id)
    if not items_first:
        items = list(items)
        _write_orders(job, orders, first_id)
    written = job.copy(_ITEM_COLUMNS, items, "items", count)
    if items_first:
        _write_orders(job, orders, first_id)
    return count, written


def _drawn(job: Job, catalogue: Catalogue, history: History | None) -> Orders:
    if history is not None:
        orders, ids = history.orders, catalogue.customer_ids
        orders.customer_ids[:] = array("q", (ids[position] for position in orders.customer_ids))
        return orders
    orders = draw_orders(job.rng, job.options.orders, catalogue.customer_ids, job.window)
    orders.end_by(job.now)
    return orders


def _items(
    job: Job, catalogue: Catalogue, history: History | None, orders: Orders, first_id: int
) -> Iterable[str]:
    most = job.options.max_items_per_order
    if history is not None:
        return popular_item_lines(job.options.seed, orders, first_id, catalogue, most)
    return item_lines(job.rng, orders, first_id, catalogue.variant_ids, most)


def _write_orders(job: Job, orders: Orders, first_id: int) -> None:
    job.copy(_ORDER_COLUMNS, order_lines(orders, first_id, job.now), "orders", len(orders))
