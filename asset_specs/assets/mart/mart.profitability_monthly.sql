/* @bruin
name: mart.profitability_monthly
type: duckdb.sql
description: >-
  What the shop earned after production cost, one row per month with at least one sale. Only lines of
  paid and shipped orders count. Cost is taken at today's manufacturing price, the shop keeps no older
  ones, so past months change when a manufacturing price does.
owner: Data Team
tags:
  - mart
domains:
  - sales

depends:
  - stg.orders
  - stg.order_items
  - stg.product_variants

materialization:
  type: table
  strategy: create+replace

columns:
  - name: month
    type: date
    description: First day of the month in which the orders were placed (UTC).
    primary_key: true
    checks:
      - name: not_null
      - name: unique
  - name: revenue
    type: decimal(18,2)
    description: What was paid for the pieces sold, in the shop's currency.
    checks:
      - name: not_null
      - name: non_negative
  - name: cost
    type: decimal(18,2)
    description: What it cost to make those pieces, that is pieces sold times manufacturing price, in the shop's currency.
    checks:
      - name: not_null
      - name: non_negative
  - name: profit
    type: decimal(18,2)
    description: Revenue less cost, in the shop's currency. Negative in a month that lost money.
    checks:
      - name: not_null
  - name: margin_pct
    type: double
    description: >-
      Profit as a share of revenue, rounded to four decimals: 0.25 means that a quarter of the revenue is
      left after cost. 0 in a month without revenue.
    checks:
      - name: not_null

custom_checks:
  - name: profit is revenue less cost
    description: Revenue, cost and profit of every month agree to the cent.
    value: 0
    query: SELECT COUNT(*) FROM mart.profitability_monthly WHERE profit <> revenue - cost
@bruin */

WITH sales AS (
    SELECT
        order_id,
        CAST(date_trunc('month', make_timestamp(epoch_us(order_date))) AS DATE) AS month
    FROM stg.orders
    WHERE status IN ('paid', 'shipped')
),

months AS (
    SELECT
        s.month,
        CAST(SUM(i.total_price) AS DECIMAL(18, 2)) AS revenue,
        CAST(SUM(i.quantity * v.manufacturing_price) AS DECIMAL(18, 2)) AS cost
    FROM stg.order_items AS i
    JOIN sales AS s ON s.order_id = i.order_id
    JOIN stg.product_variants AS v ON v.variant_id = i.variant_id
    GROUP BY s.month
)

SELECT
    month,
    revenue,
    cost,
    CAST(revenue - cost AS DECIMAL(18, 2)) AS profit,
    CASE
        WHEN revenue = 0 THEN CAST(0 AS DOUBLE)
        ELSE ROUND(CAST(revenue - cost AS DOUBLE) / CAST(revenue AS DOUBLE), 4)
    END AS margin_pct
FROM months
ORDER BY month
