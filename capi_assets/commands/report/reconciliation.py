"""The report's section on Meta's counts compared with ours, from stored rows of `meta_stats`.

The comparison itself is in coverage/reconciliation/compare.py; no request is sent here.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from capi_assets.coverage.formatting import count
from capi_assets.coverage.reconciliation.text import (
    OFF,
    advice,
    hour_off,
    hour_sentence,
    is_lasting,
    totals,
)

Row = Mapping[str, Any]

_COMPARED = ("agree", *OFF)
_MAX_HOURS = 10


@dataclass(frozen=True)
class Agreement:
    """The comparison as the report shows it.

    Attributes:
        mood: good, warn (nothing could be compared) or bad (a lasting difference).
        sentence: the totals of both sides.
        notes: the hours that differ, what to check, and what could not be compared.
        header, table: per event name (and dataset, where there are several).
    """

    state: str
    mood: str
    sentence: str
    notes: Sequence[str]
    header: Sequence[str]
    table: Sequence[Sequence[str]]


def agreement(rows: Sequence[Row]) -> Agreement | None:
    """The comparison over rows of `meta_stats`; None where there are none."""
    if not rows:
        return None
    by_hour: dict[datetime, list[Row]] = defaultdict(list)
    for row in rows:
        by_hour[row["hour"]].append(row)
    compared = [row for row in rows if row["verdict"] in _COMPARED]
    hours = {row["hour"] for row in compared}
    off = {hour: of for hour, of in by_hour.items() if hour_off(of)}
    notes = [hour_sentence(hour, of) for hour, of in list(off.items())[:_MAX_HOURS]]
    if len(off) > _MAX_HOURS:
        notes.append(f"And {count(len(off) - _MAX_HOURS, 'more hour')} with a similar difference.")
    notes += [advice(rows)] if off else []
    notes += _left_out(by_hour)
    state, mood = ("differs", "bad") if off else ("agrees", "good")
    if not hours:
        state, mood = "not known", "warn"
    has_datasets = len({row["dataset_id"] for row in rows}) > 1
    header = [*(["Dataset"] if has_datasets else []), "Event", "Meta counts", "Delivered by us"]
    return Agreement(
        state,
        mood,
        _sentence(compared, len(hours), len(off)),
        notes,
        [*header, "Difference", "Unexplained", "Hours that differ"],
        _table(compared, has_datasets),
    )


def _sentence(compared: Sequence[Row], hours: int, off: int) -> str:
    if not hours:
        return "No hour could be compared with Meta's counts."
    sums = totals(compared)
    sentence = (
        f"In {count(hours, 'hour')} that could be compared, Meta counts"
        f" {count(sums['meta_events'] or 0, 'event')} and our records show"
        f" {sums['our_delivered']:,} delivered"
    )
    if off:
        return f"{sentence}; in {off:,} of them there is a lasting, unexplained difference."
    return f"{sentence}; there is no lasting difference."


def _left_out(by_hour: Mapping[datetime, Sequence[Row]]) -> list[str]:
    """Hours that could not be compared, with the reason."""
    why: dict[str, int] = defaultdict(int)
    for rows in by_hour.values():
        verdicts = {row["verdict"] for row in rows}
        if verdicts & {*_COMPARED}:
            continue
        unread = [row["why"] for row in rows if row["verdict"] == "cannot_read" and row["why"]]
        if unread:
            why[unread[0]] += 1
        elif "too_early" in verdicts:
            why["Meta's counts had not settled yet"] += 1
        elif "not_materialized" in verdicts:
            why["our side is not materialized"] += 1
    return [f"{count(number, 'hour')} not compared: {reason}." for reason, number in why.items()]


def _table(compared: Sequence[Row], has_datasets: bool) -> list[list[str]]:
    groups: dict[tuple[str, str], list[Row]] = defaultdict(list)
    for row in compared:
        if row["event_name"]:
            groups[row["dataset_id"], row["event_name"]].append(row)
    body = []
    for (dataset, name), rows in sorted(groups.items()):
        sums, lasting = totals(rows), sum(map(is_lasting, rows))
        body.append(
            [
                *([dataset] if has_datasets else []),
                name,
                f"{sums['meta_events'] or 0:,}",
                f"{sums['our_delivered']:,}",
                *(f"{sums[of]:+,}" if sums[of] else "0" for of in ("difference", "unexplained")),
                f"{lasting:,}",
            ]
        )
    return body
