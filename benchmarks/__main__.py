"""`python -m benchmarks [events|matching]`: every benchmark, or one, in one run."""

from __future__ import annotations

import argparse
import platform
from datetime import UTC, datetime

from benchmarks import events, matching


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("which", nargs="?", choices=("events", "matching", "all"), default="all")
    parser.add_argument("--events", type=int, default=200_000, help="events to build")
    parser.add_argument("--visits", type=int, default=2_000_000, help="visits to look among")
    parser.add_argument("--orders", type=int, default=20_000, help="orders to match")
    parser.add_argument("--rounds", type=int, default=3, help="the best of so many counts")
    chosen = parser.parse_args()
    print(f"{datetime.now(UTC):%Y-%m-%d}, Python {platform.python_version()}, {platform.machine()}")
    if chosen.which in ("events", "all"):
        print()
        print(events.report(chosen.events, chosen.rounds))
    if chosen.which in ("matching", "all"):
        print()
        print(matching.report(chosen.visits, chosen.orders, chosen.rounds))


if __name__ == "__main__":
    main()
