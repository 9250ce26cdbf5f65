"""One file to one asset: which files are assets, and what they say."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from ecommerce_dagster.bruin.defaults import with_defaults
from ecommerce_dagster.bruin.model.asset import Asset
from ecommerce_dagster.bruin.paths import portable
from ecommerce_dagster.bruin.problems import ProblemLog
from ecommerce_dagster.bruin.yaml.header import Code, SourceFile, read_header, trimmed
from ecommerce_dagster.bruin.yaml.located import Position, YamlMapping
from ecommerce_dagster.bruin.yaml.parsing import parse, read_text
from ecommerce_dagster.bruin.yaml.reader import read_mapping

ASSET_FOLDERS = ("assets", "tasks")
YAML_SUFFIXES = ("asset.yml", "asset.yaml", "task.yml", "task.yaml")
_CODE_SUFFIXES = (".sql", ".py", ".r")
_FROM_HERE = "write its path from the folder of this file"
SKIPPED_FOLDERS = {
    ".git", ".github", ".vscode", "node_modules", "dist", "build", "target", "vendor",
    ".venv", ".env", "env", "venv", "dbt_packages", "__pycache__",
}  # fmt: skip


def asset_paths(pipeline_dir: Path, log: ProblemLog) -> Iterator[Path]:
    """Every file below `assets/` (or `tasks/`) that may define an asset, in a stable order."""

    def unreadable(error: OSError) -> None:
        path = Path(error.filename or pipeline_dir)
        log.error(path, 1, "readable-file", f"this folder cannot be read: {error.strerror}")

    for folder in ASSET_FOLDERS:
        if not (pipeline_dir / folder).is_dir():
            continue
        for parent, folders, files in os.walk(pipeline_dir / folder, onerror=unreadable):
            folders[:] = sorted(name for name in folders if name not in SKIPPED_FOLDERS)
            for name in sorted(files):
                if name.endswith(YAML_SUFFIXES + _CODE_SUFFIXES):
                    yield Path(parent, name)
                elif name.endswith((".yml", ".yaml")):
                    message = "this is not an asset; a YAML asset is called NAME.asset.yml"
                    log.warning(Path(parent, name), 1, "plain-yaml-files", message)


def read_asset(
    path: Path, pipeline_dir: Path, defaults: YamlMapping, log: ProblemLog
) -> Asset | None:
    """The asset that `path` defines, with the pipeline's `default` filled in.

    None when the file defines none (code without a header) or, after logging, cannot be read.
    """
    text = read_text(path, log)
    source = _source(text, path, log) if text is not None else None
    if source is None:
        return None
    definition = source.definition
    if not definition.get("type") and path.suffix == ".py":
        definition = definition.without({"type"})
        definition.put("type", "python", definition.at)
    asset = parse(Asset, with_defaults(definition, defaults), log)
    if asset is None:
        return None
    code = source.code
    if asset.run and not code.text:
        code = _run_file(asset, asset.run, pipeline_dir, log) or code
    return asset.model_copy(
        update={
            "name": asset.name or name_from_path(path, pipeline_dir),
            "body": code.text,
            "body_path": code.at.path,
            "body_line": code.at.line,
        }
    )


def name_from_path(path: Path, pipeline_dir: Path) -> str:
    """`assets/raw/customers.asset.yml` is raw.customers."""
    *folders, file = path.relative_to(pipeline_dir).parts[1:]
    for suffix in (*YAML_SUFFIXES, *_CODE_SUFFIXES):
        if file.endswith(suffix):
            file = file.removesuffix(suffix).removesuffix(".")
            break
    return ".".join(part for part in (*folders, file) if part)


def possible_names(path: Path, pipeline_dir: Path) -> set[str]:
    """What the asset in `path` may be called; for a file that cannot be read."""
    name = name_from_path(path, pipeline_dir)
    return {name, name_from_path(Path("assets", path.name), Path())}


def _source(text: str, path: Path, log: ProblemLog) -> SourceFile | None:
    if not path.name.endswith(YAML_SUFFIXES):
        return read_header(text, path, log)
    definition = read_mapping(text, path, log)
    return (
        SourceFile(definition, trimmed([], Position(path, 1))) if definition is not None else None
    )


def _run_file(asset: Asset, name: str, pipeline_dir: Path, log: ProblemLog) -> Code | None:
    """The code that a YAML asset names with `run:`; it must lie inside the pipeline."""
    rule = "valid-executable-file"
    try:
        path = (asset.path.parent / portable(name)).resolve()
    except (OSError, RuntimeError, ValueError):
        log.error(*asset.at("run"), rule, f"'{name}' is not the path of a file; {_FROM_HERE}")
        return None
    if not path.is_relative_to(pipeline_dir.resolve()):
        log.error(
            *asset.at("run"), rule, f"'{name}' is outside of the pipeline's folder; move it in"
        )
        return None
    if not path.is_file():
        log.error(*asset.at("run"), rule, f"the file '{name}' does not exist; {_FROM_HERE}")
        return None
    text = read_text(path, log)
    return trimmed(text.split("\n"), Position(path, 1)) if text is not None else None
