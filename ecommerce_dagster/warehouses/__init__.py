"""Databases that hold tables of assets: build a table, check it, publish it. Knows nothing of
Dagster."""
