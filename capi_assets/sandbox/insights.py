"""Meta's counts of the events it received: /stats and /dataset_quality.

Formats from the Pixel stats reference and the Dataset Quality API page. What these do not define
the sandbox does: buckets are hours of event_time, and counts are after deduplication, unless
`Counting` is set otherwise. The score and the upload frequency are the sandbox's own.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from itertools import groupby
from operator import itemgetter
from typing import Any

from starlette.requests import Request

from capi_assets.sandbox.dedup import DUPLICATE
from capi_assets.sandbox.inbox import Inbox, micros
from capi_assets.sandbox.responses import GraphError
from capi_assets.sandbox.simulated_stats import Counting

# The values that each aggregation counts a row of events under.
AGGREGATIONS: dict[str, Callable[[Any], list[str]]] = {
    "event": lambda row: [row["event_name"]],
    "event_total_counts": lambda row: ["event_total_counts"],
    "event_source": lambda row: ["SERVER"],
    "match_keys": lambda row: row["keys"].split(),
}
WEEK = timedelta(days=7)
TOP_EVENTS = 100
EVENT_COVERAGE_GOAL = 75

# Meta's names of match keys in /dataset_quality, and the points of 10 that full coverage adds.
MATCH_KEYS: dict[str, tuple[str, float]] = {
    "em": ("email", 2.5),
    "fbc": ("fbc", 2.0),
    "ph": ("phone", 1.5),
    "external_id": ("external_id", 1.0),
    "fbp": ("fbp", 1.0),
    "client_ip_address": ("ip_address", 0.6),
    "client_user_agent": ("user_agent", 0.4),
    "fn": ("first_name", 0.3),
    "ln": ("last_name", 0.3),
    "db": ("date_of_birth", 0.3),
    "ct": ("city", 0.2),
    "zp": ("zip_code", 0.2),
    "st": ("state", 0.1),
    "country": ("country", 0.1),
    "ge": ("gender", 0.1),
}


_STATS = """
select {hour} as hour, event_name, keys, count(*) as events from events
where dataset = ?1 and {hour} >= ?2 and {hour} < ?3 and (?4 is null or event_name = ?4)
    and verdict <> ?5 and received_at <= ?6
