/* @bruin
name: stg.products
type: duckdb.sql
description: One row per product of the catalogue.
owner: Data Team
tags:
  - staging
domains:
  - product-catalog

depends:
  - raw.products

materialization:
  type: table
  strategy: create+replace

columns:
  - extends: Product.ID
    primary_key: true
  - extends: Product.Name
  - extends: Product.Category
  - extends: Product.SKU
  - extends: Base.CreatedAt
  - extends: Base.UpdatedAt
@bruin */

SELECT
    id AS product_id,
    name,
    category,
    sku,
    created_at,
    updated_at
FROM raw.products
