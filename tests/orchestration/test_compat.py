"""The private parts of Dagster are as the code expects them.

Needs nothing but Dagster: run it alone with another version, before that is allowed.
"""

from __future__ import annotations

import inspect
from importlib.metadata import version
from typing import Any

import dagster as dg
import pytest

from ecommerce_dagster import _compat

ENUMS = {
    "AssetCheckExecutionRecordStatus": {"PLANNED", "SUCCEEDED", "FAILED"},
    "WorkerStatus": {"RUNNING", "FAILED"},
}
# The columns that are read.
TABLES = {
    "AssetCheckExecutionsTable": {
        *("id", "asset_key", "check_name", "execution_status", "evaluation_event"),
        *("partition", "run_id"),
    },
    "SqlEventLogStorageTable": {"asset_key", "dagster_event_type", "run_id", "timestamp"},
}
VALUES = {"INDEX_SHARD_NAME": "index"}
# The parameters that are given, in their order; others must have a default.
CALLS: dict[str, tuple[str, ...]] = {
    "CheckRunHealthResult": ("status", "msg"),
    "DagsterEventBatchMetadata": ("id", "is_end"),
    "InMemoryJob": ("job_def",),
    "SqliteEventLogStorage": ("base_dir", "inst_data"),
    "capture_interrupts": (),
    "create_execution_plan": ("job",),
    "execute_run": ("job", "dagster_run", "instance"),
    "generate_event_batch_id": (),
    "snapshot_from_execution_plan": ("execution_plan", "pipeline_snapshot_id"),
    "unpack_value": ("val", "as_type"),
}
FIELDS = {
    "CanCancelExecutionRequest": {"run_id"},
    "CanCancelExecutionResult": {"can_cancel"},
    "ExecuteRunArgs": {"run_id"},
    "ExecuteStepArgs": {"run_id"},
}
# The parameters by position, which these classes hide until one is made.
RECORDS = {
    "AssetCheckEvaluationTargetMaterializationData": ("storage_id", "run_id", "timestamp"),
    "RegisteredCodeLocationOrigin": ("location_name",),
    "RemoteJobOrigin": ("repository_origin", "job_name"),
    "RemoteRepositoryOrigin": ("code_location_origin", "repository_name"),
}
# Methods that are called, or replaced, and all of their parameters.
METHODS = {
    "_connect": ("self", "shard"),
    "_has_asset_key_col_on_connection": ("self", "conn", "column_name"),
    "_initdb": ("self", "engine", "for_index_shard"),
    "_store_asset_event": ("self", "conn", "event", "event_id"),
    "conn_string_for_shard": ("self", "shard_name"),
    "dispose": ("self",),
    "from_config_value": ("inst_data", "config_value"),
    "get_asset_check_execution_history": (
        *("self", "check_key", "limit", "cursor", "status", "partition_filter"),
    ),
    "get_latest_asset_check_execution_by_key": ("self", "check_keys", "partition_filter"),
    "has_table": ("self", "table_name"),
    "store_event": ("self", "event"),
    "store_event_batch": ("self", "events"),
}


def parameters(function: Any) -> tuple[str, ...]:
    return tuple(inspect.signature(function).parameters)


def test_each_name_is_looked_at() -> None:
    named = {
        "DagsterUserCodeUnreachableError",
        *TABLES,
        "SqlEventLogStorage",
        *ENUMS,
        *VALUES,
        *CALLS,
        *FIELDS,
        *RECORDS,
    }
    assert named == set(_compat.MODULES) == set(_compat.__all__) - {"is_tried"}


@pytest.mark.parametrize(("name", "members"), ENUMS.items())
def test_enums(name: str, members: set[str]) -> None:
    assert members <= set(getattr(_compat, name).__members__)


@pytest.mark.parametrize(("name", "columns"), TABLES.items())
def test_tables(name: str, columns: set[str]) -> None:
    assert columns <= set(getattr(_compat, name).c.keys())


