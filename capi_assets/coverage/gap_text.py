"""Sentences about a gap: what is missing, why, until when it can be recovered, and what to do.

Read by alerts, checks, the command line and the report. Plain text without markup.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from capi_assets.coverage.anomalies.anomaly import Interval
from capi_assets.coverage.flags import is_inconclusive
from capi_assets.coverage.formatting import (
    count,
    deadline,
    format_amounts,
    join_names,
    paragraph,
    percent,
)
from capi_assets.coverage.gaps import Gap, gaps_of_hour, total_money
from capi_assets.coverage.incidents import CauseInTurn, Incident
from capi_assets.coverage.links import backfill_link, partition_ranges_text
from capi_assets.delivery.causes import Cause
from capi_assets.hours import HOUR, hour_key

MAX_RANGES = 5
"""Ranges that one sentence lists; a longer list is not readable."""


def during(first_hour: datetime, last_hour: datetime) -> str:
    """`2026-11-20 13:00 to 18:00 UTC`, the end of the last hour included."""
    end = last_hour + HOUR
    same_day = first_hour.date() == end.date()
    return f"{first_hour:%Y-%m-%d %H:%M} to {end:{'%H:%M' if same_day else '%Y-%m-%d %H:%M'}} UTC"


def orders_text(orders: int, money: Mapping[str, float]) -> str:
    """`412 orders (EUR 38,120.40)`."""
    return count(orders, "order") + (f" ({format_amounts(money)})" if money else "")


def missing_text(gap: Gap) -> str:
    """`412 orders (EUR 38,120.40) are missing`, and what is uncounted or of lower quality.

    "About" marks estimates: orders that never arrived, or lack match keys.
    """
    parts = []
    if gap.orders:
        verb = "is" if gap.orders == 1 else "are"
        parts.append(f"{orders_text(gap.orders, gap.money)} {verb} missing")
    if gap.unknown_hours:
        parts.append(f"the orders of {count(gap.unknown_hours, 'hour')} are not counted yet")
    return join_names([*parts, *_estimates(gap)]) or "no order is missing"


_AFFECTED = {
    Cause.CONSENT_MISSING: "more than usual are withheld for want of consent",
    Cause.CONFIRMATIONS_MISSING: "more than usual are withheld for their status",
    Cause.ORDERS_DOUBLED: "look like copies of others",
    Cause.VALUE_CHANGED: "have another value than usual",
    Cause.LATE_DELIVERY: "reached Meta later than usual",
    Cause.TIME_SHIFT: "are dated hours off",
}


def estimated_text(money: Mapping[str, Interval]) -> str:
    """`about EUR 2,400.00, likely 1,800.00 to 3,000.00`; empty without money."""
    return "; ".join(
        f"about {format_amounts({currency: amount.expected})}, likely {amount.low:,.2f} to"
        f" {amount.high:,.2f}"
        for currency, amount in money.items()
        if amount.expected
    )


def _estimates(gap: Gap) -> list[str]:
    parts = []
    money = estimated_text(gap.estimated_money)
    worth = f" ({money})" if money else ""
    if gap.orders_expected_missing:
        parts.append(f"about {count(gap.orders_expected_missing, 'order')} did not arrive{worth}")
        worth = ""
    if gap.orders_affected:
        how = _AFFECTED.get(gap.cause, "are not as usual")
        parts.append(f"about {count(gap.orders_affected, 'order')} {how}{worth}")
    if gap.unmatched:
        parts.append(
            f"{count(gap.unmatched, 'order')} {'has' if gap.unmatched == 1 else 'have'} no visit"
        )
    if gap.orders_with_fewer_keys:
        parts.append(
            f"about {count(gap.orders_with_fewer_keys, 'order')} have fewer match keys than usual"
        )
    return parts


def evidence_text(gap: Gap) -> str:
    """`Reasons: token_expired, throttled. Evidence: …`; empty if there is none."""
    reasons = f"Reasons: {', '.join(list(gap.reasons)[:3])}." if gap.reasons else ""
    return paragraph(reasons, f"Evidence: {gap.evidence}." if gap.evidence else "")


def recoverable_text(gap: Gap, now: datetime) -> str:
    """What can still be delivered and until when, in one or two sentences."""
    parts = []
    if gap.first_deadline and gap.recoverable:
        parts.append(
            f"{orders_text(gap.recoverable, gap.recoverable_money)} can still be delivered,"
            f" the first until {deadline(gap.first_deadline, now)}."
        )
    elif gap.first_deadline:
        parts.append(f"They can be delivered until {deadline(gap.first_deadline, now)}.")
    if gap.correctable:
        verb = "needs" if gap.correctable == 1 else "need"
        parts.append(
            f"{orders_text(gap.correctable, gap.correctable_money)} {verb} corrected input."
        )
    if not parts and (gap.orders or gap.unknown_hours):
        parts.append("Nothing can be recovered.")
    return " ".join(parts)


def visits_text(gap: Gap, now: datetime) -> str:
    """What the deletion of visits costs before the gap is recovered; empty if nothing."""
    if gap.as_stored:
        return (
            "Their events are stored with all match keys, but visits of these hours are deleted"
            " (CAPI_RETENTION_DAYS): materialize only delivery_results and attribution_health,"
            " without matching again."
        )
    if not gap.matched_again:
        return ""
    parts = []
    affected = gap.fewer_visits + gap.no_visits
    if affected:
        of_hours = "" if affected == gap.hours else f" of {count(affected, 'hour')}"
        which = f"{'all' if gap.no_visits == affected else 'the oldest'} visits{of_hours}"
        if gap.no_visits and gap.fewer_visits:
            which += f", and all visits of {count(gap.no_visits, 'hour')},"
        parts.append(
            f"{which} are already deleted (CAPI_RETENTION_DAYS): orders that came from them are"
            " sent with only their own match keys."
        )
    if gap.visits_until:
        which, setting = ("more", "") if affected else ("the oldest", " (CAPI_RETENTION_DAYS)")
        parts.append(
            f"{which} visits that could supply match keys are deleted from"
            f" {deadline(gap.visits_until, now)} on{setting}."
        )
    return paragraph(*parts)


def hour_sentence(hour: datetime, flags: pa.Table, now: datetime) -> str:
    """The state of one hour, for a check's description; `flags` is of `flags.flag_hours`."""
    of_hour = flags.filter(pc.equal(flags["hour"], pa.scalar(hour, flags["hour"].type)))
    if not of_hour.num_rows:
        return f"{hour_key(hour)} was not evaluated."
    (row,) = of_hour.to_pylist(maps_as_pydicts="strict")
    if not row["judged"]:
        return f"{hour_key(hour)} is not evaluated yet: {_delivered_text(row)} so far."
    if is_inconclusive(row):
        return (
            f"{hour_key(hour)} is inconclusive: {_delivered_text(row)}. So few may be chance:"
            " the hour is flagged as soon as another order nearby is lost."
        )
    if not row["flagged"]:
        return f"{hour_key(hour)} is OK: {_delivered_text(row)}."
    gap, *others = gaps_of_hour(row)
    until = deadline(gap.first_deadline, now) if gap.first_deadline else ""
    visits = ""
    if gap.visits_until:
        which = "more" if gap.fewer_visits else "the oldest"
        visits = f"; {which} of their visits are deleted {deadline(gap.visits_until, now)}"
    if gap.unknown_hours:
        end = f"can be delivered until {until}" if until else "can no longer be delivered"
        return f"{hour_key(hour)} was not materialized; its orders {end}{visits}."
    estimates = join_names(_estimates(gap))
    recoverable = f"{gap.recoverable:,}" if gap.recoverable else "orders that arrive"
    return "".join(
        (
            f"{hour_key(hour)}: {_delivered_text(row)}, because {gap.headline}",
            f" ({estimates})" if estimates else "",
            f"; {recoverable} can still be delivered until {until}" if until else "",
            f"{visits}.",
            *(f" Also: {missing_text(other)}, because {other.headline}." for other in others),
        )
    )


