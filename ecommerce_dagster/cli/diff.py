"""`ecommerce diff`: what differs between two tables, or the tables of two environments."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from typing import Any

import click

from ecommerce_dagster.bruin.plurals import counted
from ecommerce_dagster.bruin.project import Project
from ecommerce_dagster.cli.errors import tell
from ecommerce_dagster.cli.local_services import local_services_of
from ecommerce_dagster.cli.selection import asset_called
from ecommerce_dagster.cli.tables import markdown_table
from ecommerce_dagster.cli.values import for_json, shown
from ecommerce_dagster.pages.difference import difference_page
from ecommerce_dagster.runtime.diff.compare import How, TableDifference
from ecommerce_dagster.runtime.diff.messages import Words, words_of
from ecommerce_dagster.runtime.diff.session import MissingTable
from ecommerce_dagster.runtime.diff.tables import Pair, pair_of, pairs_of

_LONGEST = 60  # characters of a value


@dataclass(frozen=True)
class Compared:
    """A pair of tables and what differs; `missing` says why they could not be compared."""

    pair: Pair
    found: TableDifference | None
    missing: str = ""

    @property
    def is_none(self) -> bool:
        """Whether nothing differs."""
        return self.found is not None and self.found.is_none

    @property
    def words(self) -> Words | None:
        """The difference for people."""
        if self.found is None:
            return None
        return words_of(self.found, self.pair.name, _short, self.pair.hidden)


def compare_two(
    project: Project, before: str, after: str | None, connection: str | None, how: How
) -> list[Compared]:
    """Compare the tables that two arguments name. Raises QueryError, UnusableConnection,
    WarehouseError, SourceError."""
    pair = pair_of(project, before, after, connection)
    return [Compared(pair, _difference(project, pair, how))]


def compare_environments(
    production: Project, here: Project, names: Sequence[str], how: How
) -> list[Compared]:
    """Compare the tables of assets in two environments. Raises what `compare_two` does, but for a
    table that is not there, and SelectionError for an asset that is not."""
    named = [asset_called(here, name).name for name in names]
    return [compare(here, pair, how) for pair in pairs_of(production, here, named)]


def compare(project: Project, pair: Pair, how: How) -> Compared:
    """Compare two tables, of which one may not be there. Raises as `compare_two` does."""
    try:
        return Compared(pair, _difference(project, pair, how))
    except MissingTable as error:
        return Compared(pair, None, str(error).partition(";")[0])


def _difference(project: Project, pair: Pair, how: How) -> TableDifference:
    services = local_services_of(project.directory)
    with ExitStack() as stack:
        for name in dict.fromkeys([pair.before.connection.name, pair.after.connection.name]):
            stack.enter_context(services.asked(name))
        return pair.find(how, tell)


def print_differences(found: Sequence[Compared], output: str) -> None:
    """Print what differs, as text, json, markdown or html."""
    if output == "json":
        print(json.dumps([_record(each) for each in found], indent=2, ensure_ascii=False))
    elif output == "html":
        print(difference_page([(each.words, each.pair.name, each.missing) for each in found]))
    elif output == "markdown":
        print("\n\n".join(_markdown(each) for each in found))
    else:
        for each in found:
            _print_text(each)
        if len(found) > 1:
            same = sum(each.is_none for each in found)
            click.echo(f"{counted(len(found), 'table')}: {same} equal, {len(found) - same} not")


def _print_text(each: Compared) -> None:
    words = each.words
    if words is None:
        click.echo(f"{each.pair.name}: not compared: {each.missing}")
        return
    click.echo(f"{words.name}: {words.summary}")
    for line in _lines(words):
        click.echo(f"  {line}")


def _lines(words: Words) -> Iterable[str]:
    yield from words.schema
    for column in words.columns:
        told = "; ".join(filter(None, (f"{column.name} differs in {column.rows}", column.overall)))
        yield told
        yield from (f"  {example}" for example in column.examples)
    yield from (f"added    {row}" for row in words.added)
    yield from (f"removed  {row}" for row in words.removed)
    if words.note:
        yield words.note


def _markdown(each: Compared) -> str:
    words = each.words
    if words is None:
        return f"**{_cell(each.pair.name)}**: not compared: {_cell(each.missing)}"
    parts = [f"**{_cell(words.name)}**: {_cell(words.summary)}"]
    parts += [f"- {_cell(line)}" for line in words.schema]
    if words.columns:
        rows = [(c.name, c.rows, c.overall, next(iter(c.examples), "")) for c in words.columns]
        titles = ("column", "differs in", "overall", "for example")
        parts += ["", *markdown_table(titles, [list(map(_cell, row)) for row in rows])]
    for title, lines in (("added", words.added), ("removed", words.removed)):
        if lines:
            parts += ["", f"{title}, for example:", "", *(f"- {_cell(line)}" for line in lines)]
    if words.note:
        parts += ["", _cell(words.note)]
    return "\n".join(parts)


def _cell(text: str) -> str:
    """A text that Markdown shows as it is."""
    plain = " ".join(text.split())
    for mark in "\\`*_|<>[]#~":
        plain = plain.replace(mark, f"\\{mark}")
    return plain


def _record(each: Compared) -> dict[str, Any]:
    """A difference for programs; values that are not to be shown are left out."""
    record: dict[str, Any] = {"name": each.pair.name, "equal": each.is_none}
    found = each.found
    if found is None:
        return {**record, "missing": each.missing}
    record |= {"before": found.before, "after": found.after, "key": list(found.key)}
    record |= dict(zip(("rows_before", "rows_after"), found.rows, strict=True))
    record |= {"added": found.added, "removed": found.removed, "changed": found.changed}
    record |= {"new_columns": found.new_columns, "lost_columns": found.lost_columns}
    record["retyped"] = {name: list(types) for name, types in found.retyped.items()}
    hidden = each.pair.hidden
    record["columns"] = [
        {
            "name": column.name,
            "rows": column.rows,
            **({} if column.name.lower() in hidden else _facts(asdict(column), found.names)),
        }
        for column in found.columns
    ]
    for side, rows in (("added_rows", found.added_rows), ("removed_rows", found.removed_rows)):
        named = [dict(zip(found.names, row, strict=True)) for row in rows]
        record[side] = [
            {n: for_json(v) for n, v in row.items() if n.lower() not in hidden} for row in named
        ]
    return {**record, "note": found.note}


def _facts(column: dict[str, Any], key: Sequence[str]) -> dict[str, Any]:
    return {
        "examples": [
            {
                "key": {n: for_json(v) for n, v in zip(key, example["key"], strict=True)},
                "before": for_json(example["before"]),
                "after": for_json(example["after"]),
            }
            for example in column["examples"]
        ],
        "before": for_json(column["before"]),
        "after": for_json(column["after"]),
    }


def _short(value: Any) -> str:
    """A value in a line."""
    text = " ".join(shown(value).split())
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}..."
