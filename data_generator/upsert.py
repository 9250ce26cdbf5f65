"""Write customers, products and variants: new keys are added, known ones brought up to date."""

from array import array
from dataclasses import dataclass
from typing import Any

import psycopg

from data_generator.catalogue import customer_lines, product_lines, variant_lines
from data_generator.chaos import wrong_sizes
from data_generator.job import Job

_INCOMING = b"""
CREATE TEMP TABLE incoming_customers
    (position INTEGER, full_name TEXT, email TEXT, country TEXT, age INTEGER) ON COMMIT DROP;
CREATE TEMP TABLE incoming_products
    (position INTEGER, name TEXT, category TEXT, sku TEXT) ON COMMIT DROP;
CREATE TEMP TABLE incoming_variants (
    position INTEGER, product_position INTEGER, variant_sku TEXT, color TEXT, size TEXT,
    manufacturing_price NUMERIC(10, 2), selling_price NUMERIC(10, 2), stock_quantity INTEGER
) ON COMMIT DROP
"""
_CUSTOMERS = b"""
INSERT INTO public.customers (full_name, email, country, age, created_at, updated_at)
SELECT full_name, email, country, age, %(now)s, %(now)s
FROM pg_temp.incoming_customers ORDER BY position
ON CONFLICT (email) DO UPDATE SET full_name = excluded.full_name, country = excluded.country,
    age = excluded.age, updated_at = excluded.updated_at
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
UPDATE pg_temp.incoming_variants AS v SET size = wrong.size
FROM unnest(%s::int[], %s::text[]) AS wrong (position, size) WHERE wrong.position = v.position
"""
_CUSTOMER_IDS = b"""
SELECT c.id FROM pg_temp.incoming_customers AS i JOIN public.customers AS c USING (email)
ORDER BY i.position
"""
_VARIANT_IDS = b"""
SELECT v.id
FROM pg_temp.incoming_variants AS i JOIN public.product_variants AS v USING (variant_sku)
ORDER BY i.position
"""


@dataclass(frozen=True, slots=True)
class Catalogue:
    """Ids of the customers and variants of a load, in the order in which they were drawn.

    In a fresh database that is the order of the ids. Rows of other loads are not in it, so that the
    orders drawn from it depend on the options alone.
    """

    customer_ids: "array[int]"
    variant_ids: "array[int]"


def upsert_catalogue(job: Job) -> Catalogue:
    """Draw and write the catalogue; every row of it gets the job's time as its updated_at."""
    options, connection = job.options, job.connection
    now = {"now": job.now}
    connection.execute(_INCOMING)

    count = options.customers * options.scale
    customers = customer_lines(job.rng, count, options.seed)
    job.copy("pg_temp.incoming_customers", customers, "customers", count)
    connection.execute(_CUSTOMERS, now)

    count = options.products * options.scale
    product_categories: list[str] = []
    products = product_lines(job.rng, count, options.seed, product_categories)
    job.copy("pg_temp.incoming_products", products, "products", count)
    connection.execute(_PRODUCTS, now)

    categories: list[str] = []
    variants = variant_lines(job.rng, product_categories, categories)
    job.copy("pg_temp.incoming_variants", variants, "variants", count)
    wrong = wrong_sizes(categories, options.chaos_percent, options.seed)
    connection.execute(_WRONG_SIZES, [list(wrong), list(wrong.values())])
    connection.execute(_VARIANTS, now)
    return Catalogue(_ids(connection, _CUSTOMER_IDS), _ids(connection, _VARIANT_IDS))


def _ids(connection: psycopg.Connection[Any], query: bytes) -> "array[int]":
    return array("q", (row[0] for row in connection.execute(query)))
