"""The assets that compare Meta's own counts with the ledger, and their schedules."""
