/* @bruin
name: mart.orders_daily
type: duckdb.sql
description: >-
  Orders of every status, one row per UTC day, country of the customer and status. All numbers add up
  over days, countries and statuses. By category they are in mart.order_lines_daily, where an order
  counts in each of its categories.
owner: Data Team
tags:
  - mart
domains:
  - sales
  - customer-management

depends:
  - stg.customers
  - stg.orders
  - stg.order_items

materialization:
  type: table
  strategy: create+replace

columns:
  - name: sale_date
    type: date
    description: UTC day on which the orders were placed.
    primary_key: true
    checks:
      - name: not_null
  - name: country
    type: varchar
    description: Country of residence of the customer, as it is today; "Unknown" when the customer gave none.
    primary_key: true
    checks:
      - name: not_null
  - name: status
    type: varchar
    description: "How far the orders have got: pending, paid, shipped or cancelled. Paid and shipped ones are revenue."
    primary_key: true
    checks:
      - name: not_null
  - name: orders_count
    type: bigint
    description: Orders of that day, country and status.
    checks:
      - name: not_null
      - name: positive
  - name: units
    type: bigint
    description: Pieces of those orders.
    checks:
      - name: not_null
      - name: non_negative
  - extends: Measure.OrderedValue
    type: decimal(18,2)
    description: Total of those orders, in the shop's currency.

custom_checks:
  - name: one row per day, country and status
    description: No day has the same country and status twice.
    value: 0
    query: |
      SELECT COUNT(*)
      FROM (
          SELECT sale_date, country, status
          FROM mart.orders_daily
          GROUP BY sale_date, country, status
          HAVING COUNT(*) > 1
      ) AS repeated
  - name: no order is lost
    description: All rows together hold exactly the number and the value of all orders.
    value: 0
    query: |
      SELECT COUNT(*)
      FROM (
          SELECT
              (SELECT COALESCE(SUM(orders_count), 0) FROM mart.orders_daily) AS orders_listed,
              (SELECT COUNT(*) FROM stg.orders) AS orders_placed,
              (SELECT COALESCE(SUM(ordered_value), 0) FROM mart.orders_daily) AS value_listed,
              (SELECT COALESCE(SUM(total_amount), 0) FROM stg.orders) AS value_ordered
      ) AS compared
      WHERE orders_listed <> orders_placed OR value_listed <> value_ordered
@bruin */

WITH units_per_order AS (
    SELECT
        order_id,
        SUM(quantity) AS units
    FROM stg.order_items
    GROUP BY order_id
)

SELECT
    CAST(make_timestamp(epoch_us(o.order_date)) AS DATE) AS sale_date,
    COALESCE(c.country, 'Unknown') AS country,
    o.status,
    COUNT(*) AS orders_count,
    CAST(COALESCE(SUM(u.units), 0) AS BIGINT) AS units,
    CAST(COALESCE(SUM(o.total_amount), 0) AS DECIMAL(18, 2)) AS ordered_value
FROM stg.orders AS o
LEFT JOIN stg.customers AS c ON c.customer_id = o.customer_id
LEFT JOIN units_per_order AS u ON u.order_id = o.order_id
GROUP BY ALL
ORDER BY sale_date, country, status
