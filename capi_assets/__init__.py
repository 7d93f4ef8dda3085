"""Confirmed conversions, delivered to Meta's Conversions API from stored visits.

The Dagster code location is `capi_assets.definitions`; the thinking lives in plain functions over
tables in the rooms beside it. Imports run one way, from `definitions` down to `settings`.
"""
