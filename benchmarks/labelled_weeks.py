"""`python -m benchmarks.labelled_weeks`: which outages the flags find, and how often they cry wolf.

Simulated shops with four weeks of past and one labelled week, each judged by the same function as
the checks and the sensor. The method was tuned on the seeds below SEED, the figures are of others.
"""

from __future__ import annotations

import argparse
import math
from collections import Counter
from collections.abc import Iterable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from datetime import timedelta
from zlib import crc32

import numpy as np

from benchmarks.measure import table
from benchmarks.simulated_shops import HOUR, START, WEEK, Books, open_shop
from benchmarks.weeks import ODDITIES, SIZES, TROUBLE, Trouble
from capi_assets.coverage.flags import flag_hours
from capi_assets.coverage.policy import CoveragePolicy

WEEKS = 5
LAST = (WEEKS - 1) * WEEK
SEED = 2_000
TARGET_SHARE, TARGET_ORDERS = 0.2, 30
FALSE_PER_HOURS = 500
EARLY = 5 * 24  # before that there is no baseline


@dataclass(frozen=True)
class Outage:
    """One labelled outage and what became of it.

    `orders` are those of its hours as they would have been, `lost` those it cost.
    """

    kind: str
    size: str
    seen: bool
    hours: int
    orders: int
    lost: float
    found: bool
    found_after: int | None
    cause_is_right: bool

    @property
    def is_target(self) -> bool:
        """An outage that must be found: 20 % or more of at least 30 orders."""
        return self.orders >= TARGET_ORDERS and self.lost >= TARGET_SHARE * self.orders


@dataclass(frozen=True)
class Quiet:
    """Hours without any trouble, and the causes of those among them that were flagged."""

    kind: str
    hours: range
    false: dict[int, str]

    @property
    def flagged(self) -> int:
        return len(self.false)


def flagged(books: Books) -> dict[int, str]:
    """The hours that are flagged, with their causes."""
    end = START + books.hours * HOUR
    rows = flag_hours(
        books.health(),
        CoveragePolicy(),
        end + timedelta(hours=1),
        expected_hours=[START + n * HOUR for n in range(books.hours)],
    ).to_pylist()
    return {int((r["hour"] - START) / HOUR): r["cause"] for r in rows if r["flagged"]}


def troubled(name: str, size: str, hours: int, seed: int) -> tuple[Outage, Quiet]:
    """One outage in the last week of a shop, somewhere between Monday and Saturday."""
    trouble = TROUBLE[name]
    books = open_shop(SIZES[size], _seed(seed, name, size, hours), WEEKS)
    first = LAST + int(books.rng.integers(0, 5 * 24))
    # An outage of no orders is none: the next hour in which there is something to lose.
    while hours * 24 < WEEK and books.orders[first : first + hours].sum() < 1:
        first += 1
    struck = slice(first, first + hours)
    orders = int(books.free(struck).sum())
    trouble.strike(books, struck)
    found = flagged(books)
    hits = [hour for hour in range(struck.start, struck.stop) if hour in found]
    outage = Outage(
        kind=name,
        size=size,
        seen=trouble.seen,
        hours=hours,
        orders=orders,
        lost=trouble.share * orders,
        found=bool(hits),
        found_after=hits[0] - first if hits else None,
        cause_is_right=bool(hits) and found[hits[-1]] in trouble.causes,
    )
    return outage, _quiet(name, found, _calm(trouble, struck, books.hours))


def _calm(trouble: Trouble, struck: slice, end: int) -> range:
    """Hours that nothing happened to. After visits went missing, orders still miss them."""
    after = 24 if "visits_missing" in trouble.causes or trouble.share == 1.0 else 0
    return range(min(struck.stop + after, end), end)


def odd(name: str, seed: int) -> Quiet:
    """The whole time of a shop in which nothing is wrong, its first day included."""
    oddity = ODDITIES[name]
    kind = oddity.kind or SIZES[list(SIZES)[seed % len(SIZES)]]
    shifted = LAST if oddity.shifted else None
    books = open_shop(kind, _seed(seed, name), WEEKS, shifted)
    room = WEEK - oddity.hours
    first = LAST + (int(books.rng.integers(0, room + 1)) if oddity.anywhere and room else 0)
    oddity.strike(books, slice(first, first + oddity.hours))
    return _quiet(name, flagged(books), range(0, books.hours))


def _quiet(name: str, found: dict[int, str], hours: range) -> Quiet:
    return Quiet(name, hours, {hour: found[hour] for hour in hours if hour in found})


def _seed(seed: int, *names: object) -> int:
    return crc32(repr(names).encode()) + 1_000_003 * seed


def run(rounds: int, seed: int = SEED) -> tuple[list[Outage], list[Quiet]]:
    """All kinds of trouble in all sizes and lengths, and all oddities, so many times."""
    turns = range(seed, seed + rounds)
    struck = [
        (name, size, hours, turn)
        for turn in turns
        for name, trouble in TROUBLE.items()
        for size in SIZES
        for hours in trouble.hours
    ]
    oddities = [(name, turn * 3 + n) for turn in turns for name in ODDITIES for n in range(3)]
    with ProcessPoolExecutor() as pool:
        pairs = list(pool.map(troubled, *zip(*struck, strict=True), chunksize=8))
        quiet = list(pool.map(odd, *zip(*oddities, strict=True), chunksize=8))
    return [outage for outage, _ in pairs], [*(calm for _, calm in pairs), *quiet]


