"""What the page and the JSON of `explain` both say: the words for rows of a story."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from capi_assets.commands.explain import masking
from capi_assets.commands.explain.facts import OrderHistory
from capi_assets.coverage.formatting import count
from capi_assets.delivery.causes import diagnose
from capi_assets.ingest.hashing import CONTACT_FIELDS
from capi_assets.meta.events.user_data import USER_DATA_FIELDS
from capi_assets.meta.graph.error_subcodes import SUBCODES
from capi_assets.meta.match_keys.hashed_keys import problem_text
from capi_assets.meta.match_keys.key_rules import RULES
from capi_assets.table_files import table_beside

_COLUMN_OF = {key: column for column, key in CONTACT_FIELDS.items()}

_REFUSED_WORDS: dict[str, str] = table_beside(__file__)


def refused_words(entry: str) -> str:
    """What is wrong with a `column:reason` of a quarantine or of dropped fields, and the remedy."""
    code = entry.partition(":")[2]
    return _REFUSED_WORDS.get(code) or problem_text(code)


def columns(story: OrderHistory) -> Iterator[tuple[str, str]]:
    """The columns that the order came with, by their landing names, and the shape of each."""
    for name, value in (story.order or {}).items():
        if value is not None and name != "dropped_fields":
            yield _COLUMN_OF.get(name, name), masking.cell(name, value)


def dropped(story: OrderHistory) -> list[tuple[str, str]]:
    """Columns whose value could not be used, and why."""
    entries = ((story.order or {}).get("dropped_fields") or "").split()
    return [(entry.partition(":")[0], refused_words(entry)) for entry in entries]


def key_rows(story: OrderHistory) -> Iterator[tuple[str, str, list[str], str]]:
    """Each match key: its name, who gave it (order or visit), shown values, and its rule."""
    lent = ((story.event or {}).get("lent") or "").split()
    person: dict[str, Any] = (
        story.payload.get("user_data", {}) if story.payload is not None else story.digests
    )
    for key in (name for name in USER_DATA_FIELDS if name in person):
        shown = masking.user_value(key, person[key])
        values = shown if isinstance(shown, list) else [str(shown)]
        rule = RULES.get(key, "Passed on as it is.").partition(". ")[0].rstrip(".")
        yield key, "visit" if key in lent else "order", values, rule


def answer_words(attempt: dict[str, Any]) -> str:
    """What Meta answered to an attempt, in words, with its code and subcode."""
    if attempt["finished_at"] is None:
        return "no answer is recorded: the process ended in between"
    if attempt["outcome"] == "delivered":
        return f"accepted, with {count(attempt['events'], 'event')} in the request"
    known = SUBCODES.get(attempt["subcode"])
    found = diagnose(
        stage="pending",
        reason=attempt["reason"],
        http_status=attempt["http_status"],
        code=attempt["code"],
        subcode=attempt["subcode"],
    )
    words = known.meaning if known else found.headline
    codes = "/".join(str(attempt[n]) for n in ("code", "subcode") if attempt[n] is not None)
    said = f" “{attempt['message']}”" if attempt["message"] else ""
    return f"{f'code {codes}: ' if codes else ''}{words}{said}"