def test_what_keeps_events_in_a_database() -> None:
    assert issubclass(_compat.SqliteEventLogStorage, _compat.SqlEventLogStorage)
    assert parameters(_compat.SqlEventLogStorage.index_connection) == ("self",)


@pytest.mark.parametrize(("name", "value"), VALUES.items())
def test_values(name: str, value: object) -> None:
    assert getattr(_compat, name) == value


@pytest.mark.parametrize(("name", "given"), CALLS.items())
def test_calls(name: str, given: tuple[str, ...]) -> None:
    known = inspect.signature(getattr(_compat, name)).parameters
    assert tuple(known)[: len(given)] == given
    others = list(known.values())[len(given) :]
    assert all(other.default is not inspect.Parameter.empty for other in others)


@pytest.mark.parametrize(("name", "fields"), FIELDS.items())
def test_fields(name: str, fields: set[str]) -> None:
    kind = getattr(_compat, name)
    known = getattr(kind, "_fields", None) or parameters(kind.__new__) + parameters(kind.__init__)
    assert fields <= set(known)


@pytest.mark.parametrize(("name", "fields"), RECORDS.items())
def test_records(name: str, fields: tuple[str, ...]) -> None:
    kind = getattr(_compat, name)
    assert getattr(kind, "_fields", tuple(inspect.get_annotations(kind))) == fields


def test_an_unreachable_code_server_is_an_error_of_dagster() -> None:
    assert issubclass(_compat.DagsterUserCodeUnreachableError, dg.DagsterError)


@pytest.mark.parametrize(("name", "expected"), METHODS.items())
def test_methods_of_the_storage(name: str, expected: tuple[str, ...]) -> None:
    assert parameters(getattr(_compat.SqliteEventLogStorage, name)) == expected


def test_methods_of_the_launcher() -> None:
    launcher = dg.DefaultRunLauncher
    assert parameters(launcher._get_grpc_client_for_termination) == ("self", "run_id")
    assert parameters(launcher.check_run_worker_health) == ("self", "run")
    assert isinstance(
        inspect.getattr_static(launcher, "supports_check_run_worker_health"), property
    )


def test_methods_of_the_executor() -> None:
    assert parameters(dg.Executor.execute) == ("self", "plan_context", "execution_plan")
    # What must be answered; `step_dependency_config` has a default.
    assert dg.Executor.__abstractmethods__ == {"execute", "retries"}
    assert isinstance(inspect.getattr_static(dg.Executor, "step_dependency_config"), property)


def test_methods_by_which_a_run_is_recorded() -> None:
    given = {
        *("job_name", "run_id", "run_config", "status", "tags", "root_run_id", "parent_run_id"),
        *("step_keys_to_execute", "execution_plan_snapshot", "job_snapshot"),
        *("parent_job_snapshot", "asset_selection", "asset_check_selection"),
        *("resolved_op_selection", "op_selection", "remote_job_origin", "job_code_origin"),
        "asset_graph",
    }
    assert set(parameters(dg.DagsterInstance.create_run)) - {"self"} == given
    selected = parameters(dg.JobDefinition.get_subset)
    assert {"asset_selection", "asset_check_selection"} <= set(selected)
    assert {"tags", "instance_ref"} <= set(parameters(_compat.create_execution_plan))


def test_the_ops_after_one_are_known() -> None:
    graph = dg.GraphDefinition(name="empty")
    found = parameters(graph.dependency_structure.output_to_downstream_inputs_for_node)
    assert found == ("node_name",)


def test_methods_of_events() -> None:
    found = parameters(dg.DagsterEvent.asset_materialization)
    assert found == ("step_context", "materialization", "batch_metadata")
    assert parameters(dg.AssetExecutionContext.get_step_execution_context) == ("self",)


def test_the_installed_version_is_one_that_was_tried() -> None:
    assert _compat.is_tried(version("dagster"))
    assert _compat.is_tried(_compat.FIRST_TRIED)
    assert _compat.is_tried(_compat.LAST_TRIED)
    assert not _compat.is_tried("1.0.17")
    assert not _compat.is_tried("1.14.0rc1")
    assert not _compat.is_tried("2.0.0")
