"""What Dagster sees: one module per asset with its checks, and what runs them.

Each module has a function that takes settings and returns `dagster.Definitions`;
`capi_assets/definitions.py` merges them. No rule is decided here: these modules read, call the
functions of the other packages, write and report.
"""
