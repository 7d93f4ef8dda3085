"""The Meta sandbox: a server that responds like Meta's Conversions API, for trials and tests.

It imports nothing from `capi_assets.meta` or `capi_assets.delivery`: it implements Meta's pages a
second time, so that a misreading on one side shows as a rejected event. Start it with
`capi-assets sandbox`, or in a test with `run.SandboxServer`.
"""
