"""Bruin-style pipelines as typed, resolved values. Knows neither Dagster nor a database driver."""
