/* @bruin
name: mart.customer_lifetime_value
type: duckdb.sql
description: >-
  What each customer has been worth to the shop so far. Every account is listed; only paid and shipped
  orders count, so an account that never bought shows no order dates, 0 orders and 0 revenue.
owner: Data Team
tags:
  - mart
domains:
  - customer-management
  - sales

depends:
  - stg.customers
  - stg.orders

materialization:
  type: table
  strategy: create+replace

columns:
  - name: customer_id
    type: bigint
    description: Number that identifies the customer.
    primary_key: true
    checks:
      - name: not_null
      - name: unique
  - name: country
    type: varchar
    description: Country of residence in English; "Unknown" when the customer gave none.
  - name: first_order_date
    type: date
    description: UTC day of the first paid or shipped order; empty when there is none.
  - name: last_order_date
    type: date
    description: UTC day of the latest paid or shipped order; empty when there is none.
  - name: orders_count
    type: bigint
    description: Paid and shipped orders of the customer.
    checks:
      - name: not_null
      - name: non_negative
  - name: revenue
    type: decimal(18,2)
    description: Total of those orders, in the shop's currency.
    checks:
      - name: not_null
      - name: non_negative
  - name: average_order_value
    type: decimal(18,2)
    description: >-
      Revenue divided by those orders, in the shop's currency, rounded to the cent (half a cent upwards);
      empty when there is no order.
    checks:
      - name: non_negative

custom_checks:
  - name: order dates match the orders
    description: A customer with orders has a first day that is not after the last; one without orders has neither.
    value: 0
    query: |
      SELECT COUNT(*)
      FROM mart.customer_lifetime_value
      WHERE first_order_date > last_order_date
          OR (orders_count > 0) <> (first_order_date IS NOT NULL)
          OR (orders_count > 0) <> (last_order_date IS NOT NULL)
@bruin */

WITH bought AS (
    SELECT
        customer_id,
        MIN(order_date) AS first_order_at,
        MAX(order_date) AS last_order_at,
        COUNT(*) AS orders_count,
        SUM(total_amount) AS revenue
    FROM stg.orders
    WHERE status IN ('paid', 'shipped')
    GROUP BY customer_id
)

-- A quotient is a floating-point number; on its way through DECIMAL(28, 10) half a cent stays half a
-- cent and is rounded up.
SELECT
    c.customer_id,
    c.country,
    CAST(make_timestamp(epoch_us(b.first_order_at)) AS DATE) AS first_order_date,
    CAST(make_timestamp(epoch_us(b.last_order_at)) AS DATE) AS last_order_date,
    COALESCE(b.orders_count, 0) AS orders_count,
    CAST(COALESCE(b.revenue, 0) AS DECIMAL(18, 2)) AS revenue,
    CAST(ROUND(CAST(
        CAST(b.revenue AS DOUBLE) / b.orders_count AS DECIMAL(28, 10)
    ), 2) AS DECIMAL(18, 2)) AS average_order_value
FROM stg.customers AS c
LEFT JOIN bought AS b ON b.customer_id = c.customer_id
ORDER BY COALESCE(b.revenue, 0) DESC, c.customer_id
