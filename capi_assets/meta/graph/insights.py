"""What Meta itself tells about the events of a dataset: hourly counts and Dataset Quality.

`/{dataset}/stats` (Marketing API page "Ads Pixel Stats") counts events by the hour, at most seven
days back. Whether its hours go by the event's time or by receipt, whether it counts before or after
deduplication, and how late it settles is documented nowhere: that is for the reader to find out.
`/dataset_quality` (page "Dataset Quality API") speaks of website events of the last seven days.
Neither function raises for anything that Meta answers.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import quote

import pyarrow as pa

from capi_assets.meta.graph.reads import NOT_UNDERSTOOD, FailedRead, GraphReader
from capi_assets.meta.limits import UTC_MICROSECONDS

STATS_REACH = timedelta(days=7)
"""How far back `/stats` reaches."""


SERVER_COUNTS = pa.schema(
    [("hour", UTC_MICROSECONDS), ("event_name", pa.string()), ("events", pa.int64())]
)
"""Columns of `server_stats`: Meta's count of server events per hour (UTC) and event name."""

QUALITY = pa.schema(
    [
        ("event_name", pa.string()),
        ("measure", pa.string()),
        ("key", pa.string()),
        ("value", pa.float64()),
        ("goal", pa.float64()),
        ("words", pa.string()),
    ]
)
"""Columns of `dataset_quality`, a row per event name and measure.

`measure` is score (0 to 10), match_key (per cent of server events that carry `key`),
dedup_key_server, dedup_key_browser and dedup_key_overall (per cent with `key`), event_coverage
(per cent of Pixel events that the server sent too; `goal` is Meta's) or upload_frequency (`words`).
"""

# Meta's names in answers. Published are email, ip_address, user_agent and external_id; the others
# follow its own names of the parameters, and a name that is not here stands for itself.
MATCH_KEYS = {
    "email": "em",
    "phone": "ph",
    "phone_number": "ph",
    "first_name": "fn",
    "last_name": "ln",
    "date_of_birth": "db",
    "birthdate": "db",
    "gender": "ge",
    "city": "ct",
    "state": "st",
    "zip": "zp",
    "zip_code": "zp",
    "postal_code": "zp",
    "country": "country",
    "external_id": "external_id",
    "ip_address": "client_ip_address",
    "user_agent": "client_user_agent",
    "click_id": "fbc",
    "fbc": "fbc",
    "browser_id": "fbp",
    "fbp": "fbp",
    "fb_login_id": "fb_login_id",
    "lead_id": "lead_id",
}

_QUALITY_FIELDS = (
    "web{event_name,"
    "event_match_quality{composite_score,match_key_feedback{identifier,coverage{percentage}}},"
    "event_coverage{percentage,goal_percentage},"
    "dedupe_key_feedback{dedupe_key,browser_events_with_dedupe_key{percentage},"
    "server_events_with_dedupe_key{percentage},"
    "overall_browser_coverage_from_dedupe_key{percentage}},"
    "data_freshness{upload_frequency}}"
)

_DEDUP_MEASURES = {
    "dedup_key_server": "server_events_with_dedupe_key",
    "dedup_key_browser": "browser_events_with_dedupe_key",
    "dedup_key_overall": "overall_browser_coverage_from_dedupe_key",
}


@dataclass(frozen=True)
class InsightsResult:
    """What Meta told: a table, empty where `unread` says why nothing could be read."""

    table: pa.Table
    unread: FailedRead | None = None


