"""One direction of imports, as pyproject.toml says it, and as a running interpreter shows it."""

from __future__ import annotations

import ast
import itertools
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

import ecommerce_dagster
from ecommerce_dagster.bruin.model.platforms import PLATFORMS
from ecommerce_dagster.runtime.asset_types import ASSET_TYPES
from ecommerce_dagster.runtime.warehouses import WAREHOUSES

ROOT = Path(__file__).resolve().parent.parent
ARCHITECTURE = ROOT / "docs" / "architecture.md"
GLOSSARY = ROOT / "docs" / "glossary.md"


def modules_after(statement: str) -> set[str]:
    """The top-level modules that a fresh interpreter holds after a statement."""
    code = f"import sys; {statement}; print(*{{name.split('.')[0] for name in sys.modules}})"
    run = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, text=True, capture_output=True, check=False
    )
    assert run.returncode == 0, run.stderr
    return set(run.stdout.splitlines()[-1].split())


def test_the_contracts_about_imports_hold() -> None:
    run = subprocess.run(
        [str(Path(sys.executable).with_name("lint-imports")), "--no-cache"],
        cwd=ROOT,
        text=True,
        capture_output=True,
        check=False,
    )
    assert run.returncode == 0, run.stdout + run.stderr
    assert "0 broken" in run.stdout


def imported_by(name: str) -> Iterator[str]:
    """What a module imports, also in a function or for its types: `from a import b` is a and a.b."""
    file = ROOT.joinpath(*name.split("."))
    source = file.with_suffix(".py") if file.with_suffix(".py").exists() else file / "__init__.py"
    for node in ast.walk(ast.parse(source.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def test_one_module_alone_imports_private_parts_of_dagster() -> None:
    private = {
        name
        for name in modules_of("")
        for module in imported_by(name)
        if module.startswith("dagster") and "._" in module
    }
    assert private == {"ecommerce_dagster._compat"}


# Until the strategies are one table: those of history and of the vault extend the common ones.
KNOWN_CIRCLES = {
    ("ecommerce_dagster.sql.strategies.common", "ecommerce_dagster.sql.strategies.history"),
    ("ecommerce_dagster.sql.strategies.common", "ecommerce_dagster.sql.strategies.vault"),
}


def test_no_module_imports_itself_by_way_of_others() -> None:
    names = modules_of("")
    graph = {name: {o for o in imported_by(name) if o in names} for name in names}
    assert sum(map(len, graph.values())) > 500
    for name, other in KNOWN_CIRCLES:
        graph.get(name, set()).discard(other)
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        pytest.fail(" <- ".join(error.args[1]))


def test_the_page_on_the_architecture_draws_the_layers() -> None:
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())
    layers = settings["tool"]["importlinter"]["contracts"][0]["layers"]
    levels = [
        packages
        for layer in layers
        if (packages := [name for name in re.findall(r"\.(\w+)", layer) if is_package(name)])
    ]

    drawn = re.findall(r"(\w+)(?:\[.*?\])? --> (\w+)", ARCHITECTURE.read_text())

    pairs = itertools.pairwise(levels)
    assert sorted(drawn) == sorted(
        edge for above, below in pairs for edge in itertools.product(above, below)
    )
    on_disk = {file.parent.name for file in (ROOT / "ecommerce_dagster").glob("*/__init__.py")}
    assert {name for level in levels for name in level} == on_disk


def is_package(name: str) -> bool:
    return (ROOT / "ecommerce_dagster" / name).is_dir()


def test_every_file_that_a_page_names_is_there() -> None:
    pages = (ARCHITECTURE, GLOSSARY, ROOT / "docs" / "extending.md")
    named = {
        name
        for page in pages
        for name in re.findall(r"`([\w/]+(?:\.py|/))`", page.read_text())
        if "/" in name
    }
    roots = (ROOT, ROOT / "ecommerce_dagster")
    assert len(named) > 20
    assert [
        name for name in sorted(named) if not any((root / name).exists() for root in roots)
    ] == ["assets/"]


def test_every_name_of_the_code_that_a_page_says_is_in_it() -> None:
    named = {
        name
        for page in (ARCHITECTURE, ROOT / "docs" / "extending.md")
        for name in re.findall(r"`(\w+)`", page.read_text())
        if re.search(r"[A-Z]|._", name)
    }
    files = [*(ROOT / "ecommerce_dagster").rglob("*.py"), *(ROOT / "tests").rglob("test_*.py")]
    words = {word for file in files for word in re.findall(r"\w+", file.read_text())}
    assert len(named) > 20
    assert sorted(named - words) == []


def test_the_glossary_says_each_term_once_with_the_module_that_it_lives_in() -> None:
    rows = [line for line in GLOSSARY.read_text().splitlines() if line.startswith("| **")]
    terms = [
        term for row in rows for term in re.findall(r"[^,]+", row.split("**")[1].replace(", ", ","))
    ]
    assert len(terms) > 40
    assert sorted(terms) == sorted(set(terms))
    assert [row for row in rows if not re.search(r"[.)] \| `[\w/]+\.py` \|$", row)] == []


def test_every_platform_of_the_files_has_its_warehouse() -> None:
    assert WAREHOUSES.keys() == PLATFORMS.keys()
    assert {name for kind in ASSET_TYPES.values() for name in kind.platforms} == PLATFORMS.keys()


def modules_of(*packages: str) -> list[str]:
    """The names of all modules below packages of the project, which may be in folders of theirs."""
    return [
        ".".join(file.relative_to(ROOT).with_suffix("").parts)
        for package in packages
        for file in (ROOT / "ecommerce_dagster" / package).rglob("*.py")
        if file.stem != "__init__"
    ]


def test_every_module_of_the_reader_needs_neither_dagster_nor_a_database() -> None:
    names = modules_of("bruin")
    assert len(names) > 30
    loaded = modules_after(f"import {', '.join(names)}")
    assert "yaml" in loaded
    assert not loaded & {"dagster", "duckdb", "psycopg", "sqlalchemy"}


def test_the_layers_below_dagster_do_not_import_it() -> None:
    names = modules_of("sql", "warehouses", "validation", "sources", "python_assets", "runtime")
    assert len(names) > 80
    loaded = modules_after(f"import {', '.join(names)}")
    assert "duckdb" in loaded
    assert "dagster" not in loaded


def test_importing_the_package_or_the_command_imports_nothing_slow() -> None:
    for statement in ("import ecommerce_dagster", "import ecommerce_dagster.cli"):
        loaded = modules_after(statement)
        assert not loaded & {"dagster", "duckdb", "psycopg", "sqlglot", "rich"}


def test_the_package_offers_its_public_names() -> None:
    statement = "from ecommerce_dagster import BruinPipelineComponent, BruinTranslator, build_defs"
    assert "dagster" in modules_after(statement)
    with pytest.raises(
        AttributeError, match="module 'ecommerce_dagster' has no attribute 'nothing'"
    ):
        _ = ecommerce_dagster.nothing  # type: ignore[attr-defined]


def test_the_page_on_testing_lists_all_groups_of_tests() -> None:
    here = Path(__file__).parent
    groups = [path.parent for path in here.glob("*/__init__.py")] + [*here.glob("test_*.py")]
    page = (ROOT / "docs" / "testing.md").read_text()
    listed = re.findall(r"^\| `([\w.]+)/?` \|", page, re.MULTILINE)
    assert sorted(listed) == sorted(path.name for path in groups)
