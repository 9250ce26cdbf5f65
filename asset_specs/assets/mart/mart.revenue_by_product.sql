/* @bruin
name: mart.revenue_by_product
type: duckdb.sql
description: >-
  Ordered value per product, over all time. All orders count, pending and cancelled ones too: this is
  demand, not income. Products that were never ordered are not listed.
owner: Data Team
tags:
  - mart
domains:
  - product-catalog
  - sales

depends:
  - raw.order_items
  - raw.product_variants
  - raw.products

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
      - name: unique
  - name: product_name
    type: varchar
    description: Name under which the product is offered.
    checks:
      - name: not_null
  - name: revenue
    type: decimal(18,2)
    description: >-
      Ordered value, that is of all order lines of the product whatever the order's status, in the shop's
      currency. Of paid and shipped orders alone it is less; that is what other tables call revenue.
    checks:
      - name: not_null
      - name: non_negative
  - name: units
    type: bigint
    description: Pieces on those order lines.
    checks:
      - name: not_null
      - name: positive

custom_checks:
  - name: no order line is lost
    description: The products together hold exactly the pieces and the value of all loaded order lines.
    value: 0
    query: |
      SELECT COUNT(*)
      FROM (
          SELECT
              (SELECT COALESCE(SUM(revenue), 0) FROM mart.revenue_by_product) AS revenue_listed,
              (SELECT COALESCE(SUM(total_price), 0) FROM raw.order_items) AS revenue_ordered,
              (SELECT COALESCE(SUM(units), 0) FROM mart.revenue_by_product) AS units_listed,
              (SELECT COALESCE(SUM(quantity), 0) FROM raw.order_items) AS units_ordered
      ) AS compared
      WHERE revenue_listed <> revenue_ordered OR units_listed <> units_ordered
@bruin */

WITH ordered AS (
    SELECT
        variant_id,
        SUM(total_price) AS revenue,
        SUM(quantity) AS units
    FROM raw.order_items
    GROUP BY variant_id
)

SELECT
    p.id AS product_id,
    p.name AS product_name,
    CAST(SUM(o.revenue) AS DECIMAL(18, 2)) AS revenue,
    CAST(SUM(o.units) AS BIGINT) AS units
FROM ordered AS o
JOIN raw.product_variants AS v ON v.id = o.variant_id
JOIN raw.products AS p ON p.id = v.product_id
GROUP BY p.id, p.name
ORDER BY SUM(o.revenue) DESC, p.id
