"""Jinja in a sandbox: variables, macros and filters that a query may use."""
