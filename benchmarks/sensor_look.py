"""`python -m benchmarks.sensor_look [STREAMS]`: looks of the coverage sensor, their CPU time and
memory.

Eight days of so many streams (of a dataset and an event name, 200 orders a day each) and the five
weeks before them, in files of the lake, as `stored_health.find_gaps` reads them: the first look of
a process, one a minute later, one after the open hour was evaluated again, one after an hour of
last week was, and the first one that judges the next hour. In a process of its own, since peak
memory never falls; building the shop counts in the peak, and not in the time.
"""

from __future__ import annotations

import sys
from datetime import datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from benchmarks.measure import Stopwatch, stay_on_one_core, tell
from benchmarks.simulated_shops import HOUR, START, Kind, Stream, open_shop
from capi_assets.coverage.policy import CoveragePolicy
from capi_assets.coverage.stored_health import find_gaps
from capi_assets.hours import floor_hour
from capi_assets.lake import Lake

WEEKS = 7
EVENTS = ("Purchase", "Lead", "Subscribe", "Contact")
ORDERS_A_DAY = 200
MINUTE = timedelta(minutes=1)


def shop_health(count: int) -> pa.Table:
    """`attribution_health` of seven weeks, with an outage of one dataset at their end."""
    streams = tuple(
        Stream(str(number // len(EVENTS)), EVENTS[number % len(EVENTS)], share=1 / count)
        for number in range(count)
    )
    kind = Kind(ORDERS_A_DAY * count, streams=streams, inertia=0.1, drift=0.03)
    shop = open_shop(kind, seed=1, weeks=WEEKS)
    shop.thin(
        slice(shop.hours - 20, shop.hours - 8), 0.0, orders=True, at=shop.streams(dataset_id="1")
    )
    return shop.health()


def changed(rows: pa.Table) -> pa.Table:
    """The rows after an order of each was delivered that had not been."""
    more = pc.add(rows["orders"], 1)
    return rows.set_column(rows.column_names.index("orders"), rows.schema.field("orders"), more)


def main(count: int) -> None:
    stay_on_one_core()
    health = shop_health(count)
    end = START + WEEKS * 7 * 24 * HOUR
    with TemporaryDirectory() as folder:
        lake = Lake(Path(folder))
        # Rows are in the order of their hours.
        stored, firsts = np.unique(health["hour"].cast(pa.int64()).to_numpy(), return_index=True)
        edges = [*firsts.tolist(), health.num_rows]
        hours = {
            START + int(n) * HOUR: health.slice(first, last - first)
            for n, first, last in zip(
                (stored - stored[0]) // 3_600_000_000, edges[:-1], edges[1:], strict=True
            )
        }
        for hour, rows in hours.items():
            lake.write("attribution_health", hour, rows)
        del health
        now, seconds = end - timedelta(minutes=20), {}

        def look(name: str, at: datetime) -> int:
            watch = Stopwatch()
            with watch:
                found = find_gaps(lake, CoveragePolicy(), at)
            seconds[name] = round(watch.seconds, 3)
            return len(found.gaps)

        gaps = look("first", now)
        look("nothing changed", now + MINUTE)
        for name, hour in (
            ("the open hour changed", floor_hour(now)),
            ("an hour of last week changed", floor_hour(now) - 100 * HOUR),
        ):
            lake.write("attribution_health", hour, changed(hours[hour]))
            look(name, now + 2 * MINUTE)
        look("next hour", now + HOUR)
    tell({"streams": count, "rows": sum(map(len, hours.values())), "gaps": gaps, "cpu": seconds})


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 20)
