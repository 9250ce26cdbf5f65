"""What this package uses of Dagster's private parts, which may change without notice.

No other module imports `dagster._...` (a test looks), and another test compares the signature of
each name, and of each method that is called or replaced, with the one that the code is written for.
A name is imported when it is first used: some take half a second.
"""

from __future__ import annotations

import re
from importlib.metadata import version
from typing import TYPE_CHECKING

from ecommerce_dagster._lazy import lazily

__all__ = [
    "INDEX_SHARD_NAME",
    "AssetCheckEvaluationTargetMaterializationData",
    "AssetCheckExecutionRecordStatus",
    "AssetCheckExecutionsTable",
    "CanCancelExecutionRequest",
    "CanCancelExecutionResult",
    "CheckRunHealthResult",
    "DagsterEventBatchMetadata",
    "DagsterUserCodeUnreachableError",
    "ExecuteRunArgs",
    "ExecuteStepArgs",
    "InMemoryJob",
    "RegisteredCodeLocationOrigin",
    "RemoteJobOrigin",
    "RemoteRepositoryOrigin",
    "SqlEventLogStorage",
    "SqlEventLogStorageTable",
    "SqliteEventLogStorage",
    "WorkerStatus",
    "capture_interrupts",
    "create_execution_plan",
    "execute_run",
    "generate_event_batch_id",
    "is_tried",
    "snapshot_from_execution_plan",
    "unpack_value",
]

if TYPE_CHECKING:
    from dagster._core.definitions.asset_checks.asset_check_evaluation import (
        AssetCheckEvaluationTargetMaterializationData,
    )
    from dagster._core.definitions.job_base import InMemoryJob
    from dagster._core.errors import (
        DagsterUserCodeUnreachableError,
    )
    from dagster._core.events import (
        DagsterEventBatchMetadata,
        generate_event_batch_id,
    )
    from dagster._core.execution.api import create_execution_plan, execute_run
    from dagster._core.launcher import CheckRunHealthResult, WorkerStatus
    from dagster._core.remote_origin import (
        RegisteredCodeLocationOrigin,
        RemoteJobOrigin,
        RemoteRepositoryOrigin,
    )
    from dagster._core.snap import snapshot_from_execution_plan
    from dagster._core.storage.asset_check_execution_record import (
        AssetCheckExecutionRecordStatus,
    )
    from dagster._core.storage.event_log.schema import (
        AssetCheckExecutionsTable,
        SqlEventLogStorageTable,
    )
    from dagster._core.storage.event_log.sql_event_log import SqlEventLogStorage
    from dagster._core.storage.event_log.sqlite.sqlite_event_log import (
        INDEX_SHARD_NAME,
        SqliteEventLogStorage,
    )
    from dagster._grpc.types import (
        CanCancelExecutionRequest,
        CanCancelExecutionResult,
        ExecuteRunArgs,
        ExecuteStepArgs,
    )
    from dagster._serdes import unpack_value
    from dagster._utils.interrupts import capture_interrupts

# The first and the last version of Dagster that the test of the signatures was run with.
FIRST_TRIED, LAST_TRIED = "1.13.20", "1.13.29"

_SQLITE = "dagster._core.storage.event_log.sqlite.sqlite_event_log"
MODULES = {
    "AssetCheckEvaluationTargetMaterializationData": (
        "dagster._core.definitions.asset_checks.asset_check_evaluation"
    ),
    "AssetCheckExecutionRecordStatus": "dagster._core.storage.asset_check_execution_record",
    "AssetCheckExecutionsTable": "dagster._core.storage.event_log.schema",
    "CanCancelExecutionRequest": "dagster._grpc.types",
    "CanCancelExecutionResult": "dagster._grpc.types",
    "CheckRunHealthResult": "dagster._core.launcher",
    "DagsterEventBatchMetadata": "dagster._core.events",
    "DagsterUserCodeUnreachableError": "dagster._core.errors",
    "ExecuteRunArgs": "dagster._grpc.types",
    "ExecuteStepArgs": "dagster._grpc.types",
    "INDEX_SHARD_NAME": _SQLITE,
    "InMemoryJob": "dagster._core.definitions.job_base",
    "RegisteredCodeLocationOrigin": "dagster._core.remote_origin",
    "RemoteJobOrigin": "dagster._core.remote_origin",
    "RemoteRepositoryOrigin": "dagster._core.remote_origin",
    "SqlEventLogStorage": "dagster._core.storage.event_log.sql_event_log",
    "SqlEventLogStorageTable": "dagster._core.storage.event_log.schema",
    "SqliteEventLogStorage": _SQLITE,
    "WorkerStatus": "dagster._core.launcher",
    "capture_interrupts": "dagster._utils.interrupts",
    "create_execution_plan": "dagster._core.execution.api",
    "execute_run": "dagster._core.execution.api",
    "generate_event_batch_id": "dagster._core.events",
    "snapshot_from_execution_plan": "dagster._core.snap",
    "unpack_value": "dagster._serdes",
}


__getattr__ = lazily(__name__, MODULES)


def is_tried(installed: str | None = None) -> bool:
    """Whether the private parts of a version of Dagster (None: the installed one) are known."""
    return (
        _numbers(FIRST_TRIED) <= _numbers(installed or version("dagster")) <= _numbers(LAST_TRIED)
    )


def _numbers(written: str) -> tuple[int, ...]:
    return tuple(map(int, re.findall(r"\d+", written)[:3]))
