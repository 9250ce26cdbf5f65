"""Suppress what sqlglot logs about SQL that it cannot parse.

Callers handle such SQL, which is right more often than not; a remark in a user's log would only
mislead. The logger stays as it is for other users of sqlglot in this process.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

_unwanted = ContextVar("_unwanted", default=False)


def _is_wanted(record: logging.LogRecord) -> bool:
    return not _unwanted.get()


@contextmanager
def without_remarks() -> Iterator[None]:
    """Drop what sqlglot logs in this thread until the end of the block (or function)."""
    logging.getLogger("sqlglot").addFilter(_is_wanted)  # which it does once
    token = _unwanted.set(True)
    try:
        yield
    finally:
        _unwanted.reset(token)
