"""What two definitions of one asset differ in, and what that does to its table.

The query of a SQL asset is left to `impact`, which compares it by its columns.
"""

from __future__ import annotations

import ast
import hashlib
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from ecommerce_dagster.bruin.asset_files import SKIPPED_FOLDERS
from ecommerce_dagster.bruin.model.asset import Asset, Column, ColumnCheck, CustomCheck
from ecommerce_dagster.bruin.model.glossary import Glossary
from ecommerce_dagster.bruin.model.platforms import dialect_of
from ecommerce_dagster.bruin.project import Project
from ecommerce_dagster.bruin.yaml.located import Position
from ecommerce_dagster.bruin.yaml.node import Node
from ecommerce_dagster.runtime.plan.template_comparison import is_same_text
from ecommerce_dagster.sql.lineage.effects import Level
from ecommerce_dagster.sql.lineage.parts import words_of

Kind = Literal[
    "new", "removed", "query", "column", "check", "materialization", "hooks", "code", "file",
    "template", "metadata", "setting", "unknown",
]  # fmt: skip

# Keys of an asset that do nothing to the rows of its table.
_METADATA = {
    "name", "description", "owner", "tags", "domains", "tier", "retries", "rerun_cooldown", "uri",
    "timeout", "refresh_restricted", "full_refresh_restricted", "unit_tests", "extends", "metadata",
    "depends", "enabled",
}  # fmt: skip
_APART = {"body", "body_line", "columns", "custom_checks", "hooks", "run"}
_OF_TYPE = ("type", "precision", "scale", "length", "collation")
_OF_VALUES = ("default", "nullable", "mask", "source_column", "merge_sql", "update_on_merge")
_REQUIREMENTS = {"requirements.txt", "pyproject.toml", "uv.lock"}
_LONGEST = 60
# Of a larger file the size and the time are compared; it is not read.
_LARGEST = 64 * 1024 * 1024


@dataclass(frozen=True)
class Change:
    """One difference, in words, and where it stands. `rows` and `columns` (by their names in lower
    case) are what it does to the table."""

    kind: Kind
    words: str
    path: Path
    line: int
    rows: Level = Level.SAME
    columns: Mapping[str, Level] = field(default_factory=dict)


def changes_of(old: Asset, new: Asset, glossary: Glossary) -> Iterator[Change]:
    """The differences of two definitions, but for the query of a SQL asset and for other files."""
    yield from _settings(old, new)
    yield from _columns(old, new, glossary)
    yield from _checks("", old.custom_checks, new.custom_checks, new)
    yield from _hooks(old, new)
    if new.type == old.type == "python" and not _is_same_code(old.body, new.body):
        line = new.body_line + _first_difference(old.body, new.body)
        yield Change("code", "the code changed", new.body_path, line, Level.CHANGED)


def files_of(asset: Asset, project: Project) -> dict[str, str]:
    """The fingerprints of the other files that an asset consists of, by their paths: the rows of a
    seed, and what the code of a Python asset names."""
    if asset.type.endswith(".seed"):
        path = asset.path.parent / asset.parameter("path")
        return {asset.parameter("path"): _fingerprint(path)} if path.is_file() else {}
    if asset.type != "python":
        return {}
    return _named_by(asset, project)


def _named_by(asset: Asset, project: Project) -> dict[str, str]:
    """The files of the checkout that code may import or read, as far as their names tell. Other
    assets count as tables."""
    root = project.checkout
    assets = {path for one in project.assets for path in (one.path, one.body_path)}
    files = [path for path in _files(root) if path not in assets]
    # By one word of its name each: a checkout may have thousands of files, and code that names
    # hundreds of them.
    by_word: dict[str, list[Path]] = {}
    for path in files:
        for word in sorted(words_of(_name_in_code(path)))[:1]:
            by_word.setdefault(word, []).append(path)
    found: dict[Path, None] = {}
    texts = [asset.body]
    while texts:
        text = texts.pop()
        words = words_of(text)
        for path in (path for word in words & by_word.keys() for path in by_word[word]):
            if path in found or not _is_named(path, text):
                continue
            found[path] = None
            if path.suffix == ".py":
                texts.append(path.read_text(errors="replace"))
    near = {asset.path.parent, *asset.path.parent.parents}
    found |= dict.fromkeys(p for p in files if p.name in _REQUIREMENTS and p.parent in near)
    return {path.relative_to(root).as_posix(): _fingerprint(path) for path in sorted(found)}


