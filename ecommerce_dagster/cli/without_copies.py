"""Work in the warehouse without renewing its published copy."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from ecommerce_dagster.bruin.project import Project
from ecommerce_dagster.cli.errors import tell
from ecommerce_dagster.runtime.environment import publishes_copy, variables_for
from ecommerce_dagster.warehouses.duckdb.published_copy import publish_copy

_COPIES = "ECOMMERCE_PUBLISHED_COPY"


@contextmanager
def without_copies() -> Iterator[None]:
    """Inside no copy is made, and the warehouse itself is asked."""
    before = os.environ.get(_COPIES)
    os.environ[_COPIES] = "off"
    try:
        yield
    finally:
        if before is None:
            del os.environ[_COPIES]
        else:
            os.environ[_COPIES] = before


@contextmanager
def unseen(project: Project, connections: Sequence[str]) -> Iterator[None]:
    """Without copies. At the end the copy is again as the warehouse is."""
    found = [project.connections.get(name) for name in connections]
    places = [c.duckdb(variables_for(c.path)) for c in found if c.platform == "duckdb"]
    files = [p.path for p in places if p.lakehouse is None and p.motherduck_database is None]
    copies = [publishes_copy(variables_for(c.path)) for c in found]
    with without_copies():
        yield
    for file in files if all(copies) else ():
        if Path(file).exists():
            publish_copy(file, tell)
