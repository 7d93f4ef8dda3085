"""Automatic recovery: which hours are materialized again without a person, and when."""
