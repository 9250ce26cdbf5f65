"""Errors that a user can do something about end in their text, not in a traceback."""

from __future__ import annotations

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
    "SelectionError": 2,
    "QueryError": 1,
    "FolderError": 2,
}
_INTERRUPTED = 130


@contextmanager
def user_errors() -> Iterator[None]:
    """Print what the user can act on, and leave with an exit code."""
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
        codes = [_EXIT_CODES[c.__name__] for c in type(error).__mro__ if c.__name__ in _EXIT_CODES]
        if not codes:
            raise
        click.echo(str(error), err=True)
        sys.exit(codes[0])
