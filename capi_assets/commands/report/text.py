"""What the report says: its headline, the story of each gap and its tables."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from capi_assets.commands.report.facts import Report
from capi_assets.coverage.charts.waterfall import WaterfallTotals
from capi_assets.coverage.formatting import (
    amount,
    count,
    deadline,
    format_amounts,
    format_duration,
    format_utc,
    join_names,
    percent,
)
from capi_assets.coverage.gap_history import GapHistory
from capi_assets.coverage.gap_text import during, visits_text
from capi_assets.coverage.gaps import Gap
from capi_assets.coverage.labels import LOST_FOR_GOOD, STAGE_LABELS, WAITING, reason_label
from capi_assets.coverage.outcomes import STAGES
from capi_assets.delivery.causes import Cause
from capi_assets.hours import HOUR

_REASONS = 40


def headline(report: Report, found: WaterfallTotals) -> str:
    """The whole range in one sentence."""
    if not found.orders["orders"]:
        uncounted = report.flags.num_rows and not report.health.num_rows
        return (
            "None of these hours was materialized yet, so nothing is known of their orders."
            if uncounted or not report.health.num_rows
            else "There were no orders in these hours."
        )
    if found.eligible <= 0:
        return f"All {count(found.orders['orders'], 'order')} were withheld on purpose."
    delivered, missing = found.orders["delivered"], found.eligible - found.orders["delivered"]
    said = (
        f"{delivered:,} of {count(found.eligible, 'eligible order')} reached Meta"
        f" ({percent(found.coverage)})"
    )
    recovered = sum(story.recovered for story in report.gap_histories)
    if recovered:
        said += f", {recovered:,} of them recovered from {_gaps(report.gap_histories)}"
    uncounted = sum(story.gap.unknown_hours for story in report.gap_histories)
    if uncounted:
        verb = "is" if uncounted == 1 else "are"
        said += f"; {count(uncounted, 'hour')} {verb} not counted yet"
    if not missing:
        return f"{said}; none is missing."
    worth = format_amounts(_missing_money(found))
    verb = "is" if missing == 1 else "are"
    said += f"; {missing:,}{f' ({worth})' if worth else ''} {verb} missing"
    savable = sum(story.gap.recoverable for story in report.gap_histories)
    first = min(
        (s.gap.first_deadline for s in report.gap_histories if s.gap.first_deadline), default=None
    )
    if savable and first:
        said += f", of which {savable:,} can still be saved, the first until"
        said += f" {deadline(first, report.now)}"
    return f"{said}."


def _gaps(gap_histories: Sequence[GapHistory]) -> str:
    return count(sum(1 for story in gap_histories if story.recovered), "gap")


def _missing_money(found: WaterfallTotals) -> dict[str, float]:
    money = {}
    for currency in found.currencies:
        value = found.money["orders", currency]
        value -= found.money["withheld", currency] + found.money["delivered", currency]
        if round(value, 4):
            money[currency] = round(value, 4)
    return money


@dataclass(frozen=True)
class GapCard:
    """A gap as the report tells it: `facts` are (what, words)."""

    number: int
    when: str
    state: str
    mood: str  # good, warn or bad
    sentence: str
    facts: list[tuple[str, str]]
    to_do: str


def told(story: GapHistory, number: int, now: datetime) -> GapCard:
    """The story of a gap, from its start to what can still be done."""
    gap = story.gap
    state, mood = _state(story)
    cause = _cause(story)
    facts = [
        ("Began", format_utc(gap.first_hour)),
        ("Ended", f"{format_utc(gap.last_hour + HOUR)}, {count(gap.hours, 'hour')} affected"),
        ("Cause", f"{cause[0].upper()}{cause[1:]}."),
        ("Seen", " ".join(reason_label(reason) for reason in list(story.reasons)[:3])),
        ("Missing at first", _worth(story.lost, story.lost_money) if story.lost else ""),
        ("Recovered", _recovered(story)),
        ("Can still be saved", _savable(story, now)),
        ("Could be saved by corrected input", _worth(gap.correctable, gap.correctable_money)),
        ("Gone for good", _gone(story)),
        ("Visits", visits_text(gap, now) if gap.matched_again else ""),
        ("Without a visit", _unmatched(story)),
        (
            "Did not arrive",
            f"About {count(gap.orders_expected_missing, 'order')}"
            if gap.orders_expected_missing
            else "",
        ),
        ("Without their usual match keys", _weakened(gap.orders_with_fewer_keys)),
        ("Not counted yet", count(gap.unknown_hours, "hour") if gap.unknown_hours else ""),
    ]
    if gap.evidence and gap.cause is not Cause.NOT_MATERIALIZED:  # which says no more than that
        facts.insert(4, ("Evidence", f"{gap.evidence[0].upper()}{gap.evidence[1:]}."))
    to_do = "" if story.over or cause_is_past(story) else _to_do(gap, now)
    return GapCard(
        number,
        during(gap.first_hour, gap.last_hour),
        state,
        mood,
        _sentence(story, cause),
        [f for f in facts if f[1]],
        to_do,
    )


def cause_is_past(story: GapHistory) -> bool:
    """Whether there is nothing to do about it: what is missing can be saved by nobody."""
    gap = story.gap
    left = gap.savable or gap.correctable or gap.unmatched or gap.orders_with_fewer_keys
    return gap.cause is Cause.TOO_LATE or not left


def _cause(story: GapHistory) -> str:
    if (
        story.gap.cause is Cause.NOT_MATERIALIZED
        and story.recovered
        and not story.gap.unknown_hours
    ):
        return "the hours were run late, or their orders landed late"
    return story.gap.headline


def _state(story: GapHistory) -> tuple[str, str]:
    if story.over:
        return "recovered", "good"
    if story.gap.savable or story.gap.correctable:
        return "open", "warn"
    poorer = story.gap.unmatched or story.gap.orders_with_fewer_keys
    return (
        ("poorer", "warn")
        if poorer and not (story.gone or story.gap.orders_expected_missing)
        else ("lost", "bad")
    )


def _sentence(story: GapHistory, cause: str) -> str:
    if not story.lost and story.gap.unknown_hours:
        return f"Nobody knows yet what these hours hold, because {cause}."
    expected = story.gap.orders_expected_missing
    if not story.lost and expected:
        return f"About {count(expected, 'order')} did not arrive here, because {cause}."
    if not story.lost:
        return f"All orders arrived, but with fewer match keys, because {cause}."
    verb = "was" if story.lost == 1 else "were"
    said = f"{_worth(story.lost, story.lost_money)} {verb} not at Meta in time, because {cause}"
    if story.over:
        until = format_utc(story.recovered_at or story.gap.last_hour)
        return f"{said}; all were recovered by {until}."
    if story.recovered:
        return f"{said}; {story.recovered:,} were recovered, {story.gap.orders:,} are missing."
    return f"{said}."


def _recovered(story: GapHistory) -> str:
    if not story.recovered or story.recovered_at is None or story.spare is None:
        return "nothing yet" if story.lost else ""
    return (
        f"{_worth(story.recovered, story.recovered_money)}, the last at"
        f" {format_utc(story.recovered_at)}, with {format_duration(story.spare)} or more to spare"
    )


def _savable(story: GapHistory, now: datetime) -> str:
    gap = story.gap
    if gap.first_deadline is None:
        return ""
    until = f"the first until {deadline(gap.first_deadline, now)}"
    if not gap.recoverable:
        return f"All, {until}"
    return f"{_worth(gap.recoverable, gap.recoverable_money)}, {until}"


def _gone(story: GapHistory) -> str:
    if story.gone:
        return _worth(story.gone, story.gone_money)
    return "nothing" if story.lost else ""


def _unmatched(story: GapHistory) -> str:
    if not story.gap.unmatched:
        return ""
    return f"{count(story.gap.unmatched, 'order')}, sent with what the order itself carries"


def _to_do(gap: Gap, now: datetime) -> str:
    stored = "" if gap.matched_again else visits_text(gap, now)
    return f"{' '.join(part for part in (gap.remedy, stored) if part)} ({gap.partition_range})"


def _weakened(orders: int) -> str:
    return f"About {count(orders, 'order')}" if orders else ""


def _worth(orders: int, money: Mapping[str, float]) -> str:
    if not orders:
        return ""
    worth = format_amounts(money)
    return f"{count(orders, 'order')} ({worth})" if worth else count(orders, "order")


def totals_table(report: Report) -> tuple[list[str], list[list[str]]]:
    """The waterfall per event name and currency (and dataset, where there are several)."""
    rows = [row for row in report.health.to_pylist() if row["orders"]]
    many = len({row["dataset_id"] for row in rows}) > 1
    names = ("orders", *STAGES)
    sums: defaultdict[tuple[str, ...], defaultdict[str, float]] = defaultdict(
        lambda: defaultdict(float)
    )
    for row in rows:
        key = [row["event_name"] or "–", row["currency"] or ""]
        group = sums[(row["dataset_id"] or "–", *key) if many else tuple(key)]
        for name in names:
            group[name] += row[name]
            group[f"value_{name}"] += row[f"value_{name}"]
    shown = [s for s in STAGE_LABELS if s in ("orders", "withheld", "delivered")
             or any(group[s] for group in sums.values())]  # fmt: skip
    header = [*(["Dataset"] if many else []), "Event", "Currency"]
    header += [STAGE_LABELS[stage].split(":")[0] for stage in shown]
    header += ["Coverage", "Money of orders", "Money delivered", "Money missing"]
    body = []
    for names_of, group in sorted(sums.items(), key=lambda item: (-item[1]["orders"], item[0])):
        currency = names_of[-1]
        eligible = group["orders"] - group["withheld"]
        value = group["value_orders"] - group["value_withheld"] - group["value_delivered"]
        share = percent(group["delivered"] / eligible if eligible > 0 else None)
        worth = (group["value_orders"], group["value_delivered"], value)
        body.append(
            [
                *names_of[:-1],
                currency or "none",
                *(f"{group[stage]:,.0f}" for stage in shown),
                share,
                *(amount(currency, part) for part in worth),
            ]
        )
    return header, body


def changed_since(report: Report) -> str:
    """That Meta keeps what it was sent first; empty where nothing changed since."""
    if not report.changed:
        return ""
    are = "is" if report.changed == 1 else "are"
    return (
        f"{count(report.changed, 'order')} {are} at Meta as first sent, and would go out with other"
        " data today: visits or corrections came later. Meta keeps the first of two equal events,"
        " so match keys that were found since did not reach it."
    )


def reasons_table(report: Report) -> list[tuple[str, str, str, str]]:
    """Why orders are not at Meta: stage, reason, orders and money, in the waterfall's order."""
    orders: defaultdict[tuple[str, str], int] = defaultdict(int)
    money: defaultdict[tuple[str, str], defaultdict[str, float]] = defaultdict(
        lambda: defaultdict(float)
    )
    for row in report.losses.to_pylist():
        key = (row["stage"], row["reason"] or "")
        orders[key] += row["orders"]
        if row["value"]:
            money[key][row["currency"] or ""] += row["value"]
    place = list(STAGE_LABELS)
    ranked = sorted(orders, key=lambda key: (place.index(key[0]), -orders[key], key[1]))
    return [
        (
            STAGE_LABELS[stage].split(":")[0],
            reason_label(reason),
            f"{orders[stage, reason]:,}",
            format_amounts(money[stage, reason]) or "–",
        )
        for stage, reason in ranked[:_REASONS]
    ]


