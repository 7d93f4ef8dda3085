"""Graph API versions and the last day of each (Meta's changelog, as of November 2026).

The Conversions API follows this schedule, not the Marketing API's shorter one.
"""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, time

CURRENT = "v26.0"

LAST_DAYS: dict[str, date | None] = {
    "v20.0": date(2026, 9, 24),
    "v21.0": date(2027, 1, 21),
    "v22.0": date(2027, 5, 20),
    "v23.0": date(2027, 10, 8),
    "v24.0": date(2028, 2, 18),
    "v25.0": date(2028, 7, 29),
    "v26.0": None,
}

version_number = re.compile(r"v([1-9][0-9]*)\.0").fullmatch


def responding_version(requested: str, now: datetime) -> str | None:
    """The version that responds: an expired one is served by the oldest still usable.

    None for a version that never existed.
    """
    found = version_number(requested)
    if found is None or int(found[1]) > int(CURRENT[1:-2]):
        return None
    usable = [version for version, last in LAST_DAYS.items() if last is None or now < _end(last)]
    return requested if requested in usable else usable[0]


def _end(day: date) -> datetime:
    return datetime.combine(day, time.min, UTC)
