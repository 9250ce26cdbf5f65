/* @bruin
name: mart.top_skus
type: duckdb.sql
description: >-
  All variants that were ever sold, best seller first. Only paid and shipped orders count. Read as many
  rows from the top as you need.
owner: Data Team
tags:
  - mart
domains:
  - product-catalog
  - sales

depends:
  - mart.revenue_by_product_variant
  - stg.products

materialization:
  type: table
  strategy: create+replace

columns:
  - name: rank
    type: bigint
    description: >-
      Place by revenue, 1 is the best seller and no place is given twice: at equal revenue the variant
      with more pieces sold goes first, then the one whose code comes first in the alphabet.
    primary_key: true
    checks:
      - name: not_null
      - name: unique
      - name: positive
  - name: variant_sku
    type: varchar
    description: Stock keeping unit of the variant, the code on its label.
    checks:
      - name: not_null
      - name: unique
  - name: product_name
    type: varchar
    description: Name of the product this is a variant of.
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
  - name: revenue falls with the rank
    description: No variant stands below one that earned less, and no place is left out.
    value: 0
    query: |
      SELECT COUNT(*)
      FROM (
          SELECT
              t.rank,
              t.variant_sku,
              t.revenue,
              LAG(t.revenue) OVER (ORDER BY t.rank) AS revenue_of_place_before,
              ROW_NUMBER() OVER (ORDER BY t.rank) AS expected_rank
          FROM mart.top_skus AS t
      ) AS places
      WHERE places.revenue > places.revenue_of_place_before OR places.rank <> places.expected_rank
@bruin */

SELECT
    ROW_NUMBER() OVER (ORDER BY r.revenue DESC, r.units DESC, r.variant_sku, r.variant_id) AS rank,
    r.variant_sku,
    p.name AS product_name,
    r.revenue,
    r.units
FROM mart.revenue_by_product_variant AS r
JOIN stg.products AS p ON p.product_id = r.product_id
ORDER BY r.revenue DESC, r.units DESC, r.variant_sku, r.variant_id
