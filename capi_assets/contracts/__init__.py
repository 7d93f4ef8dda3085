"""The data dictionary: one pandera model per table, with types, checks, words and sources.

Everything that says what a column is comes from here: what ingestion refuses, the Parquet schemas
of the lake, and the column descriptions in the Dagster UI. How columns are computed is elsewhere.
"""