group by 1, event_name, keys"""

_HOURS = {"event": "hour", "receipt": "(received_at / 3600000000 * 3600)"}


def stats(
    inbox: Inbox,
    dataset: str,
    query: Mapping[str, str],
    now: datetime,
    counting: Counting,
) -> dict[str, Any]:
    """The response of `/{dataset}/stats`: one item per hour with events."""
    aggregation = query.get("aggregation", "event")
    if aggregation not in AGGREGATIONS:
        raise GraphError(f"(#100) aggregation must be one of {', '.join(AGGREGATIONS)}", 100)
    end = _time(query, "end_time") or now
    start = max(_time(query, "start_time") or end - WEEK, now - WEEK)
    if query.get("event_source") == "WEB_ONLY":
        return {"data": []}
    rows = inbox.rows(
        _STATS.format(hour=_HOURS[counting.basis]),
        dataset,
        start.timestamp() // 3600 * 3600,
        end.timestamp(),
        query.get("event"),
        DUPLICATE if counting.after_dedup else "",
        micros(now - timedelta(minutes=counting.settle_minutes)),
    )
    buckets: defaultdict[datetime, Counter[str]] = defaultdict(Counter)
    for row in rows:
        for value in AGGREGATIONS[aggregation](row):
            buckets[datetime.fromtimestamp(row["hour"], UTC)][value] += row["events"]
    return {
        "data": [
            {
                "aggregation": aggregation,
                "start_time": graph_time(hour),
                "data": [
                    {"value": value, "count": counting.reported(hour, count)}
                    for value, count in counts.most_common(TOP_EVENTS)
                ],
            }
            for hour, counts in sorted(buckets.items())
        ]
    }


def page(counts: dict[str, Any], request: Request) -> dict[str, Any]:
    """The page of a response of `stats` that the parameter `after` asks for.

    There are three: half of the items, none, and the rest. All but the last have a `next`.
    """
    items, after = counts["data"], request.state.params.get("after")
    middle = len(items) // 2
    if after == "2":
        return {"data": items[middle:]}
    params = {**request.state.params, "after": "1" if after is None else "2"}
    following = request.url.include_query_params(**params)
    return {
        "data": items[:middle] if after is None else [],
        "paging": {"next": str(following)},
    }


def quality(inbox: Inbox, dataset: str, now: datetime) -> dict[str, Any]:
    """The `web` part of `/dataset_quality`: one item per event name of the last seven days."""
    rows = inbox.rows(
        """select event_name, keys, count(*) as events, count(event_id) as with_id,
            sum(delay <= 600) as in_ten_minutes, sum(delay <= 7200) as in_two_hours,
            sum(delay <= 86400) as in_a_day
        from (select *, received_at / 1000000 - event_time as delay from events)
        where dataset = ? and hour >= ? and action_source = 'website' and verdict <> ?
        group by event_name, keys order by event_name""",
        dataset,
        (now - WEEK).timestamp(),
        DUPLICATE,
    )
    by_name = groupby(rows, key=itemgetter("event_name"))
    return {"web": [_quality_of(name, list(of_name)) for name, of_name in by_name]}


def _quality_of(name: str, rows: list[Any]) -> dict[str, Any]:
    total = sum(row["events"] for row in rows)
    having: Counter[str] = Counter()
    for row in rows:
        having.update(dict.fromkeys(row["keys"].split(), row["events"]))
    shares = {key: having[key] / total for key in MATCH_KEYS if having[key]}
    score = sum(share * MATCH_KEYS[key][1] for key, share in shares.items())
    dedupe_shares = {
        "event_id": sum(row["with_id"] for row in rows) / total,
        "external_id": shares.get("external_id", 0.0),
        "fbp": shares.get("fbp", 0.0),
    }
    return {
        "event_name": name,
        "event_match_quality": {
            "composite_score": round(min(score, 10.0), 1),
            "match_key_feedback": [
                {"identifier": MATCH_KEYS[key][0], "coverage": {"percentage": _percent(share)}}
                for key, share in shares.items()
            ],
            "diagnostics": [],
        },
        "event_coverage": {
            "goal_percentage": EVENT_COVERAGE_GOAL,
            "description": "The sandbox has no Pixel, so no browser events to cover.",
        },
        "dedupe_key_feedback": [
            {
                "dedupe_key": key,
                "browser_events_with_dedupe_key": {"percentage": 0},
                "server_events_with_dedupe_key": {"percentage": _percent(share)},
            }
            for key, share in dedupe_shares.items()
        ],
        "data_freshness": {
            "upload_frequency": _frequency(rows, total),
            "description": "How soon after they happened most events arrived.",
        },
    }


def _frequency(rows: list[Any], total: int) -> str:
    for column, frequency in (
        ("in_ten_minutes", "real_time"),
        ("in_two_hours", "hourly"),
        ("in_a_day", "daily"),
    ):
        if 2 * sum(row[column] for row in rows) >= total:
            return frequency
    return "weekly"


def _percent(share: float) -> float:
    return round(100 * share, 1)


def _time(query: Mapping[str, str], name: str) -> datetime | None:
    text = query.get(name)
    if not text:
        return None
    try:
        if text.isdigit():
            return datetime.fromtimestamp(int(text), UTC)
        at = datetime.fromisoformat(text)
        return at.replace(tzinfo=at.tzinfo or UTC)
    except (ValueError, OverflowError) as wrong:
        raise GraphError(f"(#100) {name} is not a time", 100) from wrong


def graph_time(at: datetime) -> str:
    """A time as the Graph API writes it: `2026-11-20T13:00:00+0000`."""
    return at.strftime("%Y-%m-%dT%H:%M:%S%z")
