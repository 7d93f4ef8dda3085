"""Every name that this project takes from the private modules of Dagster, `dagster._*`.

Dagster may move them in any release; then importing this fails and says what to do. No other file
imports from there (`tests/assets/test_dagster_private.py`).
"""

import dagster

try:
    from dagster._core.definitions.asset_checks.asset_check_evaluation import (
        AssetCheckEvaluationTargetMaterializationData,
    )
    from dagster._core.definitions.reconstruct import ReconstructableJob
    from dagster._core.definitions.source_asset import SYSTEM_METADATA_KEY_SOURCE_ASSET_OBSERVATION
    from dagster._core.launcher import CheckRunHealthResult, WorkerStatus
    from dagster._core.remote_representation.external_data import RepositorySnap
    from dagster._core.storage.dagster_run import NOT_FINISHED_STATUSES
    from dagster._core.storage.event_log import SqlEventLogStorage
    from dagster._core.storage.event_log.schema import (
        AssetCheckExecutionsTable,
        AssetKeyTable,
        SqlEventLogStorageTable,
    )
    from dagster._core.storage.event_log.sqlite.sqlite_event_log import SqliteEventLogStorage
    from dagster._core.storage.local_compute_log_manager import LocalComputeLogManager
    from dagster._core.storage.partition_status_cache import get_and_update_asset_status_cache_value
except ImportError as error:
    raise ImportError(
        f"Dagster {dagster.__version__} has moved a private name that capi_assets uses: {error}."
        " Install the Dagster version of constraints.txt. To support this version, find the name's"
        f" new module in the installed package and change {__file__}, the only file that imports"
        " private names."
    ) from error

__all__ = [
    "NOT_FINISHED_STATUSES",
    "SYSTEM_METADATA_KEY_SOURCE_ASSET_OBSERVATION",
    "AssetCheckEvaluationTargetMaterializationData",
    "AssetCheckExecutionsTable",
    "AssetKeyTable",
    "CheckRunHealthResult",
    "LocalComputeLogManager",
    "ReconstructableJob",
    "RepositorySnap",
    "SqlEventLogStorage",
    "SqlEventLogStorageTable",
    "SqliteEventLogStorage",
    "WorkerStatus",
    "get_and_update_asset_status_cache_value",
]
