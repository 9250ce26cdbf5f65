/* @bruin
name: stg.orders
type: duckdb.sql
description: >-
  One row per order, whatever its status. Each run rebuilds the UTC days of its interval. Amounts are
  those of the source: a missing or negative total is not repaired but reported.
owner: Data Team
tags:
  - staging
domains:
  - sales

depends:
  - raw.orders
  - stg.customers

materialization:
  type: table
  strategy: time_interval
  incremental_key: order_date
  time_granularity: timestamp

meta:
  anomalies: volume

columns:
  - extends: Order.ID
    primary_key: true
  - extends: Order.CustomerID
    foreign_key:
      table: stg.customers
      column: customer_id
    checks:
      - name: relationships
        description: Every order belongs to a customer we know.
  - extends: Order.OrderDate
  - extends: Order.Status
  - extends: Order.TotalAmount
@bruin */

SELECT
    id AS order_id,
    customer_id,
    order_date,
    status,
    total_amount
FROM raw.orders
{% if not var.all_time and not full_refresh %}
WHERE order_date BETWEEN TIMESTAMPTZ '{{ start_timestamp }}' AND TIMESTAMPTZ '{{ end_timestamp }}'
{% endif %}
