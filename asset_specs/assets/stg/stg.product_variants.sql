/* @bruin
name: stg.product_variants
type: duckdb.sql
description: >-
  One row per variant, that is a product in one colour and size, with its cost and list price. Variants
  of products that are not in the catalogue are left out.
owner: Data Team
tags:
  - staging
domains:
  - product-catalog

depends:
  - raw.product_variants
  - stg.products

materialization:
  type: table
  strategy: create+replace

columns:
  - extends: Variant.ID
    primary_key: true
  - extends: Variant.ProductID
    foreign_key:
      table: stg.products
      column: product_id
    checks:
      - name: relationships
        description: Every variant belongs to a product of the catalogue.
  - extends: Variant.VariantSKU
  - extends: Variant.Color
  - extends: Variant.Size
  - extends: Variant.ManufacturingPrice
  - extends: Variant.SellingPrice
  - extends: Variant.StockQuantity
  - extends: Variant.IsActive
  - extends: Base.CreatedAt
  - extends: Base.UpdatedAt

custom_checks:
  - name: validate product variant sizes
    description: >-
      Shoes carry a number as their size, everything else S, M, L or XL. A variant without a size passes.
    value: 0
    query: |
      SELECT COUNT(*)
      FROM (
          SELECT
              v.variant_id,
              v.variant_sku,
              p.name AS product_name,
              p.category,
              v.size
          FROM stg.product_variants AS v
          JOIN stg.products AS p ON p.product_id = v.product_id
      ) AS sized
      WHERE CASE
          WHEN category = 'shoes' THEN NOT regexp_full_match(size, '[0-9]+')
          ELSE size NOT IN ('S', 'M', 'L', 'XL')
      END
@bruin */

SELECT
    v.id AS variant_id,
    v.product_id,
    v.variant_sku,
    v.color,
    v.size,
    v.manufacturing_price,
    v.selling_price,
    v.stock_quantity,
    v.is_active,
    v.created_at,
    v.updated_at
FROM raw.product_variants AS v
WHERE EXISTS (
    SELECT 1
    FROM stg.products AS p
    WHERE p.product_id = v.product_id
)
