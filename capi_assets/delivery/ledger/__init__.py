"""The ledger: what was sent, when, and what Meta answered. SQLite or PostgreSQL."""
