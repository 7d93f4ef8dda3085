"""The data contracts: one pandera model per table, with types, checks, descriptions and sources.

Ingestion validates with them; the Parquet schemas of the lake, the column descriptions in the
Dagster UI and docs/data-dictionary.md are derived from them. How a column is computed is elsewhere.
"""
