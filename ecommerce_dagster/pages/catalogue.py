"""What the catalogue says of a pipeline: its assets, their columns and checks, and its glossary."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from ecommerce_dagster.bruin.graph import Edges, reached
from ecommerce_dagster.bruin.model.asset import Asset, Column
from ecommerce_dagster.bruin.model.glossary import Attribute
from ecommerce_dagster.bruin.paths import from_root
from ecommerce_dagster.bruin.project import Project
from ecommerce_dagster.orchestration.catalogue_records import Records, records_of
from ecommerce_dagster.orchestration.freshness import oldest_allowed
from ecommerce_dagster.orchestration.latest_states import latest_states
from ecommerce_dagster.orchestration.partitions import partitions_of
from ecommerce_dagster.pages.addresses import anchor, column_anchors, page_names
from ecommerce_dagster.pages.entries import (
    AssetEntry,
    Catalogue,
    CheckEntry,
    ColumnEntry,
    EntityEntry,
    Link,
    Term,
)
from ecommerce_dagster.pages.graph import Graph, layout
from ecommerce_dagster.runtime.asset_state import AssetState
from ecommerce_dagster.runtime.asset_types import unsupported
from ecommerce_dagster.runtime.column_lineage import origins, project_lineage
from ecommerce_dagster.runtime.lint.catalogue import synonyms_of
from ecommerce_dagster.runtime.plain_names import asset_key_parts
from ecommerce_dagster.runtime.schedule import is_partitioned
from ecommerce_dagster.sql.checks import Check, checks_of
from ecommerce_dagster.sql.lineage.columns import ColumnRef
from ecommerce_dagster.sql.lineage.query import Lineage

if TYPE_CHECKING:
    from dagster import DagsterInstance

_WHOLE_GRAPH = 40  # assets up to which an asset's page shows everything upstream and downstream


@dataclass(frozen=True)
class Elsewhere:
    """Where else there are pages: Dagster's, empty where it has none, and those of reports by the
    names of their assets, from the folder of the catalogue. Is that `public`, rows of tables are
    not for it unless their files say so."""

    dagster: str = ""
    reports: Mapping[str, str] = field(default_factory=dict)
    public: bool = False

    def of_asset(self, asset: Asset, project: Project) -> list[Link]:
        """The pages about an asset."""
        found = (
            [Link("Open the dashboard", self.reports[asset.name])]
            if asset.name in self.reports
            else []
        )
        if self.dagster:
            key = "/".join(asset_key_parts(asset.name, project))
            found.append(Link("Open in Dagster", f"{self.dagster.rstrip('/')}/assets/{key}"))
        return found

    @property
    def first(self) -> list[Link]:
        """The pages about all of it."""
        reports = [Link("Dashboard", page) for page in list(self.reports.values())[:1]]
        return [*reports, *([Link("Dagster", self.dagster)] if self.dagster else [])]


def catalogue_of(
    project: Project,
    instance: DagsterInstance | None = None,
    elsewhere: Elsewhere | None = None,
) -> Catalogue:
    """The catalogue of a pipeline, with what an instance knows of the state of its assets."""
    elsewhere = elsewhere or Elsewhere()
    states = latest_states(instance, project.assets, project)
    records = records_of(instance, project, public=elsewhere.public)
    return _Writer(project, states, records, project_lineage(project), elsewhere).catalogue()


class _Writer:
    def __init__(
        self,
        project: Project,
        states: Mapping[str, AssetState],
        records: Records,
        lineage: Mapping[str, Lineage],
        elsewhere: Elsewhere,
    ) -> None:
        self._project, self._states, self._lineage = project, states, lineage
        self._records, self._elsewhere = records, elsewhere
        self._pages = page_names(asset.name for asset in project.assets)
        self._layers = {asset.name: _layer(asset, project) for asset in project.assets}
        self._near = project.neighbours
        self._anchors = {a.name: column_anchors(a) for a in project.assets}
        self._feeds: dict[ColumnRef, list[ColumnRef]] = {}
        for table, found in lineage.items():
            for column, refs in found.columns.items():
                for ref in refs:
                    self._feeds.setdefault(ref, []).append(ColumnRef(table, column))

    def catalogue(self) -> Catalogue:
        entries = [self._entry(asset) for asset in self._project.assets]
        layers: dict[str, list[AssetEntry]] = {}
        for entry in entries:
            layers.setdefault(entry.layer, []).append(entry)
        for group in layers.values():
            group.sort(key=lambda entry: entry.asset.name)
        return Catalogue(
            project=self._project,
            assets=entries,
            entities=self._entities(),
            graph=self._graph(self._near.upstream),
            layers=layers,
            links=self._elsewhere.first,
            written=datetime.now(UTC),
        )

    def _entry(self, asset: Asset) -> AssetEntry:
        state = self._states[asset.name]
        checks = [
            CheckEntry(
                found,
                f"{check.rule.path.name}:{check.rule.line}",
                self._records.histories.get(check.id),
            )
            for check, found in zip(checks_of(asset), state.checks, strict=True)
        ]
        return AssetEntry(
            asset=asset,
            page=self._pages[asset.name],
            layer=self._layers[asset.name],
            file=from_root(asset.path, self._project.root),
            owners=_owners(asset, self._project),
            how=_how(asset, self._project),
            columns=[self._column(asset, column) for column in asset.columns],
            checks=checks,
            upstream=[self._asset_link(d.asset or d.uri) for d in asset.depends],
            downstream=[self._asset_link(name) for name in self._near.downstream[asset.name]],
            graph=self._neighbourhood(asset.name),
            gaps=self._lineage[asset.name].gaps,
            state=state,
            synonyms=synonyms_of(asset.meta),
            rows=self._records.rows.get(asset.name, ()),
            fresh_until=_fresh_until(asset, self._project, state),
            links=self._elsewhere.of_asset(asset, self._project),
        )

    def _column(self, asset: Asset, column: Column) -> ColumnEntry:
        here = ColumnRef(asset.name, column.name)
        reads = sorted(self._lineage[asset.name].columns.get(column.name, ()))
        begins = sorted(origins(self._lineage, *here[:2]) - {here})
        return ColumnEntry(
            column=column,
            anchor=self._anchors[asset.name][column.name],
            term=self._term_link(column.extends or ""),
            rules=[c.words for c in checks_of(asset) if c.column is column] + _constraints(column),
            synonyms=self._synonyms(column),
            reads=[self._ref_link(ref) for ref in reads],
            begins=[self._ref_link(ref) for ref in begins if ref not in reads],
            feeds=[self._ref_link(ref) for ref in sorted(self._feeds.get(here, ()))],
        )

    def _entities(self) -> list[EntityEntry]:
        extending: dict[str, list[Link]] = {}
        for asset in self._project.assets:
            for column in asset.columns:
                link = self._ref_link(ColumnRef(asset.name, column.name))
                extending.setdefault(column.extends or "", []).append(link)
        return [
            EntityEntry(
                name,
                entity.description,
                entity.domains,
                [
                    Term(
                        f"{name}.{key}",
                        anchor(f"{name}.{key}"),
                        attribute,
                        _rules(attribute, key),
                        extending.get(f"{name}.{key}", ()),
                        synonyms_of(attribute.meta),
                    )
                    for key, attribute in entity.attributes.items()
                ],
            )
            for name, entity in self._project.glossary.entities.items()
        ]

    def _synonyms(self, column: Column) -> list[str]:
        """Those of the column, and of the term that it extends."""
        entity, _, key = (column.extends or "").partition(".")
        known = self._project.glossary.entities.get(entity)
        term = known.attributes.get(key) if known else None
        return list(
            dict.fromkeys([*synonyms_of(column.meta), *synonyms_of(term.meta if term else {})])
        )

    def _asset_link(self, name: str) -> Link:
        return Link(name, self._pages.get(name, ""))

    def _ref_link(self, ref: ColumnRef) -> Link:
        text = f"{ref.table}.{ref.column}" + (f" ({ref.connection})" if ref.connection else "")
        place = self._anchors.get(ref.table, {}).get(ref.column)
        known = place is not None and not ref.connection
        return Link(text, f"{self._pages[ref.table]}#{place}" if known else "")

    def _term_link(self, term: str) -> Link:
        entity, _, key = term.partition(".")
        known = self._project.glossary.entities.get(entity)
        return Link(
            term, f"glossary.html#{anchor(term)}" if known and key in known.attributes else ""
        )

    def _graph(self, parents: Edges) -> Graph:
        return layout(parents, self._pages, self._layers)

    def _neighbourhood(self, name: str) -> Graph:
        upstream, downstream = self._near.upstream, self._near.downstream
        near = {*reached([name], upstream), *reached([name], downstream)}
        if len(near) > _WHOLE_GRAPH:
            near = {name, *upstream[name], *downstream[name]}
        return self._graph({n: upstream[n] for n in upstream if n in near})


def _layer(asset: Asset, project: Project) -> str:
    return asset.name.rpartition(".")[0] or project.pipeline.name


def _fresh_until(asset: Asset, project: Project, state: AssetState) -> datetime | None:
    """When its table is too old; None where it was never built or has no limit."""
    limit = oldest_allowed(asset, project)
    return datetime.fromisoformat(state.built_at) + limit if state.built_at and limit else None


def _owners(asset: Asset, project: Project) -> list[str]:
    owner = asset.owner or project.pipeline.owner
    domains = project.glossary.domains
    of_domains = [name for d in asset.domains if d in domains for name in domains[d].owners]
    return [owner] if owner else list(dict.fromkeys(of_domains))


def _how(asset: Asset, project: Project) -> list[tuple[str, str]]:
    """What there is to say of how an asset is made, as names and values."""
    stored = asset.materialization
    partitions = partitions_of(project.pipeline) if is_partitioned(asset) else None
    facts = [
        ("Type", asset.type),
        ("Stored as", " ".join(filter(None, (stored.type.removesuffix("none"), stored.strategy)))),
        ("Source", asset.parameter("source_table")),
        ("Loaded by", asset.parameter("incremental_strategy")),
        ("Partitions", f"{project.pipeline.schedule}, since {project.pipeline.start_date}, UTC"
         if partitions is not None else ""),
        ("Runs", project.pipeline.schedule or ""),
        ("Connection", project.connection_name(asset)),
        ("Left out", unsupported(project, asset) or ""),
    ]  # fmt: skip
    return [(name, value) for name, value in facts if value]


def _constraints(column: Column) -> list[str]:
    """What is declared of a column beside its checks."""
    key = column.foreign_key
    return [
        *([f"Refers to {key.table}.{key.column}."] if key else []),
        *(["Never NULL."] if column.nullable is False else []),
        *([f"Default: {column.default}."] if column.default is not None else []),
    ]


def _rules(attribute: Attribute, key: str) -> list[str]:
    column = Column(name=attribute.name or key)
    return [Check(f"::{rule.name}", Asset(), rule, column).words for rule in attribute.checks]
