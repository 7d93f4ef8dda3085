"""`python -m benchmarks.sensor_look [STREAMS]`: one evaluation of the coverage sensor, its time and
memory.

Eight days of 20 streams (of a dataset and an event name) and the five weeks before them, as
`stored_health.find_gaps` reads them: in a process of its own, since peak memory never falls.
Reading the files is not part of it.
"""

from __future__ import annotations

import sys
from datetime import timedelta

from benchmarks.incident_alerts import watched_gaps
from benchmarks.measure import Stopwatch, stay_on_one_core, tell
from benchmarks.simulated_shops import HOUR, START, Kind, Stream, open_shop

WEEKS = 7


def main(count: int) -> None:
    stay_on_one_core()
    streams = tuple(
        Stream(str(number // 4), ("Purchase", "Lead", "Subscribe", "Contact")[number % 4],
               share=1 / count)
        for number in range(count)
    )  # fmt: skip
    shop = open_shop(Kind(4_000, streams=streams, inertia=0.1, drift=0.03), seed=1, weeks=WEEKS)
    shop.thin(
        slice(shop.hours - 20, shop.hours - 8), 0.0, orders=True, at=shop.streams(dataset_id="1")
    )
    health = shop.health()
    watch = Stopwatch()
    with watch:
        found = watched_gaps(health, START + shop.hours * HOUR + timedelta(minutes=30))
    tell({"streams": count, "rows": health.num_rows, "gaps": len(found), "seconds": watch.seconds})


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 20)
