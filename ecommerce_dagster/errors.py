"""The exceptions of this package, in one tree, with the exit codes of the command line.

    BruinError                    1  everything below: the text is for the user
    ├── ConfigurationError        2  files, settings or arguments that cannot be used
    │   ├── ProjectError             files of a pipeline; `problems` lists what is wrong in them
    │   ├── UnusableConnection       a connection of .bruin.yml
    │   ├── SelectionError           a selection, or the name of something that there is not
    │   ├── CommitError              a commit to compare with that cannot be read
    │   ├── FolderError              a folder that must not be written to
    │   └── MissingExtra             an extra of this package is not installed
    ├── SourceError               1  a database or file that an asset reads
    ├── WarehouseError            1  a warehouse that cannot be opened, read or written
    │   └── MissingWarehouse         there is none yet
    ├── AssetError                1  an asset that cannot be built: "path:line: what is wrong"
    │   ├── MistakeError             for a mistake in its files: trying again does not help
    │   └── OutsideError             for a reason outside of its file: it may succeed next time
    ├── UnlocatedError            1  what is wrong; the caller adds file and line
    ├── QueryError                1  a query that a database refuses
    │   └── MissingTable             a table that is to be compared, and does not exist
    ├── NotDelivered              1  an alert that did not arrive
    ├── StateError                1  Dagster's records of runs cannot be kept
    ├── EmbeddedPostgresError     1  the local PostgreSQL cannot run
    └── GeneratorError            1  the generator of the demonstration's data

A class that one module raises is defined there and derives from one of these. Every package may
import this module; it imports none of them.
"""

from __future__ import annotations

from typing import ClassVar


class BruinError(Exception):
    """Base of all exceptions of this package. The text is for the user and holds no secret.

    `exit_code` is what the `ecommerce` command exits with when it ends in this error.
    """

    exit_code: ClassVar[int] = 1


class ConfigurationError(BruinError):
    """Files, settings or arguments that cannot be used as they stand."""

    exit_code = 2


class FolderError(ConfigurationError):
    """A folder that holds something else, or cannot be written."""


class UnlocatedError(BruinError):
    """What is wrong with a part of an asset, raised where its file and line are not known.

    The caller raises an AssetError, or reports a problem, with file and line.
    """


class MissingExtra(ConfigurationError, ModuleNotFoundError):
    """Something needs packages that an extra of this package brings."""

    def __init__(self, what: str, extra: str) -> None:
        """`what` is the beginning of the sentence: "the charts of a report need vl-convert"."""
        super().__init__(f"{what}; {installing(extra)}")


def installing(extra: str) -> str:
    """The command that installs an extra, for a message."""
    return f'pip install "ecommerce-dagster[{extra}]"'