def ceiling(orders: float, share: float, false: float = 1 / FALSE_PER_HOURS) -> float:
    """How often anyone could see that `share` of about `orders` never arrived, at that many false
    alarms, knowing the true mean and with nothing but chance (Neyman and Pearson)."""
    usual, less = _poisson(orders), _poisson(orders * (1.0 - share))
    limit = int(np.searchsorted(usual, false, side="right")) - 1
    return float(less[min(limit, len(less) - 1)]) if limit >= 0 else 0.0


def _poisson(mean: float) -> np.ndarray:
    k = np.arange(int(mean + 10 * math.sqrt(mean) + 10))
    logs = k * math.log(mean) - mean - np.array([math.lgamma(n + 1.0) for n in k])
    return np.cumsum(np.exp(logs))


def report(outages: list[Outage], quiet: list[Quiet]) -> str:
    """Recall, causes and false flags per kind, as text."""
    parts = [_recall(outages), _precision(quiet, ODDITIES), _hard(outages), _sum(outages, quiet)]
    return "\n\n".join(parts)


def _recall(outages: list[Outage]) -> str:
    rows = []
    for name in TROUBLE:
        target = [o for o in outages if o.kind == name and o.is_target]
        small = [o for o in outages if o.kind == name and not o.is_target]
        found = [o for o in target if o.found]
        after = [o.found_after for o in found if o.found_after is not None]
        rows.append(
            [
                name,
                f"{len(target)}",
                f"{_share(len(found), len(target))}",
                f"{_share(sum(o.cause_is_right for o in found), len(found))}",
                f"{np.mean(after):.1f} h" if after else "-",
                f"{_share(sum(o.found for o in small), len(small))} of {len(small)}",
            ]
        )
    heads = ["trouble", "targets", "recall", "right cause", "found after", "smaller ones found"]
    return table(heads, rows)


def _precision(quiet: list[Quiet], names: Iterable[str]) -> str:
    rows = []
    for name in (*names, "hours around trouble"):
        of = [q for q in quiet if (q.kind == name if name in ODDITIES else q.kind in TROUBLE)]
        hours, flags = sum(len(q.hours) for q in of), sum(q.flagged for q in of)
        rows.append([name, f"{hours:,}", f"{flags}", f"{_per(flags, hours)}"])
    return table(["no trouble", "hours", "flagged", "per 500 hours"], rows)


def _hard(outages: list[Outage]) -> str:
    """Where the loss is not in the books: recall by how many orders it cost."""
    rows = []
    edges = [(1, 10), (10, 30), (30, 100), (100, 300), (300, math.inf)]
    for low, high in edges:
        of = [o for o in outages if not o.seen and low <= o.lost < high]
        found = sum(o.found for o in of)
        name = f"{low} to {high}" if high < math.inf else f"{low} and more"
        rows.append([name, f"{len(of)}", _share(found, len(of))])
    return table(["orders lost, not in the books", "outages", "found"], rows)


def _sum(outages: list[Outage], quiet: list[Quiet]) -> str:
    target = [o for o in outages if o.is_target]
    seen, unseen = ([o for o in target if o.seen is flag] for flag in (True, False))
    missed = [o for o in target if not o.found]
    hours, flags = sum(len(q.hours) for q in quiet), sum(q.flagged for q in quiet)
    early = sum(hour < EARLY for q in quiet for hour in q.false)
    early_hours = sum(len(range(q.hours.start, min(q.hours.stop, EARLY))) for q in quiet)
    causes = Counter(cause for q in quiet for cause in q.false.values()).most_common()
    true = sum(o.found for o in outages)
    lines = [
        f"Outages that lose 20 % or more of at least 30 orders: {len(target)}, found "
        f"{_share(sum(o.found for o in target), len(target))}.",
        f"  in the books: {_share(sum(o.found for o in seen), len(seen))} of {len(seen)};"
        f" not in the books: {_share(sum(o.found for o in unseen), len(unseen))} of {len(unseen)}.",
        f"False flags: {flags} in {hours:,} quiet hours, {_per(flags, hours)} per 500 hours"
        f" ({', '.join(f'{n} {cause}' for cause, n in causes)}).",
        f"  in a shop's first five days, by thresholds alone: {early},"
        f" {_per(early, early_hours)} per 500 hours; later: {flags - early},"
        f" {_per(flags - early, hours - early_hours)}.",
        f"Precision: {true} outages found beside {sum(_runs(q.false) for q in quiet)} false gaps.",
        "The most that anyone could find of half an hour's orders that never arrived, at one false"
        " alarm in 500 hours: "
        + ", ".join(f"{100 * ceiling(n, 0.5):.0f} % at {n} orders" for n in (15, 30, 60))
        + "; of a fifth: "
        + ", ".join(f"{100 * ceiling(n, 0.2):.0f} % at {n}" for n in (30, 100, 300))
        + ".",
    ]
    for o in missed:
        lines.append(
            f"Missed: {o.kind}, {o.size}, {o.hours} h, about {o.lost:.0f} of {o.orders} orders."
        )
    return "\n".join(lines)


def _per(flags: int, hours: int) -> str:
    return f"{FALSE_PER_HOURS * flags / hours:.2f}" if hours else "-"


def _runs(false: dict[int, str]) -> int:
    """Gaps that so many flagged hours make."""
    return sum(false.get(hour - 1) != cause for hour, cause in false.items())


def _share(part: int, whole: int) -> str:
    return f"{part / whole:.3f}" if whole else "-"


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.labelled_weeks", description=__doc__
    )
    parser.add_argument("--rounds", type=int, default=1, help="how often all is played")
    parser.add_argument("--seed", type=int, default=SEED)
    chosen = parser.parse_args()
    print(report(*run(chosen.rounds, chosen.seed)))


if __name__ == "__main__":
    main()
