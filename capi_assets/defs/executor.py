"""How the steps of our jobs run."""

import dagster as dg

# One process per run: 4 assets of an hour take 4 to 5 s, against 19 to 25 s with one per step.
# A step starts as soon as its inputs are there, even if the step that made them then failed for
# some of its hours: the others go on to Meta (see defs/hourly_reporting.py).
IN_ONE_PROCESS = dg.in_process_executor.configured(
    {"step_dependency_config": {"require_upstream_step_success": False}}
)
