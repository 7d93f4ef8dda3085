"""`python -m benchmarks.labelled_weeks`: which outages the flags find, and how often they cry wolf.

Simulated shops with four weeks of past and one labelled week, each judged by the same functions as
the checks and the sensor, beside the detectors of rival_detectors.py. The method was tuned on seeds
below SEED, the figures are of others.

    python -m benchmarks.labelled_weeks --quick             # one shop per kind, about two minutes
    python -m benchmarks.labelled_weeks --kind consent,sale --rounds 5
"""

from __future__ import annotations

import argparse
import json
import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from copy import deepcopy
from dataclasses import asdict, dataclass, field
from datetime import datetime, timedelta
from zlib import crc32

import numpy as np

from benchmarks.incident_alerts import Told, ticks, told_of
from benchmarks.measure import in_child, table
from benchmarks.rival_detectors import (
    FALSE_PER_HOURS,
    best_possible,
    two_hours,
    z_scores,
)
from benchmarks.simulated_shops import (
    DAY,
    HOUR,
    START,
    WEEK,
    Books,
    Floats,
    Ints,
    Where,
    open_shop,
)
from benchmarks.streets import installed as streets_installed
from benchmarks.weeks import (
    CHANGED,
    IN_BOOKS,
    KEYS_LOST,
    NEVER_ARRIVED,
    ODDITIES,
    ORDINARY,
    SIZES,
    TROUBLE,
    WITHHELD,
    Trouble,
)
from capi_assets.coverage.flags import flag_hours
from capi_assets.coverage.gaps import Gap, gaps
from capi_assets.coverage.policy import CoveragePolicy

WEEKS = 5
LAST = (WEEKS - 1) * WEEK
SEED = 2_000
TARGET_SHARE, TARGET_ORDERS = 0.2, 30
TARGET_OF_BEST, TARGET_WITHHELD = 0.85, 0.95
TARGET_FALSE, TARGET_FALSE_ORDINARY = 1.0, 0.5
TARGET_MESSAGES = 2
EARLY = 5 * DAY  # before that there is no baseline
QUICK = 1_000  # orders per day x hours: `--quick` leaves out outages of fewer than some 40 orders
BEFORE_OUTAGES = "hours before outages"
AFTER_OUTAGES = "hours after outages"


@dataclass(frozen=True)
class Outage:
    """One labelled outage and what became of it.

    Attributes:
        orders: orders of its hours and streams as they would have been; `lost` those that it cost.
        causes: of all gaps that cover one of its hours.
        money: what it cost, and `money_stated` what the gaps say (None: they say nothing).
        best: the chance that the best possible detector finds it; None where that is not computed.
    """

    kind: str
    group: str
    size: str
    hours: int
    orders: int
    lost: float
    found_after: int | None
    causes: list[str]
    cause_is_right: bool
    money: float
    money_stated: float | None
    best: float | None
    by_two_hours: bool
    by_z_score: bool
    seed: int = 0

    @property
    def found(self) -> bool:
        return self.found_after is not None

    @property
    def is_target(self) -> bool:
        """An outage that must be found: 20 % or more of at least 30 orders."""
        return self.orders >= TARGET_ORDERS and self.lost >= TARGET_SHARE * self.orders

    @property
    def money_error(self) -> float | None:
        if self.money_stated is None or self.money <= 0 or not self.found:
            return None
        return abs(self.money_stated - self.money) / self.money


@dataclass(frozen=True)
class Quiet:
    """Hours without any trouble, and those among them that gaps cover, with the causes; `others`
    are the false alarms of the simple detectors from the fifth week on."""

    kind: str
    hours: range
    false: dict[int, str]
    others: dict[str, int] = field(default_factory=dict)
    seed: int = 0

    @property
    def flagged(self) -> int:
        return len(self.false)

    @property
    def late_hours(self) -> int:
        """Those that the simple detectors judge."""
        return len(range(max(self.hours.start, LAST), self.hours.stop))


def found_gaps(books: Books) -> list[Gap]:
    """The gaps of a shop's weeks, an hour after their end."""
    end = START + books.hours * HOUR
    hours = [START + n * HOUR for n in range(books.hours)]
    return gaps(
        flag_hours(books.health(), CoveragePolicy(), end + timedelta(hours=1), expected_hours=hours)
    )


