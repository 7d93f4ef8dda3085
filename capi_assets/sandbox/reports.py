"""Queries of the inbox: counts per hour, totals, and the newest requests and events.

This is the sandbox's own view, for tests, demos and its page; Meta's own counts are in insights.py.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import orjson

from capi_assets.hours import floor_hour, hour_key, key_hour
from capi_assets.sandbox.clock import parse_utc
from capi_assets.sandbox.dedup import ACCEPTED, DOUBLED, DUPLICATE
from capi_assets.sandbox.inbox import Inbox, aware

# The name of each verdict's count.
COUNTS = {ACCEPTED: "accepted", DUPLICATE: "duplicates", DOUBLED: "doubled"}

# How the filters of `events` narrow it.
FILTERS = {
    "before": "seq < ?",
    "after": "seq > ?",
    "verdict": "verdict = ?",
    "dataset": "dataset = ?",
    "event_id": "event_id = ?",
}


def _key(hour: int) -> str:
    return hour_key(datetime.fromtimestamp(hour, UTC))


def _start_of(text: str) -> float:
    """The start, in Unix seconds, of the hour a partition key or an ISO 8601 time names."""
    try:
        return key_hour(text).timestamp()
    except ValueError:
        return floor_hour(parse_utc(text)).timestamp()


def received(
    inbox: Inbox, *, hour: str | None = None, dataset: str | None = None
) -> list[dict[str, Any]]:
    """Events and their value per dataset and hour of event_time, the oldest first.

    Each row has `hour`, `dataset`, `received` (all), `accepted` (counted once), `duplicates`
    (removed), `doubled` (counted again, later than the window), and per currency `value` of the
    accepted and `doubled_value` of the doubled.
    """
    rows = inbox.rows(
        """select dataset, hour, verdict, currency, count(*) as events, total(value) as value
        from events where (?1 is null or hour = ?1) and (?2 is null or dataset = ?2)
        group by dataset, hour, verdict, currency order by hour, dataset, currency""",
        None if hour is None else _start_of(hour),
        dataset,
    )
    hours: dict[tuple[int, str], dict[str, Any]] = {}
    for row in rows:
        entry = hours.setdefault(
            (row["hour"], row["dataset"]),
            {
                "hour": _key(row["hour"]),
                "dataset": row["dataset"],
                **dict.fromkeys(("received", *COUNTS.values()), 0),
                "value": {},
                "doubled_value": {},
            },
        )
        entry["received"] += row["events"]
        entry[COUNTS[row["verdict"]]] += row["events"]
        if row["currency"] and row["verdict"] != DUPLICATE:
            values = entry["value" if row["verdict"] == ACCEPTED else "doubled_value"]
            values[row["currency"]] = round(row["value"], 6)
    return list(hours.values())


def totals(inbox: Inbox) -> dict[str, Any]:
    """Requests by outcome, events by verdict, their value, refusals (the most frequent first)."""
    counts = dict.fromkeys(("received", *COUNTS.values()), 0)
    value: dict[str, float] = {}
    for row in inbox.rows(
        """select verdict, currency, count(*) as events, total(value) as value
        from events group by verdict, currency order by currency"""
    ):
        counts["received"] += row["events"]
        counts[COUNTS[row["verdict"]]] += row["events"]
        if row["verdict"] == ACCEPTED and row["currency"]:
            value[row["currency"]] = round(row["value"], 6)
    [requests] = inbox.rows(
        """select count(*) as calls,
            coalesce(sum(status between 200 and 299 and fault is null), 0) as answered,
            coalesce(sum(code is not null), 0) as refused,
            coalesce(sum(fault is not null), 0) as struck
        from requests"""
    )
    refusals = inbox.rows(
        """select code, subcode, max(title) as title, count(*) as requests, max(received_at) as last
        from requests where code is not null
        group by code, subcode order by requests desc, last desc"""
    )
    return {
        "requests": dict(requests),
        "events": counts,
        "value": value,
        "refusals": [{**dict(row), "last": aware(row["last"])} for row in refusals],
    }


def requests(inbox: Inbox, limit: int = 100) -> list[dict[str, Any]]:
    """The newest calls of `/events`, newest first; `status` 0 means that there was no response."""
    rows = inbox.rows("select * from requests order by seq desc limit ?", limit)
    return [{**dict(row), "received_at": aware(row["received_at"])} for row in rows]


def events(
    inbox: Inbox, *, limit: int = 100, payloads: bool = False, **filters: Any
) -> list[dict[str, Any]]:
    """Events by `seq`: the newest first, or in order from `after` on; `filters` as in FILTERS.

    `first_received_at` is when Meta first received the identity: with `received_at` it gives both
    receipts of a duplicate or doubled event. With `payloads` each row has `event`, the JSON as
    received, or null when it is no longer in memory.
    """
    rows = inbox.rows(
        f"""select seq, received_at, first_received_at, dataset, event_name, event_id, event_time,
            hour, action_source, verdict, value, currency, keys, sha256, payload as event
        from events left join payloads using (seq)
        where {" and ".join(["true", *(FILTERS[name] for name in filters)])}
        order by seq {"asc" if "after" in filters else "desc"} limit ?""",
        *filters.values(),
        limit,
    )
    events = []
    for row in rows:
        event = {**dict(row), "hour": _key(row["hour"])}
        event |= {name: aware(row[name]) for name in ("received_at", "first_received_at")}
        payload = event.pop("event")
        if payloads:
            event["event"] = None if payload is None else orjson.loads(payload)
        events.append(event)
    return events


def last_received(inbox: Inbox, dataset: str) -> datetime | None:
    [[last]] = inbox.rows("select max(received_at) from events where dataset = ?", dataset)
    return None if last is None else aware(last)
