"""The same Purchases from raw columns to events: ours, Meta's library, a plain loop.

Nine contact fields are normalised and hashed, and the event is written as JSON. Only ours holds
every order against Meta's rules, and takes the digest of every payload, which recovery needs.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

from benchmarks.measure import Result, in_child, in_turns, table

SDK_SHARE = 10
"""Meta's library is measured on this part of the events: its pace does not depend on the number."""

OURS, PLAIN, THEIRS = "capi_assets", "plain Python loop (hashlib, orjson)", "facebook-business"


def report(orders: int, rounds: int) -> str:
    """Runs every contender and says how they compare."""
    module = "benchmarks.event_contenders"
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "purchases.parquet"
        in_child("benchmarks.purchases", file, 2 * orders)
        found = in_turns(
            rounds,
            {
                OURS: (module, file, "ours", orders),
                PLAIN: (module, file, "plain", orders),
                THEIRS: (module, file, "sdk", orders // SDK_SHARE),
            },
            by="bodies",
        )
        doubled = in_child(module, file, "ours", 2 * orders)
    alike = _agreeing(list(found.values()))
    ours, theirs = found[OURS], found[THEIRS]
    heads = ("contender", "orders", "events/s", "ratio", "in requests/s", "ratio", "peak MB")
    rows = [
        (
            name,
            f"{result['orders']:,}",
            *(text for stage in ("events", "bodies") for text in _pace(result, theirs, stage)),
            f"{result['peak_mb']:,.0f}",
        )
        for name, result in found.items()
    ]
    return "\n".join(
        [
            f"Events: raw columns to payloads of {ours['bytes'] / ours['orders']:,.0f} bytes,"
            " 9 hashed keys, one core, CPU time",
            "",
            table(heads, rows),
            "",
            f"Normalising and hashing is {ours['hashing'] / ours['events']:.0%} of our time; making"
            f" dicts of columns is {theirs['reading'] / theirs['events']:.0%} of {THEIRS}'s.",
            f"Memory: {ours['peak_mb']:,.0f} MB for {ours['orders']:,} orders,"
            f" {doubled['peak_mb']:,.0f} MB for {doubled['orders']:,}.",
            f"All three made the same match keys of the first {alike:,} orders.",
        ]
    )


def _pace(result: Result, other: Result, stage: str) -> tuple[str, str]:
    """Orders a second up to a stage, and how many times the other's that is."""
    pace, its = (each["orders"] / each[stage] for each in (result, other))
    return f"{pace:,.0f}", f"{pace / its:.1f} x"


def _agreeing(found: list[Result]) -> int:
    """How many events all contenders hashed alike. Raises SystemExit at any difference."""
    count = min(len(result["sample"]) for result in found)
    samples = [result["sample"][:count] for result in found]
    if any(sample != samples[0] for sample in samples):
        raise SystemExit("the contenders do not hash the same: no comparison")
    return count
