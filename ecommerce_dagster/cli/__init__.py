"""The `ecommerce` command."""

from ecommerce_dagster.cli.main import main

__all__ = ["main"]