def covered(found: Iterable[Gap]) -> dict[int, set[str]]:
    """The hours that gaps cover, with the causes of all gaps of the hour."""
    causes: dict[int, set[str]] = {}
    for gap in found:
        for hour in range(place(gap.first_hour), place(gap.last_hour) + 1):
            causes.setdefault(hour, set()).update(_causes(gap))
    return causes


def _causes(gap: Gap) -> list[str]:
    """Its cause, or causes in turn."""
    return [str(cause) for cause in getattr(gap, "causes", None) or (gap.cause,)]


def place(moment: datetime) -> int:
    """The position of an hour of a simulated shop."""
    return int((moment - START) / HOUR)


def struck_shop(
    name: str, size: str, hours: int, seed: int, weeks: int = WEEKS
) -> tuple[Books, Books, slice, Where, float]:
    """A shop before and after an outage in its fifth week, the hours, the streams, the loss."""
    trouble = TROUBLE[name]
    books = open_shop(trouble.kinds[size], _seed(seed, name, size, hours), weeks)
    first = LAST + int(books.rng.integers(6, 5 * DAY))
    at = trouble.where(books)
    # An outage of no orders is none: the next hour in which there is something to lose.
    while books.orders[at, first : first + hours].sum() < 1 and first < LAST + 6 * DAY:
        first += 1
    struck = slice(first, first + hours)
    trouble.around(books, struck)
    before = deepcopy(books)
    share = trouble.strike(books, struck, at)
    return before, books, struck, at, share


def troubled(name: str, size: str, hours: int, seed: int) -> tuple[Outage, list[Quiet]]:
    """One outage in the last week of a shop, somewhere between Monday and Saturday."""
    trouble = TROUBLE[name]
    before, books, struck, at, share = struck_shop(name, size, hours, seed)
    found = found_gaps(books)
    causes = covered(found)
    hits = [hour for hour in range(struck.start, struck.stop) if hour in causes]
    others = {"two hours": two_hours(books), "z-score": z_scores(books)}
    money, stated = _money(trouble, before, books, struck, at, found)
    outage = Outage(
        kind=name,
        group=trouble.group,
        size=size,
        hours=hours,
        orders=int(before.free(struck, at).sum()),
        lost=share * float(before.free(struck, at).sum()),
        found_after=hits[0] - struck.start if hits else None,
        causes=sorted({cause for hour in hits for cause in causes[hour]}),
        cause_is_right=bool(hits) and bool(causes[hits[-1]] & set(trouble.causes)),
        money=money,
        money_stated=stated,
        best=best_possible(before, struck, at, trouble.shows, _fall(trouble, share, before, at))
        if trouble.shows
        else None,
        by_two_hours=any(h in others["two hours"] for h in range(struck.start, struck.stop)),
        by_z_score=any(h in others["z-score"] for h in range(struck.start, struck.stop)),
        seed=seed,
    )
    first = struck.start - (WEEK if trouble.around is not TROUBLE["token death"].around else 12)
    return outage, [
        _quiet(BEFORE_OUTAGES, causes, range(0, first), others, seed),
        _quiet(AFTER_OUTAGES, causes, _calm(trouble, struck, books.hours), others, seed),
    ]


def _fall(trouble: Trouble, share: float, before: Books, at: Where) -> float:
    """The share of the shown counts that is lost: of orders, or of orders with the key."""
    if trouble.shows in ("orders", "eligible"):
        return share
    rate = before.key.get(trouble.shows, before.match)
    return min(1.0, share / max(float(rate[at].mean()), 1e-9))


def _money(
    trouble: Trouble, before: Books, books: Books, struck: slice, at: Where, found: Sequence[Gap]
) -> tuple[float, float | None]:
    """What the outage cost, and what the gaps that cover it state."""
    hours = set(range(struck.start, struck.stop))
    of = [g for g in found if hours & set(range(place(g.first_hour), place(g.last_hour) + 1))]
    if trouble.group == IN_BOOKS:
        if books.absent:
            return 0.0, None
        stated = sum(sum(g.money.values()) for g in of)
        told = hours | {h for g in of for h in range(place(g.first_hour), place(g.last_hour) + 1)}
        lost = np.sum([m for stage, m in books.values.items() if stage not in _NOT_MISSING], axis=0)
        most = float(lost[:, sorted(told)].sum())
        # The few orders that are refused in any hour may be told with the outage's, or not.
        least = sum(
            float((books.values[stage] * _added(before.lost[stage], after))[:, struck].sum())
            for stage, after in books.lost.items()
        )
        return min(max(stated, least), most), stated
    baskets = np.array([[stream.basket] for stream in books.kind.streams])
    if trouble.group == NEVER_ARRIVED or trouble.causes == ("landing_stopped",):
        gone = (before.free(struck) - books.free(struck)) * baskets
    elif trouble.group == WITHHELD:
        gone = (books.withheld - before.withheld)[:, struck] * baskets
    elif trouble.causes == ("orders_doubled",):
        gone = books.doubled[:, struck] * baskets
    else:
        return 0.0, None
    estimates = [_estimate(g) for g in of if set(_causes(g)) & set(trouble.causes)]
    known = [money for money in estimates if money is not None]
    return float(gone.sum()), sum(known) if known else None


