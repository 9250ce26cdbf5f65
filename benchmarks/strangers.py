"""Which pipelines of other people load and validate here, which of their assets run, and why not.

    python benchmarks/strangers.py ~/repositories            # each folder in it is a repository
    python benchmarks/strangers.py ~/repositories/shop       # or the repository itself
    python benchmarks/strangers.py --json ~/repositories

Files are read, as by `ecommerce validate`; nothing in them is run, no database is asked, and of
.bruin.yml only names are shown. An asset runs if it is not left out and its file has no error; the
connections that .bruin.yml lacks, which few people publish, are counted by themselves.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
import traceback
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

from ecommerce_dagster.bruin.discovery import is_pipeline, pipeline_folders
from ecommerce_dagster.bruin.plurals import counted
from ecommerce_dagster.bruin.problems import Problem, ProblemLog, printable
from ecommerce_dagster.bruin.project import Project
from ecommerce_dagster.runtime.asset_types import unsupported
from ecommerce_dagster.runtime.validate import validated

LONGEST = 160  # characters of a reason


@dataclass
class Reason:
    """Why assets do not run: `kind` is refused, invalid, left out, connection or crash. `example`
    is a line of a file that it is said of."""

    kind: str
    text: str
    assets: int = 0
    example: str = ""
    pipelines: int = 1


@dataclass
class Row:
    """What came of a pipeline; of a repository without any `pipeline` is empty."""

    repository: str
    pipeline: str = ""
    loads: bool = False
    validates: bool = False
    assets: int = 0
    running: int = 0
    reasons: list[Reason] = field(default_factory=list)

    @property
    def path(self) -> Path:
        return Path(self.repository, self.pipeline)


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folders", nargs="+", type=Path, metavar="DIR")
    parser.add_argument("--json", action="store_true", help="print a document of JSON")
    options = parser.parse_args(arguments)
    if missing := [str(folder) for folder in options.folders if not folder.is_dir()]:
        parser.error(f"no folder: {', '.join(missing)}")
    rows = [row for repository in repositories(options.folders) for row in survey(repository)]
    if options.json:
        document = {
            "pipelines": [asdict(row) for row in rows],
            "totals": totals(rows),
            "reasons": [asdict(reason) for reason in by_reason(rows)],
        }
        print(json.dumps(document, indent=2))
    else:
        print_table(rows)
    return 0


def repositories(folders: Sequence[Path]) -> Iterator[Path]:
    """The repositories in the folders; a folder can be one itself."""
    for folder in folders:
        inside = sorted(child for child in folder.iterdir() if child.is_dir())
        marks = (".git", ".bruin.yml", ".bruin.yaml")
        if is_pipeline(folder) or any((folder / mark).exists() for mark in marks) or not inside:
            yield folder
        else:
            yield from (child for child in inside if not child.name.startswith("."))


def survey(repository: Path) -> list[Row]:
    """A row for each pipeline of a repository, or one that says that it has none."""
    name = repository.resolve().name
    folders = pipeline_folders(repository)
    if not folders:
        return [Row(name, reasons=[Reason("refused", "no pipeline.yml in it")])]
    rows = []
    for folder in folders:
        row = Row(name, str(folder.relative_to(repository)))
        rows.append(row)
        try:
            judge(folder, row)
        except Exception as error:  # a survey goes on, and shows what is a bug here
            row.loads = row.validates = False
            at = traceback.extract_tb(error.__traceback__)[-1]
            # The text of the error may have any value of the files in it.
            text = f"{type(error).__name__} in {Path(at.filename).name}:{at.lineno}"
            row.reasons.append(Reason("crash", text, row.assets, "pipeline.yml"))
    return rows


def judge(folder: Path, row: Row) -> None:
    """Fill the row of the pipeline in a folder."""
    read = ProblemLog()
    projects = validated(folder, read, note=str, fast=True)
    row.loads = bool(projects) and not read.errors
    found = ProblemLog()
    if row.loads:
        projects = validated(folder, found, note=str, asks=False)
    row.validates = row.loads and not found.errors
    project = projects[0] if projects else None
    row.assets = len(project.assets) if project else 0
    errors = found.errors or read.errors
    wrong = [(p, "invalid" if row.loads else "refused") for p in errors]
    reasons = [_reason(problem, kind, project, folder) for problem, kind in wrong]
    if project is not None:
        reasons += _left_out(project, folder)
        reasons += [
            _reason(problem, "connection", project, folder)
            for problem in (found if row.loads else read).warnings
            if problem.rule == "valid-connection"
        ]
        row.running = _running(project, errors) if row.loads else 0
    row.reasons = merged(reasons)


def _left_out(project: Project, folder: Path) -> Iterator[Reason]:
    for asset in project.assets:
        reason = unsupported(project, asset)
        if reason is not None:
            example = f"{asset.path.relative_to(folder.resolve())}:{asset.at('type').line}"
            yield Reason("left out", generalised(reason.partition("; supported")[0]), 1, example)


def _reason(problem: Problem, kind: str, project: Project | None, folder: Path) -> Reason:
    place = problem.path.resolve()
    near = place.relative_to(folder.resolve()) if place.is_relative_to(folder.resolve()) else place
    of_asset = project is None or any(place in _files(asset) for asset in project.assets)
    return Reason(kind, generalised(problem.message), int(of_asset), f"{near}:{problem.line}")


def _running(project: Project, errors: Sequence[Problem]) -> int:
    """How many assets run: those that are not left out, and whose files have no error."""
    wrong = {problem.path.resolve() for problem in errors}
    return sum(
        unsupported(project, asset) is None and wrong.isdisjoint(_files(asset))
        for asset in project.assets
    )


def _files(asset: object) -> set[Path]:
    return {Path(getattr(asset, key)).resolve() for key in ("path", "body_path")}


def generalised(message: str) -> str:
    """A message without what is only of one file, so that like ones are counted together."""
    text = re.sub(r"'[^']*'|\"[^\"]*\"|`[^`]*`", "'…'", printable(" ".join(message.split())))
    return text if len(text) <= LONGEST else f"{text[: LONGEST - 1]}…"


def merged(reasons: Sequence[Reason]) -> list[Reason]:
    """Each reason once, the most frequent first."""
    found: dict[tuple[str, str], Reason] = {}
    for reason in reasons:
        first = found.setdefault((reason.kind, reason.text), reason)
        if first is not reason:
            first.assets += reason.assets
            first.pipelines += reason.pipelines
    return sorted(found.values(), key=lambda reason: (-reason.assets, reason.kind, reason.text))


def by_reason(rows: Sequence[Row]) -> list[Reason]:
    """All reasons, with the assets and the pipelines that each is said of."""
    copies = [
        replace(reason, pipelines=1, example=f"{row.path}/{reason.example}")
        for row in rows
        for reason in row.reasons
    ]
    return merged(copies)


def totals(rows: Sequence[Row]) -> dict[str, int]:
    return {
        "repositories": len({row.repository for row in rows}),
        "pipelines": sum(bool(row.pipeline) for row in rows),
        "load": sum(row.loads for row in rows),
        "validate": sum(row.validates for row in rows),
        "assets": sum(row.assets for row in rows),
        "running": sum(row.running for row in rows),
    }


def print_table(rows: Sequence[Row]) -> None:
    names = [str(row.path) for row in rows]
    width = max(map(len, [*names, "pipeline"]))
    print(f"{'pipeline':{width}}  loads  validates  assets  run")
    for name, row in zip(names, rows, strict=True):
        said = ("yes" if row.loads else "no", "yes" if row.validates else "no")
        print(f"{name:{width}}  {said[0]:5}  {said[1]:9}  {row.assets:6}  {row.running:3}")
        for reason in row.reasons:
            at = f" ({reason.example})" if reason.example else ""
            print(f"    {reason.assets:3} {reason.kind}: {reason.text}{at}")
    print()
    print(", ".join(f"{word}: {number}" for word, number in totals(rows).items()))
    for reason in by_reason(rows):
        where = f"{counted(reason.assets, 'asset')} in {counted(reason.pipelines, 'pipeline')}"
        print(f"    {where}: {reason.kind}: {reason.text} ({reason.example})")


if __name__ == "__main__":
    sys.exit(main())
