"""The same for PostgreSQL: the server parses each query over substitutes for tables to come."""
