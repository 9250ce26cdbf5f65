/* @bruin
name: mart.revenue_by_product_variant
type: duckdb.sql
description: >-
  Revenue per variant, over all time. Only lines of paid and shipped orders count; variants that were
  never sold are not listed.
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
      - name: unique
  - name: product_id
    type: bigint
    description: Product this is a variant of.
    checks:
      - name: not_null
  - name: revenue
    type: decimal(18,2)
    description: What was paid for the pieces sold, in the shop's currency.
    checks:
      - name: not_null
      - name: non_negative
  - name: units
    type: bigint
    description: Pieces sold.
    checks:
      - name: not_null
      - name: positive

custom_checks:
  - name: no sale is lost
    description: The variants together hold exactly the revenue of all lines of paid and shipped orders.
    value: 0
    query: |
      SELECT COUNT(*)
      FROM (
          SELECT
              (SELECT COALESCE(SUM(revenue), 0) FROM mart.revenue_by_product_variant) AS revenue_listed,
              (
                  SELECT COALESCE(SUM(i.total_price), 0)
                  FROM stg.order_items AS i
                  JOIN stg.orders AS o ON o.order_id = i.order_id
                  WHERE o.status IN ('paid', 'shipped')
              ) AS revenue_sold
      ) AS compared
      WHERE revenue_listed <> revenue_sold
@bruin */

WITH sold AS (
    SELECT
        i.variant_id,
        SUM(i.total_price) AS revenue,
        SUM(i.quantity) AS units
    FROM stg.order_items AS i
    JOIN stg.orders AS o ON o.order_id = i.order_id
    WHERE o.status IN ('paid', 'shipped')
    GROUP BY i.variant_id
)

SELECT
    v.variant_id,
    v.variant_sku,
    p.product_id,
    CAST(s.revenue AS DECIMAL(18, 2)) AS revenue,
    CAST(s.units AS BIGINT) AS units
FROM sold AS s
JOIN stg.product_variants AS v ON v.variant_id = s.variant_id
JOIN stg.products AS p ON p.product_id = v.product_id
ORDER BY s.revenue DESC, v.variant_id
