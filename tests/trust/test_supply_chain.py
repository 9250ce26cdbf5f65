"""Binaries that are loaded into this process are those that their authors signed."""

from __future__ import annotations

import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import duckdb
import pytest
from orchestration.helpers import LAKE_CONFIG, ROOT, Tiny

from ecommerce_dagster.shop.embedded_postgres import PostgresServer
from trust.helpers import assert_fails, connect, ingest


def with_a_wrong_bit(extension: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Another package of the extension is found first, whose file differs in one bit."""
    package = f"duckdb_extension_{extension}"
    name = f"extensions/v{duckdb.__version__}/{extension}.duckdb_extension"
    installed = find_spec(package)
    assert installed is not None
    [found] = installed.submodule_search_locations or []
    binary = bytearray(Path(found, name).read_bytes())
    binary[len(binary) // 2] ^= 1
    copy = folder / "packages" / package / name
    copy.parent.mkdir(parents=True)
    copy.write_bytes(binary)
    (folder / "packages" / package / "__init__.py").touch()
    monkeypatch.syspath_prepend(folder / "packages")
    return copy


def test_an_extension_with_a_wrong_bit_is_refused(
    tiny: Tiny, server: PostgresServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    copy = with_a_wrong_bit("postgres_scanner", tmp_path, monkeypatch)
    connect(tiny, server)
    ingest(tiny, "t")

    outcome = tiny.ecommerce("run")

    assert_fails(
        outcome, "main.t.asset.yml:6: DuckDB's postgres extension cannot be loaded", str(copy)
    )
    assert "its signature is either missing or invalid" in outcome.text


def test_so_is_that_of_ducklake(
    tiny: Tiny, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    copy = with_a_wrong_bit("ducklake", tmp_path, monkeypatch)
    tiny.write(".bruin.yml", LAKE_CONFIG)
    tiny.sql("main.t", "SELECT 1 AS n")

    outcome = tiny.ecommerce("run")

    assert_fails(outcome, "DuckDB's ducklake extension cannot be loaded", str(copy))
    assert "its signature is either missing or invalid" in outcome.text


def test_the_list_of_licences_is_that_of_the_dependencies() -> None:
    written = subprocess.run(
        [sys.executable, ROOT / "scripts/licences"], text=True, capture_output=True, check=True
    ).stdout
    assert (ROOT / "docs/licences.md").read_text() == written, "run `make licences`"
