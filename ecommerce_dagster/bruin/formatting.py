"""The canonical form of an asset's definition: keys in one order, comments where they belong.

What stands below a header is never touched, and a form that would not be read as the same
definition is not taken.
"""

from __future__ import annotations

import re
from collections import Counter
from io import StringIO
from pathlib import Path
from typing import Any

from ecommerce_dagster.bruin.asset_files import YAML_SUFFIXES
from ecommerce_dagster.bruin.key_order import in_order
from ecommerce_dagster.bruin.problems import ProblemLog
from ecommerce_dagster.bruin.yaml.header import HEADER_START, header_end
from ecommerce_dagster.bruin.yaml.reader import read_mapping

_BLANKS = re.compile(r"\n{3,}")
# One step can give another something to do, such as a comment that now stands elsewhere.
_ROUNDS = 5


def formatted(text: str, path: Path, log: ProblemLog) -> str:
    """The text of an asset file in canonical form; as it is, after logging why, when it cannot be
    read, and when there is no definition in it, or one in `-- @bruin.` lines."""
    if path.name.endswith(YAML_SUFFIXES):
        return _definition(text, path, log, first_line=1) or text
    lines = text.split("\n")
    start = next((n for n, line in enumerate(lines) if line.strip()), None)
    opened = HEADER_START.fullmatch(lines[start].strip()) if start is not None else None
    if start is None or opened is None:
        return text
    quote = opened.group(1)
    end_mark = "*/" if quote == "/*" else quote
    end = header_end(lines, start, end_mark, path, log)
    if end is None:
        return text
    written = "".join(f"{line}\n" for line in lines[start + 1 : end])
    definition = _definition(written, path, log, first_line=start + 2)
    if definition is None:
        return text
    keys = definition.strip("\n")
    # Formatters of Python take the blanks out of a docstring.
    blank = " " if quote == "/*" else ""
    header = [f"{quote}{blank}@bruin", *([keys] if keys else []), f"@bruin{blank}{end_mark}"]
    return "\n".join([*header, *lines[end + 1 :]])


def _definition(text: str, path: Path, log: ProblemLog, *, first_line: int) -> str | None:
    """The YAML in canonical form; None after logging why it cannot be read."""
    meaning = _meaning(text, path, log, first_line)
    if meaning is None:
        return None
    best = text
    for _ in range(_ROUNDS):
        before = best
        for step in (in_order, _restyled, _aligned, _tidy):
            try:
                changed = step(best)
            except (ValueError, RecursionError):
                continue
            same = _meaning(changed, path, ProblemLog(), first_line) == meaning
            if same and _comments(changed) == _comments(text):
                best = changed
        if best == before:
            break
    return best


def _meaning(text: str, path: Path, log: ProblemLog, first_line: int) -> str | None:
    """What a definition says, as a text that is equal exactly when it says the same."""
    errors = len(log.errors)
    found = read_mapping(text, path, log, first_line=first_line)
    return None if found is None or len(log.errors) > errors else _spelt(found)


def _spelt(value: Any) -> str:
    if isinstance(value, dict):
        return f"{{{', '.join(f'{key!r}: {_spelt(value[key])}' for key in sorted(value))}}}"
    if isinstance(value, list):
        return f"[{', '.join(map(_spelt, value))}]"
    return f"{type(value).__name__} {getattr(value, 'written', value)!r}"


def _comments(text: str) -> Counter[str]:
    """What follows every # of a text, in whatever order."""
    parts = (line.partition("#") for line in text.split("\n"))
    return Counter(comment.strip() for _, mark, comment in parts if mark)


def _restyled(text: str) -> str:
    """The same YAML with one style of indentation and spaces. Raises ValueError."""
    from ruamel.yaml import YAML
    from ruamel.yaml.error import YAMLError
    from ruamel.yaml.resolver import VersionedResolver

    class AsWritten(VersionedResolver):
        """Takes unquoted scalars for texts, so that they are written as they were."""

        def resolve(self, kind: Any, value: Any, implicit: Any) -> Any:
            found = super().resolve(kind, value, implicit)
            is_plain = isinstance(value, str) and value not in {"", "~", "null", "Null", "NULL"}
            return self.DEFAULT_SCALAR_TAG if is_plain else found

    yaml = YAML(typ="rt")
    yaml.Resolver = AsWritten
    yaml.preserve_quotes = True
    yaml.width = 1_000_000
    yaml.brace_single_entry_mapping_in_flow_sequence = True
    yaml.indent(mapping=2, sequence=4, offset=2)
    written = StringIO()
    try:
        yaml.dump(yaml.load(text), written)
    # ruamel.yaml raises the others for YAML that it reads and cannot write, such as odd tags.
    except (YAMLError, AttributeError, NotImplementedError, TypeError) as error:
        raise ValueError("this YAML cannot be written again") from error
    return written.getvalue()


def _aligned(text: str) -> str:
    """Comments on lines of their own begin where the line below them does."""
    lines = text.split("\n")
    indent = ""
    for n in reversed(range(len(lines))):
        stripped = lines[n].lstrip()
        if stripped.startswith("#"):
            lines[n] = indent + stripped
        elif stripped:
            indent = lines[n][: len(lines[n]) - len(stripped)]
    return "\n".join(lines)


def _tidy(text: str) -> str:
    """No spaces at the ends of lines, and one blank line at most."""
    lines = [line.rstrip() for line in text.strip("\n").split("\n")]
    return _BLANKS.sub("\n\n", "\n".join(lines)) + "\n"