def _name_in_code(path: Path) -> str:
    """How code names a file: a module without `.py`, a package by its folder."""
    if path.suffix != ".py":
        return path.name
    return path.parent.name if path.stem == "__init__" else path.stem


def _is_named(path: Path, text: str) -> bool:
    """Whether a text that has the words of the file's name has the name itself."""
    name = _name_in_code(path)
    is_one_word = path.suffix == ".py" and words_of(name) == {name.lower()}
    return is_one_word or name in text


def _files(root: Path) -> Iterator[Path]:
    for parent, folders, names in os.walk(root):
        folders[:] = sorted(
            name for name in folders if name not in SKIPPED_FOLDERS and not name.startswith(".")
        )
        yield from (Path(parent, name) for name in sorted(names) if not name.startswith("."))


def _fingerprint(path: Path) -> str:
    try:
        if path.stat().st_size > _LARGEST:
            return f"{path.stat().st_size} bytes of {path.stat().st_mtime_ns}"
        return hashlib.sha1(path.read_bytes(), usedforsecurity=False).hexdigest()
    except OSError:
        return ""


def _settings(old: Asset, new: Asset) -> Iterator[Change]:
    for key in sorted(set(Asset.model_fields) - Node.internal - _APART - {"body_path"}):
        before, after = getattr(old, key), getattr(new, key)
        if _plain(before) == _plain(after):
            continue
        if key == "materialization":
            yield from _materialization(old, new)
            continue
        is_sql = dialect_of(new.type) is not None
        harmless = key in _METADATA or (key == "meta" and is_sql)
        level = Level.SAME if harmless else Level.CHANGED
        kind: Kind = "metadata" if harmless else "setting"
        yield Change(kind, f"{key}{_from_to(before, after)}", *new.at(key), level)


def _materialization(old: Asset, new: Asset) -> Iterator[Change]:
    how, before = new.materialization, old.materialization
    for key in type(how).model_fields:
        one, other = getattr(before, key), getattr(how, key)
        if key in Node.internal or one == other:
            continue
        at = how.at(key) if how.path == new.path else new.at("materialization")
        yield Change("materialization", f"{key}{_from_to(one, other)}", *at, Level.CHANGED)


def _columns(old: Asset, new: Asset, glossary: Glossary) -> Iterator[Change]:
    before = {column.name.lower(): column for column in old.columns}
    after = {column.name.lower(): column for column in new.columns}
    # The query says which columns there are, or the source, and what is not declared has its type.
    lost, found = Level.RETYPED, Level.RETYPED
    if new.materialization.strategy == "ddl":
        lost, found = Level.GONE, Level.ADDED
    elif dialect_of(new.type) is not None:
        lost = found = Level.SAME
    for name in sorted(before.keys() - after.keys()):
        words = f"the column {before[name].name} is not declared any more"
        yield Change("column", words, *new.at("columns"), columns={name: lost})
    for name, column in after.items():
        if name not in before:
            words = f"the column {column.name} is declared"
            yield Change("column", words, *column.at(), columns={name: found})
            continue
        yield from _column(before[name], column, new, glossary)


