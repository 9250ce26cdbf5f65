"""What each `type` of asset is: how it is built, what it needs, what may stand in its file.

To add a type: write an entry of ASSET_TYPES.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import PurePath
from typing import TYPE_CHECKING

from ecommerce_dagster.bruin.graph import reached
from ecommerce_dagster.bruin.lint.asset import lint_query
from ecommerce_dagster.bruin.model.asset import Asset
from ecommerce_dagster.bruin.model.platforms import PLATFORMS, TYPES
from ecommerce_dagster.bruin.problems import ProblemLog
from ecommerce_dagster.bruin.project import Project, platform_said
from ecommerce_dagster.python_assets.lint import lint_python
from ecommerce_dagster.runtime.plain_names import slug
from ecommerce_dagster.runtime.readers import READERS, readable_platforms, reader_of
from ecommerce_dagster.runtime.sensor import lint_sensor
from ecommerce_dagster.runtime.warehouses import WAREHOUSES
from ecommerce_dagster.sources import ingestr
from ecommerce_dagster.sources.known_parameters import lint_parameters
from ecommerce_dagster.sources.parameters import lint_ingestion, unmaskable
from ecommerce_dagster.sources.seeds.seed import lint_seed
from ecommerce_dagster.sql.checks import Check, checks_of

if TYPE_CHECKING:
    from ecommerce_dagster.runtime.asset_run import AssetRun
    from ecommerce_dagster.warehouses.base import BuildResult

Build = Callable[["AssetRun", Sequence[Check]], "BuildResult"]
Sources = Mapping[str, frozenset[str]]
Lint = Callable[[Asset, Project, ProblemLog], None]

_ALL = frozenset(PLATFORMS)

# The beginnings of Bruin's types for warehouses and runners that are none of ours. Before a dot,
# the names of its connections are taken for such as well.
_ELSEWHERE = {
    "agent", "athena", "bq", "clickhouse", "couchbase", "databricks", "dataproc_serverless",
    "doris", "dremio", "dynamodb", "elasticsearch", "emr_serverless", "fabric", "fw", "gcs",
    "gsheets", "mongo", "ms", "my", "mysql", "oracle", "r", "rs", "s3", "sail", "sf",
    "snowflake", "starrocks", "synapse", "trino", "vertica",
}  # fmt: skip
# Those that stand for something to look at: a node of the graph, without work.
_DASHBOARDS = {
    "domo", "gooddata", "grafana", "looker", "looker_studio", "metabase", "modebi", "powerbi",
    "qlik", "qlik_sense", "qlik_view", "qliksense", "qlikview", "quicksight",
    "quicksight.dashboard", "quicksight.dataset", "redash", "sisense", "superset", "tableau",
    "tableau.dashboard", "tableau.datasource", "tableau.workbook", "tableau.worksheet",
}  # fmt: skip


@dataclass(frozen=True)
class AssetType:
    """A kind of asset, and `kind` the word for it in the graph.

    `build` makes and checks its table, in one run. `has_table` tells whether there is one, on a
    connection of one of the `platforms`. `sources` names the other connections that it reads.
    """

    build: Build
    kind: str
    platforms: frozenset[str] = _ALL
    has_table: Callable[[Asset], bool] = lambda asset: True
    sources: Callable[[Asset], Sources] = lambda asset: {}
    lint: Lint = lambda asset, project, log: None


def _ingestr_sources(asset: Asset) -> Sources:
    name = asset.parameter("source_connection")
    return {name: readable_platforms()} if name else {}


def _is_checked(asset: Asset) -> bool:
    return bool(checks_of(asset))


def _has_rows(asset: Asset) -> bool:
    return asset.materialization.type == "table" or _is_checked(asset)


def unsupported(project: Project, asset: Asset) -> str | None:
    """Why an asset that Bruin can run cannot run here; None when it can.

    Such an asset is shown in the graph and left out of runs; the others load without it.
    """
    if asset.type in ASSET_TYPES:
        source = project.connections.by_name.get(asset.parameter("source_connection"))
        readable = ASSET_TYPES[asset.type].sources(asset).get(source.name) if source else None
        kind = reader_of(source, project.connection_name(asset)) if source else ""
        if readable is not None and kind not in readable:
            known = ", ".join(sorted(READERS))
            more = ", and where ingestr is installed (pip install ingestr) all that it reads"
            return f"it reads from {kind}; supported: {known}{more}"
        if asset.type == "ingestr" and platform_said(asset) not in _ALL:
            written = asset.parameter("destination")
            return f"its destination is {written}; supported: {', '.join(sorted(_ALL))}"
        unmasked = unmaskable(asset) if asset.type == "ingestr" else None
        return unmasked.message if unmasked else _on_another_platform(project, asset)
    start, dot, _ = asset.type.partition(".")
    if start in _ELSEWHERE or (dot and start in ingestr.PLATFORMS):
        return (
            f"the type {asset.type} is for another platform; supported: {', '.join(sorted(_ALL))}"
        )
    return None


def _on_another_platform(project: Project, asset: Asset) -> str | None:
    """Why an asset whose table would be in a database of another platform cannot run here."""
    said = asset.type == "ingestr" and asset.parameter("destination")
    if said or not ASSET_TYPES[asset.type].has_table(asset):
        return None
    platform, name = project.platform(asset), project.connection_name(asset)
    if platform in _ALL:
        return None
    supported = f"supported: {', '.join(sorted(_ALL))}"
    if asset.connection or name in project.connections.by_name:
        return f"its connection '{name}' is of type {platform}; {supported}"
    return f"its table is in {platform}, like those of most assets here; {supported}"


def connections_of(project: Project, asset: Asset) -> dict[str, frozenset[str]]:
    """The connections that an asset needs, by name, with the platforms that will do for each."""
    known = ASSET_TYPES[asset.type]
    is_said = asset.type == "ingestr" and asset.parameter("destination")
    platforms = frozenset({platform_said(asset)}) if is_said else known.platforms
    own = {project.connection_name(asset): platforms} if known.has_table(asset) else {}
    # Where the two are the same connection, it must do for both.
    return {**known.sources(asset), **own}


def has_table(asset: Asset) -> bool:
    """Whether the asset stands for a table: not a script, not a sensor, though it may need a
    connection. One that cannot run here is thought to, where it can."""
    known = ASSET_TYPES.get(asset.type)
    return known is None or (known.has_table(asset) and known.kind != "sensor")


def kinds_of(project: Project, asset: Asset) -> set[str]:
    """What the asset is made with, for the icons in the graph."""
    known = ASSET_TYPES.get(asset.type)
    if known is None:
        return {slug(asset.type.split(".")[0])}
    connections = (project.connections.by_name.get(name) for name in known.sources(asset))
    kinds = {connection.platform for connection in connections if connection is not None}
    own = {project.platform(asset)} if known.has_table(asset) else set()
    return {known.kind, *kinds, *own} - {""}


def _lint_sql(asset: Asset, project: Project, log: ProblemLog) -> None:
    lint_query(asset, log)
    WAREHOUSES[TYPES[asset.type]].lint(asset, log)


def _lint_sensor(asset: Asset, project: Project, log: ProblemLog) -> None:
    lint_parameters(asset, log)
    lint_sensor(asset, log)


def _lint_seed(asset: Asset, project: Project, log: ProblemLog) -> None:
    lint_seed(asset, project.checkout, log, made_by=_maker(project, asset))


def _maker(project: Project, seed: Asset) -> str | None:
    """The Python asset that may write the file of a seed: one upstream of it, or one that names the
    file."""
    name = PurePath(seed.parameter("path")).name
    upstream = reached([seed.name], project.neighbours.upstream)
    programs = [asset for asset in project.assets if asset.type == "python"]
    makers = (a.name for a in programs if a.name in upstream or (name and name in a.body))
    return next(makers, None)


def _lint_python(asset: Asset, project: Project, log: ProblemLog) -> None:
    lint_python(asset, project.checkout, log)


def _alone(lint: Callable[[Asset, ProblemLog], None]) -> Lint:
    return lambda asset, project, log: lint(asset, log)


def _by(name: str) -> Build:
    """What `builders` has to build an asset. It is imported when something is built: that takes a
    third of the time in which `ecommerce validate` reads and binds the shop."""

    def build(run: AssetRun, checks: Sequence[Check]) -> BuildResult:
        from ecommerce_dagster.runtime import builders

        function: Build = getattr(builders, name)
        return function(run, checks)

    return build


def _of_platform(kind: str, platform: str) -> AssetType:
    """What a type of assets does that is for one platform."""
    return replace(_OF_PLATFORMS[kind.partition(".")[2]], platforms=frozenset({platform}))


# Of assets that are for one platform, by what follows its prefix.
_OF_PLATFORMS = {
    "sql": AssetType(_by("build_sql"), "sql", lint=_lint_sql),
    "seed": AssetType(_by("build_seed"), "csv", lint=_lint_seed),
    "source": AssetType(_by("build_nothing"), "source"),
    "sensor.query": AssetType(_by("build_sensor"), "sensor", lint=_lint_sensor),
    "sensor.table": AssetType(_by("build_sensor"), "sensor", lint=_lint_sensor),
}
ASSET_TYPES: dict[str, AssetType] = {
    **{kind: _of_platform(kind, name) for kind, name in TYPES.items()},
    "ingestr": AssetType(
        _by("build_ingestr"), "", sources=_ingestr_sources, lint=_alone(lint_ingestion)
    ),
    "python": AssetType(_by("build_python"), "python", has_table=_has_rows, lint=_lint_python),
    "empty": AssetType(_by("build_nothing"), "empty", has_table=_is_checked),
    **{
        name: AssetType(_by("build_nothing"), slug(name.split(".")[0]), has_table=_is_checked)
        for name in _DASHBOARDS
    },
}
