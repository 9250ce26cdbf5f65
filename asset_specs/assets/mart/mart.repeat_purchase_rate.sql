/* @bruin
name: mart.repeat_purchase_rate
type: duckdb.sql
description: >-
  How many buyers come back, over all time, in a single row. Only paid and shipped orders make a
  customer a buyer.
owner: Data Team
tags:
  - mart
domains:
  - customer-management
  - sales

depends:
  - stg.orders

materialization:
  type: table
  strategy: create+replace

columns:
  - name: customers
    type: bigint
    description: Customers with one or more paid or shipped orders.
    checks:
      - name: not_null
      - name: non_negative
  - name: repeat_customers
    type: bigint
    description: Those of them with two or more such orders.
    checks:
      - name: not_null
      - name: non_negative
  - name: repeat_purchase_rate
    type: double
    description: >-
      Repeat customers as a share of the customers, from 0 to 1 and rounded to four decimals: 0.4 means
      that four out of ten buyers came back. 0 as long as there is no buyer.
    checks:
      - name: not_null
      - name: min
        value: 0
      - name: max
        value: 1

custom_checks:
  - name: exactly one row
    description: The rate is one row, also before the first sale.
    value: 1
    query: SELECT COUNT(*) FROM mart.repeat_purchase_rate
@bruin */

WITH buyers AS (
    SELECT
        customer_id,
        COUNT(*) AS orders
    FROM stg.orders
    WHERE status IN ('paid', 'shipped')
    GROUP BY customer_id
),

counted AS (
    SELECT
        COUNT(*) AS customers,
        COUNT(*) FILTER (WHERE orders >= 2) AS repeat_customers
    FROM buyers
)

SELECT
    customers,
    repeat_customers,
    CASE
        WHEN customers = 0 THEN CAST(0 AS DOUBLE)
        ELSE ROUND(CAST(repeat_customers AS DOUBLE) / customers, 4)
    END AS repeat_purchase_rate
FROM counted
