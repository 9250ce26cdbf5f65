"""Tables of PostgreSQL as a source: exact reading, watermarks, comparison of keys, what changed."""
