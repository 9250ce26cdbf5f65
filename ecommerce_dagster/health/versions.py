"""The installed versions, and whether they were tested together."""

from __future__ import annotations

import platform
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, version

from ecommerce_dagster._compat import FIRST_TRIED, LAST_TRIED, is_tried
from ecommerce_dagster.health.finding import Finding, Setup


def versions(setup: Setup) -> Iterator[Finding]:
    """Python, this package, Dagster and DuckDB. A connection tells the version of its server."""
    yield _version("python", platform.python_version())
    for package in ("ecommerce-dagster", "duckdb"):
        yield _version(package, _installed(package))
    found = version("dagster")
    if is_tried():
        yield _version("dagster", found)
        return
    yield Finding(
        "version",
        "dagster",
        "warning",
        f"{found}; tried were {FIRST_TRIED} to {LAST_TRIED}",
        f"Install one of those if something is odd: pip install 'dagster=={LAST_TRIED}'",
        {"version": found},
    )


def _version(name: str, found: str) -> Finding:
    return Finding("version", name, "ok", found, facts={"version": found})


def _installed(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        # Python's path alone leads to it.
        return "not installed"
