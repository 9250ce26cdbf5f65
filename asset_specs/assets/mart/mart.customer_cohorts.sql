/* @bruin
name: mart.customer_cohorts
type: duckdb.sql
description: >-
  What became of the customers who first bought in a month. One row per month of the first order, country
  and each month from then to the latest one with a sale, also where none of them bought. Only paid and
  shipped orders count. All numbers add up over countries; the share that came back is
  active_customers divided by cohort_customers.
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
  - name: cohort_month
    type: date
    description: First day of the month (UTC) of the customers' first paid or shipped order.
    primary_key: true
    checks:
      - name: not_null
  - name: country
    type: varchar
    description: Country of residence of the customers, as it is today; "Unknown" for those who gave none.
    primary_key: true
    checks:
      - name: not_null
  - name: months_since
    type: integer
    description: Whole months since the month of the first order; 0 is that month itself.
    primary_key: true
    checks:
      - name: not_null
      - name: non_negative
  - name: cohort_customers
    type: bigint
    description: Customers who first bought in the month, the same in each row of the cohort.
    checks:
      - name: not_null
      - name: positive
  - name: active_customers
    type: bigint
    description: Those of them who bought in this month.
    checks:
      - name: not_null
      - name: non_negative
  - name: orders_count
    type: bigint
    description: Their paid and shipped orders in this month.
    checks:
      - name: not_null
      - name: non_negative
  - name: revenue
    type: decimal(18,2)
    description: Total of those orders, in the shop's currency.
    checks:
      - name: not_null
      - name: non_negative

custom_checks:
  - name: a cohort begins complete
    description: In the month of their first order all customers of a cohort bought, later not more than all.
    value: 0
    query: |
      SELECT COUNT(*)
      FROM mart.customer_cohorts
      WHERE active_customers > cohort_customers
          OR (months_since = 0 AND active_customers <> cohort_customers)
  - name: no sale is lost
    description: The cohorts together hold exactly the paid and shipped orders and their revenue.
    value: 0
    query: |
      SELECT COUNT(*)
      FROM (
          SELECT
              (SELECT COALESCE(SUM(orders_count), 0) FROM mart.customer_cohorts) AS orders_listed,
              (SELECT COALESCE(SUM(revenue), 0) FROM mart.customer_cohorts) AS revenue_listed,
              COUNT(*) AS orders_sold,
              COALESCE(SUM(total_amount), 0) AS revenue_sold
          FROM stg.orders
          WHERE status IN ('paid', 'shipped')
      ) AS compared
      WHERE orders_listed <> orders_sold OR revenue_listed <> revenue_sold
@bruin */

WITH sales AS MATERIALIZED (
    SELECT
        customer_id,
        CAST(date_trunc('month', make_timestamp(epoch_us(order_date))) AS DATE) AS month,
        COUNT(*) AS orders_count,
        SUM(total_amount) AS revenue
    FROM stg.orders
    WHERE status IN ('paid', 'shipped')
    GROUP BY customer_id, month
),

buyers AS MATERIALIZED (
    SELECT
        s.customer_id,
        MIN(s.month) AS cohort_month,
        COALESCE(MIN(c.country), 'Unknown') AS country
    FROM sales AS s
    LEFT JOIN stg.customers AS c ON c.customer_id = s.customer_id
    GROUP BY s.customer_id
),

cohorts AS (
    SELECT
        cohort_month,
        country,
        COUNT(*) AS cohort_customers
    FROM buyers
    GROUP BY cohort_month, country
),

months AS (
    SELECT
        cohort_month,
        country,
        cohort_customers,
        UNNEST(RANGE(1 + DATEDIFF('month', cohort_month, (SELECT MAX(month) FROM sales)))) AS months_since
    FROM cohorts
),

activity AS (
    SELECT
        b.cohort_month,
        b.country,
        DATEDIFF('month', b.cohort_month, s.month) AS months_since,
        COUNT(*) AS active_customers,
        SUM(s.orders_count) AS orders_count,
        SUM(s.revenue) AS revenue
    FROM sales AS s
    JOIN buyers AS b ON b.customer_id = s.customer_id
    GROUP BY ALL
)

SELECT
    m.cohort_month,
    m.country,
    CAST(m.months_since AS INTEGER) AS months_since,
    m.cohort_customers,
    COALESCE(a.active_customers, 0) AS active_customers,
    CAST(COALESCE(a.orders_count, 0) AS BIGINT) AS orders_count,
    CAST(COALESCE(a.revenue, 0) AS DECIMAL(18, 2)) AS revenue
FROM months AS m
LEFT JOIN activity AS a
    ON a.cohort_month = m.cohort_month AND a.country = m.country AND a.months_since = m.months_since
ORDER BY m.cohort_month, m.country, m.months_since
