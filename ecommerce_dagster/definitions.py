"""The code location of a pipeline, or of several in one folder, as Dagster sees it.

`dagster dev`, `dg launch` and `dagster asset materialize` load this module. The folder is
ECOMMERCE_PIPELINE; without it the e-commerce pipeline in `asset_specs/`, of which every file below
`assets/` is an asset, or in an installed package the current folder.
"""

import os
import warnings

import dagster as dg

from ecommerce_dagster import local
from ecommerce_dagster.cli.garbage_collector import paused_collector
from ecommerce_dagster.deploy.executor_setting import SETTING, chosen
from ecommerce_dagster.orchestration.build import build_defs
from ecommerce_dagster.orchestration.executors import executor_for
from ecommerce_dagster.shop.source import resources, translator

# Dagster's own commands set this parameter themselves at a selection by tag or group.
warnings.filterwarnings("ignore", message=r"Parameter `include_sources`")


@dg.definitions
def defs() -> dg.Definitions:
    """The assets and checks, the job with its schedule, the sensor, and the connections."""
    folder = local.located_pipeline()
    local.load_environment(folder)
    is_shop = folder == local.PIPELINE
    embedded = resources() if is_shop else {}
    if embedded and (executor := chosen(os.environ)) != "in_process":
        raise ValueError(
            f"{SETTING} is {executor}: the PostgreSQL that comes with this project would end with "
            "the step that started it; set POSTGRES_HOST"
        )
    with paused_collector():
        built = build_defs(
            folder,
            environment=local.environment(),
            resources=embedded,
            translator=translator() if is_shop else None,
            # The sensors cannot ask a server that runs only as long as a run.
            watch=local.watches() and not embedded,
        )
    return _with_executor(built)


def _with_executor(definitions: dg.Definitions) -> dg.Definitions:
    """The same executor for what is materialized by clicks as for the pipeline's own jobs."""
    return dg.Definitions.merge(definitions, dg.Definitions(executor=executor_for(os.environ)))
