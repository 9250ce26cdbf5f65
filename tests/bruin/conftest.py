"""A folder that a test fills with files."""

from __future__ import annotations

from pathlib import Path

import pytest

from bruin.helpers import Files


@pytest.fixture
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Files:
    """An empty pipeline called shop; messages show paths relative to it."""
    monkeypatch.chdir(tmp_path)
    return Files(tmp_path)
