"""The tables of docs/performance.md, which are replaced while the words around them stay."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from pathlib import Path

from measure import Row


def table_of(rows: Iterable[Row]) -> str:
    """Measured cases, as Markdown."""
    rows = list(rows)
    head = ["", "seconds", "ratio", "CPU seconds", "peak MB"]
    cells = [
        [
            row.name,
            f"{row.seconds:.2f} ({row.fastest:.2f} to {row.slowest:.2f})",
            f"{row.ratio:.2f}",
            f"{row.cpu:.2f}",
            f"{row.peak:.0f}",
        ]
        for row in rows
    ]
    if any(row.inside for row in rows):
        head.append("seconds without the start")
        for row, line in zip(rows, cells, strict=True):
            line.append("" if row.inside is None else f"{row.inside:.2f}")
    return markdown(head, cells)


def markdown(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table whose first column is words and whose others are numbers."""
    rule = ["---", *("--:" for _ in head[1:])]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in (head, rule, *rows))


def write(page: Path, name: str, text: str) -> None:
    """Replace what stands between the marks of this name."""
    marks = re.compile(rf"(<!-- {name} -->\n).*?(<!-- /{name} -->)", re.DOTALL)
    old = page.read_text()
    if not marks.search(old):
        raise SystemExit(f"{page} has no place for {name}: <!-- {name} --> ... <!-- /{name} -->")
    page.write_text(marks.sub(lambda found: f"{found[1]}{text}\n{found[2]}", old))
