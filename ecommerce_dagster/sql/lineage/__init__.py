"""Which column of which table each column of a query is computed from."""