_NOT_MISSING = ("withheld", "delivered")


def _added(before: Ints, after: Ints) -> Floats:
    """The share of the counts that the outage made."""
    return (after - before) / np.maximum(after, 1)


def _estimate(gap: Gap) -> float | None:
    """The estimated money of a gap, over all currencies; None if it has none."""
    money = getattr(gap, "estimated_money", None)
    if not money:
        return None
    return sum(float(interval.expected) for interval in money.values())


def _calm(trouble: Trouble, struck: slice, end: int) -> range:
    """Hours that nothing happened to. After visits went missing, orders still miss them; a sale
    and dates that were shifted reach beyond the outage."""
    after = DAY if trouble.group in (KEYS_LOST, CHANGED) or trouble.shows == "matched" else 12
    return range(min(struck.stop + after, end), end)


def odd(name: str, seed: int) -> Quiet:
    """A shop in which nothing is wrong: the whole time, its first day included, or from what is
    odd on."""
    oddity = ODDITIES[name]
    kind = oddity.kind or SIZES[list(SIZES)[seed % len(SIZES)]]
    shifted = LAST if oddity.shifted else None
    books = open_shop(kind, _seed(seed, name), WEEKS, shifted)
    room = WEEK - oddity.hours
    first = LAST + (int(books.rng.integers(0, room + 1)) if oddity.anywhere and room else 0)
    oddity.strike(books, slice(first, first + oddity.hours))
    hours = range(0 if oddity.hours == WEEK else LAST, books.hours)
    others = {"two hours": two_hours(books), "z-score": z_scores(books)}
    return _quiet(name, covered(found_gaps(books)), hours, others, seed)


def _quiet(
    name: str,
    causes: Mapping[int, set[str]],
    hours: range,
    others: Mapping[str, set[int]],
    seed: int,
) -> Quiet:
    false = {hour: "+".join(sorted(causes[hour])) for hour in hours if hour in causes}
    return Quiet(
        name, hours, false, {k: sum(h in hours for h in found) for k, found in others.items()}, seed
    )


def _seed(seed: int, *names: object) -> int:
    return crc32(repr(names).encode()) + 1_000_003 * seed


@dataclass(frozen=True)
class Plan:
    """What is played: (kind, size, hours, seed) of outages, (kind, seed) of quiet shops, outages
    whose alerts are counted hour by hour."""

    outages: list[tuple[str, str, int, int]]
    quiet: list[tuple[str, int]]
    told: list[tuple[str, str, int, int]]


def plan(rounds: int, seed: int, *, quick: bool = False, kinds: Sequence[str] = ()) -> Plan:
    """All kinds of trouble in all sizes and lengths, and three shops of each quiet kind, so many
    times; quick: one of each instead, another in each round."""
    names, quiet = (
        [n for n in all_names if not kinds or any(k.lower() in n.lower() for k in kinds)]
        for all_names in (TROUBLE, ODDITIES)
    )
    outages = []
    for turn in range(seed, seed + rounds):
        for number, name in enumerate(names):
            of = [
                (name, size, hours, turn)
                for size, kind in TROUBLE[name].kinds.items()
                for hours in TROUBLE[name].hours
                if streets_installed() or not kind.street
            ]
            sure = [
                one for one in of if TROUBLE[name].kinds[one[1]].orders_per_day * one[2] > QUICK
            ]
            outages += [sure[(turn * 5 + number * 2) % len(sure)]] if quick else of
    many = 1 if quick else 3
    return Plan(
        outages,
        [(name, turn * 3 + n) for turn in range(seed, seed + rounds) for name in quiet
         for n in range(many) if streets_installed() or not _is_street(name)],
        [] if quick else [(name, "shop", 6, seed) for name in TOLD if name in names],
    )  # fmt: skip


def _is_street(name: str) -> bool:
    kind = ODDITIES[name].kind
    return kind is not None and kind.street


