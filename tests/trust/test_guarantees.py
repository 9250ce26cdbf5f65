"""docs/guarantees.md names tests that exist."""

from __future__ import annotations

import re

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
