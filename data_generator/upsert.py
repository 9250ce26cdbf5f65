"""Write customers, products and variants: new keys are added, known ones brought up to date."""

from array import array
from dataclasses import dataclass
from random import Random

from data_generator.catalogue import customer_lines, product_lines, variant_lines
from data_generator.chaos import OTHER_SIZES, chosen
from data_generator.history import History
from data_generator.job import Job
from data_generator.options import Options

_INCOMING = b"""
CREATE TEMP TABLE incoming_customers
    (position INTEGER, full_name TEXT, email TEXT, country TEXT, age INTEGER,
    created_at TIMESTAMPTZ) ON COMMIT DROP;
CREATE TEMP TABLE incoming_products
    (position INTEGER, name TEXT, category TEXT, sku TEXT) ON COMMIT DROP;
CREATE TEMP TABLE incoming_variants (
    position INTEGER, product_position INTEGER, variant_sku TEXT, color TEXT, size TEXT,
    manufacturing_price NUMERIC(10, 2), selling_price NUMERIC(10, 2), stock_quantity INTEGER
) ON COMMIT DROP
"""
_CUSTOMERS = b"""
INSERT INTO public.customers (full_name, email, country, age, created_at, updated_at)
SELECT full_name, email, country, age, created_at, %(now)s
FROM pg_temp.incoming_customers ORDER BY position
ON CONFLICT (email) DO UPDATE SET full_name = excluded.full_name, country = excluded.country,
    age = excluded.age, created_at = least(customers.created_at, excluded.created_at),
    updated_at = excluded.updated_at
"""
_PRODUCTS = b"""
INSERT INTO public.products (name, category, sku, created_at, updated_at)
SELECT name, category, sku, %(now)s, %(now)s FROM pg_temp.incoming_products ORDER BY position
ON CONFLICT (sku) DO UPDATE SET name = excluded.name, category = excluded.category,
    updated_at = excluded.updated_at
"""
_VARIANTS = b"""
INSERT INTO public.product_variants (product_id, variant_sku, color, size, manufacturing_price,
    selling_price, stock_quantity, is_active, created_at, updated_at)
SELECT p.id, v.variant_sku, v.color, v.size, v.manufacturing_price,
    v.selling_price, v.stock_quantity, true, %(now)s, %(now)s
FROM pg_temp.incoming_variants AS v
JOIN pg_temp.incoming_products AS i ON i.position = v.product_position
JOIN public.products AS p ON p.sku = i.sku
ORDER BY v.position
ON CONFLICT (variant_sku) DO UPDATE SET product_id = excluded.product_id, color = excluded.color,
    size = excluded.size, manufacturing_price = excluded.manufacturing_price,
    selling_price = excluded.selling_price, stock_quantity = excluded.stock_quantity,
    is_active = excluded.is_active, updated_at = excluded.updated_at
"""
_WRONG_SIZES = b"""
UPDATE pg_temp.incoming_variants AS v SET size = wrong.other
FROM unnest(%s::text[], %s::text[]) AS wrong (size, other)
WHERE wrong.size = v.size AND v.position = ANY(%s)
"""
_CUSTOMER_IDS = b"""
SELECT c.id FROM pg_temp.incoming_customers AS i JOIN public.customers AS c USING (email)
ORDER BY i.position
"""
_VARIANTS_WRITTEN = b"""
SELECT v.id, (100 * v.selling_price)::bigint
FROM pg_temp.incoming_variants AS i JOIN public.product_variants AS v USING (variant_sku)
ORDER BY i.position
"""


@dataclass(frozen=True, slots=True)
class Catalogue:
    """Ids of the customers and variants of a load, in the order in which they were drawn.

    In a fresh database that is the order of the ids. Rows of other loads are not in it, so that the
    orders drawn from it depend on the options alone. Prices are the variants' selling prices in
    cents.
    """

    customer_ids: "array[int]"
    variant_ids: "array[int]"
    prices: "array[int]"
    categories: list[str]
    """Of the variants."""


def upsert_catalogue(job: Job, history: History | None) -> Catalogue:
    """Draw and write the catalogue; every row of it gets the job's time as its updated_at.

    The customers are those of the history, where there is one.
    """
    options, connection, rng = job.options, job.connection, job.rng
    now = {"now": job.now}
    connection.execute(_INCOMING)

    if history is None:
        count = options.customers
        customers = customer_lines(rng, count, options.seed, job.now.isoformat())
    else:
        count = len(history.first_orders)
        customers = history.customer_lines(options.seed)
        _skip_customers(rng)
    job.copy("pg_temp.incoming_customers", customers, "customers", count)
    connection.execute(_CUSTOMERS, now)

    count = options.products
    product_categories: list[str] = []
    products = product_lines(rng, count, options.seed, product_categories)
    job.copy("pg_temp.incoming_products", products, "products", count)
    connection.execute(_PRODUCTS, now)

    categories: list[str] = []
    variants = variant_lines(rng, product_categories, categories)
    job.copy("pg_temp.incoming_variants", variants, "variants", count)
    if hit := chosen(len(categories), options.chaos_percent, options.seed):
        wrong = [list(OTHER_SIZES), list(OTHER_SIZES.values()), list(hit)]
        connection.execute(_WRONG_SIZES, wrong)
    connection.execute(_VARIANTS, now)
    customer_ids = array("q", (row[0] for row in connection.execute(_CUSTOMER_IDS)))
    written = connection.execute(_VARIANTS_WRITTEN).fetchall()
    ids, prices = (array("q", column) for column in zip(*written, strict=True))
    return Catalogue(customer_ids, ids, prices, categories)


def _skip_customers(rng: Random) -> None:
    """Draw what the customers of default options draw: the products are then the same."""
    for _ in range(Options.customers):
        rng.randint(18, 70)
