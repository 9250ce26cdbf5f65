"""docs/reference.md is what the docstrings say, and they say everything."""

from __future__ import annotations

import inspect
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import ecommerce_dagster
from ecommerce_dagster import BruinPipelineComponent, BruinTranslator, build_defs
from ecommerce_dagster.errors import BruinError
from ecommerce_dagster.testing import run_asset

ROOT = Path(__file__).resolve().parent.parent
PAGE = (ROOT / "docs" / "reference.md").read_text()
FUNCTIONS: list[Callable[..., Any]] = [
    build_defs,
    run_asset,
    *(
        method
        for kind in (BruinPipelineComponent, BruinTranslator)
        for name, method in vars(kind).items()
        if inspect.isfunction(method) and not name.startswith("_")
    ),
]


def test_the_page_is_that_of_the_docstrings() -> None:
    run = subprocess.run(
        [sys.executable, ROOT / "scripts" / "reference"],
        text=True,
        encoding="utf-8",
        capture_output=True,
        check=True,
    )
    assert run.stdout == PAGE, "run `make reference`"


def test_every_public_name_is_on_the_page() -> None:
    for name in ecommerce_dagster.__all__:
        kind = getattr(ecommerce_dagster, name)
        if inspect.isclass(kind) and issubclass(kind, BruinError):
            assert f"\n| `{name}(" in PAGE
        else:
            assert f"\n## {name}\n" in PAGE


@pytest.mark.parametrize("function", FUNCTIONS, ids=lambda function: function.__qualname__)
def test_every_parameter_is_described(function: Callable[..., Any]) -> None:
    text = inspect.getdoc(function) or ""
    described = re.search(r"^Args:\n((?:    .*\n)+)", text, re.MULTILINE)
    assert described is not None
    names = re.findall(r"^    (\w+): ", described[1], re.MULTILINE)
    assert names == [name for name in inspect.signature(function).parameters if name != "self"]
    assert "\nReturns:\n" in text
