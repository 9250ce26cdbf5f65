"""A pipeline as it is in a commit, read by the same code as the files here."""

from __future__ import annotations

import os
import subprocess
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ecommerce_dagster.bruin.discovery import is_pipeline
from ecommerce_dagster.bruin.problems import ProblemLog, from_here
from ecommerce_dagster.bruin.project import Project, read_project
from ecommerce_dagster.errors import ConfigurationError

# What git sets for its hooks, and would make a command look at another repository or index.
_OF_HOOKS = {"GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_PREFIX", "GIT_COMMON_DIR"}


class CommitError(ConfigurationError):
    """A commit that cannot be read."""


@contextmanager
def project_at(
    ref: str, project: Project, variables: Mapping[str, Any], variant: str | None
) -> Iterator[Project | None]:
    """The pipeline of `project` in the commit at which the work here left `ref`, with the same
    variables and connections; None when it was not there. Its files exist until the end of the
    block. Raises CommitError."""
    folder = project.directory
    root = Path(_git(folder, "rev-parse", "--show-toplevel", why=_no_repository(folder)))
    commit = _commit_of(folder, ref)
    with tempfile.TemporaryDirectory(prefix="ecommerce-plan-") as temporary:
        # So that the reader takes it for a checkout of its own.
        there = Path(temporary).resolve() / root.name
        (there / ".git").mkdir(parents=True)
        index = {"GIT_INDEX_FILE": str(Path(temporary).resolve() / "index")}
        _git(folder, "read-tree", commit, environment=index)
        _git(root, "checkout-index", "--all", f"--prefix={there}/", environment=index)
        old = there / folder.relative_to(root.resolve())
        yield _read(old, ref, project, variables, variant) if is_pipeline(old) else None


def _read(
    folder: Path, ref: str, project: Project, variables: Mapping[str, Any], variant: str | None
) -> Project:
    config, log = project.connections.path, ProblemLog()
    found = read_project(
        folder,
        log,
        config_file=config if config is not None and config.is_file() else None,
        environment=project.connections.environment,
        variables=variables,
        variant=variant,
    )
    if found is None:
        first = log.errors[0]
        place = f"{first.path.relative_to(folder)}:{first.line}"
        raise CommitError(f"the pipeline in {ref} cannot be read: {place}: {first.message}")
    return found


def _commit_of(folder: Path, ref: str) -> str:
    """The commit at which the work here left `ref`, a branch also of `origin`."""
    names = (ref, f"refs/remotes/origin/{ref}")
    found = next((c for name in names if (c := _resolved(folder, name))), None)
    is_shallow = _git(folder, "rev-parse", "--is-shallow-repository") == "true"
    deepen = f"; this clone is shallow: fetch more of it (`git fetch --unshallow origin {ref}`)"
    hint = deepen if is_shallow else ""
    if found is None:
        raise CommitError(f"there is no commit '{ref}' in this repository{hint}")
    if _resolved(folder, "HEAD") is None:
        raise CommitError("this repository has no commit yet")
    base = _output(folder, ("merge-base", found, "HEAD"))
    if base is None:
        raise CommitError(f"'{ref}' and the work here have no commit in common{hint}")
    return base


def _resolved(folder: Path, name: str) -> str | None:
    command = ("rev-parse", "--verify", "--quiet", "--end-of-options", f"{name}^{{commit}}")
    return _output(folder, command)


def _no_repository(folder: Path) -> str:
    return f"{from_here(folder)} is not in a git repository; --against needs one"


def _git(
    folder: Path, *command: str, why: str = "", environment: Mapping[str, str] | None = None
) -> str:
    done = _run(folder, command, environment or {})
    if done.returncode != 0:
        said = done.stderr.strip().splitlines()
        reason = said[0] if said else f"exit code {done.returncode}"
        raise CommitError(why or f"git {command[0]} fails: {reason}")
    return done.stdout.strip()


def _output(folder: Path, command: Sequence[str]) -> str | None:
    done = _run(folder, command, {})
    return done.stdout.strip() if done.returncode == 0 else None


def _run(
    folder: Path, command: Sequence[str], environment: Mapping[str, str]
) -> subprocess.CompletedProcess[str]:
    kept = {name: value for name, value in os.environ.items() if name not in _OF_HOOKS}
    arguments = ["git", "-C", str(folder), "-c", "core.sparseCheckout=false", *command]
    try:
        return subprocess.run(
            arguments,
            env={**kept, "LC_ALL": "C", **environment},
            capture_output=True,
            text=True,
            check=False,
        )
    except FileNotFoundError:
        raise CommitError("git is not installed; --against needs it") from None
