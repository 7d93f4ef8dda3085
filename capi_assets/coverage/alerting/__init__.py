"""Alerts: which gaps are reported, in which words, and through which channels."""
