"""Binaries that are loaded into this process are those that their authors signed."""

from __future__ import annotations

import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import duckdb
import pytest
from orchestration.helpers import ROOT, Tiny

from ecommerce_dagster.embedded_postgres import PostgresServer
from trust.helpers import assert_fails, connect, ingest

PACKAGE = "duckdb_extension_postgres_scanner"
FILE = f"extensions/v{duckdb.__version__}/postgres_scanner.duckdb_extension"


def test_an_extension_with_a_wrong_bit_is_refused(
    tiny: Tiny, server: PostgresServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    installed = find_spec(PACKAGE)
    assert installed is not None
    [folder] = installed.submodule_search_locations or []
    binary = bytearray(Path(folder, FILE).read_bytes())
    binary[len(binary) // 2] ^= 1
    copy = tmp_path / "packages" / PACKAGE / FILE
    copy.parent.mkdir(parents=True)
    copy.write_bytes(binary)
    (tmp_path / "packages" / PACKAGE / "__init__.py").touch()
    monkeypatch.syspath_prepend(tmp_path / "packages")
    connect(tiny, server)
    ingest(tiny, "t")

    outcome = tiny.ecommerce("run")

    assert_fails(
        outcome, "main.t.asset.yml:6: DuckDB's postgres extension cannot be loaded", str(copy)
    )
    assert "its signature is either missing or invalid" in outcome.text


def test_the_list_of_licences_is_that_of_the_dependencies() -> None:
    written = subprocess.run(
        [sys.executable, ROOT / "scripts/licences"], text=True, capture_output=True, check=True
    ).stdout
    assert (ROOT / "docs/licences.md").read_text() == written, "run `make licences`"
