/* @bruin
name: mart.customers_by_age
type: duckdb.sql
description: >-
  How many customer accounts there are in each age group, whether or not the customer ever bought.
  Groups without customers are not listed.
owner: Data Team
tags:
  - mart
  - amazing-tag
domains:
  - customer-management

depends:
  - stg.customers

materialization:
  type: table
  strategy: create+replace

columns:
  - name: age_group
    type: varchar
    description: "Age in completed years: under 18, 18-24, 25-34, 35-49, 50+, or unknown when the customer gave none."
    primary_key: true
  - name: total_customers
    type: bigint
    description: Customer accounts in that group.
@bruin */

SELECT
    CASE
        WHEN age IS NULL THEN 'unknown'
        WHEN age < 18 THEN 'under 18'
        WHEN age < 25 THEN '18-24'
        WHEN age < 35 THEN '25-34'
        WHEN age < 50 THEN '35-49'
        ELSE '50+'
    END AS age_group,
    COUNT(*) AS total_customers
FROM stg.customers
GROUP BY age_group
ORDER BY total_customers DESC, age_group
