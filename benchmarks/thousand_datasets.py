"""`python -m benchmarks.thousand_datasets`: what 1,000 datasets need, from the measured slopes.

Prints the table of docs/scale.md, and a test compares the two. Nothing is measured here: `SLOPES`
are the figures of that page, by the commands that it names.
"""

from __future__ import annotations

from dataclasses import dataclass

from benchmarks.measure import table


@dataclass(frozen=True)
class Slopes:
    """CPU seconds, bytes and rows of one more of each."""

    run_cpu: float = 5.6  # a run in a process of its own, loading included
    hour_cpu: float = 0.28  # of a range of 72 hours: what Dagster stores of each
    dataset_cpu: float = 0.005  # a dataset with orders in an hour: its request, its rows of health
    visit_cpu: float = 17e-6  # read, hashed, stored
    lookback_visit_cpu: float = 0.53e-6  # a visit of the lookback, read once per run
    order_cpu: float = 285e-6  # read, matched, built, delivered, folded
    # A dataset and event name, at a look of coverage_sensor: after the open hour was evaluated, and
    # once an hour, when another one is judged.
    stream_open_cpu: float = 0.012
    stream_judged_cpu: float = 0.05
    idle_look_cpu: float = 0.02  # of coverage_sensor where nothing changed
    visit_bytes: float = 41  # in the lake
    order_bytes: float = 525  # orders, events and results in the lake
    event_ledger_bytes: float = 515
    run_dagster_bytes: float = 364 * 1_024  # of SQLite, per run of one hour
    order_peak_bytes: float = 2_600  # of the largest hour's orders, in memory


SLOPES = Slopes()
LOOKBACK = 168
LOOKS_AN_HOUR = 60
RUNS_AN_HOUR = 7  # every ten minutes, and the hour once more when it is complete
EVENTS_PER_REQUEST = 1_000
GIB = 2**30


@dataclass(frozen=True)
class Group:
    """So many datasets of one size; orders and visits are those of an hour, on average."""

    name: str
    datasets: int
    orders: int
    visits: int


GROUPS = (
    Group("10 of 5,000 orders an hour", 10, 5_000, 100_000),
    Group("90 of 500", 90, 500, 10_000),
    Group("900 of 20", 900, 20, 400),
)
PEAK = 4  # the busiest hour to the average


def needs(group: Group, *, together: bool) -> list[str]:
    """A row of the table: a group of datasets, in one set of definitions or in one for each."""
    slopes, one = SLOPES, group.datasets
    orders, visits = group.orders * one, group.visits * one
    definitions = 1 if together else one
    runs = RUNS_AN_HOUR * definitions
    # A run of the open hour does all of it again, half of the hour on average, but for the sending.
    again = 1 + (RUNS_AN_HOUR - 1) / 2
    cpu = (
        runs * (slopes.run_cpu + slopes.hour_cpu)
        + RUNS_AN_HOUR * one * slopes.dataset_cpu
        + again * (visits * slopes.visit_cpu + orders * slopes.order_cpu)
        + RUNS_AN_HOUR * LOOKBACK * visits * slopes.lookback_visit_cpu
    )
    looks = one * (RUNS_AN_HOUR * slopes.stream_open_cpu + slopes.stream_judged_cpu)
    looks += LOOKS_AN_HOUR * definitions * slopes.idle_look_cpu
    requests = one * max(RUNS_AN_HOUR, -(-group.orders // EVENTS_PER_REQUEST))
    peak = 0.3 + PEAK * orders / definitions * slopes.order_peak_bytes / GIB
    lake = 24 * (visits * slopes.visit_bytes + orders * slopes.order_bytes) / GIB
    ledger = 24 * orders * slopes.event_ledger_bytes / GIB
    dagster = 24 * runs * slopes.run_dagster_bytes / GIB
    return [
        group.name,
        "one" if together else f"{definitions:,}",
        f"{orders:,}",
        f"{cpu / 3_600:.1f}",
        f"{looks / 3_600:.2f}",
        f"{peak:.1f}",
        f"{lake:.1f}",
        f"{ledger:.1f}",
        f"{dagster:.2f}",
        f"{requests:,}",
    ]


def report() -> str:
    """The table of docs/scale.md."""
    heads = (
        "datasets", "definitions", "orders/h", "cores for runs", "cores for coverage_sensor",
        "GiB of the largest run", "lake GiB/day", "ledger GiB/day", "Dagster GiB/day", "requests/h",
    )  # fmt: skip
    rows = [needs(group, together=together) for group in GROUPS for together in (True, False)]
    return table(heads, rows)


def markdown() -> str:
    """The same as the page has it."""
    lines = [line.split("  ") for line in report().splitlines()]
    cells = [[cell.strip() for cell in line if cell.strip()] for line in lines]
    head, *rows = ["| " + " | ".join(line) + " |" for line in cells]
    return "\n".join([head, "|---|" + "---:|" * (len(cells[0]) - 1), *rows])


if __name__ == "__main__":
    print(markdown())
