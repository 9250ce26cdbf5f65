"""Write orders and items: those of the window go, the new ones come."""

from collections.abc import Iterable

from data_generator.job import Job, one_value
from data_generator.orders import Orders, draw_orders, item_lines, order_lines
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


def replace_orders(job: Job, catalogue: Catalogue, *, items_first: bool) -> int:
    """Replace the orders of the window; returns the items written.

    With `items_first` the items stream into their table while they are drawn, which needs the
    foreign keys out of the way. Otherwise their text is held until the orders are written.
    """
    connection, options, window = job.connection, job.options, job.window
    count = options.orders * options.scale
    connection.execute(_LOCK_ORDERS)
    connection.execute(_DELETE_ITEMS, [window.starting_at, window.ending_at])
    connection.execute(_DELETE_ORDERS, [window.starting_at, window.ending_at])
    first_id: int = one_value(connection, _RESERVE_IDS, count, count)

    orders = draw_orders(job.rng, count, catalogue.customer_ids, window)
    most = options.max_items_per_order
    items: Iterable[str] = item_lines(job.rng, orders, first_id, catalogue.variant_ids, most)
    if not items_first:
        items = list(items)
        _write_orders(job, orders, first_id)
    written = job.copy(_ITEM_COLUMNS, items, "items", count)
    if items_first:
        _write_orders(job, orders, first_id)
    return written


def _write_orders(job: Job, orders: Orders, first_id: int) -> None:
    job.copy(_ORDER_COLUMNS, order_lines(orders, first_id, job.now), "orders", len(orders))
