"""One file to one asset: which files are assets, and what they say."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ecommerce_dagster.bruin.header import read_header
from ecommerce_dagster.bruin.models import Asset
from ecommerce_dagster.bruin.parsing import parse, read_text
from ecommerce_dagster.bruin.problems import ProblemLog
from ecommerce_dagster.bruin.yaml_source import YamlList, YamlMapping, read_mapping

ASSET_FOLDERS = ("assets", "tasks")
_YAML_SUFFIXES = ("asset.yml", "asset.yaml", "task.yml", "task.yaml")
_CODE_SUFFIXES = (".sql", ".py", ".r")
_SKIPPED_FOLDERS = {
    ".git", ".github", ".vscode", "node_modules", "dist", "build", "target", "vendor",
    ".venv", ".env", "env", "venv", "dbt_packages", "__pycache__",
}  # fmt: skip


def asset_paths(pipeline_dir: Path) -> Iterator[Path]:
    """Every file below `assets/` (or `tasks/`) that may define an asset, in a stable order."""
    for folder in ASSET_FOLDERS:
        for parent, folders, files in os.walk(pipeline_dir / folder):
            folders[:] = sorted(name for name in folders if name not in _SKIPPED_FOLDERS)
            for name in sorted(files):
                if name.endswith(_YAML_SUFFIXES) or name.endswith(_CODE_SUFFIXES):
                    yield Path(parent, name)


def read_asset(
    path: Path, pipeline_dir: Path, defaults: dict[str, Any], log: ProblemLog
) -> Asset | None:
    """The asset that `path` defines, with the pipeline's `default` filled in.

    None when the file defines none (code without a header) or, after logging, cannot be read.
    """
    text = read_text(path, log)
    if text is None:
        return None
    if path.name.endswith(_YAML_SUFFIXES):
        definition, body, body_line = read_mapping(text, path, log), "", 1
    else:
        errors = len(log.problems)
        source = read_header(text, path, log)
        if source is None:
            if path.suffix == ".sql" and len(log.problems) == errors:
                log.warning(path, 1, "asset-header", "no `/* @bruin` header, so this is no asset")
            return None
        definition, body, body_line = source.definition, source.body, source.body_line
    if definition is None:
        return None
    _locate_dependencies(definition)
    if not definition.get("type") and path.suffix == ".py":
        definition["type"] = "python"
    fill_defaults(definition, defaults, is_sql=path.suffix == ".sql")
    asset = parse(Asset, definition, log)
    if asset is None:
        return None
    if asset.run and not body:
        body, body_line = _run_file(asset, pipeline_dir, log), 1
    name = asset.name or name_from_path(path, pipeline_dir)
    return asset.model_copy(update={"name": name, "body": body, "body_line": body_line})


def name_from_path(path: Path, pipeline_dir: Path) -> str:
    """`assets/raw/customers.asset.yml` is raw.customers."""
    relative = path.relative_to(pipeline_dir)
    parts = list(relative.parts[1:])
    for suffix in (*(f".{s}" for s in _YAML_SUFFIXES), *_YAML_SUFFIXES, *_CODE_SUFFIXES):
        if parts[-1].endswith(suffix):
            parts[-1] = parts[-1].removesuffix(suffix)
            break
    return ".".join(part for part in parts if part)


def fill_defaults(target: dict[str, Any], defaults: dict[str, Any], *, is_sql: bool) -> None:
    """Fill what `target` leaves empty, merge mappings, append list entries that are missing."""
    for key, default in defaults.items():
        if key == "hooks" and not is_sql:
            continue
        own = target.get(key)
        if own is None or own == "":
            target[key] = default
        elif isinstance(own, YamlMapping) and isinstance(default, YamlMapping):
            if key == "hooks":
                for side in default.keys() - own.keys():
                    own[side] = default[side]
            else:
                fill_defaults(own, default, is_sql=is_sql)
        elif isinstance(own, YamlList) and isinstance(default, YamlList):
            for item, line in zip(default, default.item_lines, strict=True):
                if item not in own:
                    own.append(item)
                    own.item_lines.append(line)


def _locate_dependencies(definition: YamlMapping) -> None:
    """Give dependencies written as plain names the line that they stand in."""
    depends = definition.get("depends")
    if not isinstance(depends, YamlList):
        return
    for number, item in enumerate(depends):
        if isinstance(item, str):
            located = YamlMapping(asset=item)
            located.path, located.line = definition.path, depends.item_lines[number]
            located.key_lines = {"asset": located.line}
            depends[number] = located


def _run_file(asset: Asset, pipeline_dir: Path, log: ProblemLog) -> str:
    """The code that a YAML asset names with `run:`; it must lie inside the pipeline."""
    path = (asset.path.parent / (asset.run or "")).resolve()
    if not path.is_relative_to(pipeline_dir.resolve()):
        log.error(
            asset.path,
            asset.line,
            "valid-executable-file",
            f"'{asset.run}' is outside of the pipeline's folder",
        )
        return ""
    source = read_text(path, log)
    return source.strip() if source else ""
