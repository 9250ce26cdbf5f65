/* @bruin
name: mart.order_kpis_daily
type: duckdb.sql
description: >-
  What an average sale looks like, one row per UTC day with at least one paid or shipped order. Pending
  and cancelled orders do not count.
owner: Data Team
tags:
  - mart
domains:
  - sales

depends:
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
      - name: unique
  - name: paid_orders
    type: bigint
    description: Paid and shipped orders placed on that day.
    checks:
      - name: not_null
      - name: positive
  - name: revenue
    type: decimal(18,2)
    description: Total of those orders, in the shop's currency.
    checks:
      - name: not_null
      - name: non_negative
  - name: average_order_value
    type: decimal(18,2)
    description: Revenue divided by those orders, in the shop's currency, rounded to the cent (half a cent upwards).
    checks:
      - name: not_null
      - name: non_negative
  - name: units_per_order
    type: double
    description: Pieces sold divided by those orders, rounded to four decimals.
    checks:
      - name: not_null
      - name: non_negative
@bruin */

WITH sales AS MATERIALIZED (
    SELECT
        CAST(make_timestamp(epoch_us(order_date)) AS DATE) AS sale_date,
        order_id,
        total_amount
    FROM stg.orders
    WHERE status IN ('paid', 'shipped')
),

orders_per_day AS (
    SELECT
        sale_date,
        COUNT(*) AS paid_orders,
        CAST(COALESCE(SUM(total_amount), 0) AS DECIMAL(18, 2)) AS revenue
    FROM sales
    GROUP BY sale_date
),

units_per_day AS (
    SELECT
        s.sale_date,
        CAST(SUM(i.quantity) AS BIGINT) AS units
    FROM stg.order_items AS i
    JOIN sales AS s ON s.order_id = i.order_id
    GROUP BY s.sale_date
)

-- A quotient is a floating-point number; on its way through DECIMAL(28, 10) half a cent stays half a
-- cent and is rounded up.
SELECT
    d.sale_date,
    d.paid_orders,
    d.revenue,
    CAST(ROUND(CAST(
        CAST(d.revenue AS DOUBLE) / d.paid_orders AS DECIMAL(28, 10)
    ), 2) AS DECIMAL(18, 2)) AS average_order_value,
    ROUND(CAST(COALESCE(u.units, 0) AS DOUBLE) / d.paid_orders, 4) AS units_per_order
FROM orders_per_day AS d
LEFT JOIN units_per_day AS u ON u.sale_date = d.sale_date
ORDER BY d.sale_date
