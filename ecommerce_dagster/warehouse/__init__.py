"""Strategies and checks as SQL, and their execution in DuckDB. Knows nothing of Dagster."""
