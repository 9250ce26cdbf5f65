"""What stands in a pipeline's files, as typed and resolved values. Knows neither Dagster nor a
database driver."""
