"""Extensions of DuckDB: where they come from, and what is said when one cannot be had."""

from __future__ import annotations

import importlib.util
from importlib.machinery import ModuleSpec
from pathlib import Path

import duckdb
import pytest
from orchestration.helpers import Tiny, clean_environment, findings, invoke

from ecommerce_dagster.warehouses.duckdb import extensions
from ecommerce_dagster.warehouses.duckdb.extensions import (
    ExtensionError,
    load_extension,
    why_missing,
)


def refusal(name: str) -> str:
    """What is said when neither a wheel nor a server has the extension."""
    with duckdb.connect(config={"extension_directory": "/nowhere"}) as connection:
        connection.execute("SET custom_extension_repository = '/nowhere'")
        with pytest.raises(ExtensionError) as failed:
            load_extension(connection, name)
    return str(failed.value)


def test_a_wheel_for_another_duckdb_is_named_with_the_version_that_fits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = tmp_path / "duckdb_extension_postgres_scanner"
    other = package / "extensions" / "v0.0.1" / "postgres_scanner.duckdb_extension"
    other.parent.mkdir(parents=True)
    other.touch()
    (package / "__init__.py").touch()
    spec = importlib.util.spec_from_file_location(
        package.name, package / "__init__.py", submodule_search_locations=[str(package)]
    )
    monkeypatch.setattr(extensions, "find_spec", lambda name: spec)
    expected = (
        "the package duckdb-extension-postgres-scanner is for another DuckDB than "
        f"{duckdb.__version__}: pip install duckdb-extension-postgres-scanner=={duckdb.__version__}"
    )
    assert expected in refusal("postgres_scanner")
    _in_an_empty_home(tmp_path, monkeypatch)
    assert expected in str(why_missing("postgres_scanner"))


@pytest.mark.parametrize(
    ("name", "extra"),
    [
        ("postgres_scanner", "postgres"),
        ("ducklake", "lakehouse"),
        ("httpfs", "lakehouse"),
        ("mysql_scanner", "sources"),
        ("sqlite_scanner", "sources"),
    ],
)
def test_without_a_wheel_the_extra_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, extra: str
) -> None:
    monkeypatch.setattr(extensions, "find_spec", _no_spec)
    _in_an_empty_home(tmp_path, monkeypatch)
    for told in (refusal(name), str(why_missing(name))):
        assert f'pip install "ecommerce-dagster[{extra}]"' in told
        assert told.startswith(f"DuckDB's {name.removesuffix('_scanner')} extension")


def test_one_that_is_in_a_wheel_is_not_missing() -> None:
    assert why_missing("postgres_scanner") is None


def test_validate_warns_once_of_an_extension_that_a_run_would_fetch(
    tiny: Tiny, monkeypatch: pytest.MonkeyPatch
) -> None:
    tiny.write(
        ".bruin.yml",
        "default_environment: default\nenvironments: {default: {connections: {\n"
        "  duckdb: [{name: duckdb-default, path: warehouse.duckdb}],\n"
        "  sqlite: [{name: old, path: old.sqlite}]}}}\n",
    )
    for table in ("one", "two"):
        tiny.write(
            f"pipeline/assets/raw.{table}.asset.yml",
            f"name: raw.{table}\ntype: ingestr\n"
            f"parameters: {{source_connection: old, source_table: {table}, destination: duckdb}}\n",
        )
    monkeypatch.setattr(extensions, "find_spec", _no_spec)
    _in_an_empty_home(tiny.folder, monkeypatch)
    outcome = invoke(clean_environment(HOME=str(tiny.folder)), "validate", str(tiny.directory))
    [said] = [line for line in findings(outcome) if "extension" in line]
    assert outcome.succeeded
    assert "raw.one.asset.yml:2: " in said
    assert "DuckDB's sqlite extension is not installed here" in said


def _no_spec(name: str) -> ModuleSpec | None:
    return None


def _in_an_empty_home(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(folder))
    monkeypatch.setattr(extensions, "extension_directories", list)
