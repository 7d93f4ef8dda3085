"""Queries of the inbox: counts per hour, totals, and the newest requests and events.

This is the sandbox's own view, for tests, demos and its page; Meta's own counts are in insights.py.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import orjson

from capi_assets.sandbox.dedup import ACCEPTED, DOUBLED, DUPLICATE
from capi_assets.sandbox.inbox import Inbox, aware

HOUR_FORMAT = "%Y-%m-%d-%H:00"
VERDICTS = (ACCEPTED, DUPLICATE, DOUBLED)


def hour_key(hour: int) -> str:
    """An hour (Unix seconds of its start) as a partition key: `2026-11-20-13:00`, UTC."""
    return datetime.fromtimestamp(hour, UTC).strftime(HOUR_FORMAT)


def hour_of(text: str) -> int:
    """The start, in Unix seconds, of the hour a partition key or an ISO 8601 time names."""
    try:
        at = datetime.strptime(text, "%Y-%m-%d-%H:%M").replace(tzinfo=UTC)
    except ValueError:
        at = datetime.fromisoformat(text)
        if at.tzinfo is None:
            raise ValueError(f"{text} has no time zone; write for example {text}Z") from None
    seconds = int(at.timestamp())
    return seconds - seconds % 3600


def received(
    inbox: Inbox, *, hour: str | None = None, dataset: str | None = None
) -> list[dict[str, Any]]:
    """Events and their value per dataset and hour of event_time, the oldest first.

    Each row has `hour`, `dataset`, `received` (all), `accepted` (counted once), `duplicates`
    (removed), `doubled` (counted again, later than the window), and per currency `value` of the
    accepted and `doubled_value` of the doubled.
    """
    start = None if hour is None else hour_of(hour)
    rows = inbox.rows(
        """select dataset, hour, verdict, currency, sum(events) as events, sum(value) as value
        from tally where (?1 is null or hour = ?1) and (?2 is null or dataset = ?2)
        group by dataset, hour, verdict, currency order by hour, dataset, currency""",
        start,
        dataset,
    )
    hours: dict[tuple[int, str], dict[str, Any]] = {}
    for row in rows:
        entry = hours.setdefault(
            (row["hour"], row["dataset"]),
            {
                "hour": hour_key(row["hour"]),
                "dataset": row["dataset"],
                "received": 0,
                "accepted": 0,
                "duplicates": 0,
                "doubled": 0,
                "value": {},
                "doubled_value": {},
            },
        )
        count = "duplicates" if row["verdict"] == DUPLICATE else row["verdict"]
        entry["received"] += row["events"]
        entry[count] += row["events"]
        if row["currency"] and row["verdict"] != DUPLICATE:
            values = entry["value" if row["verdict"] == ACCEPTED else "doubled_value"]
            values[row["currency"]] = round(values.get(row["currency"], 0.0) + row["value"], 6)
    return list(hours.values())


def totals(inbox: Inbox) -> dict[str, Any]:
    """Requests by outcome, events by verdict, their value, and refusals by code."""
    by_verdict = dict.fromkeys(VERDICTS, 0)
    value: dict[str, float] = {}
    for row in inbox.rows(
        """select verdict, currency, sum(events) as events, sum(value) as value
        from tally group by verdict, currency order by currency"""
    ):
        by_verdict[row["verdict"]] += row["events"]
        if row["verdict"] == ACCEPTED and row["currency"]:
            value[row["currency"]] = round(row["value"], 6)
    requests = inbox.rows(
        """select count(*) as calls,
            coalesce(sum(status between 200 and 299 and fault is null), 0) as answered,
            coalesce(sum(code is not null), 0) as refused,
            coalesce(sum(fault is not null), 0) as struck
        from requests"""
    )[0]
    return {
        "requests": dict(requests),
        "events": {
            "received": sum(by_verdict.values()),
            "accepted": by_verdict[ACCEPTED],
            "duplicates": by_verdict[DUPLICATE],
            "doubled": by_verdict[DOUBLED],
        },
        "value": value,
        "refusals": refusals(inbox),
    }


def refusals(inbox: Inbox) -> list[dict[str, Any]]:
    """Refused requests by code and subcode, the most frequent first."""
    rows = inbox.rows(
        """select code, subcode, max(title) as title, count(*) as requests, max(received_at) as last
        from requests where code is not null
        group by code, subcode order by requests desc, last desc"""
    )
    return [{**dict(row), "last": aware(row["last"])} for row in rows]


def requests(inbox: Inbox, limit: int = 100) -> list[dict[str, Any]]:
    """The newest calls of `/events`, newest first; `status` 0 means that there was no response."""
    rows = inbox.rows("select * from requests order by seq desc limit ?", limit)
    return [{**dict(row), "received_at": aware(row["received_at"])} for row in rows]


def events(
    inbox: Inbox,
    *,
    limit: int = 100,
    before: int | None = None,
    after: int | None = None,
    verdict: str | None = None,
    dataset: str | None = None,
    event_id: str | None = None,
    payloads: bool = False,
) -> list[dict[str, Any]]:
    """Events by `seq`: the newest before `before`, or in order from `after` on.

    `first_received_at` is when Meta first received the identity: with `received_at` it gives both
    receipts of a duplicate or doubled event. With `payloads` each row has `event`, the JSON as
    received, or null when it is no longer in memory.
    """
    rows = inbox.rows(
        f"""select seq, received_at, first_received_at, dataset, event_name, event_id, event_time,
            hour, action_source, verdict, value, currency, keys, sha256
        from events
        where (?1 is null or seq < ?1) and (?2 is null or seq > ?2)
            and (?3 is null or verdict = ?3) and (?4 is null or dataset = ?4)
            and (?5 is null or event_id = ?5)
        order by seq {"asc" if after is not None else "desc"} limit ?6""",
        before,
        after,
        verdict,
        dataset,
        event_id,
        limit,
    )
    events = []
    for row in rows:
        event = {
            **dict(row),
            "hour": hour_key(row["hour"]),
            "received_at": aware(row["received_at"]),
            "first_received_at": aware(row["first_received_at"]),
        }
        if payloads:
            payload = inbox.payload(row["seq"])
            event["event"] = None if payload is None else orjson.loads(payload)
        events.append(event)
    return events


def last_received(inbox: Inbox, dataset: str) -> datetime | None:
    """When the dataset last received an event."""
    row = inbox.rows("select max(received_at) from events where dataset = ?", dataset)[0]
    return None if row[0] is None else aware(row[0])