TOLD = (
    "Meta down",
    "tracker dead",
    "order feed by half",
    "one dataset gone",
    "throttled by half",
    "consent banner broken",
    "payload refused after deploy",
    "not materialized",
    "both feeds stopped",
    "orders doubled",
)
"""Outages whose alerts are counted: of each group one or two."""


@dataclass(frozen=True)
class Results:
    outages: list[Outage]
    quiet: list[Quiet]
    told: list[Told]


def run(todo: Plan, processes: int | None = None) -> Results:
    """Plays the plan, in as many processes as there are cores."""
    with ProcessPoolExecutor(processes) as pool:
        told = [pool.submit(_told, *args) for args in todo.told]
        pairs = [pool.submit(troubled, *args) for args in todo.outages]
        quiet = [pool.submit(odd, *args) for args in todo.quiet]
        done = [pair.result() for pair in pairs]
        return Results(
            [outage for outage, _ in done],
            [*(calm for _, both in done for calm in both), *(q.result() for q in quiet)],
            [one.result() for one in told],
        )


def _told(name: str, size: str, hours: int, seed: int) -> Told:
    size = size if size in TROUBLE[name].kinds else next(iter(TROUBLE[name].kinds))
    _, books, struck, _, _ = struck_shop(name, size, hours, seed, WEEKS + 2)
    return told_of(name, books, struck, ticks(struck))


def report(results: Results) -> str:
    """Recall, causes, money, false flags and messages per kind, and the targets, as text."""
    parts = [
        _recall(results.outages),
        _precision(results.quiet),
        _hard(results.outages),
        _messages(results.told),
        _sum(results.outages, results.quiet),
        _missed(results.outages),
        _targets(results),
    ]
    return "\n\n".join(part for part in parts if part)


def _recall(outages: Sequence[Outage]) -> str:
    heads = [
        *("trouble", "targets", "recall", "best possible", "two hours", "z-score"),
        *("right cause", "found after", "money error", "smaller ones found"),
    ]
    rows = []
    groups = (IN_BOOKS, NEVER_ARRIVED, KEYS_LOST, WITHHELD, CHANGED)
    for group in groups:
        names = [name for name in TROUBLE if TROUBLE[name].group == group]
        of = [o for o in outages if o.group == group]
        rows += [
            _recall_row(name, [o for o in of if o.kind == name])
            for name in names
            if any(o.kind == name for o in of)
        ]
        if of:
            rows.append(_recall_row(f"= {group}", of))
    return table(heads, rows)


def _recall_row(name: str, outages: Sequence[Outage]) -> list[str]:
    target = [o for o in outages if o.is_target]
    small = [o for o in outages if not o.is_target]
    found = [o for o in target if o.found]
    after = [o.found_after for o in found if o.found_after is not None]
    best = [o.best for o in target if o.best is not None]
    errors = [o.money_error for o in found if o.money_error is not None]
    return [
        name,
        f"{len(target)}",
        _share(len(found), len(target)),
        f"{np.mean(best):.2f}" if best else "-",
        _share(sum(o.by_two_hours for o in target), len(target)),
        _share(sum(o.by_z_score for o in target), len(target)),
        _share(sum(o.cause_is_right for o in found), len(found)),
        f"{np.mean(after):.1f} h" if after else "-",
        f"{100 * np.median(errors):.0f} %" if errors else "-",
        f"{_share(sum(o.found for o in small), len(small))} of {len(small)}" if small else "-",
    ]


def _precision(quiet: Sequence[Quiet]) -> str:
    heads = [
        *("no trouble", "hours", "flagged", "per 500 hours", "after five days", "target"),
        *("two hours", "z-score", "causes"),
    ]
    rows = []
    for name in (*ODDITIES, BEFORE_OUTAGES, AFTER_OUTAGES):
        of = [q for q in quiet if q.kind == name]
        if of:
            causes = Counter(cause for q in of for cause in q.false.values()).most_common(3)
            rows.append(
                [
                    name,
                    f"{_hours(of):,}",
                    f"{_flags(of)}",
                    f"{_false_rate(of):.2f}",
                    _later(of),
                    "" if _false_rate(of) <= TARGET_FALSE else "over",
                    *(_others(of, rival) for rival in ("two hours", "z-score")),
                    ", ".join(f"{n} {cause}" for cause, n in causes),
                ]
            )
    return table(heads, rows)


def _later(quiet: Sequence[Quiet]) -> str:
    return _per(*_later_counts(quiet))


