"""Errors that a user can do something about end in their text, not in a traceback."""

from __future__ import annotations

import errno
import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import click

# By name, so that a command which never meets one does not import where it comes from. A class
# of the table, or of its bases, decides the exit code: 2 for files and settings, 1 for the rest.
_EXIT_CODES = {
    "ProjectError": 2,
    "UnusableConnection": 2,
    "WarehouseError": 1,
    "AssetError": 1,
    "SourceError": 1,
    "EmbeddedPostgresError": 1,
    "GeneratorError": 1,
    "StateError": 1,
    "SelectionError": 2,
    "QueryError": 1,
    "FolderError": 2,
}
_INTERRUPTED = 130
# What a machine refuses whatever the program does: rights, room, a broken disk.
_OF_THE_MACHINE = {
    errno.EACCES,
    errno.EDQUOT,
    errno.EFBIG,
    errno.EIO,
    errno.ENOSPC,
    errno.EPERM,
    errno.EROFS,
}


@contextmanager
def user_errors() -> Iterator[None]:
    """Print what the user can act on, and leave with an exit code."""
    # Of a connection that was interrupted psycopg logs that it cannot roll back any more. Without
    # a handler Python would print that.
    logging.getLogger("psycopg").addHandler(logging.NullHandler())
    try:
        yield
    except (click.ClickException, SystemExit):
        raise
    except KeyboardInterrupt as error:
        click.echo(str(error) or "Interrupted.", err=True)
        sys.exit(_INTERRUPTED)
    except BrokenPipeError:
        sys.exit(1)
    except Exception as error:
        told = _for_the_user(error)
        if told is None:
            raise
        message, code = told
        click.echo(message, err=True)
        sys.exit(code)


def _for_the_user(error: Exception) -> tuple[str, int] | None:
    """What to say of an error, and the exit code; None for a mistake of this program."""
    names = (kind.__name__ for kind in type(error).__mro__)
    code = next((_EXIT_CODES[name] for name in names if name in _EXIT_CODES), None)
    if code is not None:
        return str(error), code
    if isinstance(error, OSError) and error.errno in _OF_THE_MACHINE:
        return ": ".join(str(part) for part in (error.filename, error.strerror) if part), 1
    return None
