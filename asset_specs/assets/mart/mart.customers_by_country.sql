/* @bruin
name: mart.customers_by_country
type: duckdb.sql
description: How many customer accounts there are in each country, whether or not the customer ever bought.
owner: Data Team
tags:
  - mart
domains:
  - customer-management

depends:
  - stg.customers

materialization:
  type: table
  strategy: create+replace

columns:
  - name: country
    type: varchar
    description: Country of residence in English; "Unknown" for customers who gave none.
    primary_key: true
  - name: total_customers
    type: bigint
    description: Customer accounts in that country.
@bruin */

SELECT
    country,
    COUNT(*) AS total_customers
FROM stg.customers
GROUP BY country
ORDER BY total_customers DESC, country
