"""SQL as text: identifiers, types, rules of checks, tables that a query reads. Opens no database
of a user."""
