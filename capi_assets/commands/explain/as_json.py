"""An order's story for programs: the page's content as JSON, masked as the page is."""

from __future__ import annotations

from typing import Any

from capi_assets.commands.explain import masking
from capi_assets.commands.explain.facts import OrderHistory
from capi_assets.commands.explain.find_order import sighted_hour
from capi_assets.commands.explain.spellings import SpellingCheck
from capi_assets.commands.explain.text import (
    answer_words,
    columns,
    dropped,
    key_rows,
    refused_words,
)
from capi_assets.hours import hour_key


def as_json(story: OrderHistory, inquiry: SpellingCheck | None = None) -> dict[str, Any]:
    """The page for programs: times as ISO 8601, shapes and shortened digests as on the page."""
    row = story.order or story.refused[0]
    return {
        "order_id": story.order_id,
        "hour": hour_key(story.hour),
        "event_name": row["event_name"],
        "dataset_id": row["dataset_id"],
        "others": [
            {"hour": hour_key(sighted_hour(other)), "event_name": other["event_name"],
             "dataset_id": other["dataset_id"], "refused": "status" not in other}
            for other in story.others
        ],
        "columns": dict(columns(story)),
        "dropped_fields": dict(dropped(story)),
        "refused": [
            {"source": each["source"], "line": each["line"], "hour": hour_key(each["hour"]),
             "reasons": {entry: refused_words(entry) for entry in each["reasons"].split()}}
            for each in story.refused
        ],
        "verdict": story.verdict,
        "reason": story.reason,
        "visit_id": story.event and story.event["visit_id"],
        "lent": ((story.event or {}).get("lent") or "").split(),
        "candidates": [
            {"visit_id": each.visit_id, "keys": list(each.keys),
             "visited_at": each.visited_at.isoformat()}
            for each in story.candidates
        ],
        "all_candidates": story.all_candidates,
        "match_keys": {
            key: {"from": origin, "values": values} for key, origin, values, _ in key_rows(story)
        },
        "payload": None if story.payload is None else masking.payload(story.payload),
        "plan": story.planned and {
            "action": story.planned["action"],
            "reason": story.planned["reason"],
            "deliver_until": story.planned["deliver_until"].isoformat(),
        },
        "attempts": [
            {
                **{name: each[name] for name in ("attempt", "run_id", "outcome", "reason",
                   "http_status", "code", "subcode", "fbtrace_id", "api_version", "events")},
                "started_at": each["started_at"].isoformat(),
                "finished_at": each["finished_at"] and each["finished_at"].isoformat(),
                "words": answer_words(each),
            }
            for each in story.attempts
        ],
        "to_do": story.to_do,
        **({"hash": _inquiry_json(inquiry)} if inquiry else {}),
    }  # fmt: skip


def _inquiry_json(inquiry: SpellingCheck) -> dict[str, Any]:
    return {
        "key": inquiry.key,
        "answer": inquiry.sentence,
        "spellings": [
            {"name": each.name, "digest": masking.short(each.digest), "equals": list(each.sent_as)}
            for each in inquiry.tried
        ],
    }
