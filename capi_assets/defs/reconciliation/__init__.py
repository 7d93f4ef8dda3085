"""The assets that compare Meta's own counts with the ledger, and their schedules."""

GROUP = "meta_reports"
"""Group of what Meta reports itself, beside the group of the hours: selecting that one does not
include these assets."""
