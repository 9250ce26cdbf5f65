"""Where the definition ends and the code begins in a SQL, Python or R asset file."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from ecommerce_dagster.bruin.problems import ProblemLog
from ecommerce_dagster.bruin.yaml.located import Position, YamlMapping
from ecommerce_dagster.bruin.yaml.reader import read_mapping
from ecommerce_dagster.bruin.yaml.single_lines import LINE, read_single_lines

HEADER_START = re.compile(r"(/\*|\"\"\"|'''|\"|')\s{0,3}@bruin")
_BLOCK = re.compile(r"(^|[:\s-])\s*[|>][+-]?\d?[+-]?\s*(#.*)?$")
_SQL_COMMENT = re.compile(r"--(\s|\w|$)")
_RULE = "asset-header"


@dataclass(frozen=True)
class Code:
    """What stands below a header, and where it starts."""

    text: str
    at: Position


@dataclass(frozen=True)
class SourceFile:
    """An asset file cut in two."""

    definition: YamlMapping
    code: Code


def read_header(text: str, path: Path, log: ProblemLog) -> SourceFile | None:
    """The definition and the code of a file, or None when it has no (readable) header.

    Knows the block form (`/* @bruin` ... `@bruin */` on lines of their own) and, when there is no
    block, leading `-- @bruin.key: value` lines.
    """
    # Not splitlines(): it also splits at characters that may stand inside a SQL text.
    lines = text.split("\n")
    start = next((n for n, line in enumerate(lines) if line.strip()), None)
    opened = HEADER_START.fullmatch(lines[start].strip()) if start is not None else None
    if start is not None and opened is not None:
        return _block(lines, start, opened.group(1), path, log)
    found = read_single_lines(lines, Position(path, 1), log)
    if found is None:
        _explain_missing(lines, path, log)
        return None
    definition, body = found
    return SourceFile(definition, trimmed(body, Position(path, 1)))


def trimmed(lines: list[str], start: Position) -> Code:
    """The text of `lines`, the first of which is at `start`, without empty ones around it."""
    skipped = next((n for n, line in enumerate(lines) if line.strip()), 0)
    return Code("\n".join(lines[skipped:]).strip(), Position(start.path, start.line + skipped))


def header_end(
    lines: list[str], start: int, end_mark: str, path: Path, log: ProblemLog
) -> int | None:
    """The index of the line that ends the header which begins at `start`; None, after logging it,
    when there is none."""
    closing = re.compile(rf"@bruin\s{{0,3}}{re.escape(end_mark)}")
    ends = (n for n in range(start + 1, len(lines)) if closing.fullmatch(lines[n].strip()))
    end = next(ends, None)
    if end is None:
        message = f"the header that starts here does not end; add a line `@bruin {end_mark}`"
        log.error(path, start + 1, _RULE, message)
    return end


def _block(
    lines: list[str], start: int, quote: str, path: Path, log: ProblemLog
) -> SourceFile | None:
    end_mark = "*/" if quote == "/*" else quote
    end = header_end(lines, start, end_mark, path, log)
    if end is None:
        return None
    inside = lines[start + 1 : end]
    for number in _sql_comments(inside):
        message = "`--` begins no comment in YAML; write `#`"
        log.warning(path, start + 2 + number, _RULE, message)
        inside[number] = inside[number].replace("--", "# ", 1)
    written = "".join(f"{line}\n" for line in inside)
    definition = read_mapping(written, path, log, first_line=start + 2)
    if definition is None:
        return None
    for number, line in enumerate(lines[end + 1 :], start=end + 2):
        if HEADER_START.fullmatch(line.strip()):
            message = (
                f"a second header is ignored; the first stands in line {start + 1}, remove one"
            )
            log.warning(path, number, _RULE, message)
    return SourceFile(definition, trimmed(lines[end + 1 :], Position(path, end + 2)))


def _sql_comments(lines: list[str]) -> list[int]:
    """The lines that are comments of SQL, outside of blocks of text (`query: |`)."""
    found: list[int] = []
    block: int | None = None  # how far the key of the block is indented
    for number, line in enumerate(lines):
        text = line.lstrip()
        indent = len(line) - len(text)
        if not text or (block is not None and indent > block):
            continue
        block = indent if _BLOCK.search(line) else None
        if _SQL_COMMENT.match(text):
            found.append(number)
    return found


def _explain_missing(lines: list[str], path: Path, log: ProblemLog) -> None:
    """Say why a file that looks like an asset is none. Python and R files may just be modules."""
    for number, line in enumerate(lines, start=1):
        if HEADER_START.fullmatch(line.strip()):
            message = "the header must be the first thing in the file, so this is not an asset"
        elif HEADER_START.match(line.strip()):
            message = (
                "`@bruin` must end its line, with the keys on lines below: this is not an asset"
            )
        elif LINE.match(line.strip()):
            message = "`@bruin.` lines must stand above the code, so this is not an asset"
        else:
            continue
        log.warning(path, number, _RULE, message)
        return
    if path.suffix == ".sql":
        message = (
            "no `/* @bruin` header, so this is not an asset; add one, or move the file elsewhere"
        )
        log.warning(path, 1, _RULE, message)
