"""Ranges of hours as the Dagster UI takes them: to paste, and as links.

Tried in the UI of Dagster 1.13.27: its field of partitions takes `[A...B]` and single keys, with
commas between them; a job's page fills its launch dialog from `default_range`, and `/guess/` finds
the job in whatever code location it was loaded.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from urllib.parse import quote

JOB = "deliver_hour"
_AT_MOST = 20  # ranges in an address


def partition_ranges_text(ranges: Iterable[str]) -> str:
    """Ranges `A...B` as the UI's field of partitions takes them: `[A...B], C`."""
    return ", ".join(_one(keys) for keys in ranges)


def backfill_link(ui_url: str | None, ranges: Sequence[str]) -> str | None:
    """Where these ranges `A...B` wait to be launched; None without the UI's address."""
    if not ui_url or not ranges:
        return None
    asked = quote(",".join(_one(keys) for keys in ranges[:_AT_MOST]), safe=":,")
    return f"{ui_url.rstrip('/')}/guess/{JOB}?default_range={asked}"


def _one(keys: str) -> str:
    first, _, last = keys.partition("...")
    return first if first == last or not last else f"[{first}...{last}]"
