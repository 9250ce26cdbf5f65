"""Mistakes in Python assets, found without running them."""

from __future__ import annotations

import ast
import os
import re
from contextlib import suppress
from pathlib import Path

from ecommerce_dagster.bruin.asset_files import SKIPPED_FOLDERS
from ecommerce_dagster.bruin.model.asset import Asset
from ecommerce_dagster.bruin.problems import ProblemLog, did_you_mean
from ecommerce_dagster.bruin.yaml.parsing import text_to_search
from ecommerce_dagster.errors import UnlocatedError
from ecommerce_dagster.python_assets.interpreter import unavailable
from ecommerce_dagster.python_assets.requirements import (
    RequirementsError,
    is_for_this_python,
    requirements_of,
    version_of_image,
)
from ecommerce_dagster.sql.column_names import lint_naming
from ecommerce_dagster.sql.strategies.registry import lint_materialization, strategy_name
from ecommerce_dagster.warehouses.schema_contract import lint_contract

FUNCTION = "materialize"
_STRATEGIES = ("append", "create+replace", "delete+insert", "merge")
_RULE = "assets-python-validation"


class NoCodeError(UnlocatedError):
    """A Python asset without a Python file."""


def code_of(asset: Asset) -> Path:
    """The Python file of an asset. Raises NoCodeError."""
    if asset.path.suffix == ".py":
        return asset.path
    if not asset.run:
        raise NoCodeError("a Python asset needs code: a .py file with a header, or `run: file.py`")
    path = (asset.path.parent / asset.run).resolve()
    if not path.is_file():
        raise NoCodeError(
            f"the file '{asset.run}' does not exist; write its path from the folder of this file"
        )
    return path


def lint_python(asset: Asset, root: Path, log: ProblemLog) -> None:
    """Report a Python asset of the checkout `root` that cannot run."""
    _lint_materialization(asset, log)
    if asset.image and version_of_image(asset.image) is None:
        message = (
            f"the image '{asset.image}' names no version of Python: its file runs in this one; "
            "write it as in `image: python:3.12`"
        )
        log.warning(*asset.at("image"), _RULE, message)
    lint_naming(asset, log)
    lint_contract(asset, log)
    try:
        file = code_of(asset)
    except NoCodeError as error:
        log.error(*asset.at("run"), _RULE, str(error))
        return
    with suppress(RequirementsError):  # which a run reports
        if missing := unavailable(asset, file, root):
            log.warning(*asset.at("image" if asset.image else "type"), _RULE, missing)
    try:
        tree = ast.parse(file.read_bytes(), str(file))
    except (SyntaxError, ValueError) as error:
        if not _is_for_this_version(asset, file, root):
            return  # what may stand in it is for its own Python to say
        line = getattr(error, "lineno", None) or 1
        log.error(file, line, _RULE, f"this is not valid Python: {error.args[0]}")
        return
    defined = _definition(tree)
    if asset.materialization.type == "table":
        _lint_function(asset, file, defined, log)
    elif (
        asset.materialization.type == "none"
        and isinstance(defined, ast.FunctionDef)
        and not _is_used(tree)
        and not _is_imported(file, root)
    ):
        message = (
            "materialize() is never called: add `materialization: {type: table}` to the header"
        )
        log.warning(file, defined.lineno, _RULE, message)


def _is_for_this_version(asset: Asset, file: Path, root: Path) -> bool:
    try:
        return is_for_this_python(asset.image, requirements_of(file, root))
    except RequirementsError:
        return False


def _lint_materialization(asset: Asset, log: ProblemLog) -> None:
    how = asset.materialization
    name = strategy_name(asset)
    if how.type == "view":
        message = "a Python asset makes a table, not a view; write `type: table`"
        log.error(*how.at("type"), _RULE, message)
    elif how.type == "table" and name not in _STRATEGIES:
        message = f"a Python asset cannot use the strategy '{name}'"
        log.error(*how.at("strategy"), _RULE, f"{message}; {did_you_mean(name, _STRATEGIES)}")
    else:
        lint_materialization(asset, log)


def _lint_function(asset: Asset, file: Path, defined: ast.stmt | None, log: ProblemLog) -> None:
    if defined is None:
        message = (
            "with `materialization: {type: table}` a Python asset needs `def materialize()`, "
            "which returns the rows"
        )
        log.error(file, asset.body_line, _RULE, message)
    if isinstance(defined, ast.AsyncFunctionDef):
        log.error(file, defined.lineno, _RULE, "materialize() is not awaited; remove `async`")
    if isinstance(defined, ast.FunctionDef) and (name := _first_required(defined.args)):
        message = f"materialize() is called without arguments; remove {name}, or give it a default"
        log.error(file, defined.lineno, _RULE, message)


def _is_used(tree: ast.Module) -> bool:
    """Whether the file itself calls the function, or hands it on."""
    return any(
        isinstance(node, ast.Name) and node.id == FUNCTION and isinstance(node.ctx, ast.Load)
        for node in ast.walk(tree)
    )


def _is_imported(file: Path, root: Path) -> bool:
    """Whether another file of the checkout imports it as a module."""
    importing = re.compile(rf"^\s*(from|import)\b.*\b{re.escape(file.stem)}\b", re.MULTILINE)
    for folder, folders, names in os.walk(root):
        folders[:] = [name for name in folders if name not in SKIPPED_FOLDERS and name[0] != "."]
        for path in (Path(folder, name) for name in names if name.endswith(".py")):
            if path != file and importing.search(text_to_search(path)):
                return True
    return False


def _definition(tree: ast.Module) -> ast.stmt | None:
    """The statement that gives the name `materialize` its last meaning."""
    named = [node for node in ast.walk(tree) if isinstance(node, ast.stmt) and _names(node)]
    return named[-1] if named else None


def _names(node: ast.stmt) -> bool:
    match node:
        case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name):
            return name == FUNCTION
        case ast.ImportFrom(names=names):
            return any((alias.asname or alias.name) in {FUNCTION, "*"} for alias in names)
        case ast.Assign(targets=targets):
            return any(isinstance(each, ast.Name) and each.id == FUNCTION for each in targets)
    return False


def _first_required(arguments: ast.arguments) -> str | None:
    positional = [*arguments.posonlyargs, *arguments.args]
    required = positional[: len(positional) - len(arguments.defaults)]
    keywords = zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True)
    required += [each for each, default in keywords if default is None]
    return required[0].arg if required else None
