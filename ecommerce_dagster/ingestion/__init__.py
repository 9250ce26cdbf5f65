"""Postgres into DuckDB, through DuckDB's postgres extension. Knows nothing of Dagster."""