def _later_counts(quiet: Sequence[Quiet]) -> tuple[int, int]:
    flags = sum(hour >= EARLY for q in quiet for hour in q.false)
    return flags, sum(len(range(max(q.hours.start, EARLY), q.hours.stop)) for q in quiet)


def _others(quiet: Sequence[Quiet], rival: str) -> str:
    return _per(sum(q.others[rival] for q in quiet), sum(q.late_hours for q in quiet))


def _hard(outages: Sequence[Outage]) -> str:
    """Where orders never arrived: recall by how many were lost."""
    rows = []
    edges = [(1, 10), (10, 30), (30, 100), (100, 300), (300, math.inf)]
    for low, high in edges:
        of = [o for o in outages if o.group == NEVER_ARRIVED and low <= o.lost < high]
        name = f"{low} to {high}" if high < math.inf else f"{low} and more"
        best = sum(o.best or 0.0 for o in of)
        rows.append(
            [
                name,
                f"{len(of)}",
                _share(sum(o.found for o in of), len(of)),
                f"{best / len(of):.2f}" if of else "-",
            ]
        )
    return table(["orders that never arrived", "outages", "found", "best possible"], rows)


def _messages(told: Sequence[Told]) -> str:
    if not told:
        return ""
    return table(
        ["incident", "hours", "messages", "openings", "without news", "open at the end"],
        [
            [
                t.kind,
                f"{t.hours}",
                f"{t.messages}",
                f"{t.openings}",
                f"{t.without_news}",
                "yes" if t.open_at_end else "",
            ]
            for t in told
        ],
    )


def _sum(outages: Sequence[Outage], quiet: Sequence[Quiet]) -> str:
    hours, flags = _hours(quiet), _flags(quiet)
    if not hours:
        return ""
    early = sum(hour < EARLY for q in quiet for hour in q.false)
    early_hours = sum(len(range(q.hours.start, min(q.hours.stop, EARLY))) for q in quiet)
    causes = Counter(cause for q in quiet for cause in q.false.values()).most_common()
    return "\n".join(
        [
            f"False flags: {flags} in {hours:,} quiet hours, {_per(flags, hours)} per 500 hours"
            f" ({', '.join(f'{n} {cause}' for cause, n in causes)}).",
            f"  in a shop's first five days, by thresholds alone: {early},"
            f" {_per(early, early_hours)} per 500 hours; later: {flags - early},"
            f" {_per(flags - early, hours - early_hours)}.",
            f"Precision: {sum(o.found for o in outages)} outages found beside"
            f" {sum(_runs(q.false) for q in quiet)} false gaps.",
        ]
    )


def _missed(outages: Sequence[Outage]) -> str:
    return "\n".join(
        f"{'Missed' if not o.found else 'Called ' + ', '.join(o.causes)}: {o.kind}, {o.size},"
        f" {o.hours} h, about {o.lost:.0f} of {o.orders} orders"
        + (f" (best possible {o.best:.2f})" if o.best is not None else "")
        + f", seed {o.seed}."
        for o in outages
        if o.is_target and not (o.found and o.cause_is_right)
    )


@dataclass(frozen=True)
class Target:
    name: str
    seen: str
    holds: bool


def targets(results: Results) -> list[Target]:
    """Whether each target holds, of those that the run has anything to say about."""
    aims = [o for o in results.outages if o.is_target]
    books = [o for o in aims if o.group == IN_BOOKS]
    never = [o for o in aims if o.group == NEVER_ARRIVED]
    withheld = [o for o in aims if o.group == WITHHELD]
    lines: list[Target] = []
    if books:
        right = sum(o.found and o.cause_is_right for o in books)
        lines.append(_target("in the books, found with the right cause", right / len(books), 1.0))
        errors = [o.money_error for o in books if o.money_error is not None]
        exact = sum(error < 0.01 for error in errors) / max(len(errors), 1)
        lines.append(_target("in the books, money within 1 %", exact, 1.0))
    if never:
        found, best = sum(o.found for o in never), sum(o.best or 0.0 for o in never)
        lines.append(
            _target(
                f"never arrived, of what the best possible finds ({found} of {len(never)},"
                f" best {best:.1f})",
                found / best,
                TARGET_OF_BEST,
            )
        )
    if withheld:
        right = sum(o.found and o.cause_is_right for o in withheld)
        lines.append(_target("consent and status", right / len(withheld), TARGET_WITHHELD))
    kinds = sorted({q.kind for q in results.quiet})
    for kind in kinds:
        of = [q for q in results.quiet if q.kind == kind]
        if _false_rate(of) > TARGET_FALSE:
            lines.append(_at_most(f"false flags per 500 h: {kind}", _false_rate(of), TARGET_FALSE))
    ordinary = [
        q
        for q in results.quiet
        if q.kind == BEFORE_OUTAGES or (q.kind in ODDITIES and ODDITIES[q.kind].family == ORDINARY)
    ]
    if ordinary:
        lines.append(
            _at_most(
                "false flags per 500 h: ordinary shops",
                _false_rate(ordinary),
                TARGET_FALSE_ORDINARY,
            )
        )
    if results.told:
        most = max(t.without_news for t in results.told)
        lines.append(_at_most("messages without news per incident", most, TARGET_MESSAGES))
    return lines


