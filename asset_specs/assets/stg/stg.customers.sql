/* @bruin
name: stg.customers
type: duckdb.sql
description: >-
  One row per customer account, with e-mail and country freed from surrounding blanks. A customer who
  gave no country counts under "Unknown".
owner: Data Team
tags:
  - staging
domains:
  - customer-management

depends:
  - raw.customers

materialization:
  type: table
  strategy: create+replace

columns:
  - extends: Customer.ID
    primary_key: true
  - extends: Customer.Email
  - extends: Customer.FullName
  - extends: Customer.Country
  - extends: Customer.Age
  - extends: Base.CreatedAt
  - extends: Base.UpdatedAt
@bruin */

SELECT
    id AS customer_id,
    TRIM(email) AS email,
    full_name,
    COALESCE(NULLIF(TRIM(country), ''), 'Unknown') AS country,
    age,
    created_at,
    updated_at
FROM raw.customers
