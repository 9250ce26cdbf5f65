"""What all templates of a pipeline can use, and whether a change of it can change a query."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ecommerce_dagster.bruin.project import Project
from ecommerce_dagster.sql.lineage.parts import words_of

_MACRO = re.compile(r"\{%-?\s*macro\s+(\w+)")


@dataclass(frozen=True)
class Shared:
    """The macros and variables of a pipeline, and its name. Values of variables may be secret: here
    are fingerprints."""

    macros: str
    variables: Mapping[str, str]
    pipeline: str

    @classmethod
    def of(cls, project: Project) -> Shared:
        """Those of a pipeline as it was read."""
        values = {name: fingerprint(value) for name, value in project.variables.items()}
        return cls(project.macros, values, project.pipeline.name)

    def differs(self, old: Shared, template: str) -> str:
        """What changed since the `old` ones that a template may use, in words; else empty."""
        if "{{" not in template and "{%" not in template:
            return ""
        words = words_of(template)
        if self.macros != old.macros:
            names = {*_MACRO.findall(old.macros), *_MACRO.findall(self.macros)}
            if any(name.lower() in words for name in names):
                return "a macro that it uses, or what that uses, changed"
        changed = {
            name
            for name in {*old.variables, *self.variables}
            if old.variables.get(name) != self.variables.get(name)
        }
        named = sorted(name for name in changed if name.lower() in words)
        if named:
            return f"a variable that it uses changed: {', '.join(named)}"
        if changed and "var" in words and "{%" in template:
            return "a variable that it may use changed"
        is_named = "pipeline" in words and old.pipeline != self.pipeline
        return "the name of the pipeline changed" if is_named else ""


def fingerprint(value: Any) -> str:
    """A short text that is another when a value is."""
    text = json.dumps(value, default=str, sort_keys=True)
    return hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest()
