"""A warehouse in PostgreSQL: sessions, catalog, loads, dependent views, copies from DuckDB."""
