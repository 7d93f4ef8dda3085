"""`python -m benchmarks [events|matching|delivery|hour|range|weeks]`: all, or one, in one run."""

from __future__ import annotations

import argparse
import platform
from datetime import UTC, datetime

from benchmarks import delivery, empty_hour, events, hour_range, labelled_weeks, matching


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument(
        "which",
        nargs="?",
        choices=("events", "matching", "delivery", "hour", "range", "weeks", "all"),
        default="all",
    )
    parser.add_argument("--events", type=int, default=200_000, help="events to build")
    parser.add_argument("--visits", type=int, default=2_000_000, help="visits to look among")
    parser.add_argument("--orders", type=int, default=20_000, help="orders to match")
    parser.add_argument("--pending", type=int, default=50_000, help="events to deliver")
    parser.add_argument("--many", type=int, default=1_000_000, help="events to deliver, for memory")
    parser.add_argument("--hours", type=int, default=504, help="hours to backfill in pieces")
    parser.add_argument("--busy", type=int, default=100_000, help="orders of the busy hour")
    parser.add_argument("--rounds", type=int, default=3, help="the best of so many counts")
    chosen = parser.parse_args()
    print(f"{datetime.now(UTC):%Y-%m-%d}, Python {platform.python_version()}, {platform.machine()}")
    if chosen.which in ("events", "all"):
        print()
        print(events.report(chosen.events, chosen.rounds))
    if chosen.which in ("matching", "all"):
        print()
        print(matching.report(chosen.visits, chosen.orders, chosen.rounds))
    if chosen.which in ("delivery", "all"):
        print()
        print(delivery.report(chosen.pending, chosen.pending, chosen.many))
    if chosen.which in ("hour", "all"):
        print()
        print(empty_hour.report(chosen.rounds))
    if chosen.which == "range":  # takes as long as all others together
        print()
        print(hour_range.report(chosen.rounds, chosen.hours, chosen.busy))
    if chosen.which in ("weeks", "all"):
        print()
        print(labelled_weeks.whole_report(1))


if __name__ == "__main__":
    main()