def server_stats(reader: GraphReader, start: datetime, end: datetime) -> InsightsResult:
    """Server events per hour and event name of `[start, end)`, as Meta counts them.

    Columns of `SERVER_COUNTS`, sorted; an hour without events has no row. Meta counts hours of the
    ad account's time zone, which may begin at a quarter or half hour: those are booked under the
    UTC hour they begin in. All of it or nothing: half an answer would look like lost events.
    """
    asked = {
        "aggregation": "event",
        "event_source": "SERVER_ONLY",
        "start_time": str(int(start.timestamp())),
        "end_time": str(int(end.timestamp())),
    }
    path = f"/{quote(reader.access.dataset_id, safe='')}/stats"
    items = reader.pages(path, asked)
    if isinstance(items, FailedRead):
        return InsightsResult(SERVER_COUNTS.empty_table(), items)
    counts: Counter[tuple[datetime, str]] = Counter()
    try:
        for item in items:
            hour = _hour(item["start_time"])
            if start <= hour < end:
                for one in item["data"]:
                    counts[hour, str(one["value"])] += _count(one["count"])
    except (KeyError, TypeError, ValueError, OverflowError):
        return InsightsResult(SERVER_COUNTS.empty_table(), NOT_UNDERSTOOD)
    rows = [(hour, name, counts[hour, name]) for hour, name in sorted(counts)]
    columns = [list(column) for column in zip(*rows, strict=True)] or [[], [], []]
    return InsightsResult(pa.table(columns, schema=SERVER_COUNTS))


def dataset_quality(reader: GraphReader) -> InsightsResult:
    """What Dataset Quality says now, as columns of `QUALITY`, sorted by event name."""
    asked = {"dataset_id": reader.access.dataset_id, "fields": _QUALITY_FIELDS}
    document = reader.get("/dataset_quality", asked)
    if isinstance(document, FailedRead):
        return InsightsResult(QUALITY.empty_table(), document)
    try:
        web = document.get("web") or []
        rows = [row for item in sorted(web, key=_event_name) for row in _quality_rows(item)]
    except (AttributeError, KeyError, TypeError, ValueError):
        return InsightsResult(QUALITY.empty_table(), NOT_UNDERSTOOD)
    return InsightsResult(pa.Table.from_pylist(rows, schema=QUALITY))


def _event_name(item: Any) -> str:
    return str(item["event_name"])


def _quality_rows(item: Any) -> Iterator[dict[str, Any]]:
    """What one event name's item says; parts that are absent give no row."""
    matching = item.get("event_match_quality") or {}
    yield from _row(item, "score", matching.get("composite_score"))
    for told in matching.get("match_key_feedback") or []:
        name = str(told["identifier"])
        percentage = (told.get("coverage") or {}).get("percentage")
        yield from _row(item, "match_key", percentage, MATCH_KEYS.get(name.lower(), name))
    for told in item.get("dedupe_key_feedback") or []:
        for measure, field in _DEDUP_MEASURES.items():
            percentage = (told.get(field) or {}).get("percentage")
            yield from _row(item, measure, percentage, str(told["dedupe_key"]))
    covered = item.get("event_coverage") or {}
    goal = covered.get("goal_percentage")
    if covered.get("percentage") is not None:
        yield from _row(item, "event_coverage", covered["percentage"], goal=goal)
    frequency = (item.get("data_freshness") or {}).get("upload_frequency")
    if frequency is not None:
        yield {
            "event_name": _event_name(item),
            "measure": "upload_frequency",
            "words": str(frequency)[:40],
        }


def _row(
    item: Any, measure: str, value: Any, key: str | None = None, goal: Any = None
) -> Iterator[dict[str, Any]]:
    if value is None:
        return
    yield {
        "event_name": _event_name(item),
        "measure": measure,
        "key": key,
        "value": _number(value),
        "goal": None if goal is None else _number(goal),
    }


def _hour(text: Any) -> datetime:
    """`2026-11-20T13:00:00+0000`, or with any other offset, as the UTC hour it lies in."""
    at = datetime.fromisoformat(text)
    if at.tzinfo is None:
        raise ValueError("a time without its zone")
    return at.astimezone(UTC).replace(minute=0, second=0, microsecond=0)


def _count(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int | str):
        raise TypeError("not a count")
    number = int(value)
    if not 0 <= number < 2**53:
        raise ValueError("not a count")
    return number


def _number(value: Any) -> float:
    if isinstance(value, bool):
        raise TypeError("not a number")
    number = float(value)
    if not math.isfinite(number):
        raise ValueError("not a number")
    return number
