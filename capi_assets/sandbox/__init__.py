"""The Meta sandbox: a server that responds like Meta's Conversions API, for trials and tests.

Nothing of the delivering side (`capi_assets.meta`, `capi_assets.delivery`) is imported here: the
box reads Meta's pages a second time, so that a misreading on one side shows as a refusal.
"""
