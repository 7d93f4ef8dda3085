"""An alert for programs: one JSON document, whose fields are always all there.

`version` grows when a field changes its meaning or goes; new fields may come at any time. Text for
people is in words.py.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from capi_assets.coverage.alerting.alerts import Alert
from capi_assets.coverage.alerting.channels.message import SCHEMA, VERSION, Message
from capi_assets.coverage.formatting import alert_subject, alert_text
from capi_assets.coverage.links import backfill_link
from capi_assets.hours import HOUR


def message(alert: Alert, now: datetime, ui_url: str | None = None) -> Message:
    """An alert ready for the channels."""
    text = alert_text(alert, now, ui_url)
    good = alert.kind in ("recovered", "recovery_launched")
    return Message(
        text,
        alert.gap.severity,
        good=good,
        subject=alert_subject(alert),
        document=alert_document(alert, now, text, ui_url),
    )


def alert_document(
    alert: Alert, now: datetime, text: str, ui_url: str | None = None
) -> dict[str, Any]:
    """What a JSON receiver is sent for an alert.

    Fields: `schema` and `version` of the document; `told_at`; `kind` (as in `Alert`) and `good`;
    `gap_id`, the same from opened to recovered; `cause`, `headline`, `severity` (warn, error);
    `from` and `to`, the moments the gap begins and ends; `hours` flagged; `orders` missing and
    `money` per currency; `uncounted_hours`; `recoverable` and `correctable` (orders, money);
    `deadline` and `last_deadline`, until when the first and the last hour can be saved;
    `visits_until`, when visits are deleted that its orders must be matched with, and
    `hours_short_of_visits`, hours of which some or all are deleted already;
    `ranges` of partitions, `A...B`; `remedy`; `evidence` (missing orders per reason, and what else
    was seen); `still_missing` and `other_causes` once it is over; `automatic`; `link` to the
    backfill; `text` for people. Times are ISO 8601 in UTC.
    """
    gap = alert.gap
    return {
        **_envelope(alert.kind, now, text),
        "good": alert.kind in ("recovered", "recovery_launched"),
        "gap_id": alert.gap_id,
        "cause": str(gap.cause),
        "headline": gap.headline,
        "severity": gap.severity,
        "from": _iso(gap.first_hour),
        "to": _iso(gap.last_hour + HOUR),
        "hours": gap.hours,
        "orders": gap.orders,
        "money": dict(gap.money),
        "uncounted_hours": gap.unknown_hours,
        "recoverable": {"orders": gap.recoverable, "money": dict(gap.recoverable_money)},
        "correctable": {"orders": gap.correctable, "money": dict(gap.correctable_money)},
        "deadline": _iso(gap.first_deadline),
        "last_deadline": _iso(gap.last_deadline),
        "visits_until": _iso(gap.visits_until),
        "hours_short_of_visits": gap.fewer_visits + gap.no_visits,
        "ranges": list(alert.ranges),
        "remedy": gap.remedy if alert.ranges else None,
        "evidence": {"reasons": dict(gap.reasons), "seen": gap.evidence or None},
        "still_missing": alert.still,
        "other_causes": [str(cause) for cause in alert.other_causes],
        "automatic": alert.automatic,
        "link": None if gap.as_stored else backfill_link(ui_url, alert.ranges),
    }


def note(
    kind: str, text: str, subject: str, now: datetime, ranges: Sequence[str], ui_url: str | None
) -> Message:
    """Something to tell that is no gap, such as files that came late; its document has the fields
    `schema`, `version`, `told_at`, `kind`, `good`, `severity`, `ranges`, `link` and `text`."""
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
    return {**shared, "told_at": _iso(now), "kind": kind, "text": text}


def _iso(moment: datetime | None) -> str | None:
    return None if moment is None else moment.astimezone(UTC).isoformat(timespec="seconds")
