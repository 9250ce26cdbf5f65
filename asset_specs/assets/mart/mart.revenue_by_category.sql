/* @bruin
name: mart.revenue_by_category
type: duckdb.sql
description: >-
  Ordered value per part of the catalogue, over all time. All orders count, pending and cancelled ones too:
  this is demand, not income.
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
  - name: category
    type: varchar
    description: Part of the catalogue, for example shoes or hoodies.
    primary_key: true
    checks:
      - name: not_null
      - name: unique
  - name: revenue
    type: decimal(18,2)
    description: >-
      Ordered value, that is of all order lines of the category whatever the order's status, in the shop's
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
    description: The categories together hold exactly the pieces and the value of all loaded order lines.
    value: 0
    query: |
      SELECT COUNT(*)
      FROM (
          SELECT
              (SELECT COALESCE(SUM(revenue), 0) FROM mart.revenue_by_category) AS revenue_listed,
              (SELECT COALESCE(SUM(total_price), 0) FROM raw.order_items) AS revenue_ordered,
              (SELECT COALESCE(SUM(units), 0) FROM mart.revenue_by_category) AS units_listed,
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
    p.category,
    CAST(SUM(o.revenue) AS DECIMAL(18, 2)) AS revenue,
    CAST(SUM(o.units) AS BIGINT) AS units
FROM ordered AS o
JOIN raw.product_variants AS v ON v.id = o.variant_id
JOIN raw.products AS p ON p.id = v.product_id
GROUP BY p.category
ORDER BY SUM(o.revenue) DESC, p.category
