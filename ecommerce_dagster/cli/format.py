"""`ecommerce format`: the definitions of asset files in canonical form."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import click

from ecommerce_dagster.bruin.asset_files import asset_paths
from ecommerce_dagster.bruin.discovery import PIPELINE_FILES, pipeline_folders
from ecommerce_dagster.bruin.formatting import formatted
from ecommerce_dagster.bruin.problems import ProblemLog, from_here
from ecommerce_dagster.bruin.project import find_upwards
from ecommerce_dagster.bruin.yaml.parsing import read_text


def format_files(paths: Sequence[Path], *, check: bool) -> int:
    """Rewrite the files that are not canonical, or with `check` only name them. The exit code: 1
    when one cannot be read, or would be rewritten."""
    files = list(dict.fromkeys(file for path in paths for file in _files(path.resolve())))
    log = ProblemLog()
    changed = [file for file in files if _changes(file, log, check=check)]
    for file in changed:
        click.echo(f"{'would format' if check else 'formatted'} {from_here(file)}")
    for problem in log.errors:
        click.echo(f"error: {problem}", err=True)
    rest = len(files) - len(changed)
    verb = "would be formatted" if check else "formatted"
    click.echo(f"{len(changed)} of {len(files)} files {verb}, {rest} left as they are", err=True)
    return int(bool(log.errors) or (check and bool(changed)))


def _changes(file: Path, log: ProblemLog, *, check: bool) -> bool:
    """Whether a file is not in its canonical form, into which it is brought unless `check`."""
    if read_text(file, log) is None:
        return False
    # Byte order mark and line ends belong to the user.
    written = file.read_bytes().decode()
    mark = "\ufeff" if written.startswith("\ufeff") else ""
    ending = "\r\n" if "\r\n" in written else "\n"
    text = written.removeprefix(mark).replace("\r\n", "\n")
    found = formatted(text, file, log)
    if found == text:
        return False
    if not check:
        file.write_bytes((mark + found.replace("\n", ending)).encode())
    return True


def _files(path: Path) -> Iterator[Path]:
    """The asset files that a path names: itself, or those below it in the pipelines there."""
    if path.is_file() and path.name not in PIPELINE_FILES:
        yield path
        return
    folder = path if path.is_dir() else path.parent
    pipelines = pipeline_folders(folder)
    if not pipelines:
        around = find_upwards(folder, PIPELINE_FILES)
        pipelines = [around.parent] if around else []
    if not pipelines:
        raise click.UsageError(f"there is no pipeline.yml in, below or above {path}")
    for pipeline in pipelines:
        # What is wrong with folders is for `ecommerce validate`.
        yield from (f for f in asset_paths(pipeline, ProblemLog()) if f.is_relative_to(folder))
