/* @bruin
name: mart.variant_profitability
type: duckdb.sql
description: >-
  What each variant earns after its production cost, over all time. Only lines of paid and shipped
  orders count; variants that were never sold are not listed. Cost is taken at today's manufacturing
  price, the shop keeps no older ones.
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
  - name: product_name
    type: varchar
    description: Name of the product this is a variant of.
  - name: variant_id
    type: bigint
    description: Number that identifies the variant.
    primary_key: true
    checks:
      - name: not_null
      - name: unique
  - name: variant_sku
    type: varchar
    description: Stock keeping unit of the variant, the code on its label.
    checks:
      - name: not_null
  - name: product_id
    type: bigint
    description: Product this is a variant of.
    checks:
      - name: not_null
  - name: items_sold
    type: bigint
    description: Pieces sold.
    checks:
      - name: not_null
  - name: revenue
    type: decimal(18,2)
    description: What was paid for those pieces, in the shop's currency.
    checks:
      - name: not_null
  - name: cost
    type: decimal(18,2)
    description: What it cost to make those pieces, that is pieces sold times manufacturing price, in the shop's currency.
    checks:
      - name: not_null
  - name: profit
    type: decimal(18,2)
    description: Revenue less cost, in the shop's currency. Negative when the variant loses money.
    checks:
      - name: not_null
  - name: margin_pct
    type: double
    description: >-
      Profit as a share of revenue, rounded to four decimals: 0.25 means that a quarter of the revenue is
      left after cost. 0 when the pieces were given away for nothing.
    checks:
      - name: not_null
  - name: selling_price_below_cost
    type: boolean
    description: True when today's list price is lower than what one piece costs to make.
@bruin */

WITH sold AS (
    SELECT
        i.variant_id,
        CAST(SUM(i.quantity) AS BIGINT) AS items_sold,
        CAST(SUM(i.total_price) AS DECIMAL(18, 2)) AS revenue
    FROM stg.order_items AS i
    JOIN stg.orders AS o ON o.order_id = i.order_id
    WHERE o.status IN ('paid', 'shipped')
    GROUP BY i.variant_id
),

costed AS (
    SELECT
        v.variant_id,
        v.variant_sku,
        v.product_id,
        s.items_sold,
        s.revenue,
        CAST(s.items_sold * v.manufacturing_price AS DECIMAL(18, 2)) AS cost,
        v.selling_price < v.manufacturing_price AS selling_price_below_cost
    FROM sold AS s
    JOIN stg.product_variants AS v ON v.variant_id = s.variant_id
)

SELECT
    p.name AS product_name,
    c.variant_id,
    c.variant_sku,
    c.product_id,
    c.items_sold,
    c.revenue,
    c.cost,
    CAST(c.revenue - c.cost AS DECIMAL(18, 2)) AS profit,
    CASE
        WHEN c.revenue = 0 THEN CAST(0 AS DOUBLE)
        ELSE ROUND(CAST(c.revenue - c.cost AS DOUBLE) / CAST(c.revenue AS DOUBLE), 4)
    END AS margin_pct,
    c.selling_price_below_cost
FROM costed AS c
JOIN stg.products AS p ON p.product_id = c.product_id
ORDER BY c.revenue - c.cost DESC, c.variant_id
