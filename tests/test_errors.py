"""One tree of exceptions: its classes, their exit codes, and what docstrings say of them."""

from __future__ import annotations

import ast
import importlib
import inspect
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

import ecommerce_dagster
from ecommerce_dagster import errors
from ecommerce_dagster.cli.errors import user_errors
from ecommerce_dagster.errors import BruinError, ConfigurationError, UnlocatedError

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = ("ecommerce_dagster", "data_generator")
FILES = sorted(
    file
    for package in PACKAGES
    for file in (ROOT / package).rglob("*.py")
    # Dagster loads these two by themselves: to import them builds the shop, or needs its settings.
    if file.name not in ("definitions.py", "celery_app.py", "worker.py")
)
# The file of a Python asset runs in an interpreter that may not have this package.
ELSEWHERE = {"ecommerce_dagster.python_assets.runner"}


def module_of(file: Path) -> str:
    parts = file.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def subclasses(kind: type[BaseException]) -> Iterator[type[BaseException]]:
    for child in kind.__subclasses__():
        yield child
        yield from subclasses(child)


@pytest.fixture(scope="module")
def classes() -> list[type[BaseException]]:
    """All public exception classes of the project."""
    for file in FILES:
        importlib.import_module(module_of(file))
    return sorted(
        {
            kind
            for kind in subclasses(Exception)
            if kind.__module__.split(".")[0] in PACKAGES
            and kind.__module__ not in ELSEWHERE
            and not kind.__name__.startswith("_")
        },
        key=lambda kind: kind.__name__,
    )


def test_every_exception_is_in_the_tree(classes: list[type[BaseException]]) -> None:
    assert len(classes) > 30
    assert [kind for kind in classes if not issubclass(kind, BruinError)] == []


def test_the_docstring_draws_the_tree_with_its_exit_codes(
    classes: list[type[BaseException]],
) -> None:
    drawn: dict[str, tuple[str | None, int]] = {}
    branch: list[tuple[int, str]] = []
    for line in (errors.__doc__ or "").splitlines():
        found = re.match(r"    ([│├└─ ]*)([A-Z]\w+)\s+(?:(\d)\s)?", line)
        if not found:
            continue
        depth, name = len(found[1]), found[2]
        branch = [(column, other) for column, other in branch if column < depth]
        parent = branch[-1][1] if branch else None
        code = int(found[3]) if found[3] else drawn[str(parent)][1]
        drawn[name] = (parent, code)
        branch.append((depth, name))

    inner = {
        kind
        for name in ("UnlocatedError", "GeneratorError")
        for kind in subclasses(next(each for each in classes if each.__name__ == name))
    }
    real = {
        kind.__name__: (
            None if kind is BruinError else kind.__bases__[0].__name__,
            kind.exit_code,
        )
        for kind in classes
        if issubclass(kind, BruinError) and kind not in inner
    }
    assert drawn == real


def test_the_class_decides_the_exit_code_of_a_command(capsys: pytest.CaptureFixture[str]) -> None:
    class Unheard(ConfigurationError):
        exit_code = 7

    for error, code in ((BruinError("a"), 1), (ConfigurationError("b"), 2), (Unheard("c"), 7)):
        with pytest.raises(SystemExit) as end, user_errors():
            raise error
        assert end.value.code == code
        assert capsys.readouterr().err == f"{error}\n"


def test_a_fault_of_the_program_keeps_its_traceback() -> None:
    with pytest.raises(KeyError), user_errors():
        raise KeyError("a fault")


def test_the_public_list_is_complete_and_documented() -> None:
    public = set(ecommerce_dagster.__all__)
    assert sorted(public) == list(ecommerce_dagster.__all__)
    mine = {
        name
        for name, kind in vars(errors).items()
        if inspect.isclass(kind) and kind.__module__ == errors.__name__
    }
    assert mine - {UnlocatedError.__name__} <= public
    for name in public:
        found = getattr(ecommerce_dagster, name)
        assert found.__name__ == name
        assert len(inspect.getdoc(found) or "") > 30, name


def functions_of(tree: ast.AST) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    """The public functions of a module, and the public methods of its public classes."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef) and (
            node.name == "__init__" or not node.name.startswith("_")
        ):
            if isinstance(node, ast.ClassDef):
                yield from functions_of(node)
            else:
                yield node


def raised_in(function: ast.AST) -> Iterator[str]:
    """The names of the classes that a function raises itself."""
    for node in ast.iter_child_nodes(function):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef | ast.Lambda):
            continue
        if isinstance(node, ast.Raise) and node.exc is not None:
            kind = node.exc.func if isinstance(node.exc, ast.Call) else node.exc
            if isinstance(kind, ast.Name | ast.Attribute):
                yield kind.id if isinstance(kind, ast.Name) else kind.attr
        yield from raised_in(node)


def test_every_public_function_that_raises_says_so(classes: list[type[BaseException]]) -> None:
    """By the name of the class, or of one that it derives from."""
    says = {
        kind.__name__: "|".join(
            base.__name__
            for base in kind.__mro__
            if issubclass(base, BruinError) and base is not BruinError
        )
        for kind in classes
        if kind is not BruinError
    }
    silent = []
    for file in FILES:
        if module_of(file) in ELSEWHERE:
            continue
        for function in functions_of(ast.parse(file.read_text())):
            words = " ".join((ast.get_docstring(function) or "").split())
            silent += [
                f"{module_of(file)}.{function.name}: {name}"
                for name in sorted(set(raised_in(function)) & says.keys())
                if not re.search(rf"Raises?\b(:.*|[^.]*)\b({says[name]})\b", words)
            ]
    assert not silent, "\n".join(silent)
