-- The five source tables of the shop. Safe to run again: nothing that exists is changed.

CREATE TABLE IF NOT EXISTS public.customers (
    id BIGSERIAL PRIMARY KEY,
    full_name TEXT NOT NULL,
    email TEXT NOT NULL UNIQUE,
    country TEXT NOT NULL,
    age INTEGER NOT NULL CHECK (age >= 0),
    created_at TIMESTAMPTZ NOT NULL DEFAULT now(),
    updated_at TIMESTAMPTZ NOT NULL DEFAULT now()
);

CREATE TABLE IF NOT EXISTS public.products (
    id BIGSERIAL PRIMARY KEY,
    name TEXT NOT NULL,
    category TEXT NOT NULL,
    sku TEXT NOT NULL UNIQUE,
    created_at TIMESTAMPTZ NOT NULL DEFAULT now(),
    updated_at TIMESTAMPTZ NOT NULL DEFAULT now()
);

CREATE TABLE IF NOT EXISTS public.product_variants (
    id BIGSERIAL PRIMARY KEY,
    product_id BIGINT NOT NULL REFERENCES public.products (id) ON DELETE CASCADE,
    variant_sku TEXT NOT NULL UNIQUE,
    color TEXT,
    size TEXT,
    manufacturing_price NUMERIC(10, 2) NOT NULL,
    selling_price NUMERIC(10, 2) NOT NULL,
    stock_quantity INTEGER NOT NULL,
    is_active BOOLEAN NOT NULL DEFAULT true,
    created_at TIMESTAMPTZ NOT NULL DEFAULT now(),
    updated_at TIMESTAMPTZ NOT NULL DEFAULT now()
);

CREATE TABLE IF NOT EXISTS public.orders (
    id BIGSERIAL PRIMARY KEY,
    customer_id BIGINT NOT NULL REFERENCES public.customers (id),
    order_date TIMESTAMPTZ NOT NULL DEFAULT now(),
    status TEXT NOT NULL,
    total_amount NUMERIC(12, 2),
    created_at TIMESTAMPTZ NOT NULL DEFAULT now(),
    updated_at TIMESTAMPTZ NOT NULL DEFAULT now()
);

CREATE TABLE IF NOT EXISTS public.order_items (
    id BIGSERIAL PRIMARY KEY,
    order_id BIGINT NOT NULL REFERENCES public.orders (id) ON DELETE CASCADE,
    variant_id BIGINT NOT NULL REFERENCES public.product_variants (id),
    quantity INTEGER NOT NULL,
    unit_price NUMERIC(10, 2) NOT NULL,
    total_price NUMERIC(12, 2) GENERATED ALWAYS AS (quantity * unit_price) STORED,
    created_at TIMESTAMPTZ NOT NULL DEFAULT now()
);

-- What incremental readers and the sensor filter on.
CREATE INDEX IF NOT EXISTS customers_updated_at_idx ON public.customers (updated_at);
CREATE INDEX IF NOT EXISTS products_updated_at_idx ON public.products (updated_at);
CREATE INDEX IF NOT EXISTS product_variants_updated_at_idx ON public.product_variants (updated_at);
CREATE INDEX IF NOT EXISTS orders_order_date_idx ON public.orders (order_date);
CREATE INDEX IF NOT EXISTS orders_updated_at_idx ON public.orders (updated_at);
CREATE INDEX IF NOT EXISTS order_items_created_at_idx ON public.order_items (created_at);

-- The foreign keys.
CREATE INDEX IF NOT EXISTS product_variants_product_id_idx ON public.product_variants (product_id);
CREATE INDEX IF NOT EXISTS orders_customer_id_idx ON public.orders (customer_id);
CREATE INDEX IF NOT EXISTS order_items_order_id_idx ON public.order_items (order_id);
CREATE INDEX IF NOT EXISTS order_items_variant_id_idx ON public.order_items (variant_id);
