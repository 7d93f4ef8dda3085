"""Every name that this project takes from the private modules of Dagster, `dagster._*`.

Dagster may move them in any release. `tests/assets/test_dagster_private.py` says what to do then,
and that no other file imports from there.
"""

from dagster._core.definitions.asset_checks.asset_check_evaluation import (
    AssetCheckEvaluationTargetMaterializationData,
)
from dagster._core.definitions.reconstruct import ReconstructableJob
from dagster._core.definitions.source_asset import SYSTEM_METADATA_KEY_SOURCE_ASSET_OBSERVATION
from dagster._core.remote_representation.external_data import RepositorySnap
from dagster._core.storage.dagster_run import NOT_FINISHED_STATUSES
from dagster._core.storage.partition_status_cache import get_and_update_asset_status_cache_value

__all__ = [
    "NOT_FINISHED_STATUSES",
    "SYSTEM_METADATA_KEY_SOURCE_ASSET_OBSERVATION",
    "AssetCheckEvaluationTargetMaterializationData",
    "ReconstructableJob",
    "RepositorySnap",
    "get_and_update_asset_status_cache_value",
]