def _delivered_text(row: Mapping[str, Any]) -> str:
    if not row["eligible"]:
        return "no eligible orders" if row["orders"] else "no orders"
    return (
        f"{row['delivered']:,} of {count(row['eligible'], 'eligible order')} delivered"
        f" ({percent(row['coverage'])})"
    )


def causes_text(causes: Sequence[CauseInTurn]) -> str:
    """`Meta does not answer as it should, then Meta limits our calls (from 2026-11-20 15:00)`."""
    first, *later = causes
    turns = [f"{turn.headline} (from {turn.first_hour:%Y-%m-%d %H:%M})" for turn in later]
    return ", then ".join([first.headline, *turns])


def incident_sentence(incident: Incident, now: datetime) -> str:
    """One paragraph: what is missing since when, its causes in turn, until when, what to do."""
    total = incident.total
    return paragraph(
        f"{during(total.first_hour, total.last_hour)}: {missing_text(total)}, because"
        f" {causes_text(incident.causes)}.",
        evidence_text(total),
        recoverable_text(total, now),
        visits_text(total, now),
        remedies_text(incident, incident.ranges),
    )


def incidents_sentence(incidents: Sequence[Incident], now: datetime) -> str:
    """All incidents in one sentence, for the description of the check `open_gaps`."""
    if not incidents:
        return "No gaps."
    if len(incidents) == 1:
        return incident_sentence(incidents[0], now)
    gaps = [incident.total for incident in incidents]
    first = min((gap.first_deadline for gap in gaps if gap.first_deadline), default=None)
    visits = min((gap.visits_until for gap in gaps if gap.visits_until), default=None)
    unknown = sum(gap.unknown_hours for gap in gaps)
    hours = {hour for gap in gaps for hour in gap.missing}
    return "".join(
        (
            f"{count(len(gaps), 'incident')} in {count(len(hours), 'hour')}: ",
            orders_text(sum(g.orders for g in gaps), total_money(g.money for g in gaps)),
            " missing",
            f" ({count(unknown, 'hour')} not counted yet)" if unknown else "",
            f", {sum(gap.recoverable for gap in gaps):,} can still be delivered",
            f", the first until {deadline(first, now)}" if first else "",
            f"; visits needed for matching are deleted from {deadline(visits, now)} on"
            if visits
            else "",
            ".",
        )
    )


