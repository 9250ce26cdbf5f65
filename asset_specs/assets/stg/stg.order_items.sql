/* @bruin
name: stg.order_items
type: duckdb.sql
description: >-
  One row per order line, whatever the status of its order. Each run rebuilds the UTC days of its
  interval. Quantities and prices are those of the source: a negative one is not repaired but reported.
owner: Data Team
tags:
  - staging
domains:
  - sales

# The variant is looked up in the raw table on purpose: a wrong size or price in the catalogue stops
# stg.product_variants, and must not stop the orders as well.
depends:
  - raw.order_items
  - raw.product_variants
  - stg.orders

materialization:
  type: table
  strategy: time_interval
  incremental_key: created_at
  time_granularity: timestamp

columns:
  - extends: OrderItem.ID
    primary_key: true
  - extends: OrderItem.OrderID
    foreign_key:
      table: stg.orders
      column: order_id
    checks:
      - name: relationships
        description: Every line belongs to an order we know.
  - extends: OrderItem.VariantID
    foreign_key:
      table: raw.product_variants
      column: id
    checks:
      - name: relationships
        description: Every line sells a variant we know.
  - extends: OrderItem.Quantity
  - extends: OrderItem.UnitPrice
  - extends: OrderItem.TotalPrice
  - extends: Base.CreatedAt

custom_checks:
  - name: order total equals the sum of its items
    description: >-
      The total of every order is the sum of its lines, to the cent. An order whose lines are missing
      is reported as well. A run looks at the orders of its own days: others may be on their way.
    value: 0
    query: |
      SELECT COUNT(*)
      FROM (
          SELECT
              o.order_id,
              o.order_date,
              o.total_amount,
              COALESCE(i.items_total, 0) AS items_total
          FROM stg.orders AS o
          LEFT JOIN (
              SELECT order_id, SUM(total_price) AS items_total
              FROM stg.order_items
              GROUP BY order_id
          ) AS i ON i.order_id = o.order_id
          {% if not var.all_time and not full_refresh %}
          WHERE o.order_date BETWEEN TIMESTAMPTZ '{{ start_timestamp }}' AND TIMESTAMPTZ '{{ end_timestamp }}'
          {% endif %}
      ) AS compared
      WHERE total_amount IS DISTINCT FROM items_total
@bruin */

SELECT
    id AS order_item_id,
    order_id,
    variant_id,
    quantity,
    unit_price,
    total_price,
    created_at
FROM raw.order_items
{% if not var.all_time and not full_refresh %}
WHERE created_at BETWEEN TIMESTAMPTZ '{{ start_timestamp }}' AND TIMESTAMPTZ '{{ end_timestamp }}'
{% endif %}