def tiles(report: Report, found: WaterfallTotals) -> list[dict[str, Any]]:
    """The figures at the top: a title, a number, a line below, and a mood."""
    missing = max(found.eligible - found.orders["delivered"], 0)
    recovered = sum(story.recovered for story in report.gap_histories)
    waiting = sum(found.orders[stage] for stage in WAITING)
    lost = sum(found.orders[stage] for stage in LOST_FOR_GOOD)
    parts = [f"{waiting:,} waiting" if waiting else "", f"{lost:,} lost" if lost else ""]
    return [
        {
            "title": "Reached Meta",
            "number": percent(found.coverage),
            "below": f"{found.orders['delivered']:,} of {found.eligible:,} eligible",
            "mood": "",
        },
        {
            "title": "Orders",
            "number": f"{found.orders['orders']:,}",
            "below": f"{found.orders['withheld']:,} withheld on purpose",
            "mood": "",
        },
        {
            "title": "Missing",
            "number": f"{missing:,}",
            "below": join_names(part for part in parts if part) or "nothing is missing",
            "mood": "bad" if missing else "zero",
        },
        {
            "title": "Recovered",
            "number": f"{recovered:,}",
            "below": f"from {_gaps(report.gap_histories)}" if recovered else "no gap was recovered",
            "mood": "" if recovered else "zero",
        },
    ]
