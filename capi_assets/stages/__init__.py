"""The two stages that only compute and write hours of the lake, in this process or on a cluster."""
