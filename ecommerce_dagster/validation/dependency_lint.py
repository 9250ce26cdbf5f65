"""What a file names and does not use, or uses and does not name."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from pathlib import Path

from ecommerce_dagster.bruin.asset_files import ASSET_FOLDERS
from ecommerce_dagster.bruin.graph import reached
from ecommerce_dagster.bruin.model.asset import Asset, Dependency
from ecommerce_dagster.bruin.problems import ProblemLog
from ecommerce_dagster.bruin.project import Project
from ecommerce_dagster.bruin.yaml.located import Position
from ecommerce_dagster.sql.strategies.registry import strategy_name
from ecommerce_dagster.sql.used_tables import key_of

_TAG = re.compile(r"\{\{.*?\}\}|\{%.*?%\}", re.DOTALL)
_INTERVAL = re.compile(r"\b(start|end)_(date|date_nodash|datetime|timestamp)\b")
# `var.name` and `var['name']`; any other use of `var` may be of any variable.
_VARIABLE = re.compile(
    r"\bvar\b(?:\s*\.\s*(?P<name>[A-Za-z_]\w*)|\s*\[\s*(?P<quote>['\"])(?P<item>[^'\"]+)(?P=quote)\s*\])?"
)
_CODE = {".py", ".r"}
_TEMPLATES = {".sql", ".yml", ".yaml", *_CODE}
_WORD = re.compile(r"\w+")
# What gives Python the variables, all of them.
_ALL_VARIABLES = "BRUIN_VARS"


def lint_interval(asset: Asset, macros: str, log: ProblemLog) -> None:
    """Report a query for an interval that does not ask which one."""
    is_windowed = asset.materialization.type == "table" and strategy_name(asset) == "time_interval"
    if not is_windowed or not asset.body.strip():
        return
    tags = " ".join(_TAG.findall(asset.body + macros))
    if not _INTERVAL.search(tags):
        message = (
            "the query uses no start_* and end_* variable: each run replaces its own interval and "
            "inserts all rows again; add `WHERE key BETWEEN '{{ start_timestamp }}' AND "
            "'{{ end_timestamp }}'`"
        )
        log.warning(asset.body_path, asset.body_line, "time-interval-uses-interval", message)


def lint_used_tables(
    project: Project,
    asset: Asset,
    uses: Iterable[tuple[Asset, Position]],
    log: ProblemLog,
) -> None:
    """Report assets whose tables `asset` reads without saying so.

    One that is made of this asset is left out: a dependency on it would be a circle.
    """
    known = {key_of(d.asset) for d in asset.depends if d.asset} | {key_of(asset.name)}
    for found, at in uses:
        if key_of(found.name) in known:
            continue
        if asset.name in reached([found.name], project.neighbours.upstream):
            continue
        known.add(key_of(found.name))
        message = f"the table '{found.name}' is used and is not in `depends`; add it"
        log.warning(*at, "used-tables", message)


def lint_unused_depends(
    project: Project, asset: Asset, used: Iterable[str], texts: Sequence[str], log: ProblemLog
) -> None:
    """Report dependencies on tables that `asset` does not use. `used` are keys of tables, `texts`
    all its SQL as written, of which a run may leave out parts."""
    if not asset.body.strip():
        return
    keys = set(used)
    written = "\n".join(texts).lower().replace('"', "")
    for dependency in asset.depends:
        if not _is_for_reading(project, dependency) or key_of(dependency.asset) in keys:
            continue
        if re.search(rf"(?<![\w-]){re.escape(dependency.asset.lower())}(?![\w-])", written):
            continue
        message = (
            f"nothing in this file uses '{dependency.asset}'; remove it from `depends`, or write "
            "`mode: symbolic` to show it only"
        )
        log.warning(*dependency.at("asset"), "unused-depends", message)


def _is_for_reading(project: Project, dependency: Dependency) -> bool:
    """Whether the dependency is on a table; one on a script, say, is for its effect."""
    found = project.by_name.get(dependency.asset)
    if found is None or dependency.mode != "full":
        return False
    if found.type == "duckdb.sql":
        return found.materialization.type != "none"
    return found.type in {"ingestr", "duckdb.seed", "duckdb.source"}


def lint_variables(project: Project, log: ProblemLog) -> None:
    """Report variables of pipeline.yml that no template uses."""
    names = set(project.pipeline.variables)
    if not names:
        return
    texts = [asset.body for asset in project.assets]
    files = [path for folder in (*ASSET_FOLDERS, "macros") for path in _files(project, folder)]
    unused = set(names)
    for path in (project.pipeline.path, *files):
        try:
            text = path.read_text(encoding="utf-8", errors="replace")
        except OSError:
            return
        if path.suffix in _CODE:
            # Code gets at them in its own way, and has to name them.
            unused -= set(_WORD.findall(text))
        texts.append(text)
    for text in texts:
        found = _variables_in(text)
        if found is None or found - names:
            return
        unused -= found
    for name in sorted(unused):
        message = f"no template uses the variable '{name}'; remove it"
        log.warning(*project.pipeline.at("variables", name), "unused-variables", message)


def _files(project: Project, folder: str) -> list[Path]:
    paths = (project.directory / folder).rglob("*")
    return [path for path in paths if path.suffix in _TEMPLATES and path.is_file()]


def _variables_in(text: str) -> set[str] | None:
    """The variables that the templates in a text use; None when they may be any."""
    if _ALL_VARIABLES in text:
        return None
    found = set()
    for tag in _TAG.findall(text):
        for use in _VARIABLE.finditer(tag):
            name = use["name"] or use["item"]
            if name is None:
                return None
            found.add(name)
    return found
