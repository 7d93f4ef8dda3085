"""Confirmed conversions, delivered to Meta's Conversions API from stored visits.

The Dagster code location is `capi_assets.definitions`; all rules are plain functions over
tables, in the packages next to it. Imports run one way, from `definitions` down to `settings`.
"""
