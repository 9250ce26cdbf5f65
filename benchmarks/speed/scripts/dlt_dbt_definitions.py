"""The pipeline as dagster-dlt and dagster-dbt run it: DSN, WAREHOUSE and DBT_PROJECT in the
environment, and TABLES to load."""

import os

import dagster as dg
import dlt
from dagster_dbt import DbtCliResource, dbt_assets
from dagster_dlt import DagsterDltResource, DagsterDltTranslator, dlt_assets
from dlt.sources.sql_database import sql_database

MANIFEST = os.path.join(os.environ["DBT_PROJECT"], "target", "manifest.json")
SOURCE = sql_database(
    os.environ["DSN"],
    schema="public",
    table_names=os.environ["TABLES"].split(","),
    backend="connectorx",
    backend_kwargs={"return_type": "arrow"},
)
PIPELINE = dlt.pipeline(
    "shop",
    pipelines_dir=os.environ["DLT_PIPELINES"],
    destination=dlt.destinations.duckdb(os.environ["WAREHOUSE"]),
    dataset_name="raw",
)


class AsSources(DagsterDltTranslator):
    """Each table is the source that dbt reads."""

    def get_asset_spec(self, data):
        spec = super().get_asset_spec(data)
        return spec.replace_attributes(key=["raw", data.resource.name], deps=[])


@dlt_assets(dlt_source=SOURCE, dlt_pipeline=PIPELINE, dagster_dlt_translator=AsSources())
def raw(context: dg.AssetExecutionContext, loader: DagsterDltResource):
    yield from loader.run(
        context=context, write_disposition="replace", loader_file_format="parquet"
    )


@dbt_assets(manifest=MANIFEST)
def models(context: dg.AssetExecutionContext, dbt: DbtCliResource):
    yield from dbt.cli(["build"], context=context).stream()


defs = dg.Definitions(
    [raw, models],
    resources={
        "loader": DagsterDltResource(),
        "dbt": DbtCliResource(
            project_dir=os.environ["DBT_PROJECT"], profiles_dir=os.environ["DBT_PROJECT"]
        ),
    },
)
