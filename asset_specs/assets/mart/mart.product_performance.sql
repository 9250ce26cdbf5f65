/* @bruin
name: mart.product_performance
type: duckdb.sql
description: >-
  How well each product sells, over all time. Only lines of paid and shipped orders count; products that
  were never sold are not listed.
owner: Data Team
tags:
  - mart
domains:
  - product-catalog
  - sales

depends:
  - stg.orders
  - stg.order_items
  - stg.product_variants
  - stg.products

materialization:
  type: table
  strategy: create+replace

columns:
  - name: product_id
    type: bigint
    description: Number that identifies the product.
    primary_key: true
    checks:
      - name: not_null
  - name: product_name
    type: varchar
    description: Name under which the product is offered.
    checks:
      - name: not_null
  - name: category
    type: varchar
    description: Part of the catalogue the product belongs to.
    checks:
      - name: not_null
  - name: items_sold
    type: bigint
    description: Pieces sold, over all variants of the product.
    checks:
      - name: not_null
  - name: gross_revenue
    type: decimal(18,2)
    description: What was paid for those pieces, before any cost, in the shop's currency.
    checks:
      - name: not_null
  - name: avg_item_price
    type: decimal(18,2)
    description: >-
      Average price of one piece sold, that is gross revenue divided by items sold, rounded to the cent
      (half a cent upwards).
    checks:
      - name: not_null

custom_checks:
  - name: no negative prices or revenue
    description: No product has a negative revenue or a negative average price.
    value: 0
    query: SELECT COUNT(*) FROM mart.product_performance WHERE gross_revenue < 0 OR avg_item_price < 0
@bruin */

WITH sold AS (
    SELECT
        i.variant_id,
        SUM(i.quantity) AS units,
        SUM(i.total_price) AS revenue
    FROM stg.order_items AS i
    JOIN stg.orders AS o ON o.order_id = i.order_id
    WHERE o.status IN ('paid', 'shipped')
    GROUP BY i.variant_id
),

sold_products AS (
    SELECT
        v.product_id,
        CAST(SUM(s.units) AS BIGINT) AS items_sold,
        CAST(SUM(s.revenue) AS DECIMAL(18, 2)) AS gross_revenue
    FROM sold AS s
    JOIN stg.product_variants AS v ON v.variant_id = s.variant_id
    GROUP BY v.product_id
)

-- A quotient is a floating-point number; on its way through DECIMAL(28, 10) half a cent stays half a
-- cent and is rounded up.
SELECT
    p.product_id,
    p.name AS product_name,
    p.category,
    sp.items_sold,
    sp.gross_revenue,
    CAST(ROUND(CAST(
        CAST(sp.gross_revenue AS DOUBLE) / NULLIF(sp.items_sold, 0) AS DECIMAL(28, 10)
    ), 2) AS DECIMAL(18, 2)) AS avg_item_price
FROM sold_products AS sp
JOIN stg.products AS p ON p.product_id = sp.product_id
ORDER BY sp.gross_revenue DESC, p.product_id
