"""Delivery: each event at Meta once, or in the books with one reason.

`plan` decides (pure), `sender` sends what was decided, `ledger` remembers what was tried and what
Meta answered, `results` folds the ledger into `delivery_results`. What Meta's answers mean is
`capi_assets.meta`'s; which events exist is `matched_events`'. Nothing here knows Dagster.
"""
