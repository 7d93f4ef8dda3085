"""A cluster for ranges that are too large for one machine: Spark Connect, for some of the work.

The cluster reads the landing folder and reads and writes the lake, with our own functions: its
workers have this package. It has neither the ledger nor a token of Meta.
"""
