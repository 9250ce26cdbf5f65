"""The words below `parameters:` of assets that load or wait, and those that do nothing here."""

from __future__ import annotations

from ecommerce_dagster.bruin.model.asset import Asset
from ecommerce_dagster.bruin.on_off import switched
from ecommerce_dagster.bruin.problems import ProblemLog, nearest
from ecommerce_dagster.warehouses.schema_contract import lint_contract

# What a `source_table` begins with that is a query.
QUERY = "query:"
# What Bruin and ingestr take, in one set: a pipeline's `default` gives them to all assets alike.
KNOWN = frozenset({
    "bucket_key", "bucket_name", "cdc", "cdc_dest_schema", "cdc_grpc_host", "cdc_grpc_port",
    "cdc_grpc_tls", "cdc_mode", "cdc_publication", "cdc_server_id", "cdc_slot", "cdc_state_id",
    "cdc_stream_flush_interval", "cdc_stream_flush_records", "cdc_stream_metrics_addr", "cdc_tls",
    "cluster_by", "destination", "destination_connection", "enforce_schema",
    "extract_parallelism", "extract_partition_by", "extract_partition_interval", "file_type",
    "flush_interval", "flush_records", "full_refresh", "incremental_key", "incremental_strategy",
    "interval_end", "interval_start", "loader_file_format", "loader_file_size", "mask",
    "no_inference", "page_size", "partition_by", "path", "pipelines_dir", "poke_interval",
    "primary_key", "query", "schema_contract", "schema_naming", "source", "source_connection",
    "source_table", "sql_backend", "sql_exclude_columns", "sql_limit", "sql_reflection_level",
    "staging_bucket", "staging_dataset", "stream", "table", "timeout", "trim_whitespace",
    "version",
})  # fmt: skip
_ALIKE = 0.7  # `masking` is meant to be `mask`


def lint_parameters(asset: Asset, log: ProblemLog) -> None:
    """Report unknown parameters: one that is like a known one is an error."""
    for key in asset.parameters:
        if key in KNOWN:
            continue
        match, at = nearest(key, KNOWN, _ALIKE), asset.at("parameters", key)
        if match is not None:
            message = f"unknown parameter '{key}'; did you mean '{match}'?"
            log.error(*at, "unknown-parameters", message)
        else:
            message = (
                f"unknown parameter '{key}' is ignored; docs/bruin.md has those that do something"
            )
            log.warning(*at, "unknown-parameters", message)
    _lint_switches(asset, log)


def _lint_switches(asset: Asset, log: ProblemLog) -> None:
    """Report what is asked for and is not done here."""
    lint_contract(asset, log)
    for key in ("stream", "cdc"):
        if switched(asset.parameter(key) or "false") is not False:
            message = (
                f"'{key}' is not done here: each run loads what is new and ends; a schedule or the "
                "sensor starts the next one, so remove it"
            )
            log.warning(*asset.at("parameters", key), "not-done-here", message)


def trims(asset: Asset) -> bool:
    """Whether texts come without the blanks at their ends (`trim_whitespace`)."""
    return switched(asset.parameter("trim_whitespace") or "false") is True
