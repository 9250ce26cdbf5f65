"""Which refusals of PostgreSQL are reported as problems, and how."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ecommerce_dagster.bruin.model.asset import Asset
from ecommerce_dagster.bruin.problems import ProblemLog, nearest
from ecommerce_dagster.bruin.project import Project
from ecommerce_dagster.sql.sql_text import SqlText
from ecommerce_dagster.sql.used_tables import key_of
from ecommerce_dagster.validation.external_tables import ExternalTables
from ecommerce_dagster.validation.schema_only import Schema
from ecommerce_dagster.warehouses.postgres.bind_errors import BindError

_WORD = re.compile(r'"[^"]+"|\w+')
_NAME = re.compile(rf"(?:{_WORD.pattern})(?:\s*\.\s*(?:{_WORD.pattern}))*")
# Columns that only tables have.
_SYSTEM = {"cmax", "cmin", "ctid", "tableoid", "xmax", "xmin"}
# Statements that may make anything, under any name.
_MAKES_ANYTHING = re.compile(
    r"\bdo\s*(\$|'|language)|\bexecute\b|\bcall\b|\bextension\b|\bsearch_path\b|\bimport\s+foreign"
)


@dataclass(frozen=True)
class Asked:
    """A query as the server was asked about it: `text` begins in this line (from 0) of a text of
    the file, and reads these tables of the pipeline, by the names that it uses."""

    text: str
    line: int
    reads: Sequence[tuple[tuple[str, ...], Schema]]

    def name_at(self, offset: int | None) -> tuple[str, ...]:
        """The parts of the name that a refusal points at."""
        found = _NAME.match(self.text, offset) if offset is not None else None
        words = _WORD.findall(found[0]) if found else []
        return tuple(word[1:-1] if word[0] == '"' else word.lower() for word in words)


class Diagnostics:
    """Reports refusals, if they are such that a run would meet too.

    `mine` are the assets in PostgreSQL, by the keys of their tables.
    """

    def __init__(
        self,
        project: Project,
        mine: Mapping[str, Asset],
        variables: Mapping[str, str],
        log: ProblemLog,
    ) -> None:
        self._project, self._mine, self._log = project, mine, log
        self._elsewhere = ExternalTables(project, variables)
        assets = mine.values()
        scripts = [a.body for a in assets if a.type != "pg.sql" or a.materialization.type == "none"]
        scripts += [hook.query for a in assets for hook in (*a.hooks.pre, *a.hooks.post)]
        written = "\n".join(scripts).lower()
        # What a script or a hook names, it may make.
        self._made = set(_WORD.findall(written))
        self._may_make_anything = _MAKES_ANYTHING.search(written) is not None or any(
            a.type == "python" and a.materialization.type != "table" for a in project.assets
        )

    def judge(self, text: SqlText, rendered: str, asked: Asked, refusal: BindError) -> None:
        """Report why a query in the file is refused."""
        if not refusal.is_syntax and not self._is_sure(text, asked, refusal):
            return
        line = asked.line + asked.text.count("\n", 0, refusal.offset or 0) + 1
        if not refusal.misses_table:
            self.report(text, rendered, line, refusal.message, is_syntax=refusal.is_syntax)
            return
        name = ".".join(asked.name_at(refusal.offset))
        if not self._elsewhere.is_of_other_pipeline(name):
            message, is_ours = self._missing(name)
            self.report(text, rendered, line, message, is_syntax=False, is_certain=is_ours)

    def report(
        self,
        text: SqlText,
        rendered: str,
        line: int | None,
        message: str,
        *,
        is_syntax: bool = True,
        is_certain: bool = True,
    ) -> None:
        """Report what is wrong in a line of a text."""
        fails = "does not parse" if is_syntax else "does not bind"
        run = " in a full refresh" if rendered == text.refreshed else ""
        report = self._log.error if is_certain else self._log.warning
        at = text.place(rendered, line)
        report(*at, text.rule, f"{text.name} {fails}{run}: {message}")

    def _is_sure(self, text: SqlText, asked: Asked, refusal: BindError) -> bool:
        """Whether a run would be refused too."""
        if not refusal.is_about_text:
            return False
        name = asked.name_at(refusal.offset) or ("",)
        is_made = self._may_make_anything or name[-1].lower() in self._made
        if refusal.misses_table:
            return text.part != "sensor" and not is_made and bool(name[-1])
        if refusal.misses_object and is_made:
            return False
        schemas = [schema for _, schema in asked.reads]
        if refusal.is_about_names:
            # `(stg.orders).id`, say, is about a table that is called otherwise now.
            hidden = {parts[0] for parts, _ in asked.reads if len(parts) > 1}
            hidden |= _SYSTEM if schemas else set()
            return hidden.isdisjoint(name) and all(schema.complete for schema in schemas)
        # The primary key of a table can decide its columns, and a substitute has none.
        return not (refusal.needs_key and schemas) and all(schema.certain for schema in schemas)

    def _missing(self, name: str) -> tuple[str, bool]:
        """That a table is missing, and whether it must be one of this pipeline."""
        key, assets = key_of(name), self._project.assets
        other = next((asset for asset in assets if key_of(asset.name) == key), None)
        if other is not None:
            where = self._project.connection_name(other)
            return f"the table '{name}' is in another database, that of '{where}'", True
        near = nearest(name, [asset.name for asset in self._mine.values()])
        hint = f"did you mean '{near}'?" if near else "create it, or add an asset that makes it"
        is_ours = key.split(".")[0] in {known.split(".")[0] for known in self._mine}
        return f"the table '{name}' is not in the database; {hint}", is_ours
