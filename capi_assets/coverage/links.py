"""Ranges of hours as the Dagster UI takes them: to paste, and as links.

Tried in the UI of Dagster 1.13.27: its field of partitions takes `[A...B]` and single keys, with
commas between them; a job's page fills its launch dialog from `default_range`, and `/guess/` finds
the job in whatever code location it was loaded.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from urllib.parse import quote

from capi_assets.hours import hour_key

JOB = "deliver_hour"
_AT_MOST = 20  # ranges in an address


def pasteable(ranges: Iterable[str]) -> str:
    """Ranges `A...B` as the UI's field of partitions takes them: `[A...B], C`."""
    return ", ".join(_one(keys) for keys in ranges)


def backfill_link(ui_url: str | None, ranges: Sequence[str]) -> str | None:
    """Where these ranges `A...B` wait to be launched; None without the UI's address."""
    if not ui_url or not ranges:
        return None
    asked = quote(",".join(_one(keys) for keys in ranges[:_AT_MOST]), safe=":,")
    return f"{ui_url.rstrip('/')}/guess/{JOB}?default_range={asked}"


def hour_link(ui_url: str | None, hour: datetime) -> str | None:
    """The page of an hour's verdict; None without the UI's address."""
    if not ui_url:
        return None
    key = quote(hour_key(hour), safe=":")
    return f"{ui_url.rstrip('/')}/assets/attribution_health?view=partitions&partition={key}"


def _one(keys: str) -> str:
    first, _, last = keys.partition("...")
    return first if first == last or not last else f"[{first}...{last}]"
