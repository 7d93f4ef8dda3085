"""An alert as a message for the channels, and for programs as one JSON document whose fields are
always present.

`version` increases when a field is removed or changes its meaning; fields may be added at any time.
alert_text.py writes the text for people.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from capi_assets.coverage.alerting.alert_state import OpenGap
from capi_assets.coverage.alerting.alert_text import alert_subject, alert_text
from capi_assets.coverage.alerting.alerts import Alert
from capi_assets.coverage.alerting.channels.message import SCHEMA, VERSION, Message
from capi_assets.coverage.gaps import Gap
from capi_assets.coverage.links import backfill_link
from capi_assets.hours import HOUR


def message(alert: Alert, now: datetime, ui_url: str | None = None) -> Message:
    """An alert ready for the channels. The coverage sensor sends it.

    Its document has these fields: `schema` and `version`; `sent_at`; `kind` (as in `Alert`) and
    `good`; `gap_id`, the same from opened to recovered; `cause`, `headline`, `severity` (warn,
    error); `from` and `to`, the start and end of the gap; `hours` flagged; `orders` missing and
    `money` per currency (of a gap that is over, the most that was missing); `uncounted_hours`;
    `recoverable` and `correctable` (orders, money); `deadline` and `last_deadline`, until when the
    first and the last hour can be recovered; `visits_until`, when visits needed for matching are
    deleted, and `hours_short_of_visits`, hours of which some or all are deleted already; `ranges`
    of partitions, `A...B`; `remedy`; `evidence` (missing orders per reason, and a text);
    `still_missing` and `other_causes` if it is over; `automatic`; `link` to the backfill; `text`
    for people. Times are ISO 8601 in UTC.
    """
    gap, text = alert.gap, alert_text(alert, now, ui_url)
    good = alert.kind in ("recovered", "recovery_launched")
    document = {
        **_envelope(alert.kind, now, text),
        "good": good,
        "gap_id": alert.gap_id,
        "cause": str(gap.cause),
        "headline": gap.headline,
        "severity": gap.severity,
        "from": _iso(gap.first_hour),
        "to": _iso(gap.last_hour + HOUR),
        "orders": gap.orders,
        "money": dict(gap.money),
        "ranges": list(alert.ranges),
        "still_missing": alert.still,
        "other_causes": [str(cause) for cause in alert.other_causes],
        "automatic": alert.automatic,
        **(_closed(gap) if isinstance(gap, OpenGap) else _current(gap, alert.ranges, ui_url)),
    }
    return Message(text, gap.severity, good=good, subject=alert_subject(alert), document=document)


def _current(gap: Gap, ranges: Sequence[str], ui_url: str | None) -> dict[str, Any]:
    return {
        "hours": gap.hours,
        "uncounted_hours": gap.unknown_hours,
        "recoverable": {"orders": gap.recoverable, "money": dict(gap.recoverable_money)},
        "correctable": {"orders": gap.correctable, "money": dict(gap.correctable_money)},
        "deadline": _iso(gap.first_deadline),
        "last_deadline": _iso(gap.last_deadline),
        "visits_until": _iso(gap.visits_until),
        "hours_short_of_visits": gap.fewer_visits + gap.no_visits,
        "remedy": gap.remedy,
        "evidence": {"reasons": dict(gap.reasons), "text": gap.evidence or None},
        "link": None if gap.as_stored else backfill_link(ui_url, ranges),
    }


def _closed(gap: OpenGap) -> dict[str, Any]:
    """Of a gap that is over no hour is flagged, and nothing is left to recover."""
    nothing: dict[str, Any] = {"orders": 0, "money": {}}
    return {
        **{"hours": 0, "uncounted_hours": 0, "recoverable": nothing, "correctable": nothing},
        **dict.fromkeys(("deadline", "last_deadline", "visits_until", "remedy", "link")),
        "hours_short_of_visits": gap.fewer_visits,
        "evidence": {"reasons": {}, "text": None},
    }


def note(
    kind: str, text: str, subject: str, now: datetime, ranges: Sequence[str], ui_url: str | None
) -> Message:
    """A message about something other than a gap, such as late files.

    Its document has the fields `schema`, `version`, `sent_at`, `kind`, `good`, `severity`,
    `ranges`, `link` and `text`.
    """
    document = {
        **_envelope(kind, now, text),
        "good": True,
        "severity": "warn",
        "ranges": list(ranges),
        "link": backfill_link(ui_url, ranges),
    }
    return Message(text, good=True, subject=subject, document=document)


def _envelope(kind: str, now: datetime, text: str) -> dict[str, Any]:
    shared = {"schema": SCHEMA, "version": VERSION}
    return {**shared, "sent_at": _iso(now), "kind": kind, "text": text}


def _iso(moment: datetime | None) -> str | None:
    return None if moment is None else moment.astimezone(UTC).isoformat(timespec="seconds")
