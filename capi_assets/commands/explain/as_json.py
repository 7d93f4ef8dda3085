"""The history of an order as JSON: the content of the page, masked in the same way."""

from __future__ import annotations

from typing import Any

from capi_assets.commands.explain import masking
from capi_assets.commands.explain.facts import OrderHistory
from capi_assets.commands.explain.find_order import hour_of
from capi_assets.commands.explain.text import (
    answer_words,
    columns,
    dropped,
    key_rows,
    refused_words,
)
from capi_assets.hours import hour_key


def as_json(history: OrderHistory) -> dict[str, Any]:
    """The content of the page: times in ISO 8601, shapes and shortened digests as on the page."""
    row = history.order or history.quarantined[0]
    return {
        "order_id": history.order_id,
        "hour": hour_key(history.hour),
        "event_name": row["event_name"],
        "dataset_id": row["dataset_id"],
        "others": [
            {"hour": hour_key(hour_of(other)), "event_name": other["event_name"],
             "dataset_id": other["dataset_id"], "refused": "status" not in other}
            for other in history.others
        ],
        "columns": dict(columns(history)),
        "dropped_fields": dict(dropped(history)),
        "refused": [
            {"source": each["source"], "line": each["line"], "hour": hour_key(each["hour"]),
             "reasons": {entry: refused_words(entry) for entry in each["reasons"].split()}}
            for each in history.quarantined
        ],
        "verdict": history.verdict,
        "reason": history.reason,
        "visit_id": history.event and history.event["visit_id"],
        "lent": ((history.event or {}).get("lent") or "").split(),
        "without_browser": bool(history.event and history.event["without_browser"]),
        "candidates": [
            {"visit_id": each.visit_id, "keys": list(each.keys),
             "visited_at": each.visited_at.isoformat()}
            for each in history.candidates
        ],
        "all_candidates": history.all_candidates,
        "match_keys": {
            key: {"from": origin, "values": values} for key, origin, values, _ in key_rows(history)
        },
        "payload": None if history.payload is None else masking.payload(history.payload),
        "plan": history.planned and {
            "action": history.planned["action"],
            "reason": history.planned["reason"],
            "deliver_until": history.planned["deliver_until"].isoformat(),
        },
        "attempts": [
            {
                **{name: each[name] for name in ("attempt", "run_id", "outcome", "reason",
                   "http_status", "code", "subcode", "fbtrace_id", "api_version", "events")},
                "started_at": each["started_at"].isoformat(),
                "finished_at": each["finished_at"] and each["finished_at"].isoformat(),
                "words": answer_words(each),
            }
            for each in history.attempts
        ],
        "to_do": history.to_do,
    }  # fmt: skip
