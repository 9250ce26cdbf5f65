"""Rows with more columns than a terminal has room for."""

from __future__ import annotations

from io import StringIO

import pytest
from rich.console import Console
from rich.table import Table

from ecommerce_dagster.cli.tables import print_rows

NAMES = [f"column_{number}" for number in range(12)]
ROW = [str(number) * 20 for number in range(12)]


def printed(names: list[str], row: list[str], *, terminal: bool, first: str | None = None) -> str:
    console = Console(
        file=StringIO(), force_terminal=terminal, width=70, color_system=None, legacy_windows=False
    )
    print_rows(console, Table(box=None), names, [row], first=first)
    assert isinstance(console.file, StringIO)
    return console.file.getvalue()


def test_a_terminal_gets_the_columns_that_it_has_room_for_and_the_names_of_the_others() -> None:
    *table, told = printed(NAMES, ROW, terminal=True).splitlines()
    assert table[0].split() == NAMES[:3]
    assert told.split() == ["no", "room", "for", *", ".join(NAMES[3:]).split()]


def test_the_column_that_it_is_about_is_among_them() -> None:
    head = printed(NAMES, ROW, terminal=True, first="column_9").splitlines()[0]
    assert head.split() == ["column_0", "column_1", "column_9"]


def test_a_single_column_is_folded() -> None:
    told = printed(["long"], ["x" * 200], terminal=True)
    assert "".join(told.split()) == "long" + "x" * 200
    assert max(map(len, told.splitlines())) <= 70


@pytest.mark.parametrize("names", [NAMES, NAMES[:2]])
def test_elsewhere_each_row_is_one_line_with_all_its_columns(names: list[str]) -> None:
    head, line = printed(names, ROW[: len(names)], terminal=False).splitlines()
    assert (head.split(), line.split()) == (names, ROW[: len(names)])
