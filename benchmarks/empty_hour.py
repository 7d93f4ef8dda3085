"""`python -m benchmarks hour`: what an hour without orders costs, beside Dagster alone.

Each contender is a process of its own, which loads its definitions, makes a new Dagster instance
and materializes two empty hours in it, one run each: ours, and a graph of the same five assets and
seven checks that do nothing. What is above it, ours imports, reads, computes and writes.
"""

from __future__ import annotations

from benchmarks.measure import in_turns, table

_CONTENDERS = ("capi_assets", "Dagster alone")


def report(rounds: int) -> str:
    """A table of both contenders, each in its best of `rounds` rounds."""
    runs = {name: ("benchmarks.empty_hour_contenders", name) for name in _CONTENDERS}
    results = in_turns(rounds, runs)
    floor = results["Dagster alone"]
    rows = [
        [
            name,
            *(f"{result[key]:.2f}" for key in ("cpu", "loading", "further")),
            f"{result['cpu'] / floor['cpu']:.2f} x",
            f"{result['further'] / floor['further']:.2f} x",
        ]
        for name, result in results.items()
    ]
    heads = ["an empty hour", "CPU s", "of it loading", "a further hour", "ratio", "further"]
    return table(heads, rows)
