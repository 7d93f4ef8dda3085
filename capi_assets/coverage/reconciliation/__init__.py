"""Meta's own counts beside the ledger's."""