def _column(old: Column, new: Column, asset: Asset, glossary: Glossary) -> Iterator[Change]:
    name = new.name.lower()
    keys = [k for k in Column.model_fields if k not in Node.internal | {"checks", "name"}]
    for key in keys:
        before, after = getattr(old, key), getattr(new, key)
        if _plain(before) == _plain(after):
            continue
        words = f"the column {new.name}: {key}{_from_to(before, after)}"
        at = _place(new, key, glossary)
        if key in _OF_TYPE:
            is_retyped = str(before).lower() != str(after).lower()
            level = Level.RETYPED if is_retyped else Level.SAME
            yield Change("column", words, *at, columns={name: level})
        elif key in _OF_VALUES:
            yield Change("column", words, *at, columns={name: Level.CHANGED})
        elif key == "primary_key":
            rows = Level.CHANGED if uses_key(asset) else Level.SAME
            yield Change("column", words, *at, rows)
        else:
            yield Change("metadata", words, *at)
    yield from _checks(f"{new.name}: ", old.checks, new.checks, asset)


def _place(column: Column, key: str, glossary: Glossary) -> Position:
    """Where what is true of a column stands: in its file, else in the glossary."""
    entity, _, attribute = (column.extends or "").partition(".")
    known = glossary.entities.get(entity)
    word = known.attributes.get(attribute) if known is not None else None
    return word.at(key) if word is not None and column.written(key) is None else column.at(key)


def uses_key(asset: Asset) -> bool:
    """Whether the primary key decides which rows the table has."""
    how = asset.materialization
    plain = {None, "create+replace", "truncate+insert", "append"}
    return asset.type == "ingestr" or (how.type == "table" and how.strategy not in plain)


def _checks(
    of: str,
    old: tuple[ColumnCheck, ...] | tuple[CustomCheck, ...],
    new: tuple[ColumnCheck, ...] | tuple[CustomCheck, ...],
    asset: Asset,
) -> Iterator[Change]:
    before, after = ({rule.name: rule for rule in rules} for rules in (old, new))
    for name in sorted(before.keys() - after.keys()):
        yield Change("check", f"{of}the check '{name}' is gone", *asset.at())
    for name, rule in after.items():
        at = Position(rule.path, rule.line)
        if name not in before:
            yield Change("check", f"{of}the check '{name}' is new", *at)
        elif not _is_same_rule(before[name], rule):
            yield Change("check", f"{of}the check '{name}' changed", *at)


def _is_same_rule(old: Node, new: Node) -> bool:
    one, other = _plain(old), _plain(new)
    before, after = (str(values.pop("query", "")) for values in (one, other))
    return bool(one == other) and is_same_text(before, after, "duckdb")


def _hooks(old: Asset, new: Asset) -> Iterator[Change]:
    for when in ("pre", "post"):
        before, after = ([h.query for h in getattr(a.hooks, when)] for a in (old, new))
        same = len(before) == len(after) and all(
            is_same_text(one, other, "duckdb") for one, other in zip(before, after, strict=True)
        )
        if not same:
            words = f"the {when} hooks changed"
            yield Change("hooks", words, *new.at("hooks", when), Level.CHANGED)


def _is_same_code(old: str, new: str) -> bool:
    try:
        return ast.dump(ast.parse(old)) == ast.dump(ast.parse(new))
    except (SyntaxError, ValueError, RecursionError):
        return old.strip() == new.strip()


def _first_difference(old: str, new: str) -> int:
    one, other = old.splitlines(), new.splitlines()
    pairs = enumerate(zip(one, other, strict=False))
    return next((n for n, (a, b) in pairs if a != b), min(len(one), max(len(other) - 1, 0)))


def _plain(value: Any) -> Any:
    if isinstance(value, Node):
        return value.model_dump(mode="json")
    if isinstance(value, tuple):
        return [_plain(item) for item in value]
    return value


def _from_to(old: Any, new: Any) -> str:
    """The change of a value, when it can be said in a few words."""
    texts = [str(value) for value in (old, new) if value is not None]
    is_short = all(
        len(t) <= _LONGEST and "\n" not in t and not t.startswith(("(", "{")) for t in texts
    )
    if not texts or not is_short:
        return " changed"
    if old in (None, ""):
        return f" is now {new}"
    return f": {old} -> {new}" if new not in (None, "") else f" {old} is gone"
