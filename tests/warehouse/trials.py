"""Pipelines that a test writes, bound without data, and what a user is told about them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from ecommerce_dagster.bruin.model.asset import Asset
from ecommerce_dagster.bruin.problems import ProblemLog
from ecommerce_dagster.bruin.project import read_project
from ecommerce_dagster.validation.project import bind_project

# What the sources hold, as far as a test does not say otherwise.
SOURCES: dict[str, dict[str, str]] = {
    "raw.orders": {
        "id": "BIGINT",
        "customer_id": "BIGINT",
        "placed_at": "TIMESTAMP WITH TIME ZONE",
        "status": "VARCHAR",
        "total": "DECIMAL(10,2)",
        "lines": "STRUCT(sku VARCHAR, n INTEGER)[]",
        "address": "STRUCT(city VARCHAR, zip VARCHAR)",
        "extra": "JSON",
        "tags": "VARCHAR[]",
        "attrs": "MAP(VARCHAR, INTEGER)",
    },
    "raw.customers": {"id": "BIGINT", "name": "VARCHAR", "email": "VARCHAR", "born": "DATE"},
}
BODY_LINE = 8


class Finding(NamedTuple):
    """A problem as a test compares it."""

    file: str
    line: int
    severity: str
    rule: str
    message: str


class Files:
    """A pipeline with two ingested tables, raw.orders and raw.customers."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.write("pipeline.yml", "name: shop\n")
        for name in SOURCES:
            self.ingested(name)

    def write(self, path: str, text: str) -> Files:
        file = self.root / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
        return self

    def ingested(self, name: str, more: str = "") -> Files:
        """An asset that is loaded from elsewhere."""
        parameters = "{source_connection: pg, source_table: t, destination: duckdb}"
        text = f"name: {name}\ntype: ingestr\nparameters: {parameters}\n{more}"
        return self.write(f"assets/{name}.asset.yml", text)

    def sql(
        self,
        query: str,
        header: str = "",
        *,
        name: str = "mart.t",
        kind: str = "table",
        depends: str = "[raw.orders, raw.customers]",
    ) -> Files:
        """A SQL asset. Without more in its header, the query starts at line BODY_LINE."""
        how = f"materialization: {{type: {kind}}}\n" if "materialization:" not in header else ""
        text = f"name: {name}\ntype: duckdb.sql\n{how}depends: {depends}\n{header}"
        return self.write(f"assets/{name}.sql", f"/* @bruin\n{text}@bruin */\n\n{query}\n")

    def findings(self, sources: Mapping[str, Mapping[str, str]] | None = None) -> list[Finding]:
        """What is wrong, with sources that have these columns (none of them can be asked: {})."""
        known = SOURCES if sources is None else sources
        log = ProblemLog()
        project = read_project(self.root, log)
        assert project is not None

        def columns(asset: Asset) -> Mapping[str, str] | None:
            return known.get(asset.name)

        bind_project(project, log, source_columns=columns)
        return [
            Finding(p.path.name, p.line, p.severity, p.rule, p.message)
            for p in sorted({*log.errors, *log.warnings})
        ]

    def found(
        self,
        *,
        ignoring: str = "unused-depends",
        sources: Mapping[str, Mapping[str, str]] | None = None,
    ) -> list[tuple[str, int, str]]:
        """Severity, line and rule of what is wrong, without the rule that most tests break."""
        findings = self.findings(sources)
        return [(f.severity, f.line, f.rule) for f in findings if f.rule != ignoring]
