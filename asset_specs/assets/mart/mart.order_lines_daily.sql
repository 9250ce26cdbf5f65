/* @bruin
name: mart.order_lines_daily
type: duckdb.sql
description: >-
  What was ordered, one row per UTC day, category of the product, country of the customer and status of
  the order. Units, value, cost and profit add up over everything. An order with shoes and hoodies counts
  once in each of the two categories: orders add up over days, countries and statuses, but not over
  categories; orders of all categories are in mart.orders_daily.
owner: Data Team
tags:
  - mart
domains:
  - sales
  - product-catalog

depends:
  - stg.customers
  - stg.orders
  - stg.order_items
  - stg.product_variants
  - stg.products

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
  - name: category
    type: varchar
    description: Part of the catalogue, for example shoes or hoodies.
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
    description: Orders with one or more lines of the category. Not to be summed over categories.
    checks:
      - name: not_null
      - name: positive
  - name: units
    type: bigint
    description: Pieces on those lines.
    checks:
      - name: not_null
      - name: positive
  - extends: Measure.OrderedValue
    type: decimal(18,2)
    description: Value of those lines, in the shop's currency.
  - extends: Measure.Cost
    type: decimal(18,2)
  - extends: Measure.Profit
    type: decimal(18,2)

custom_checks:
  - name: one row per day, category, country and status
    description: No day has the same category, country and status twice.
    value: 0
    query: |
      SELECT COUNT(*)
      FROM (
          SELECT sale_date, category, country, status
          FROM mart.order_lines_daily
          GROUP BY sale_date, category, country, status
          HAVING COUNT(*) > 1
      ) AS repeated
  - name: no order line is lost
    description: All rows together hold exactly the pieces and the value of all lines of known orders.
    value: 0
    query: |
      SELECT COUNT(*)
      FROM (
          SELECT
              listed.units AS units_listed,
              ordered.units AS units_ordered,
              listed.value AS value_listed,
              ordered.value AS value_ordered
          FROM (
              SELECT
                  COALESCE(SUM(units), 0) AS units,
                  COALESCE(SUM(ordered_value), 0) AS value
              FROM mart.order_lines_daily
          ) AS listed
          CROSS JOIN (
              SELECT
                  COALESCE(SUM(i.quantity), 0) AS units,
                  COALESCE(SUM(i.total_price), 0) AS value
              FROM stg.order_items AS i
              JOIN stg.orders AS o ON o.order_id = i.order_id
          ) AS ordered
      ) AS compared
      WHERE units_listed <> units_ordered OR value_listed <> value_ordered
  - name: profit is value less cost
    description: Value, cost and profit of every row agree to the cent.
    value: 0
    query: SELECT COUNT(*) FROM mart.order_lines_daily WHERE profit <> ordered_value - cost
@bruin */

-- An order counts once in a category, however many of its lines are of it.
WITH categories_of_orders AS (
    SELECT
        i.order_id,
        p.category,
        SUM(i.quantity) AS units,
        SUM(i.total_price) AS ordered_value,
        SUM(i.quantity * v.manufacturing_price) AS cost
    FROM stg.order_items AS i
    JOIN stg.product_variants AS v ON v.variant_id = i.variant_id
    JOIN stg.products AS p ON p.product_id = v.product_id
    GROUP BY i.order_id, p.category
)

SELECT
    CAST(make_timestamp(epoch_us(o.order_date)) AS DATE) AS sale_date,
    l.category,
    COALESCE(c.country, 'Unknown') AS country,
    o.status,
    COUNT(*) AS orders_count,
    CAST(SUM(l.units) AS BIGINT) AS units,
    CAST(SUM(l.ordered_value) AS DECIMAL(18, 2)) AS ordered_value,
    CAST(SUM(l.cost) AS DECIMAL(18, 2)) AS cost,
    CAST(SUM(l.ordered_value) - SUM(l.cost) AS DECIMAL(18, 2)) AS profit
FROM categories_of_orders AS l
JOIN stg.orders AS o ON o.order_id = l.order_id
LEFT JOIN stg.customers AS c ON c.customer_id = o.customer_id
GROUP BY ALL
ORDER BY sale_date, l.category, country, o.status
