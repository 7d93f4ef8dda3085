"""The code location: everything in `defs/`, with the executor and the resources for all of it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import dagster as dg

from capi_assets.defs.resources import resources_from
from capi_assets.settings import Settings, read_settings

# One process per run: 4 assets of an hour take 4 to 5 s, against 19 to 25 s with one per step.
# A step starts as soon as its inputs are there, even if the step that made them then failed for
# some of its hours: the others go on to Meta (see defs/hourly_reporting.py).
EXECUTOR = dg.in_process_executor.configured(
    {"step_dependency_config": {"require_upstream_step_success": False}}
)


def build_definitions(
    settings: Settings | None = None, resource_overrides: Mapping[str, Any] | None = None
) -> dg.Definitions:
    """All definitions, with resources made from `settings` (default: the environment's).

    Tests and the demo hand in `resource_overrides` by key; they use the same way in as Dagster.
    """
    resources = resources_from(settings or read_settings()) | dict(resource_overrides or {})
    loaded = dg.load_from_defs_folder(path_within_project=Path(__file__).parent)
    return dg.Definitions.merge(loaded, dg.Definitions(resources=resources, executor=EXECUTOR))


@dg.definitions
def defs() -> dg.Definitions:
    """What `workspace.yaml` loads."""
    return build_definitions()
