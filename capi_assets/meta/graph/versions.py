"""How long the Graph API version that is asked for still answers.

The Conversions API follows the Graph API's schedule, not the Marketing API's shorter one (page
"Using the API"). An expired version is not refused: the oldest one still usable answers in its
place (Graph API page "Versioning"), so nothing breaks on the day, and what was tested is no longer
what runs.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Literal

NEWEST = "v26.0"

ENDS: dict[str, date | None] = {
    "v20.0": date(2026, 9, 24),
    "v21.0": date(2027, 1, 21),
    "v22.0": date(2027, 5, 20),
    "v23.0": date(2027, 10, 8),
    "v24.0": date(2028, 2, 18),
    "v25.0": date(2028, 7, 29),
    NEWEST: None,
}
"""The day from which a version is gone; None while Meta has set none (Graph API page "Changelog",
as of November 2026)."""

WARNING_DAYS = 60
ERROR_DAYS = 14

_PARTS = re.compile(r"v(\d{1,4})\.(\d{1,4})")


def stated_version(header: str | None) -> str | None:
    """The version that an answer names; None if it names none. A gateway may send anything there,
    even the token that it was given, and the answer is stored."""
    return header if header and _PARTS.fullmatch(header) else None


@dataclass(frozen=True, slots=True)
class VersionOutlook:
    """`days_left` is 0 or less for a version that is gone, None where no end is known."""

    version: str
    ends: date | None
    days_left: int | None
    verdict: Literal["ok", "warning", "error"]
    words: str


def version_outlook(version: str, now: datetime, answered: str | None = None) -> VersionOutlook:
    """How long `version` lasts from `now` on.

    `answered` is the version that Meta's last answer named (header `facebook-api-version`).
    """
    ends = ENDS.get(version)
    left = None if ends is None else (ends - now.astimezone(UTC).date()).days
    stand_in = f" Meta answers with {answered} instead." if answered not in (None, version) else ""
    if left is not None and left <= 0:
        words = f"{version} ended on {ends}.{stand_in or _ANOTHER}{_RAISE}"
        return VersionOutlook(version, ends, left, "error", words)
    if version not in ENDS:
        return _unknown(version, stand_in)
    if stand_in:
        words = f"{version} was asked for.{stand_in}"
        return VersionOutlook(version, ends, left, "warning", words + _RAISE)
    if left is None:
        words = f"{version} is the newest version known here; Meta has set no end for it."
        return VersionOutlook(version, None, None, "ok", words)
    words = f"{version} answers until {ends} ({left} days)."
    if left > WARNING_DAYS:
        return VersionOutlook(version, ends, left, "ok", words)
    verdict: Literal["warning", "error"] = "error" if left <= ERROR_DAYS else "warning"
    return VersionOutlook(version, ends, left, verdict, words + _RAISE)


_ANOTHER = " Meta answers with another version instead."
_RAISE = f" Set CAPI_GRAPH_VERSION={NEWEST}."


def _unknown(version: str, stand_in: str) -> VersionOutlook:
    parts = _PARTS.fullmatch(version)
    if parts and _number(version) < _number(next(iter(ENDS))):
        words = f"{version} ended long ago.{stand_in or _ANOTHER}{_RAISE}"
        return VersionOutlook(version, None, 0, "error", words)
    if parts and _number(version) > _number(NEWEST):
        words = f"{version} is newer than this release knows ({NEWEST}): its end is not known."
    else:
        words = f"{version} is no version that Meta ever had."
        stand_in += _RAISE
    return VersionOutlook(version, None, None, "warning", words + stand_in)


def _number(version: str) -> tuple[int, int]:
    parts = _PARTS.fullmatch(version)
    assert parts is not None
    return int(parts[1]), int(parts[2])
