"""Ranges of hours for the Dagster UI: as text to paste, and as links.

Tested in the UI of Dagster 1.13.27: its field of partitions accepts `[A...B]` and single keys,
separated by commas; *Materialize…* on a job's pages takes the hours from `default_range`; `/guess/`
finds the job in any code location.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from urllib.parse import quote

_MAX_RANGES = 20  # keeps an address below the 2,000 characters that chats and proxies accept


def partition_ranges_text(ranges: Iterable[str]) -> str:
    """Ranges `A...B` as the UI's field of partitions accepts them: `[A...B], C`."""
    return ", ".join(_one(keys) for keys in ranges)


def backfill_link(backfill_url: str | None, ranges: Sequence[str]) -> str | None:
    """The page on which *Materialize…* has these ranges `A...B` filled in.

    None without `Settings.backfill_url` or ranges.
    """
    if not backfill_url or not ranges:
        return None
    range_text = quote(",".join(_one(keys) for keys in ranges[:_MAX_RANGES]), safe=":,")
    return f"{backfill_url}?default_range={range_text}"


def _one(keys: str) -> str:
    first, _, last = keys.partition("...")
    return first if first == last or not last else f"[{first}...{last}]"
