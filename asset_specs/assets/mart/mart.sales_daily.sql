/* @bruin
name: mart.sales_daily
type: duckdb.sql
description: >-
  The shop's day at a glance: orders placed, lines ordered and revenue earned, one row per UTC day with
  at least one order.
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
  - name: orders_count
    type: bigint
    description: Orders placed on that day, whatever their status.
    checks:
      - name: not_null
  - name: items_count
    type: bigint
    description: Order lines of those orders, whatever their status. A line of three pieces counts once.
    checks:
      - name: not_null
  - name: revenue
    type: decimal(18,2)
    description: Total of the day's paid and shipped orders, in the shop's currency; 0 when there were none.
    checks:
      - name: not_null

custom_checks:
  - name: total revenue non-negative
    description: No day has a negative revenue.
    value: 0
    query: SELECT COUNT(*) FROM mart.sales_daily WHERE revenue < 0
@bruin */

-- The UTC day is worked out once per order, from the instant itself: a cast of a timestamp with time
-- zone would follow the time zone of the session and cost twenty times as much.
WITH dated_orders AS MATERIALIZED (
    SELECT
        CAST(make_timestamp(epoch_us(order_date)) AS DATE) AS sale_date,
        order_id,
        status,
        total_amount
    FROM stg.orders
),

orders_per_day AS (
    SELECT
        sale_date,
        COUNT(*) AS orders_count,
        SUM(total_amount) FILTER (WHERE status IN ('paid', 'shipped')) AS revenue
    FROM dated_orders
    GROUP BY sale_date
),

lines_per_day AS (
    SELECT
        o.sale_date,
        COUNT(*) AS items_count
    FROM stg.order_items AS i
    JOIN dated_orders AS o ON o.order_id = i.order_id
    GROUP BY o.sale_date
)

SELECT
    d.sale_date,
    d.orders_count,
    COALESCE(l.items_count, 0) AS items_count,
    CAST(COALESCE(d.revenue, 0) AS DECIMAL(18, 2)) AS revenue
FROM orders_per_day AS d
LEFT JOIN lines_per_day AS l ON l.sale_date = d.sale_date
ORDER BY d.sale_date