def remedies_text(
    incident: Incident, ranges: Sequence[str], backfill_url: str | None = None
) -> str:
    """What to do about each cause, and for which ranges; the cause that costs most is first."""
    main = incident.total
    others = {
        gap.remedy: f"{gap.headline}: {gap.cause.diagnosis_for(gap.reasons).action}"
        for gap in incident.gaps
        if gap.cause is not main.cause and gap.remedy != main.remedy
    }
    return paragraph(remedy_text(main, ranges, backfill_url), *others.values())


def remedy_text(gap: Gap, ranges: Sequence[str], backfill_url: str | None = None) -> str:
    """What to do, for which ranges, and a link to the backfill where `backfill_url` is known."""
    if gap.cause is Cause.TOO_LATE:
        return gap.remedy
    noun = "Range" if len(ranges) == 1 else "Ranges"
    link = None if gap.as_stored else backfill_link(backfill_url, ranges)  # the link matches again
    return f"{gap.remedy} {noun}: {ranges_text(ranges)}{f' {link}' if link else ''}"


def ranges_text(ranges: Sequence[str]) -> str:
    """The first ranges, and how many more there are."""
    more = f" and {len(ranges) - MAX_RANGES} more" if len(ranges) > MAX_RANGES else ""
    return f"{partition_ranges_text(ranges[:MAX_RANGES])}{more}"
