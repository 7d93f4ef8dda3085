"""Writes the pages and tables of the docs that are generated from code."""
