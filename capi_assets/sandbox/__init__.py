"""Meta in a box: a server that answers like Meta's Conversions API, for trying and testing.

Nothing of the delivering side (`capi_assets.meta`, `capi_assets.delivery`) is imported here: the
box reads Meta's pages a second time, so that a misreading on one side shows as a refusal.
"""
