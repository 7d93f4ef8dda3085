"""The text of the report: its headline, a card per incident, and its tables."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from capi_assets.commands.report.facts import Report
from capi_assets.commands.report.waterfall import ALWAYS_SHOWN, WaterfallTotals
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
from capi_assets.coverage.gap_text import causes_text, during, orders_text, ranges_text, visits_text
from capi_assets.coverage.gaps import Gap
from capi_assets.coverage.incident_history import IncidentHistory
from capi_assets.coverage.labels import LOST_FOR_GOOD, STAGE_LABELS, WAITING, reason_label
from capi_assets.coverage.links import backfill_link
from capi_assets.coverage.outcomes import STAGES
from capi_assets.delivery.causes import Cause
from capi_assets.hours import HOUR

_MAX_REASONS = 40
REASONS_HEADER = ("Status", "Reason", "Orders", "Value")


def headline(report: Report, totals: WaterfallTotals) -> str:
    """The whole range in one sentence."""
    orders, delivered, missing = totals.orders["orders"], totals.orders["delivered"], totals.missing
    if not orders:
        if not report.health.num_rows:
            return "None of these hours was materialized yet: no data yet."
        return "There were no orders in these hours."
    if totals.eligible <= 0:
        return f"All {count(orders, 'order')} were withheld on purpose."
    sentence = (
        f"{delivered:,} of {count(totals.eligible, 'eligible order')} reached Meta"
        f" ({percent(totals.coverage)})"
    )
    recovered = sum(history.recovered for history in report.histories)
    if recovered:
        sentence += f", {recovered:,} of them recovered from {_recovered_gaps(report.histories)}"
    unknown = sum(history.gap.unknown_hours for history in report.histories)
    if unknown:
        sentence += f"; {count(unknown, 'hour')} not counted yet"
    if not missing:
        return f"{sentence}; none is missing."
    value = format_amounts(_missing_values(totals))
    verb = "is" if missing == 1 else "are"
    sentence += f"; {missing:,}{f' ({value})' if value else ''} {verb} missing"
    recoverable = sum(history.gap.recoverable for history in report.histories)
    deadlines = [h.gap.first_deadline for h in report.histories if h.gap.first_deadline]
    if recoverable and deadlines:
        sentence += (
            f", of which {recoverable:,} can still be delivered, the first until"
            f" {deadline(min(deadlines), report.now)}"
        )
    return f"{sentence}."


def _recovered_gaps(histories: Sequence[IncidentHistory]) -> str:
    return count(sum(history.recovered > 0 for history in histories), "incident")


def _missing_values(totals: WaterfallTotals) -> dict[str, float]:
    v = totals.values
    values = {
        c: round(v["orders", c] - v["withheld", c] - v["delivered", c], 4)
        for c in totals.currencies
    }
    return {currency: value for currency, value in values.items() if value}


@dataclass(frozen=True)
class GapCard:
    """An incident in the report: `facts` are (name, value), `mood` is good, warn or bad.

    `link` launches the backfill in Dagster's UI; None where there is none to launch.
    """

    number: int
    when: str
    state: str
    mood: str
    sentence: str
    facts: list[tuple[str, str]]
    to_do: str
    link: str | None


def gap_card(
    history: IncidentHistory, number: int, now: datetime, backfill_url: str | None = None
) -> GapCard:
    """The card of an incident, from its start to what can still be done."""
    gap = history.gap
    state, mood = _state(history)
    cause = _cause(history)
    unmatched = f"{count(gap.unmatched, 'order')}, sent with only their own match keys"
    facts = [
        ("Began", format_utc(gap.first_hour)),
        ("Ended", f"{format_utc(gap.last_hour + HOUR)}, {count(gap.hours, 'hour')} affected"),
        ("Cause", f"{cause[0].upper()}{cause[1:]}."),
        ("Reasons", " ".join(reason_label(reason) for reason in list(history.reasons)[:3])),
        ("Missing at first", _orders(history.missing_at_first, history.missing_at_first_money)),
        ("Recovered", _recovered(history)),
        ("Can still be delivered", _recoverable(history, now)),
        ("Need corrected input", _orders(gap.correctable, gap.correctable_money)),
        ("Cannot be recovered", _unrecoverable(history)),
        ("Visits", visits_text(gap, now) if gap.matched_again else ""),
        ("Without a visit", unmatched if gap.unmatched else ""),
        ("Missing by estimate", _about(gap.orders_expected_missing)),
        ("With fewer match keys than usual", _about(gap.orders_with_fewer_keys)),
        ("Not counted yet", count(gap.unknown_hours, "hour") if gap.unknown_hours else ""),
    ]
    if gap.evidence and gap.cause is not Cause.NOT_MATERIALIZED:  # there it only repeats the cause
        facts.insert(4, ("Evidence", f"{gap.evidence[0].upper()}{gap.evidence[1:]}."))
    to_do = "" if history.is_over or is_past_help(gap) else _to_do(history, now)
    link = None
    if to_do and not gap.as_stored:  # the link matches again
        link = backfill_link(backfill_url, history.incident.ranges)
    when, shown = during(gap.first_hour, gap.last_hour), [fact for fact in facts if fact[1]]
    return GapCard(number, when, state, mood, _sentence(history, cause), shown, to_do, link)


def is_past_help(gap: Gap) -> bool:
    """Whether nothing that is missing can be recovered, so that nothing is left to do."""
    left = gap.savable or gap.correctable or gap.unmatched or gap.orders_with_fewer_keys
    return gap.cause is Cause.TOO_LATE or not left


def _cause(history: IncidentHistory) -> str:
    gap = history.gap
    if gap.cause is Cause.NOT_MATERIALIZED and history.recovered and not gap.unknown_hours:
        return "the hours were run late, or their orders landed late"
    return causes_text(history.incident.causes)


def _state(history: IncidentHistory) -> tuple[str, str]:
    gap = history.gap
    if history.is_over:
        return "recovered", "good"
    if gap.savable or gap.correctable:
        return "open", "warn"
    has_fewer_keys = gap.unmatched or gap.orders_with_fewer_keys
    if has_fewer_keys and not (history.unrecoverable or gap.orders_expected_missing):
        return "fewer match keys", "warn"
    return "lost", "bad"


def _sentence(history: IncidentHistory, cause: str) -> str:
    gap, missed = history.gap, history.missing_at_first
    if not missed:
        if gap.unknown_hours:
            return f"There is no data of these hours yet, because {cause}."
        if gap.orders_expected_missing:
            return f"{_about(gap.orders_expected_missing)} are missing, because {cause}."
        return f"All orders arrived, but with fewer match keys, because {cause}."
    verb = "was" if missed == 1 else "were"
    sentence = (
        f"{_orders(missed, history.missing_at_first_money)} {verb} not at Meta in time,"
        f" because {cause}"
    )
    if history.is_over:
        until = format_utc(history.recovered_at or gap.last_hour)
        return f"{sentence}; all were recovered by {until}."
    if history.recovered:
        return f"{sentence}; {history.recovered:,} were recovered, {gap.orders:,} are missing."
    return f"{sentence}."


def _recovered(history: IncidentHistory) -> str:
    if history.recovered_at is None or history.least_time_left is None:
        return "nothing yet" if history.missing_at_first else ""
    return (
        f"{_orders(history.recovered, history.recovered_money)}, the last at"
        f" {format_utc(history.recovered_at)}, at least"
        f" {format_duration(history.least_time_left)} before its deadline"
    )


def _recoverable(history: IncidentHistory, now: datetime) -> str:
    gap = history.gap
    if gap.first_deadline is None:
        return ""
    orders = _orders(gap.recoverable, gap.recoverable_money) or "All"
    return f"{orders}, the first until {deadline(gap.first_deadline, now)}"


def _unrecoverable(history: IncidentHistory) -> str:
    orders = _orders(history.unrecoverable, history.unrecoverable_money)
    return orders or ("none" if history.missing_at_first else "")


def _to_do(history: IncidentHistory, now: datetime) -> str:
    gap = history.gap
    stored = "" if gap.matched_again else visits_text(gap, now)
    remedies = dict.fromkeys([gap.remedy, *(part.remedy for part in history.incident.gaps), stored])
    ranges = ranges_text(history.incident.ranges)
    return f"{' '.join(text for text in remedies if text)} ({ranges})"


def _about(orders: int) -> str:
    return f"About {count(orders, 'order')}" if orders else ""


def _orders(orders: int, money: Mapping[str, float]) -> str:
    """`11 orders (EUR 146.00)`; empty for none."""
    return orders_text(orders, money) if orders else ""


def totals_table(report: Report) -> tuple[list[str], list[list[str]]]:
    """The waterfall per event name and currency (and dataset, where there are several)."""
    rows = [row for row in report.health.to_pylist() if row["orders"]]
    # A quarantined order has none of its own.
    has_datasets = len({row["dataset_id"] for row in rows if row["dataset_id"]}) > 1
    groups: defaultdict[tuple[str, ...], Counter[str]] = defaultdict(Counter)
    for row in rows:
        names = (row["dataset_id"] or "–", row["event_name"] or "–", row["currency"] or "")
        group = groups[names if has_datasets else names[1:]]
        for name in ("orders", *STAGES):
            group[name] += row[name]
            group[f"value_{name}"] += row[f"value_{name}"]
    shown = [
        stage
        for stage in STAGE_LABELS
        if stage in ALWAYS_SHOWN or any(group[stage] for group in groups.values())
    ]
    header = [*(["Dataset"] if has_datasets else []), "Event", "Currency"]
    header += [_short(stage) for stage in shown]
    header += ["Coverage", "Value of orders", "Value delivered", "Value missing"]
    body = []
    for key, group in sorted(groups.items(), key=lambda item: (-item[1]["orders"], item[0])):
        eligible = group["orders"] - group["withheld"]
        missing = group["value_orders"] - group["value_withheld"] - group["value_delivered"]
        values = (group["value_orders"], group["value_delivered"], missing)
        body.append(
            [
                *key[:-1],
                key[-1] or "none",
                *(f"{group[stage]:,.0f}" for stage in shown),
                percent(group["delivered"] / eligible if eligible > 0 else None),
                *(amount(key[-1], value) for value in values),
            ]
        )
    return header, body


def _short(stage: str) -> str:
    return STAGE_LABELS[stage].split(":")[0]


def changed_since(report: Report) -> str:
    """That Meta keeps the first copy of an event; empty where nothing changed since."""
    if not report.changed:
        return ""
    verb = "was" if report.changed == 1 else "were"
    return (
        f"{count(report.changed, 'order')} {verb} sent before later corrections or visits; Meta"
        " keeps the first copy, so match keys found since did not reach it."
    )


def reasons_table(report: Report) -> list[tuple[str, str, str, str]]:
    """Why orders are not at Meta: stage, reason, orders and value, in the waterfall's order."""
    orders: Counter[tuple[str, str]] = Counter()
    values: defaultdict[tuple[str, str], Counter[str]] = defaultdict(Counter)
    for row in report.losses.to_pylist():
        key = (row["stage"], row["reason"] or "")
        orders[key] += row["orders"]
        if row["value"]:
            values[key][row["currency"] or ""] += row["value"]
    stages = list(STAGE_LABELS)
    ranked = sorted(orders, key=lambda key: (stages.index(key[0]), -orders[key], key[1]))
    return [
        (_short(stage), reason_label(reason), f"{orders[stage, reason]:,}",
         format_amounts(values[stage, reason]) or "–")
        for stage, reason in ranked[:_MAX_REASONS]
    ]  # fmt: skip


def tiles(report: Report, totals: WaterfallTotals) -> list[dict[str, Any]]:
    """The key figures at the top: a title, a number, a line below, and a mood."""
    orders = totals.orders
    recovered = sum(history.recovered for history in report.histories)
    waiting = sum(orders[stage] for stage in WAITING)
    lost = sum(orders[stage] for stage in LOST_FOR_GOOD)
    parts = [f"{waiting:,} waiting" if waiting else "", f"{lost:,} lost" if lost else ""]
    missing = join_names(part for part in parts if part) or "nothing is missing"
    gaps = f"from {_recovered_gaps(report.histories)}" if recovered else "nothing was recovered"
    shown = [
        ("Reached Meta", percent(totals.coverage), "",
         f"{orders['delivered']:,} of {totals.eligible:,} eligible"),
        ("Orders", f"{orders['orders']:,}", "", f"{orders['withheld']:,} withheld on purpose"),
        ("Missing", f"{totals.missing:,}", "bad" if totals.missing else "zero", missing),
        ("Recovered", f"{recovered:,}", "" if recovered else "zero", gaps),
    ]  # fmt: skip
    return [dict(zip(("title", "number", "mood", "below"), tile, strict=True)) for tile in shown]