def _target(name: str, seen: float, least: float) -> Target:
    return Target(name, f"{seen:.3f}, at least {least:.2f}", seen >= least - 1e-9)


def _at_most(name: str, seen: float, most: float) -> Target:
    return Target(name, f"{seen:.2f}, at most {most:.1f}", seen <= most)


def _targets(results: Results) -> str:
    return table(
        ["target", "", "seen"],
        [[t.name, "holds" if t.holds else "MISSED", t.seen] for t in targets(results)],
    )


def _hours(quiet: Sequence[Quiet]) -> int:
    return sum(len(q.hours) for q in quiet)


def _flags(quiet: Sequence[Quiet]) -> int:
    return sum(q.flagged for q in quiet)


def _false_rate(quiet: Sequence[Quiet]) -> float:
    """Per 500 hours after a shop's first five days, in which nothing is known of it."""
    flags, hours = _later_counts(quiet)
    return FALSE_PER_HOURS * flags / max(hours, 1)


def _per(flags: int, hours: int) -> str:
    return f"{FALSE_PER_HOURS * flags / hours:.2f}" if hours else "-"


def _runs(false: Mapping[int, str]) -> int:
    """Gaps that so many flagged hours make."""
    return sum(false.get(hour - 1) != cause for hour, cause in false.items())


def _share(part: int, whole: int) -> str:
    return f"{part / whole:.2f}" if whole else "-"


def as_json(results: Results) -> str:
    """All that was measured, for a program: outages, quiet shops, incidents, targets."""
    return json.dumps(
        {
            "outages": [
                {**asdict(o), "found": o.found, "is_target": o.is_target} for o in results.outages
            ],
            "quiet": [{**asdict(q), "hours": [q.hours.start, q.hours.stop]} for q in results.quiet],
            "told": [asdict(t) for t in results.told],
            "targets": [asdict(t) for t in targets(results)],
        },
        indent=1,
    )


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.labelled_weeks", description=__doc__
    )
    parser.add_argument("--rounds", type=int, default=1, help="how often all is played")
    parser.add_argument("--seed", type=int, default=SEED)
    parser.add_argument("--quick", action="store_true", help="one shop per kind in each round")
    parser.add_argument("--kind", default="", help="parts of the names of kinds, with commas")
    parser.add_argument("--processes", type=int, default=None)
    parser.add_argument("--no-alerts", action="store_true", help="without messages, as --quick")
    parser.add_argument("--json", default="", help="a file for all that was measured")
    chosen = parser.parse_args()
    kinds = [kind for kind in chosen.kind.split(",") if kind]
    if not streets_installed():
        print("Left out: shops with the demand of real streets (pip install -e '.[bench]').")
    todo = plan(chosen.rounds, chosen.seed, quick=chosen.quick, kinds=kinds)
    if chosen.no_alerts:
        todo.told.clear()
    results = run(todo, chosen.processes)
    print(report(results))
    if not (chosen.quick or chosen.no_alerts or kinds):
        print(_look_text())
    if chosen.json:
        with open(chosen.json, "w", encoding="utf-8") as file:
            file.write(as_json(results))


def whole_report(rounds: int) -> str:
    """All kinds, the alerts of incidents, and the sensor's speed."""
    return "\n\n".join((report(run(plan(rounds, SEED))), _look_text()))


def _look_text() -> str:
    look = in_child("benchmarks.sensor_look")
    return (
        f"A look of the sensor over eight days of {look['streams']:.0f} streams:"
        f" {look['cpu']['first']:.1f} s (target 10), peak {look['peak_mb']:.0f} MB (target 500)."
    )


if __name__ == "__main__":
    main()
