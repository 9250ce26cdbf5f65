"""Rows as text: as wide as a terminal, or of any width in a file or a pipe."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence

from rich.cells import cell_len
from rich.console import Console
from rich.markup import escape
from rich.table import Table

_NARROWEST = 16  # what a column is folded to, at most, before others are left out
_GAP = 4  # characters between columns
_ENDLESS = 10**6


def print_rows(
    console: Console,
    table: Table,
    names: Sequence[str],
    rows: Sequence[Sequence[str]],
    *,
    first: str | None = None,
    to_the_right: Collection[int] = (),
) -> None:
    """Print rows of texts in the style of `table`, which has no columns yet.

    A terminal gets the columns that it has room for, above all the one called `first`, and the
    names of the others.
    """
    room = console.width if console.is_terminal else _ENDLESS
    shown = _that_fit(names, rows, room, first)
    for position in shown:
        table.add_column(
            escape(names[position]),
            justify="right" if position in to_the_right else "left",
            overflow="fold",
        )
    for row in rows:
        table.add_row(*(escape(row[position]) for position in shown))
    if not console.is_terminal:
        infinities = console.options.update(max_width=_ENDLESS)
        table.width = console.measure(table, options=infinities).maximum
    console.print(table, soft_wrap=not console.is_terminal)
    others = [name for position, name in enumerate(names) if position not in shown]
    if others:
        told = f"no room for {', '.join(others)}"
        console.print(f"  [dim]{escape(told)}[/]", highlight=False, soft_wrap=True)


def markdown_table(titles: Sequence[str], rows: Sequence[Sequence[str]]) -> Iterator[str]:
    """The lines of a table in Markdown; `rows` are of cells that it shows as they are."""
    yield f"| {' | '.join(titles)} |"
    yield f"|{'---|' * len(titles)}"
    for row in rows:
        yield f"| {' | '.join(row)} |"


def _that_fit(
    names: Sequence[str], rows: Sequence[Sequence[str]], room: int, first: str | None
) -> list[int]:
    """The positions of the columns that a line has room for, at least one."""
    chosen: list[int] = []
    for position in sorted(range(len(names)), key=lambda n: names[n] != first):
        texts = (names[position], *(row[position] for row in rows))
        room -= min(max(map(cell_len, texts)), _NARROWEST) + _GAP
        if room < 0 and chosen:
            break
        chosen.append(position)
    return sorted(chosen)
