"""`capi-assets demo`, `ui` and `drill`: outages and recoveries on sample data, with the sandbox."""
