"""A warehouse in a DuckDB file: connections, write lock, published copy, loads, counting of
checks."""
