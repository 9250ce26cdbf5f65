"""Errors that a user can do something about end in their text, not in a traceback."""

from __future__ import annotations

import errno
import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import click

from ecommerce_dagster.errors import BruinError

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
        found = _for_the_user(error)
        if found is None:
            raise
        message, code = found
        click.echo(message, err=True)
        sys.exit(code)


def _for_the_user(error: Exception) -> tuple[str, int] | None:
    """The text of an error and the exit code; None for a fault of this program."""
    if isinstance(error, BruinError):
        return str(error), error.exit_code
    if isinstance(error, OSError) and error.errno in _OF_THE_MACHINE:
        return ": ".join(str(part) for part in (error.filename, error.strerror) if part), 1
    return None


def tell(message: str) -> None:
    """Say something that is not the answer of a command: on stderr."""
    click.echo(message, err=True)
