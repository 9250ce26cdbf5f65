"""docs/guarantees.md names tests that exist, and the deliberate bugs that try them can be made."""

from __future__ import annotations

import re
import runpy

from orchestration.helpers import ROOT


def test_every_guarantee_names_a_test_that_exists() -> None:
    page = (ROOT / "docs/guarantees.md").read_text()
    named = re.findall(r"`([\w/]+\.py)::(\w+)`", page)
    missing = [
        f"{file}::{test}"
        for file, test in named
        if f"def {test}(" not in (ROOT / "tests" / file).read_text()
    ]
    assert missing == []
    sentences = [line for line in page.splitlines() if line.startswith("- ")]
    assert [line for line in sentences if "::test_" not in line] == []


def test_every_deliberate_bug_still_has_its_place() -> None:
    mutations = runpy.run_path(str(ROOT / "benchmarks" / "mutations.py"))["MUTATIONS"]
    lost = [
        mutation.name
        for mutation in mutations
        if (ROOT / "ecommerce_dagster" / mutation.file).read_text().count(mutation.before) != 1
        or not (ROOT / "tests" / mutation.tests).is_file()
    ]
    assert lost == []
