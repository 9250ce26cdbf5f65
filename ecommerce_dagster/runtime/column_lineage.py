"""From which columns each column of a pipeline is computed, down to those of the source database.

    lineage = project_lineage(project)
    lineage["mart.top_skus"].columns["revenue"]     # {mart.revenue_by_product_variant.revenue}
    origins(lineage, "mart.top_skus", "revenue")    # {public.order_items.total_price, pg-default}

Nothing is asked of a database: columns are those that queries return or files declare.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache

from ecommerce_dagster.bruin.model.asset import Asset, Upstream
from ecommerce_dagster.bruin.model.platforms import dialect_of
from ecommerce_dagster.bruin.project import Project
from ecommerce_dagster.bruin.templates.render import RenderError, RunContext
from ecommerce_dagster.sources.known_parameters import QUERY
from ecommerce_dagster.sources.parameters import excluded_of, primary_key_of
from ecommerce_dagster.sources.postgres.describe import path_of
from ecommerce_dagster.sql.column_names import meant
from ecommerce_dagster.sql.lineage.columns import NOTHING, ColumnRef, Refs, Table
from ecommerce_dagster.sql.lineage.query import Lineage, query_lineage
from ecommerce_dagster.sql.strategies.registry import strategy_name


@lru_cache(maxsize=8)
def project_lineage(project: Project) -> Mapping[str, Lineage]:
    """The lineage of every asset, by its name. Columns that no file names are not in it."""
    found: dict[str, Lineage] = {}
    tables: list[Table] = []
    for asset in project.assets:
        found[asset.name] = lineage = asset_lineage(project, asset, tables)
        declared = (column.name for column in asset.columns if column.name)
        columns = tuple(dict.fromkeys((*lineage.columns, *declared)))
        known = dialect_of(asset.type) is not None and not lineage.gaps
        tables.append(Table(asset.name, columns, primary_key_of(asset), complete=known))
    return found


def asset_lineage(
    project: Project,
    asset: Asset,
    tables: Iterable[Table],
    columns: Sequence[str] = (),
) -> Lineage:
    """The lineage of one asset that reads `tables`.

    `columns` are those of its own table where they are known better than from its file.
    """
    names = columns or [column.name for column in asset.columns if column.name]
    dialect = dialect_of(asset.type)
    if dialect is not None:
        found = _of_query(project, asset, dialect, tables)
    elif asset.type == "ingestr":
        found = _of_source(project, asset, names)
    else:
        is_code = asset.type == "python" and bool(names)
        found = Lineage({}, ("Python code is not read",) if is_code else ())
    spelt = {name.lower(): name for name in names}
    if asset.type == "ingestr":
        refs = {meant(name, names) or name: refs for name, refs in found.columns.items()}
    else:
        refs = {spelt.get(name.lower(), name): refs for name, refs in found.columns.items()}
    if columns:
        refs = {name: refs.get(name, NOTHING) for name in columns}
    for name in names:
        refs.setdefault(name, NOTHING)
    for column in asset.columns:
        if column.upstreams:
            named = (_named(project, upstream) for upstream in column.upstreams)
            refs[spelt.get(column.name.lower(), column.name)] = frozenset(named)
    declared = {column.name.lower() for column in asset.columns if column.upstreams}
    all_declared = bool(declared) and declared.issuperset(map(str.lower, refs))
    return Lineage(refs, () if all_declared else found.gaps)


def origins(lineage: Mapping[str, Lineage], table: str, column: str) -> Refs:
    """The columns, of source databases or of tables that no asset makes, where a column begins."""
    seen: set[ColumnRef] = set()
    ends: set[ColumnRef] = set()
    waiting = [ColumnRef(table, column)]
    while waiting:
        ref = waiting.pop()
        if ref in seen:
            continue
        seen.add(ref)
        known = None if ref.connection else lineage.get(ref.table)
        if known is None:
            ends.add(ref)
        else:
            waiting += known.columns.get(ref.column, NOTHING)
    return frozenset(ends)


def _of_query(project: Project, asset: Asset, dialect: str, tables: Iterable[Table]) -> Lineage:
    if asset.materialization.type == "table" and strategy_name(asset) == "ddl":
        return Lineage({})
    try:
        sql = _rendered(project, asset, asset.body)
    except RenderError as error:
        return Lineage({}, (f"the query cannot be rendered: {error}",))
    target = asset.name if asset.materialization.type == "none" else ""
    return query_lineage(sql, tables, target=target, dialect=dialect)


def _of_source(project: Project, asset: Asset, names: Sequence[str]) -> Lineage:
    """The columns of an ingested table have the names of those that they are copied from."""
    connection = asset.parameter("source_connection")
    try:
        source = _rendered(project, asset, asset.parameter("source_table"))
    except RenderError as error:
        return Lineage({}, (f"source_table cannot be rendered: {error}",))
    if source.startswith(QUERY):
        found = query_lineage(source.removeprefix(QUERY), (), dialect="postgres")
        columns = {
            name: frozenset(ref._replace(connection=connection) for ref in refs)
            for name, refs in found.columns.items()
        }
        return Lineage(columns, found.gaps)
    excluded = set(excluded_of(asset))
    path = ".".join(path_of(source, _schema(project, connection)))
    origin = {column.name: column.source_column for column in asset.columns}
    return Lineage(
        {
            name: frozenset({ColumnRef(path, origin.get(name) or name, connection)})
            for name in names
            if name not in excluded
        }
    )


def _rendered(project: Project, asset: Asset, template: str) -> str:
    """A template of the asset as of a run of yesterday. Raises RenderError."""
    context = RunContext(pipeline=project.pipeline.name, variables=project.variables)
    return project.render(template, context, asset)


def _schema(project: Project, connection: str) -> str:
    """The schema of a connection's tables that are named without one."""
    known = project.connections.by_name.get(connection)
    schema = str(known.settings.get("schema") or "") if known is not None else ""
    return schema if schema and "$" not in schema else "public"


def _named(project: Project, upstream: Upstream) -> ColumnRef:
    """A column that a file names, in the spelling of the asset that has it."""
    wanted = upstream.table.lower()
    table = next((a.name for a in project.assets if a.name.lower() == wanted), upstream.table)
    return ColumnRef(table, upstream.column)
