"""What Dagster sees, loaded from this folder: one file per asset with its checks, and what runs
them. No rule lives here: these files read, call, write and say.
"""
